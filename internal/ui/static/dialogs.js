// Questions that stand before the page.

import { ask, userPath } from "./ask.js";
import { h, toast } from "./dom.js";
import { plural } from "./format.js";

// open shows a dialog until it is closed; then it is gone, and what was in focus
// before is again.
function open(dialog) {
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  dialog.showModal();
  return dialog;
}

// addDialog takes one address or many. one hears of a user who was added, done of
// many.
export function addDialog(one, done) {
  const text = h("textarea", { id: "emails", rows: "3", spellcheck: "false", placeholder: "name@example.com" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const add = h("button", { class: "primary" }, "Add");
  const dialog = h("dialog", { "aria-labelledby": "add-title" }, h("form", { method: "dialog", onsubmit: submit },
    h("h2", { id: "add-title" }, "Add users"),
    h("p", {}, "One or more addresses, one per line or separated by commas."),
    h("label", { for: "emails" }, "Addresses"), text, wrong,
    h("div", { class: "end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), add)));

  async function submit(e) {
    e.preventDefault();
    const emails = text.value.split(/[\s,;]+/).filter(Boolean);
    if (!emails.length) {
      wrong.textContent = "Enter an address.";
      return;
    }
    add.disabled = true;
    try {
      if (emails.length === 1) {
        await ask(userPath(emails[0]), { method: "PUT" });
        dialog.close();
        toast(`${emails[0]} is monitored.`);
        one(emails[0]);
        return;
      }
      const { results } = await ask("users", { method: "POST", body: { emails } });
      const bad = results.filter((r) => r.result !== "accepted");
      toast(`${plural(results.length - bad.length, "user")} accepted; they are looked up now.`);
      done();
      if (!bad.length) dialog.close();
      text.value = bad.map((r) => r.email).join("\n");
      wrong.textContent = bad.length ? "These are not valid addresses." : "";
    } catch (cause) {
      wrong.textContent = cause.message;
    } finally {
      add.disabled = false;
    }
  }
  open(dialog);
  text.focus();
}

// confirmDialog asks before something is done that takes a while to undo.
export function confirmDialog(title, text, act, sure) {
  const dialog = h("dialog", { "aria-labelledby": "sure-title" }, h("form", { method: "dialog", onsubmit: () => sure() },
    h("h2", { id: "sure-title" }, title), h("p", {}, text),
    h("div", { class: "end" }, h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel"), h("button", { class: "danger", id: "sure" }, act))));
  open(dialog);
}
