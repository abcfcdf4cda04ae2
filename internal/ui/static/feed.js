// The live feed: one connection for the whole page, none while the page is hidden.

import { h } from "./dom.js";
import { ago } from "./format.js";
import { userLink } from "./ask.js";
import { detail, pin, title } from "./events.js";

const maxItems = 120;
const items = []; // newest first
const listeners = new Set();
const lists = new Set();
let source, position = "", state = "connecting", caughtUp = false, retryTimer, pauseTimer;

function setState(next) {
  state = next;
  for (const list of lists) list.status.textContent = { live: "live", connecting: "connecting…", paused: "paused" }[state];
}

function entry(item, fresh) {
  const who = item.email ? h("a", { href: userLink(item.email) }, item.name || item.email) : h("b", {}, "a former user");
  const more = detail(item);
  return h("li", { class: fresh ? "fresh" : "" },
    h("span", { class: `pin ${pin(item)}` }), who, ago(item.at),
    h("span", { class: "what" }, title(item), more && ` · ${more}`));
}

function add(item) {
  items.unshift(item);
  items.length = Math.min(items.length, maxItems);
  for (const list of lists) {
    list.entries.prepend(entry(item, caughtUp));
    while (list.entries.children.length > list.limit) list.entries.lastElementChild.remove();
    list.empty.hidden = true;
  }
  if (caughtUp) for (const listen of listeners) listen(item);
}

function open() {
  clearTimeout(retryTimer);
  source?.close();
  setState("connecting");
  source = new EventSource(`api/feed${position ? `?after=${encodeURIComponent(position)}` : ""}`);
  source.addEventListener("news", (e) => add(JSON.parse(e.data)));
  source.addEventListener("position", (e) => {
    position = e.lastEventId;
    caughtUp = true;
    setState("live");
  });
  source.addEventListener("error", () => {
    setState("connecting");
    if (source.readyState === EventSource.CLOSED) retryTimer = setTimeout(open, 5000); // the browser does not reconnect
  });
}

export function startFeed() {
  document.addEventListener("visibilitychange", () => {
    clearTimeout(pauseTimer);
    if (!document.hidden) {
      if (state === "paused") open();
      return;
    }
    pauseTimer = setTimeout(() => {
      clearTimeout(retryTimer);
      source?.close();
      setState("paused");
    }, 30_000);
  });
  open();
}

// onNews calls listen for each new entry until the signal is aborted.
export function onNews(listen, signal) {
  listeners.add(listen);
  signal.addEventListener("abort", () => listeners.delete(listen));
}

// feedList returns a list that shows new entries until the signal is aborted.
export function feedList(limit, signal) {
  const list = {
    limit, status: h("span", { class: "state", id: "feed-state" }),
    entries: h("ol", { class: "feed", id: "feed" }), empty: h("p", { class: "empty" }, "No events yet."),
  };
  list.entries.append(...items.slice(0, limit).map((item) => entry(item, false)));
  list.empty.hidden = items.length > 0;
  lists.add(list);
  signal.addEventListener("abort", () => lists.delete(list));
  setState(state);
  return h("section", { class: "card live", "aria-labelledby": "live-title" },
    h("h2", { id: "live-title" }, "Live events", list.status), list.entries, list.empty);
}
