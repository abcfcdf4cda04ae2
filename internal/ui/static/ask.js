// Requests to the service. Without a session the page reloads and shows the login form.

import { syncClock } from "./format.js";

// RequestError is the error of a failed request; status is 0 if there was no answer.
export class RequestError extends Error {
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
    throw new RequestError(0, "The service does not respond.");
  }
  syncClock(response);
  if (response.status === 401) {
    location.reload();
    return new Promise(() => {}); // the page is reloading
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    throw new RequestError(response.status, "The answer could not be understood.");
  }
  if (!response.ok && !accept.includes(response.status)) throw new RequestError(response.status, answer.error ?? `The service answers ${response.status}.`);
  return answer;
}

export const userPath = (email, action = "") => `users/${encodeURIComponent(email)}${action && `/${action}`}`;
export const userLink = (email) => `#/user/${encodeURIComponent(email)}`;
