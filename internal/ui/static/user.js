// The view of a user: state, timeline, details, history and buttons.

import { ask, RequestError, userPath } from "./ask.js";
import { confirmDialog } from "./dialogs.js";
import { h, toast } from "./dom.js";
import { ago, dateTime, moment } from "./format.js";
import { onNews } from "./feed.js";
import { detail, pin, title } from "./events.js";
import { timeline } from "./timeline.js";
import { stateOf } from "./users.js";

const list = (...pairs) => h("dl", {}, pairs.filter((pair) => pair?.[1]).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const card = (name, ...inside) => h("section", { class: "card" }, h("h2", {}, name), inside);

const statuses = { disabled: "off", alwaysenabled: "on", scheduled: "scheduled" };
const audiences = { none: "no one outside", contactsonly: "contacts outside", all: "everyone outside" };

function setting(u) {
  const s = u.setting;
  if (!s) return card("Automatic replies", h("p", { class: "empty" }, u.reason || "Not read yet."));
  return card("Automatic replies",
    list(["Setting", statuses[s.status.toLowerCase()] ?? s.status],
      s.status.toLowerCase() === "scheduled" && ["Window", `${s.scheduledStart ? moment(s.scheduledStart) : "?"} to ${s.scheduledEnd ? moment(s.scheduledEnd) : "?"}`],
      ["Answers", audiences[s.externalAudience.toLowerCase()] ?? s.externalAudience],
      ["Changed", ago(u.changedAt)], ["Last read", ago(u.checkedAt)], ["Problem", u.reason]),
    u.outOfOffice && s.message && h("p", { class: "said", title: "Spoken text" }, s.message));
}

function mediator(u) {
  const d = u.delivery, words = { none: "nothing to deliver yet", pending: "pending", delivered: "delivered", refused: "refused" };
  const kind = { pending: "text-warn", refused: "text-bad", delivered: "text-good" }[d.state] ?? "";
  return card("Mediator", list(
    ["Newest state", h("span", { class: kind }, words[d.state] ?? d.state)], ["Delivered", ago(d.deliveredAt)],
    d.attempts > 1 && ["Attempts", String(d.attempts)], d.nextAttemptAt && ["Next attempt", ago(d.nextAttemptAt)], ["Error", d.error]));
}

function coverage(u) {
  if (!u.subscriptions.length) return card("Coverage", h("p", { class: "empty" }, "No subscription: changes are only detected by the poll."));
  return card("Coverage", u.subscriptions.map((s) => list(
    ["Resource", h("code", {}, s.resource.replace(u.id, "{id}"))],
    ["State", h("span", { class: { live: "text-good", failed: "text-bad" }[s.state] ?? "text-warn" }, s.state)],
    s.expiresAt && ["Until", h("time", { datetime: s.expiresAt, title: dateTime(new Date(s.expiresAt)) }, moment(s.expiresAt))],
    s.spokeAt && ["Last notification", ago(s.spokeAt)], ["Error", s.error])));
}

function directory(u) {
  return card("Directory", list(["Address", u.email], ["Signs in as", u.userPrincipalName], ["Object id", u.id && h("code", {}, u.id)]));
}

function historyTable(events) {
  const changed = new Map(events.filter((e) => e.kind === "changed").map((e) => [e.sequence, e.at]));
  return h("table", { class: "history" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "When"), h("th", { scope: "col" }, "What"), h("th", { scope: "col" }, "More"))),
    h("tbody", {}, events.map((e) => h("tr", {},
      h("td", {}, h("time", { datetime: e.at, title: dateTime(new Date(e.at)) }, at(e.at))),
      h("td", {}, h("span", { class: "entry" }, h("span", { class: `pin ${pin(e)}` }), title(e))),
      h("td", { class: "quiet" }, detail(e, changed.get(e.sequence)))))));
}

const withSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
function at(text) {
  const time = new Date(text), today = time.toDateString() === new Date().toDateString();
  return today ? withSeconds.format(time) : `${moment(text)}`;
}

export function showUser(root, signal, email) {
  const head = h("div", { class: "person" }), facts = h("div", { class: "facts" }), past = h("div", { class: "scroll" });
  const picture = timeline(signal);
  const buttons = h("div", { class: "buttons" },
    button("check", "Check now", "The mailbox will be read now."), button("resend", "Resend", "The state will be delivered again."),
    button("cover", "Check coverage", "The subscriptions will be checked now."),
    h("button", { class: "danger", id: "remove", onclick: remove }, "Remove"));
  root.append(h("a", { class: "back", href: "#/" }, "← Users"), head, picture.card, facts, card("History", past));

  function button(name, text, done) {
    return h("button", { id: name, onclick: async (e) => {
      e.target.disabled = true;
      try {
        await ask(userPath(email, name), { method: "POST" });
        toast(done);
        later();
      } catch (cause) {
        toast(cause.message, true);
      } finally {
        e.target.disabled = false;
      }
    } }, text);
  }

  function remove() {
    confirmDialog("Stop monitoring?", `${email} will no longer be read; its subscriptions and its history will be deleted. The mediator keeps the last delivered state.`, "Remove", async () => {
      try {
        await ask(userPath(email), { method: "DELETE" });
        toast(`${email} is no longer monitored.`);
        location.hash = "#/";
      } catch (cause) {
        toast(cause.message, true);
      }
    });
  }

  function draw(u, events) {
    const [kind, text, more] = stateOf(u);
    document.title = `${u.displayName || u.email} · outlook-monitor`;
    if (!head.contains(buttons)) head.replaceChildren(h("div", { class: "id" }), buttons);
    head.firstElementChild.replaceChildren(h("h1", {}, u.displayName || u.email),
      h("span", { class: "quiet" }, `${u.email} · `), h("span", { class: `mark ${kind}`, id: "state" }, text), more && h("span", { class: "quiet" }, ` ${more}`));
    facts.replaceChildren(setting(u), mediator(u), coverage(u), directory(u));
    past.replaceChildren(historyTable(events));
    picture.set(events);
  }

  async function load() {
    try {
      const [u, { events }] = await Promise.all([ask(userPath(email), { signal }), ask(`${userPath(email, "history")}?limit=200`, { signal })]);
      draw(u, events);
    } catch (cause) {
      if (cause.name === "AbortError") return;
      if (!(cause instanceof RequestError)) throw cause;
      if (cause.status !== 404) return toast(cause.message, true);
      root.replaceChildren(h("a", { class: "back", href: "#/" }, "← Users"), h("div", { class: "empty" }, h("b", {}, "Not monitored"), email));
    }
  }

  let soon;
  function later() {
    soon ??= setTimeout(() => { soon = undefined; load(); }, 400);
  }
  onNews((item) => item.email?.toLowerCase() === email.toLowerCase() && later(), signal);
  const every = setInterval(() => document.hidden || load(), 5000);
  signal.addEventListener("abort", () => { clearInterval(every); clearTimeout(soon); });
  load();
}
