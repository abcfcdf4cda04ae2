// Requests to the service. Without a session the page starts again, with the
// login form.

import { learnClock } from "./format.js";

// Refused is an answer that says no, with what it says.
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function ask(path, { method = "GET", body, accept = [], signal } = {}) {
  let response;
  try {
    response = await fetch(`api/${path}`, {
      method, signal, headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch (cause) {
    if (cause.name === "AbortError") throw cause;
    throw new Refused(0, "The service does not respond.");
  }
  learnClock(response);
  if (response.status === 401) {
    location.reload();
    return new Promise(() => {}); // the page is about to end
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    throw new Refused(response.status, "The answer could not be understood.");
  }
  if (!response.ok && !accept.includes(response.status)) throw new Refused(response.status, answer.error ?? `The service answers ${response.status}.`);
  return answer;
}

export const userPath = (email, act = "") => `users/${encodeURIComponent(email)}${act && `/${act}`}`;
export const userLink = (email) => `#/user/${encodeURIComponent(email)}`;
