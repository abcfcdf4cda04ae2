// The frame of the page: the view that the URL names, the header, the timers.

import { ask, RequestError } from "./ask.js";
import { h, hidden } from "./dom.js";
import { age, plural } from "./format.js";
import { feedList, startFeed } from "./feed.js";
import { checkNames, severity, showSystem } from "./system.js";
import { showUser } from "./user.js";
import { showUsers } from "./users.js";

const main = document.getElementById("main");
let viewAbort = new AbortController(), first = true;

function showLive(root, signal) {
  root.append(h("h1", { class: "visually-hidden" }, "Live"), feedList(120, signal));
}

// decoded returns a name from the URL, as it is if its escapes are malformed.
function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

// show replaces the view by the one that the URL names.
function show() {
  viewAbort.abort();
  viewAbort = new AbortController();
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
    case "user": showUser(main, viewAbort.signal, decoded(name)); break;
    case "live": showLive(main, viewAbort.signal); break;
    case "system": showSystem(main, viewAbort.signal); break;
    default: showUsers(main, viewAbort.signal, new URLSearchParams(query));
  }
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  first = false;
}

const shown = { checks: {} }; // in the header, and replicas once they are known

// health shows what has been answered in the header, and keeps the rest.
function health(answered) {
  const { checks, replicas } = Object.assign(shown, answered);
  const order = ["graph", "redis", "mediator", "public_url", ...Object.keys(checks)];
  const rows = [...new Set(order)].filter((name) => checks[name]).map((name) => {
    const level = severity(name, checks[name]), why = checks[name].error || checks[name].detail || "ok";
    return h("li", {}, h("a", { href: "#/system", class: level, title: why },
      h("span", { class: "dot" }), checkNames[name] ?? name, hidden(`: ${level === "good" ? "ok" : why}`)));
  });
  if (replicas) {
    rows.push(h("li", {}, h("a", { href: "#/system", class: replicas.length ? "good" : "warn" },
      h("span", { class: "dot" }), plural(replicas.length, "replica"))));
  }
  document.getElementById("health").replaceChildren(...rows);
}

// refresh updates the header with each answer when it arrives: without Redis only the health
// is answered.
async function refresh() {
  const banner = document.getElementById("banner");
  try {
    await Promise.all([
      ask("health", { accept: [503] }).then(({ checks = {} }) => health({ checks })),
      ask("summary").then(({ replicas, login }) => {
        health({ replicas });
        document.getElementById("leave").hidden = !login;
      }),
    ]);
    banner.hidden = true;
  } catch (cause) {
    if (!(cause instanceof RequestError)) throw cause;
    banner.textContent = `The page may be out of date. ${cause.message}`;
    banner.hidden = false;
  }
}

document.getElementById("skip").addEventListener("click", (e) => {
  e.preventDefault(); // the fragment of the URL names a view
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
