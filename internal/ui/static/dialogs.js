// Modal dialogs.

import { ask, userPath } from "./ask.js";
import { h, toast } from "./dom.js";
import { plural } from "./format.js";

// open shows a dialog. When it is closed, it is removed and the focus is restored.
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

// addDialog adds one address or many. It calls onAdded with a single address, and onDone
// after many.
export function addDialog(onAdded, onDone) {
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
        onAdded(emails[0]);
        return;
      }
      const { results } = await ask("users", { method: "POST", body: { emails } });
      const bad = results.filter((r) => r.result !== "accepted");
      toast(`${plural(results.length - bad.length, "user")} accepted; they will be looked up.`);
      onDone();
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

// confirmDialog asks for confirmation and then calls onConfirm.
export function confirmDialog(title, text, action, onConfirm) {
  const dialog = h("dialog", { "aria-labelledby": "sure-title" }, h("form", { method: "dialog", onsubmit: () => onConfirm() },
    h("h2", { id: "sure-title" }, title), h("p", {}, text),
    h("div", { class: "end" }, h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel"), h("button", { class: "danger", id: "sure" }, action))));
  open(dialog);
}
