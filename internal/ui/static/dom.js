// Creates elements. Text is never parsed as markup.

const svgSpace = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false));
  return element;
}

// h makes an HTML element: h("a", { href: "#/" }, "Users").
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

// s makes an SVG element.
export const s = (name, attributes, ...children) => fill(document.createElementNS(svgSpace, name), attributes, children);

// hidden returns text for screen readers only.
export const hidden = (text) => h("span", { class: "visually-hidden" }, text);

// toast shows a message for a few seconds.
export function toast(text, bad = false) {
  const message = h("p", { class: bad ? "bad" : "" }, text);
  document.getElementById("toasts").append(message);
  setTimeout(() => message.remove(), bad ? 9000 : 4000);
}
