// The page: the selection is in the URL fragment, so that links, keys and Back all work.

import { Refused, ask, setKey } from "./api.js";
import { address, brief, element, factList, itemList, metricTable, titleOf } from "./parts.js";

const at = (id) => document.getElementById(id);
const MOST = 100; // items of a history that the server sends at most
const hint = at("said").textContent;
let title = null; // the item feature that people read
let metrics = {}; // of the bundle, on the test split
let turn = 0; // of the newest pick: answers to older ones are dropped
let searched = 0;

function say(text, wrong = false) {
  at("said").textContent = text;
  at("said").classList.toggle("wrong", wrong);
}

function failed(error) {
  if (error instanceof Refused && error.status === 401) {
    at("key-form").hidden = false;
    at("key").focus();
  }
  say(error instanceof Refused ? error.message : "The server cannot be reached.", true);
}

async function begin() {
  const about = await ask("bundle");
  ({ title, metrics } = about);
  const { users, items } = about.rows;
  at("served").replaceChildren(
    `${about.recipe} · ${users.toLocaleString("en")} users · ${items.toLocaleString("en")} items · `,
    element("code", { title: "content id of the bundle" }, about.bundle.slice(0, 12)),
  );
  await sample("");
  await show();
}

async function sample(query) {
  const found = (await ask("users", { query, limit: 30 })).users;
  at("users-note").textContent = found.length ? "Or one of these:" : "This bundle names no users.";
  at("users").replaceChildren(
    ...found.map((user) =>
      element(
        "li",
        {},
        element(
          "a",
          { href: address("user", user.user_id) },
          `${user.user_id}`,
          element("small", {}, brief(user, "user_id")),
        ),
      ),
    ),
  );
}

async function search() {
  const mine = ++searched;
  const query = at("item").value.trim();
  const found = query ? (await ask("items", { query, limit: 30 })).items : [];
  if (mine !== searched) return;
  at("items-note").textContent = !query ? "" : counted(found.length, "item", 30);
  at("items").replaceChildren(
    ...found.map((item) =>
      element(
        "li",
        {},
        element(
          "a",
          { href: address("item", item.item_id) },
          titleOf(item, title),
          element("small", {}, brief(item, "item_id", title)),
        ),
      ),
    ),
  );
}

const counted = (count, word, most) =>
  count === 0 ? `No ${word} found.` : `${count >= most ? `The first ${count}` : count} ${word}${count === 1 ? "" : "s"}.`;

async function show() {
  const mine = ++turn;
  for (const link of document.querySelectorAll(".picks a")) {
    if (link.getAttribute("href") === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const [kind, id] = picked();
  if (!kind) {
    at("view").replaceChildren(metricTable(metrics));
    say(hint);
    return;
  }
  const shown = await (kind === "user" ? userView(id) : itemView(id));
  if (mine !== turn) return;
  at("view").replaceChildren(shown.view);
  say(shown.said);
  at("view").querySelector("h2").focus({ preventScroll: true });
  if (at("result").getBoundingClientRect().top > innerHeight / 2) at("result").scrollIntoView();
}

function picked() {
  const [, kind, id] = location.hash.match(/^#(user|item)=(.+)$/) || [];
  try {
    return kind ? [kind, decodeURIComponent(id)] : [];
  } catch {
    return [];
  }
}

async function aboutUser(id, limit) {
  return ask(`users/${encodeURIComponent(id)}`, { limit }).catch((error) => {
    if (error.status !== 404) throw error;
    return { user: {}, history: [], history_length: 0 };
  });
}

// The user's items, the most popular first, with a button for those that are not shown yet.
function historyList(id, about) {
  if (!about.history.length) return element("p", { className: "quiet" }, "This user has no seen items.");
  const list = itemList(about.history, title);
  const hidden = about.history_length - about.history.length;
  if (hidden <= 0 || about.history.length >= MOST) return list;
  const button = element("button", { type: "button" }, `Show ${Math.min(hidden, MOST - about.history.length)} more`);
  const both = element("div", {}, list, button);
  button.addEventListener("click", () =>
    run(async () => both.replaceWith(historyList(id, await aboutUser(id, MOST)))),
  );
  return both;
}

async function userView(id) {
  const [found, about] = await Promise.all([
    ask("recommend", { user_id: id, k: 10, reasons: 2 }),
    aboutUser(id, 20),
  ]);
  const view = element(
    "section",
    { className: "result" },
    element("h2", { tabIndex: -1 }, `User ${id}`),
    factList(about.user, "user_id"),
    element(
      "div",
      { className: "pair" },
      element("div", {}, element("h3", {}, "Recommended"), itemList(found.items, title)),
      element(
        "div",
        {},
        element("h3", {}, `Seen items (${about.history_length.toLocaleString("en")}), the most popular first`),
        historyList(id, about),
      ),
    ),
  );
  const known = found.known ? "" : " They are not known to this bundle: served as a new user.";
  return { view, said: `${found.items.length} recommendations for user ${id}.${known}` };
}

async function itemView(id) {
  const [about, near] = await Promise.all([
    ask(`items/${encodeURIComponent(id)}`),
    ask("similar", { item_id: id, k: 10 }).catch((error) => {
      if (error.status !== 422) throw error; // of a bundle without item embeddings
      return { items: [] };
    }),
  ]);
  const name = titleOf(about.item, title);
  const view = element(
    "section",
    { className: "result" },
    element("h2", { tabIndex: -1 }, name),
    factList(about.item, title),
    element("h3", {}, "Similar items"),
    itemList(near.items, title),
  );
  return { view, said: `${near.items.length} items similar to ${name}.` };
}

const run = (work) => work().catch(failed);

at("user-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = at("user").value.trim();
  if (!id) return;
  if (location.hash === address("user", id)) run(show);
  else location.hash = address("user", id);
});
at("item-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(search);
});
let pause;
at("item").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(() => run(search), 200);
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(at("key").value);
  at("key-form").hidden = true;
  run(begin);
});
addEventListener("hashchange", () => run(show));
run(begin);
