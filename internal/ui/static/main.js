// The frame: views by the address, the head line, the clock that makes times age.

import { ask, Refused } from "./ask.js";
import { h } from "./dom.js";
import { age, plural } from "./format.js";
import { feedList, startFeed } from "./feed.js";
import { showSystem } from "./system.js";
import { showUser } from "./user.js";
import { showUsers } from "./users.js";

const main = document.getElementById("main");
let leaving = new AbortController(), first = true;

function showLive(root, signal) {
  root.append(h("h1", { class: "heard" }, "Live"), feedList(120, signal));
}

// show puts up the view that the address names and takes the former one down.
function show() {
  leaving.abort();
  leaving = new AbortController();
  const [path, query] = location.hash.slice(1).split("?");
  const [, view = "", name = ""] = path.split("/");
  main.replaceChildren();
  const current = { user: "users", live: "live", system: "system" }[view] ?? "users";
  for (const tab of document.querySelectorAll("[data-view]")) {
    if (tab.dataset.view === current) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.title = `${{ users: "Users", live: "Live", system: "System" }[current]} · outlook-monitor`;
  switch (view) {
    case "user": showUser(main, leaving.signal, decodeURIComponent(name)); break;
    case "live": showLive(main, leaving.signal); break;
    case "system": showSystem(main, leaving.signal); break;
    default: showUsers(main, leaving.signal, new URLSearchParams(query));
  }
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  first = false;
}

const names = { redis: "Redis", graph: "Graph", mediator: "Mediator", public_url: "Public URL" };

// judge says how a check stands: a detail with a good check is a warning of Redis.
export function judge(name, check) {
  if (!check.ok) return "bad";
  return check.detail && (name === "redis" || check.detail.startsWith("not set")) ? "warn" : "good";
}

function health(checks, replicas) {
  const order = ["graph", "redis", "mediator", "public_url", ...Object.keys(checks)];
  const rows = [...new Set(order)].filter((name) => checks[name]).map((name) => {
    const standing = judge(name, checks[name]), why = checks[name].error || checks[name].detail || "ok";
    return h("li", {}, h("a", { href: "#/system", class: standing, title: why },
      h("span", { class: "dot" }), names[name] ?? name, h("span", { class: "heard" }, `: ${standing === "good" ? "ok" : why}`)));
  });
  if (replicas) {
    rows.push(h("li", {}, h("a", { href: "#/system", class: replicas.length ? "good" : "warn" },
      h("span", { class: "dot" }), plural(replicas.length, "replica"))));
  }
  document.getElementById("health").replaceChildren(...rows);
}

// refresh reads the head line.
async function refresh() {
  const banner = document.getElementById("banner");
  try {
    const [state, summary] = await Promise.all([ask("health", { accept: [503] }), ask("summary")]);
    health(state.checks ?? {}, summary.replicas);
    document.getElementById("leave").hidden = !summary.login;
    banner.hidden = true;
  } catch (cause) {
    if (!(cause instanceof Refused)) throw cause;
    banner.textContent = `${cause.message} What you see may be old.`;
    banner.hidden = false;
  }
}

document.getElementById("skip").addEventListener("click", (e) => {
  e.preventDefault(); // the address names a view
  main.focus();
});
document.addEventListener("keydown", (e) => {
  const search = document.getElementById("search");
  if (e.key === "/" && search && !e.ctrlKey && !e.metaKey && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    e.preventDefault();
    search.focus();
    search.select();
  }
});
addEventListener("hashchange", show);
show();
startFeed();
refresh();
setInterval(() => document.hidden || refresh(), 10_000);
setInterval(() => document.hidden || age(), 1000);
