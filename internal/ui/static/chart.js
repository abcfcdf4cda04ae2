// Small charts of the last hour. The pointer or the arrow keys show single values.

import { h, s } from "./dom.js";
import { minuteOf } from "./format.js";

const box = { height: 150, left: 50, right: 6, top: 10, bottom: 22 };

// roundMarks returns four round marks from 0 to at least top.
function roundMarks(top) {
  const rough = Math.max(top, 3) / 3, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((n) => n * power >= rough) * power;
  return Array.from({ length: 4 }, (_, i) => i * step);
}

const logMarks = [1, 10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000];

// Scales: linear starts at 0; log is for durations in ms.
export function linear(values) {
  const marks = roundMarks(Math.max(...values, 0));
  return { marks, place: (v) => v / marks.at(-1) };
}
export function log(values) {
  const top = Math.max(2, logMarks.findIndex((m) => m >= Math.max(...values, 1)));
  const end = Math.log(logMarks[top]);
  return { marks: logMarks.slice(0, top + 1), place: (v) => Math.max(Math.log(Math.max(v, 1)), 0) / end };
}

// chart draws series over steps. Each is { values, as: "line" | "bars" | "points",
// mark: class }. describe(i) returns the text for step i. width is in pixels, so that
// text keeps its size.
export function chart({ name, from, step, series, scale, label, describe, now, width }) {
  const { height, left, right, top, bottom } = box, n = series[0].values.length;
  const x = (i) => left + ((i + 0.5) / n) * (width - left - right);
  const y = (v) => height - bottom - scale.place(v) * (height - top - bottom);
  const value = h("span", { class: "value", "aria-live": "polite" }, now);
  const cursor = s("line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  const picture = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-label": `${name}: ${now}. Arrow keys show single values.` },
    scale.marks.map((m) => [s("line", { class: "rule", x1: left, x2: width - right, y1: y(m), y2: y(m) }), s("text", { x: left - 7, y: y(m) + 4, "text-anchor": "end" }, label(m))]),
    Array.from({ length: 4 }, (_, i) => Math.round((n * (i * 2 + 1)) / 8)).map((i) => s("text", { x: x(i), y: height - 5, "text-anchor": "middle" }, minuteOf(from + i * step))),
    series.map((one) => draw(one, x, y)), cursor);

  let at;
  function point(i) {
    at = Math.min(Math.max(i, 0), n - 1);
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    cursor.setAttribute("visibility", "visible");
    value.textContent = `${minuteOf(from + at * step)} · ${describe(at)}`;
  }
  function leave() {
    at = undefined;
    cursor.setAttribute("visibility", "hidden");
    value.textContent = now;
  }
  picture.addEventListener("pointermove", (e) => {
    const frame = picture.getBoundingClientRect();
    const along = ((e.clientX - frame.left) / frame.width) * width;
    point(Math.floor(((along - left) / (width - left - right)) * n));
  });
  picture.addEventListener("pointerleave", leave);
  picture.addEventListener("blur", leave);
  picture.addEventListener("keydown", (e) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[e.key];
    if (!move) return;
    e.preventDefault();
    point((at ?? n) + move);
  });
  return h("figure", { class: "card chart" }, h("figcaption", {}, h("h2", {}, name), value), picture);
}

function draw({ values, as, mark = "" }, x, y) {
  switch (as) {
    case "bars":
      return values.map((v, i) => (v > 0 ? s("rect", { class: `bars ${mark}`, x: x(i) - 0.8, width: 1.8, y: y(v), height: y(0) - y(v) }) : null)).filter(Boolean);
    case "points":
      return values.map((v, i) => (v > 0 ? s("circle", { class: `points ${mark}`, cx: x(i), cy: y(v), r: 2.4 }) : null)).filter(Boolean);
    default: {
      const path = values.map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
      return [s("path", { class: "area", d: `${path}L${x(values.length - 1)} ${y(0)}L${x(0)} ${y(0)}Z` }), s("path", { class: `line ${mark}`, d: path })];
    }
  }
}
