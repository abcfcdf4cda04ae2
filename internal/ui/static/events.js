// Texts for the entries of the history and the feed.

import { span } from "./format.js";

const sources = { poll: "detected by the poll", notification: "announced by Graph", window: "by schedule", request: "read on request", subscription: "detected when a subscription was created", presence: "detected by the presence sweep" };

// pin returns the class of the mark before an entry.
export function pin(e) {
  switch (e.kind) {
    case "changed": return e.outOfOffice ? "away" : "office";
    case "delivered": return "delivered";
    case "notification": return "hint";
    case "refused": case "failed": case "unknown": return "bad";
    default: return "";
  }
}

// title describes an entry in a few words; detail adds the rest.
export function title(e) {
  switch (e.kind) {
    case "changed": return e.outOfOffice ? "out of office" : "in the office";
    case "delivered": return "delivered to the mediator";
    case "refused": return "refused by the mediator";
    case "failed": return "delivery failed";
    case "notification": return "notification from Graph";
    case "unknown": return "can’t be read";
    case "known": return "readable again";
    case "started": return "monitoring started";
    case "stopped": return "monitoring stopped";
    case "resend": return "resend requested";
    case "overtaken": return "overtaken by a newer state";
    default: return e.kind;
  }
}

export function detail(e, changed) {
  const parts = [];
  if (e.kind === "changed" && sources[e.source]) parts.push(sources[e.source]);
  if (e.kind === "delivered" && changed) parts.push(`${span(Math.max(Date.parse(e.at) - Date.parse(changed), 0))} after the change`);
  if (e.attempt > 1) parts.push(`attempt ${e.attempt}`);
  if (e.detail) parts.push(e.detail);
  return parts.join(", ");
}
