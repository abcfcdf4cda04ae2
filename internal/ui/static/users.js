// The list of users. Search, filters and paging happen on the server.

import { ask, RequestError, userLink } from "./ask.js";
import { h } from "./dom.js";
import { ago, moment, now, number } from "./format.js";
import { feedList, onNews } from "./feed.js";
import { addDialog } from "./dialogs.js";

const filters = [
  ["all", "All"], ["away", "Out of office"], ["office", "In the office"], ["unknown", "Can’t be read", true], ["pending", "Not read yet"],
  ["undelivered", "Undelivered"], ["refused", "Refused", true], ["failed", "Subscription failed", true], ["uncovered", "Not covered", true],
];

// stateOf returns the class, the text and a note for the state of a user.
export function stateOf(u) {
  const { scheduledStart: start, scheduledEnd: end } = u.setting?.status.toLowerCase() === "scheduled" ? u.setting : {};
  const [word, edge] = u.outOfOffice ? ["until", end] : ["from", start];
  const window = edge && Date.parse(edge) > now() ? `scheduled ${word} ${moment(edge)}` : ""; // the state may not follow it: SCHEDULED=always
  if (u.state === "unknown") return ["unknown", "Can’t be read", u.outOfOffice === null ? "" : `last ${u.outOfOffice ? "out of office" : "in the office"}`];
  if (u.outOfOffice === null) return ["pending", "Not read yet", ""];
  return u.outOfOffice ? ["away", "Out of office", window] : ["office", "In the office", window];
}

function delivery({ delivery: d }) {
  switch (d.state) {
    case "delivered": return ["Delivered ", ago(d.deliveredAt), ""];
    case "pending": return [h("span", { class: "text-warn" }, "Pending"), "", d.error];
    case "refused": return [h("span", { class: "text-bad" }, "Refused"), "", d.error];
    default: return [h("span", { class: "quiet" }, "–"), "", ""];
  }
}

function cover(u, wanted) {
  const problem = u.subscriptions.find((s) => s.error)?.error;
  const live = u.subscriptions.filter((s) => s.state === "live" && Date.parse(s.expiresAt) > now()).map((s) => s.expiresAt).sort();
  if (u.subscriptions.some((s) => s.state === "failed")) return [h("span", { class: "text-bad" }, "Failed"), "", problem];
  if (!wanted) return [h("span", { class: "quiet" }, "poll only"), ""];
  if (live.length < wanted) return [h("span", { class: "text-warn" }, live.length ? `${live.length} of ${wanted}` : "Not yet"), "", problem];
  const until = ["until ", h("time", { datetime: live[0] }, moment(live[0]))];
  return problem ? [h("span", { class: "text-warn" }, "Renewal fails"), until, problem] : ["Covered", until];
}

function row(u, wanted) {
  const [kind, text, more] = stateOf(u), [said, when, error] = delivery(u), [covered, until, problem] = cover(u, wanted);
  return h("tr", { "data-email": u.email },
    h("td", {}, h("a", { class: "who", href: userLink(u.email) }, h("b", {}, u.displayName || u.email), h("small", {}, u.displayName ? u.email : u.reason || (u.checkedAt ? "" : "not looked up yet")))),
    h("td", { class: "is", title: u.reason }, h("span", { class: `mark ${kind}` }, text), more && h("span", { class: "sub" }, more)),
    h("td", { class: "read" }, ago(u.checkedAt)),
    h("td", { class: "delivered", title: error || undefined }, said, when, error && h("span", { class: "sub" }, error)),
    h("td", { class: "cover", title: problem }, covered, until && h("span", { class: "sub" }, until)));
}

