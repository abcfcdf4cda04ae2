// Shows the OpenAPI document.

import { ask } from "./ask.js";
import { h } from "./dom.js";

const verbs = ["get", "post", "put", "patch", "delete", "head"];

// resolve follows a reference within the document.
function resolve(doc, thing) {
  const path = thing?.$ref?.split("/").slice(1) ?? [];
  return path.length ? path.reduce((at, part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], doc) : thing;
}

function operation(doc, path, verb, o, shared) {
  const parameters = [...(shared ?? []), ...(o.parameters ?? [])].map((p) => resolve(doc, p)).filter(Boolean);
  const body = resolve(doc, o.requestBody)?.content;
  return h("details", { class: "card" },
    h("summary", {}, h("span", { class: "verb" }, verb.toUpperCase()), h("span", { class: "path" }, path), h("span", { class: "quiet" }, o.summary ?? "")),
    h("div", { class: "inside" },
      o.description && h("p", {}, o.description),
      parameters.length > 0 && [h("h3", {}, "Parameters"), h("dl", {}, parameters.map((p) => [h("dt", {}, h("code", {}, p.name), ` in ${p.in}`), h("dd", {}, p.description ?? p.schema?.type ?? "")]))],
      body && [h("h3", {}, "Body"), Object.entries(body).map(([kind, b]) => [h("p", { class: "quiet" }, kind), h("pre", {}, JSON.stringify(b.example ?? resolve(doc, b.schema) ?? {}, null, 2))])],
      h("h3", {}, "Responses"),
      h("dl", {}, Object.entries(o.responses ?? {}).map(([status, r]) => [h("dt", {}, status), h("dd", {}, resolve(doc, r)?.description ?? "")]))));
}

const main = document.getElementById("main");
try {
  const doc = await ask("openapi.json");
  const paths = Object.entries(doc.paths ?? {}).flatMap(([path, item]) => verbs.filter((v) => item[v]).map((v) => operation(doc, path, v, item[v], item.parameters)));
  main.replaceChildren(h("h1", {}, doc.info?.title ?? "API"), h("p", {}, doc.info?.description ?? ""), h("p", { class: "quiet" }, `Version ${doc.info?.version ?? "?"} · `, h("a", { href: "api/openapi.json" }, "openapi.json")), ...paths);
} catch (cause) {
  main.replaceChildren(h("div", { class: "empty" }, h("b", {}, "No API description"), cause.message));
}
