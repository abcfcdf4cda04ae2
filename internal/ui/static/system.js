// The system view: dependencies, replicas and charts of the last hour.

import { ask, RequestError } from "./ask.js";
import { chart, linear, log } from "./chart.js";
import { h } from "./dom.js";
import { ago, number, plural, span } from "./format.js";

export const checkNames = { redis: "Redis", graph: "Graph", mediator: "Mediator", public_url: "Public URL" };

// severity returns the class of a check. The detail of a passing Redis check is a warning.
export function severity(name, check) {
  if (!check.ok) return "bad";
  return check.detail && (name === "redis" || check.detail.startsWith("not set")) ? "warn" : "good";
}

function dependencies(checks) {
  return h("section", { class: "card" }, h("h2", {}, "Dependencies"), h("ul", { class: "checks" }, Object.entries(checks).sort().map(([name, c]) =>
    h("li", { class: severity(name, c) }, h("span", { class: "dot" }), h("b", {}, checkNames[name] ?? name), h("span", {}, c.error || c.detail || "ok")))));
}

function replicas(summary) {
  const heads = ["Host", "Reads", "Most overdue read", "Up since", "Last seen"];
  return h("section", { class: "card" }, h("h2", {}, "Replicas"), h("div", { class: "scroll" }, h("table", { id: "replicas" },
    h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, summary.replicas.map((r) => h("tr", {},
      h("td", {}, h("b", {}, r.host), r.id === summary.self && h("span", { class: "quiet" }, " (this one)"), r.version !== "unknown" && h("span", { class: "sub" }, r.version)),
      h("td", {}, `${number(Math.round(r.readsASecond * 10) / 10)}/s`), h("td", {}, r.lateMs ? `${span(r.lateMs)} late` : "on time"),
      h("td", {}, ago(r.since)), h("td", {}, ago(r.seenAt))))))));
}

const last = (values) => values.at(-1) ?? 0;
const sum = (values) => values.reduce((a, b) => a + b, 0);

function charts(load, available) {
  const from = Date.parse(load.from), step = load.stepMs, delivered = sum(load.delivered);
  const newest = load.delivered.findLastIndex((n) => n > 0);
  const width = Math.max(Math.round((available >= 932 ? (available - 12) / 2 : available) - 34), 240);
  const short = (ms) => (ms >= 3_600_000 ? "1 h" : ms >= 60_000 ? `${ms / 60_000} min` : span(ms));
  return [
    chart({
      name: "Change to mediator", width, from, step, scale: log([...load.p95, ...load.median]), label: short,
      series: [{ values: load.p95, as: "points", mark: "second" }, { values: load.median, as: "points" }],
      now: delivered ? `${plural(delivered, "change")}, last: median ${span(load.median[newest])}, p95 ${span(load.p95[newest])}` : "no change in this hour",
      describe: (i) => (load.delivered[i] ? `${load.delivered[i]} delivered, median ${span(load.median[i])}, p95 ${span(load.p95[i])}` : "none"),
    }),
    chart({
      name: "Reads per second", width, from, step, scale: linear(load.reads), label: number, series: [{ values: load.reads, as: "line" }],
      now: `${number(last(load.reads))}/s now`, describe: (i) => `${number(load.reads[i])}/s`,
    }),
    chart({
      name: "Most overdue read", width, from, step, scale: log(load.late), label: short, series: [{ values: load.late, as: "line" }],
      now: `${span(last(load.late))} late now`, describe: (i) => `${span(load.late[i])} late`,
    }),
    chart({
      name: "Throttled by Graph", width, from, step, scale: linear(load.throttled), label: number, series: [{ values: load.throttled, as: "bars" }],
      now: sum(load.throttled) ? `${number(Math.round(sum(load.throttled)))} answers with 429 in this hour` : "none in this hour",
      describe: (i) => `${number(load.throttled[i])} in ${step / 1000} s`,
    }),
  ];
}

export function showSystem(root, signal) {
  const checkCard = dependencies({}), replicaCard = replicas({ replicas: [] }), hour = h("div", { class: "grid2" }), foot = h("p", { class: "quiet" });
  root.append(h("h1", { class: "visually-hidden" }, "System"), h("div", { class: "grid2" }, checkCard, replicaCard), hour, foot);

  // load draws each answer when it arrives: without Redis only the health is answered.
  async function load() {
    try {
      await Promise.all([
        ask("health", { accept: [503], signal }).then(({ checks = {} }) => checkCard.replaceChildren(...dependencies(checks).children)),
        ask("summary", { signal }).then((summary) => {
          replicaCard.replaceChildren(...replicas(summary).children);
          foot.replaceChildren(summary.version === "unknown" ? "" : `Version ${summary.version} · `, `Each mailbox is read every ${span(summary.intervalMs)} · `, h("a", { href: "api.html" }, "API description"));
        }),
        ask("load", { signal }).then((hourly) => {
          if (hour.contains(document.activeElement)) return; // a chart has the focus
          hour.replaceChildren(...charts(hourly, hour.clientWidth));
        }),
      ]);
    } catch (cause) {
      if (cause.name === "AbortError") return;
      if (!(cause instanceof RequestError)) throw cause;
      foot.textContent = cause.message;
    }
  }
  const every = setInterval(() => document.hidden || load(), 10_000);
  signal.addEventListener("abort", () => clearInterval(every));
  load();
}