export function showUsers(root, signal, query) {
  const state = { q: query.get("q") ?? "", filter: query.get("filter") ?? "all", before: [], cursor: "" };
  let wanted = 1, request, known = new Map(), next = "", shown = 0;

  const search = h("input", { type: "search", id: "search", placeholder: "Search by name or address", "aria-label": "Search by name or address", autocomplete: "off", spellcheck: "false", value: state.q });
  const chips = h("fieldset", { class: "chips" }, h("legend", {}, "Show"), filters.map(([name, text, problem]) =>
    h("label", { "data-problem": problem ? "1" : undefined, "data-filter": name }, h("input", { type: "radio", name: "filter", value: name, checked: name === state.filter }), text, h("span", { class: "n" }))));
  const body = h("tbody");
  const empty = h("div", { class: "empty", hidden: true });
  const range = h("span", { id: "range", "aria-live": "polite" });
  const back = h("button", { id: "previous", disabled: true }, "Previous"), on = h("button", { id: "next", disabled: true }, "Next");
  const table = h("table", { class: "users" },
    h("thead", {}, h("tr", {}, ["User", "State", "Last read", "Mediator", "Coverage"].map((t, i) => h("th", { scope: "col", class: i === 2 ? "read" : "" }, t)))), body);

  root.append(h("h1", { class: "visually-hidden" }, "Users"), h("div", { class: "columns" },
    h("div", {},
      h("div", { class: "bar" },
        h("div", { class: "search" }, search, h("kbd", { "aria-hidden": "true" }, "/")),
        h("button", { class: "primary", id: "add", onclick: () => addDialog((email) => { location.hash = userLink(email); }, () => load()) }, "Add users")),
      chips,
      h("section", { class: "card", "aria-label": "Users" }, h("div", { class: "scroll" }, table), empty, h("div", { class: "pager" }, range, back, on))),
    feedList(40, signal)));

  function draw(page) {
    next = page.cursor ?? "";
    const focused = document.activeElement?.closest?.("tr[data-email]")?.dataset.email;
    const fresh = new Map();
    const rows = page.users.map((u) => {
      const made = row(u, wanted), summary = `${u.outOfOffice} ${u.delivery.state} ${u.state}`;
      if (known.has(u.email) && known.get(u.email) !== summary) made.classList.add("moved");
      fresh.set(u.email, summary);
      return made;
    });
    known = fresh;
    body.replaceChildren(...rows);
    if (focused) [...body.children].find((tr) => tr.dataset.email === focused)?.querySelector("a").focus({ preventScroll: true });
    const from = state.before.reduce((n, b) => n + b.shown, 0);
    shown = rows.length;
    range.textContent = shown ? `${number(from + 1)}–${number(from + shown)} of ${number(page.total)}` : "";
    back.disabled = state.before.length === 0;
    on.disabled = next === "";
    empty.hidden = shown > 0;
    table.hidden = shown === 0;
    if (!shown) empty.replaceChildren(...emptyMessage());
    for (const label of chips.querySelectorAll("label")) {
      const n = page.counts?.[label.dataset.filter] ?? 0;
      label.querySelector(".n").textContent = number(n);
      label.classList.toggle("none", n === 0);
      label.classList.toggle("problem", Boolean(label.dataset.problem) && n > 0);
    }
  }

  function emptyMessage() {
    if (state.q || state.filter !== "all") return [h("b", {}, "No user matches"), state.q ? `No name or address here contains “${state.q}”.` : "No user has this status."];
    return [h("b", {}, "No users are monitored yet"), "The mediator sends its users, or you can add them here."];
  }

  async function load() {
    request?.abort();
    request = new AbortController();
    const search = new URLSearchParams({ q: state.q, filter: state.filter, cursor: state.cursor });
    try {
      draw(await ask(`users?${search}`, { signal: request.signal }));
    } catch (cause) {
      if (cause instanceof RequestError) range.textContent = cause.message;
      else if (cause.name !== "AbortError") throw cause;
    }
  }

  // restart goes to the first page and puts search and filter into the URL.
  function restart() {
    state.before = [];
    state.cursor = "";
    known = new Map();
    const params = new URLSearchParams();
    if (state.q) params.set("q", state.q);
    if (state.filter !== "all") params.set("filter", state.filter);
    history.replaceState(null, "", `#/${params.size ? `?${params}` : ""}`);
    return load();
  }

  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { state.q = search.value.trim(); restart(); }, 180);
  });
  chips.addEventListener("change", (e) => { state.filter = e.target.value; restart(); });
  on.addEventListener("click", () => {
    state.before.push({ cursor: state.cursor, shown });
    state.cursor = next;
    known = new Map();
    load().then(() => (on.disabled ? back : on).focus());
  });
  back.addEventListener("click", () => {
    state.cursor = state.before.pop().cursor;
    known = new Map();
    load().then(() => (back.disabled ? on : back).focus());
  });

  // New events reload the list soon; otherwise it is reloaded every few seconds. A search
  // costs Redis more than a page of all users, so it is reloaded less often.
  const searching = () => state.q || state.filter !== "all";
  let soon, ticks = 0;
  onNews(() => {
    soon ??= setTimeout(() => { soon = undefined; load(); }, searching() ? 3000 : 300);
  }, signal);
  const every = setInterval(() => {
    ticks++;
    if (!document.hidden && (!searching() || ticks % 2 === 0)) load();
  }, 5000);
  signal.addEventListener("abort", () => {
    clearInterval(every);
    clearTimeout(soon);
    clearTimeout(typing);
    request?.abort();
  });
  ask("summary").then((summary) => { wanted = summary.resources; }, () => {}).finally(() => signal.aborted || load());
}

