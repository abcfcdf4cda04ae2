// Formats for times and numbers.

import { h } from "./dom.js";

let skew = 0; // the server's clock minus this one, in ms

// syncClock measures the skew by the Date header, which has whole seconds.
export function syncClock(response) {
  const sent = Date.parse(response.headers.get("Date") ?? "");
  if (!Number.isNaN(sent)) skew = Math.abs(sent - Date.now()) > 2500 ? sent - Date.now() : 0;
}

export const now = () => Date.now() + skew;

// span formats a duration in ms with about two digits.
export function span(ms) {
  if (ms < 1) return "<1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms % 1000 === 0 && ms < 10_000) return `${ms / 1000} s`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min${seconds < 600 && seconds % 60 ? ` ${seconds % 60} s` : ""}`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h${seconds % 3600 >= 60 ? ` ${Math.floor((seconds % 3600) / 60)} min` : ""}`;
  return `${Math.floor(seconds / 86400)} d${seconds % 86400 >= 3600 ? ` ${Math.floor((seconds % 86400) / 3600)} h` : ""}`;
}

const coarse = (ms) => span(ms).split(" ").slice(0, 2).join(" ");

export function relative(at) {
  const past = now() - at;
  if (Math.abs(past) < 1500) return "now";
  return past > 0 ? `${coarse(Math.max(past, 1000)).replace(/\.\d/, "")} ago` : `in ${coarse(-past).replace(/\.\d/, "")}`;
}

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const precise = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

export const dateTime = (at) => full.format(at);
export const minuteOf = (at) => clock.format(at);
export const secondOf = (at) => precise.format(at);
export const dayOf = (at) => day.format(at);

// moment formats a time as the time of day, with the date unless that is today.
export function moment(text) {
  const at = new Date(text), today = new Date(now()).toDateString() === at.toDateString();
  return today ? minuteOf(at) : `${dayOf(at)}, ${minuteOf(at)}`;
}

// ago returns an element with the time since then. age() keeps such elements current.
export function ago(text, otherwise = "never") {
  if (!text) return h("span", { class: "quiet" }, otherwise);
  const at = Date.parse(text);
  return h("time", { datetime: text, title: dateTime(at), "data-at": at }, relative(at));
}

export function age(root = document) {
  for (const time of root.querySelectorAll("time[data-at]")) {
    const text = relative(Number(time.dataset.at));
    if (time.textContent !== text) time.textContent = text;
  }
}

const whole = new Intl.NumberFormat();
export const number = (n) => whole.format(n);
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
