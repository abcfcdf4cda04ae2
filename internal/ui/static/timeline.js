// The timeline of a user: when the user was out of office, when that was detected, and
// when and how much later the mediator received it.

import { h, s } from "./dom.js";
import { dateTime, dayOf, minuteOf, now, secondOf, span } from "./format.js";
import { title } from "./events.js";

const minute = 60_000, hour = 60 * minute, day = 24 * hour;
const ranges = [["10 min", 10 * minute], ["1 h", hour], ["6 h", 6 * hour], ["24 h", day], ["7 d", 7 * day], ["30 d", 30 * day]];
const steps = [10_000, 30_000, minute, 2 * minute, 5 * minute, 10 * minute, 30 * minute, hour, 2 * hour, 4 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day];
const lanes = { away: 26, detected: 66, delivered: 98, delay: 117, axis: 140, height: 148 };

// fittingRange returns the shortest range that contains the last three changes.
function fittingRange(events) {
  const changes = events.filter((e) => e.kind === "changed").slice(0, 3), oldest = changes.at(-1) ?? events.at(-1);
  const age = oldest ? now() - Date.parse(oldest.at) : 0;
  return (ranges.find(([, ms]) => ms * 0.92 > age) ?? ranges.at(-1))[1];
}

// periods returns when the user was out of office or present, as far as the history
// reaches.
function periods(events, until) {
  const found = [];
  for (const e of events.filter((e) => e.kind === "changed").reverse()) {
    const at = Date.parse(e.at);
    if (found.length) found.at(-1).to = at;
    found.push({ from: at, to: until, away: e.outOfOffice });
  }
  return found;
}

// deliveries pairs each change with the results of its delivery.
function deliveries(events) {
  const bySequence = new Map();
  for (const e of [...events].reverse()) {
    if (e.kind === "changed" || e.kind === "resend") bySequence.set(e.sequence, { changed: e });
    if (["delivered", "refused", "overtaken"].includes(e.kind) && bySequence.has(e.sequence)) bySequence.get(e.sequence)[e.kind] = e;
  }
  return [...bySequence.values()];
}

function axis(from, to, x, width) {
  const step = steps.find((ms) => (to - from) / ms <= Math.max(3, width / 95)) ?? 30 * day;
  const offset = new Date(from).getTimezoneOffset() * minute;
  const marks = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at < to - step * 0.2; at += step) {
    const text = step >= day ? dayOf(at) : step < minute ? secondOf(at) : minuteOf(at);
    marks.push(s("line", { class: "rule", x1: x(at), x2: x(at), y1: 12, y2: lanes.delivered + 6 }), s("text", { x: x(at), y: lanes.axis, "text-anchor": "middle" }, text));
  }
  return marks;
}

