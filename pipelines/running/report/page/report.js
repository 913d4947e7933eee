// The item map: titles under the pointer, and one category at a time by the legend's buttons.
(() => {
  const map = document.querySelector(".map svg");
  if (!map) return;
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const show = (event) => {
    const title = event.target.querySelector && event.target.querySelector("title");
    tip.hidden = !(event.target.tagName === "circle" && title);
    if (tip.hidden) return;
    tip.textContent = title.textContent;
    const left = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${event.clientY + 14}px`;
  };
  map.addEventListener("pointermove", show);
  map.addEventListener("pointerdown", show);
  map.addEventListener("pointerleave", () => { tip.hidden = true; });
  const buttons = [...document.querySelectorAll(".legend button")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      for (const other of buttons) other.setAttribute("aria-pressed", String(on && other === button));
      for (const group of map.querySelectorAll("g[data-group]")) {
        for (const circle of group.children) {
          circle.classList.toggle("dim", on && group.dataset.group !== button.dataset.group);
        }
      }
    });
  }
})();
