// Pieces of the page. Whatever comes from the data is set as text, never as markup.

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export const address = (kind, id) => `#${kind}=${encodeURIComponent(id)}`;

export const titleOf = (item, title) => {
  const found = title === null ? null : item[title];
  return found === null || found === undefined || found === "" ? `${item.item_id}` : `${found}`;
};

// The raw features of an item or a user as [name, text, value], without what is empty.
export function facts(thing, ...without) {
  return Object.entries(thing)
    .filter(([name]) => !["score", "because", ...without].includes(name))
    .map(([name, value]) => [name.replaceAll("_", " "), written(value), value])
    .filter(([, text]) => text !== "");
}

function written(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) {
    const shown = value.slice(0, 6).map(written).filter((text) => text !== "");
    return shown.join(", ") + (value.length > 6 ? ` … (${value.length})` : "");
  }
  if (typeof value === "number") return `${Number(value.toFixed(3))}`;
  const text = `${value}`.replace(/T00:00:00(\.0+)?(Z|[+]00:00)?$/, ""); // a date
  return text.length > 140 ? `${text.slice(0, 140)}…` : text;
}

export const brief = (thing, ...without) =>
  facts(thing, ...without)
    .map(([name, text, value]) => (typeof value === "number" ? `${name} ${text}` : text))
    .join(" · ");

export function factList(thing, ...without) {
  const rows = facts(thing, ...without).map(([name, text]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, text)),
  );
  return rows.length ? element("dl", { className: "facts" }, ...rows) : "";
}

export function itemLink(item, title) {
  return element("a", { href: address("item", item.item_id) }, titleOf(item, title));
}

// Items in a list, with their scores and reasons where they have them.
export function itemList(items, title) {
  const ranked = items.length > 0 && "score" in items[0];
  const scores = items.map((item) => item.score ?? 0);
  const [least, most] = [Math.min(...scores), Math.max(...scores)];
  const list = element(ranked ? "ol" : "ul", { className: ranked ? "list" : "list plain" });
  for (const item of items) {
    const row = element("li", {}, element("div", { className: "line" }, itemLink(item, title)));
    if (ranked && item.score !== null) {
      row.firstChild.append(
        element("span", { className: "score", title: "score" }, item.score.toFixed(3)),
      );
    }
    const text = brief(item, "item_id", title);
    if (text) row.append(element("p", { className: "quiet" }, text));
    if (item.because && item.because.length) row.append(reasons(item.because, title));
    if (ranked && item.score !== null && most > least) {
      const bar = element("div", { className: "bar", ariaHidden: "true" });
      bar.style.width = `${5 + (95 * (item.score - least)) / (most - least)}%`;
      bar.title = "between the lowest and the highest score of this list";
      row.append(bar);
    }
    list.append(row);
  }
  return list;
}

function reasons(because, title) {
  const said = element("p", { className: "quiet why" }, "Near ");
  because.forEach((item, place) => {
    if (place) said.append(place === because.length - 1 ? " and " : ", ");
    said.append(itemLink(item, title));
  });
  return said;
}

// The model's metrics on the test split beside those of the baselines, the best first.
export function metricTable(metrics) {
  const deciding = metrics.compared?.metric;
  if (!deciding) return "";
  const cut = deciding.includes("@") ? deciding.slice(deciding.indexOf("@")) : "";
  const others = Object.keys(metrics.metrics).filter((name) => name !== deciding && name.endsWith(cut));
  const names = [deciding, ...others.slice(0, 3)];
  const rows = Object.entries({ "this bundle": metrics.metrics, ...metrics.baselines });
  rows.sort(([, one], [, other]) => other[deciding] - one[deciding]);
  const cell = (value) => element("td", {}, value === undefined || value === null ? "" : value.toFixed(4));
  return element(
    "section",
    { className: "result" },
    element("h2", { tabIndex: -1 }, "How good it is"),
    element("p", { className: "quiet" }, `On the test split, ${metrics.queries.toLocaleString("en")} queries.`),
    element(
      "table",
      { className: "metrics" },
      element("thead", {}, element("tr", {}, element("td"), ...names.map((name) => element("th", { scope: "col" }, name.replaceAll("_", " "))))),
      element(
        "tbody",
        {},
        ...rows.map(([name, values]) =>
          element(
            "tr",
            name === "this bundle" ? { className: "own" } : {},
            element("th", { scope: "row" }, name.replaceAll("_", " ")),
            ...names.map((metric) => cell(values[metric])),
          ),
        ),
      ),
    ),
  );
}