function picture(events, length, width) {
  const left = width < 520 ? 0 : 92, right = 14, to = now(), from = to - length;
  const x = (at) => left + ((Math.min(Math.max(at, from), to) - from) / length) * (width - left - right);
  const within = (e) => Date.parse(e.at) >= from;
  const tip = (e, more = "") => s("title", {}, `${title(e)}, ${dateTime(new Date(e.at))}${more}`);
  const label = (y, text) => (left ? s("text", { class: "lane", x: 0, y: y + 4 }, text) : null);
  const parts = [
    ...axis(from, to, x, width - left),
    label(lanes.away, "Out of office"), label(lanes.detected, "Detected"), label(lanes.delivered, "Delivered"),
    s("rect", { class: "track", x: left, y: lanes.away - 8, width: width - left - right, height: 16, rx: 3 }),
    s("line", { class: "rule", x1: left, x2: width - right, y1: lanes.detected, y2: lanes.detected }),
    s("line", { class: "rule", x1: left, x2: width - right, y1: lanes.delivered, y2: lanes.delivered }),
  ];
  for (const b of periods(events, to).filter((b) => b.away && b.to > from)) {
    parts.push(s("rect", { class: "band", x: x(b.from), y: lanes.away - 8, width: Math.max(x(b.to) - x(b.from), 2), height: 16, rx: 3 },
      s("title", {}, `out of office for ${span(b.to - b.from)} from ${dateTime(b.from)}`)));
  }
  let free = -Infinity; // where the next label may begin
  for (const d of deliveries(events).filter((d) => within(d.changed))) {
    const at = Date.parse(d.changed.at), end = d.delivered ? Date.parse(d.delivered.at) : to;
    parts.push(s("line", { class: "rule", x1: x(at), x2: x(at), y1: lanes.away + 8, y2: lanes.detected }));
    if (d.overtaken) continue;
    parts.push(s("path", { class: "wait", d: `M${x(at)} ${lanes.detected}L${x(end)} ${lanes.delivered}` }));
    const text = d.delivered ? span(Math.max(end - at, 0)) : "not yet";
    const half = text.length * 3 + 3;
    if (x(end) - half > free && x(end) + half < width) {
      parts.push(s("text", { class: "delay", x: x(end), y: lanes.delay, "text-anchor": "middle" }, text));
      free = x(end) + half;
    }
  }
  for (const e of events.filter(within)) {
    const at = x(Date.parse(e.at));
    if (e.kind === "notification") parts.push(s("path", { class: "hint", d: `M${at} ${lanes.detected - 21}l5 5l-5 5l-5-5z` }, tip(e)));
    if (e.kind === "changed") parts.push(s("circle", { class: "change", cx: at, cy: lanes.detected, r: 4.5 }, tip(e)));
    if (e.kind === "delivered") parts.push(s("rect", { class: "delivered", x: at - 4.5, y: lanes.delivered - 4.5, width: 9, height: 9, rx: 1.5 }, tip(e)));
    if (e.kind === "refused" || e.kind === "failed") parts.push(s("path", { class: "refused", d: `M${at} ${lanes.delivered - 6}l6 11h-12z` }, tip(e, e.detail ? `: ${e.detail}` : "")));
  }
  parts.push(s("line", { class: "now", x1: width - right, x2: width - right, y1: 10, y2: lanes.delivered + 6 }));
  return s("svg", { viewBox: `0 0 ${width} ${lanes.height}`, height: lanes.height, role: "img", "aria-label": description(events, length) }, parts);
}

// description returns the timeline as text for screen readers.
function description(events, length) {
  const changes = deliveries(events).filter((d) => Date.parse(d.changed.at) >= now() - length);
  const delays = changes.filter((d) => d.delivered).map((d) => Math.max(Date.parse(d.delivered.at) - Date.parse(d.changed.at), 0));
  if (!changes.length) return `No change in the last ${span(length)}.`;
  return `${changes.length} ${changes.length === 1 ? "change" : "changes"} in the last ${span(length)}; ${delays.length} delivered to the mediator${delays.length ? `, at most ${span(Math.max(...delays))} later` : ""}. The table below lists them.`;
}

// timeline returns a card with the picture and its ranges, and set, which replaces the
// events.
export function timeline(signal) {
  let events = [], chosen, width = 0;
  const stage = h("div", { id: "timeline" });
  const buttons = ranges.map(([text, ms]) => h("button", { type: "button", "aria-pressed": "false", onclick: () => { chosen = ms; draw(); } }, text));
  function draw() {
    if (!width) return;
    const length = chosen ?? fittingRange(events);
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(ranges[i][1] === length)));
    stage.replaceChildren(picture(events, length, width));
  }
  const watch = new ResizeObserver(([box]) => { width = Math.round(box.contentRect.width); draw(); });
  watch.observe(stage);
  const every = setInterval(() => document.hidden || draw(), 5000);
  signal.addEventListener("abort", () => { watch.disconnect(); clearInterval(every); });
  const key = [["band", "out of office"], ["pin change", "change detected"], ["pin hint", "notification from Graph"], ["pin delivered", "delivered to the mediator"], ["pin bad", "refused or failed"]];
  const card = h("section", { class: "card timeline" },
    h("div", { class: "head" }, h("h2", {}, "Out of office and delivery"), h("div", { class: "seg", role: "group", "aria-label": "Range" }, buttons)), stage,
    h("ul", { class: "key" }, key.map(([mark, text]) => h("li", {}, h("span", { class: mark }), text))));
  return { card, set(newer) { events = newer; draw(); } };
}
