// Shows openapi.json to people.

import { get } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { setUpHeader } from "../shared/header.js";

/** Text with code between backquotes. @param {string} text */
const words = (text) => text.split("`").map((part, at) => (at % 2 === 1 ? element("code", {}, part) : part));

/** @param {string} text */
const paragraphs = (text) => (text ?? "").split("\n\n").map((part) => element("p", {}, ...words(part)));

/** @param {any} document @param {any} schema @returns {any} */
const resolved = (document, schema) =>
  schema?.$ref ? document.components.schemas[schema.$ref.split("/").pop()] : schema;

/** @param {any} schema @returns {string} */
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `${kind(schema.items)}[]`;
  return schema.format ? `${schema.type} (${schema.format})` : String(schema.type ?? "");
}

/** @param {string[]} titles @param {(string | Node)[][]} lines */
function table(titles, lines) {
  if (lines.length === 0) return null;
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)));
  const body = lines.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

/** @param {any} document @param {any} schema */
function fields(document, schema) {
  const properties = Object.entries(resolved(document, schema)?.properties ?? {});
  return table(["Field", "Kind", ""], properties.map(([name, field]) => [name, kind(field), field.description ?? ""]));
}

/** @param {any} document @param {string} path @param {string} verb @param {any} operation */
function shown(document, path, verb, operation) {
  const parameters = (operation.parameters ?? []).map((/** @type {any} */ parameter) => [
    parameter.name,
    `${parameter.in}, ${kind(parameter.schema)}`,
    parameter.description ?? "",
  ]);
  const body = operation.requestBody?.content["application/json"].schema;
  const ok = operation.responses["200"];
  const answer = ok?.content?.["application/json"]?.schema ?? ok?.["x-comanda-message"];
  return element(
    "details",
    { id: operation.operationId, "data-text": `${verb} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase() },
    element("summary", {}, element("span", { class: "verb" }, verb.toUpperCase()), element("code", {}, path), ` ${operation.summary}`),
    ...paragraphs(operation.description),
    table(["Parameter", "Where, kind", ""], parameters),
    body ? element("h3", {}, `Body: ${kind(body)}`) : null,
    body ? fields(document, body) : null,
    answer ? element("h3", {}, `Answer: ${kind(answer)}`) : null,
    answer ? fields(document, answer) : null,
  );
}

async function start() {
  setUpHeader("docs");
  const document = await get("/openapi.json");
  byId("introduction").replaceChildren(...paragraphs(document.info.description));
  const all = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => ({ path, verb, operation })),
  );
  for (const tag of document.tags) {
    const own = all.filter(({ operation }) => operation.tags.includes(tag.name));
    const list = own.map(({ path, verb, operation }) => shown(document, path, verb, operation));
    byId("operations").append(element("section", {}, element("h2", {}, tag.name), ...paragraphs(tag.description).slice(0, 1), ...list));
  }
  byId("find").addEventListener("input", () => {
    const wanted = byId("find").value.toLowerCase();
    for (const details of globalThis.document.querySelectorAll("details")) {
      /** @type {HTMLElement} */ (details).hidden = !details.dataset.text?.includes(wanted);
    }
  });
  if (location.hash) byId(location.hash.slice(1))?.setAttribute("open", "");
}

start();
