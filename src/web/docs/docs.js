// Reads /openapi.json and shows it: groups, parameters, shapes, and a form that asks the box itself.
"use strict";

const TEXTS = {
  fr: {
    search: "Chercher", token: "Jeton (facultatif)", loading: "Chargement…", other: "English",
    failed: "La description ne peut pas être lue.", parameters: "Paramètres", body: "Corps de la requête",
    answers: "Réponses", try: "Essayer", send: "Envoyer", sending: "Envoi…", needed: "obligatoire",
    file: "Fichier", unreachable: "Le serveur n’a pas répondu.", none: "Rien ne correspond.", example: "exemple",
    about: "Tout est décrit ici, et tout peut être essayé avec votre session. Cette page ne demande rien à une autre machine.",
  },
  en: {
    search: "Search", token: "Token (optional)", loading: "Loading…", other: "Français",
    failed: "The description cannot be read.", parameters: "Parameters", body: "Request body",
    answers: "Answers", try: "Try it", send: "Send", sending: "Sending…", needed: "required",
    file: "File", unreachable: "The server did not answer.", none: "Nothing matches.", example: "example",
    about: "Everything is described here, and can be tried with your session. This page asks no other machine for anything.",
  },
};
const VERBS = ["get", "post", "put", "patch", "delete", "head", "options"];
const SHOWN_ANSWER_MAX = 200000;
const DEPTH_MAX = 6;

let language = localStorage.getItem("ilot_docs_language") ||
  ((navigator.language || "fr").startsWith("en") ? "en" : "fr");
let description = null;
const text = (key) => TEXTS[language][key];

/** An element with properties and children; strings become text, never markup. */
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") element.className = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function resolve(schema) {
  const seen = new Set();
  let found = schema || {};
  while (found.$ref && !seen.has(found.$ref)) {
    seen.add(found.$ref);
    const steps = found.$ref.replace(/^#\//, "").split("/");
    found = steps.reduce((at, step) => (at || {})[step.replace(/~1/g, "/").replace(/~0/g, "~")], description) || {};
  }
  return found;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const many = schema.oneOf || schema.anyOf || schema.allOf;
  if (many) return many.map(typeOf).join(schema.allOf ? " & " : " | ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const type = [].concat(schema.type || "any").join(" | ");
  if (schema.items) return typeOf(schema.items) + "[]";
  return schema.format ? `${type} (${schema.format})` : type;
}

/** A value that fits a schema, for the form and for people. */
function sample(schema, depth = 0) {
  const whole = resolve(schema);
  if (whole.example !== undefined) return whole.example;
  if (whole.examples && whole.examples.length) return whole.examples[0];
  if (whole.default !== undefined) return whole.default;
  if (whole.enum) return whole.enum[0];
  if (depth > DEPTH_MAX) return null;
  if (whole.allOf) return Object.assign({}, ...whole.allOf.map((part) => sample(part, depth + 1)));
  const one = (whole.oneOf || whole.anyOf || []).find((part) => part.type !== "null");
  if (one) return sample(one, depth + 1);
  const type = [].concat(whole.type || (whole.properties ? "object" : "null")).find((kind) => kind !== "null");
  switch (type) {
    case "object": {
      const entries = Object.entries(whole.properties || {});
      return Object.fromEntries(entries.map(([name, part]) => [name, sample(part, depth + 1)]));
    }
    case "array": return [sample(whole.items, depth + 1)];
    case "integer": case "number": return whole.minimum || 0;
    case "boolean": return false;
    case "string":
      if (whole.format === "date-time") return "2026-11-24T08:00:00Z";
      if (whole.format === "date") return "2026-11-24";
      if (whole.format === "uuid") return "00000000-0000-7000-8000-000000000000";
      return "";
    default: return null;
  }
}

function table(rows) {
  const body = make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))));
  return make("div", { class: "wide" }, make("table", {}, body));
}

function shape(schema) {
  const whole = resolve(schema);
  const parts = whole.properties ? whole : resolve(whole.items || {});
  const box = make("div", {}, make("code", {}, typeOf(schema)));
  if (parts.properties) {
    const needed = new Set(parts.required || []);
    box.append(table(Object.entries(parts.properties).map(([name, part]) => [
      make("code", {}, name), make("code", { class: "soft" }, typeOf(part)),
      make("span", {}, needed.has(name) ? make("span", { class: "needed" }, text("needed") + " ") : "",
        resolve(part).description || part.description || ""),
    ])));
    const shown = JSON.stringify(sample(schema), null, 2);
    box.append(make("details", {}, make("summary", { class: "soft" }, text("example")), make("pre", {}, shown)));
  }
  return box;
}

function contentOf(part) {
  const content = (part || {}).content || {};
  const kind = Object.keys(content)[0];
  return kind ? { kind, schema: content[kind].schema || {} } : null;
}

function cookie(name) {
  const found = document.cookie.split("; ").find((one) => one.startsWith(name + "="));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

/** The session's CSRF token: from the pages' own store, a readable cookie, or /auth/me. */
async function csrfToken() {
  const known = sessionStorage.getItem("ilot_csrf") || localStorage.getItem("ilot_csrf") || cookie("csrf_token");
  if (known) return known;
  try {
    const answer = await fetch("/auth/me", { headers: { accept: "application/json" } });
    return answer.ok ? (await answer.json()).csrf_token || "" : "";
  } catch { return ""; }
}

async function ask(verb, path, parameters, fields, body, out) {
  const headers = { accept: "application/json, */*" };
  const query = new URLSearchParams();
  let address = path;
  for (const parameter of parameters) {
    const value = fields.get(parameter).value;
    if (parameter.in === "path") address = address.replace(new RegExp(`\\{\\*?${parameter.name}\\}`), encodeURIComponent(value));
    else if (value === "") continue;
    else if (parameter.in === "query") query.append(parameter.name, value);
    else if (parameter.in === "header") headers[parameter.name] = value;
  }
  if ([...query].length) address += "?" + query;
  const token = document.getElementById("token").value.trim();
  if (token) headers.authorization = "Bearer " + token;
  else if (verb !== "get" && verb !== "head") headers["x-csrf-token"] = await csrfToken();
  const options = { method: verb.toUpperCase(), headers };
  if (body.form) {
    options.body = new FormData();
    for (const file of body.form.files) options.body.append(body.name, file);
  } else if (body.area) {
    headers["content-type"] = body.kind;
    options.body = body.area.value;
  }
  out.textContent = text("sending");
  const began = performance.now();
  try {
    const answer = await fetch(address, options);
    let words = await answer.text();
    try { words = JSON.stringify(JSON.parse(words), null, 2); } catch { /* shown as it came */ }
    const took = Math.round(performance.now() - began);
    const head = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    out.textContent = `${answer.status} ${answer.statusText} · ${took} ms · ${address}\n${head}\n\n${words.slice(0, SHOWN_ANSWER_MAX)}`;
  } catch (why) {
    out.textContent = `${text("unreachable")} ${why.message}`;
  }
}

function trial(verb, path, operation, parameters) {
  const fields = new Map();
  const form = make("form", {});
  for (const parameter of parameters) {
    const field = make("input", { required: Boolean(parameter.required), placeholder: typeOf(parameter.schema) });
    fields.set(parameter, field);
    form.append(make("p", {}, make("label", {}, make("code", {}, parameter.name), " ", field)));
  }
  const content = contentOf(resolve(operation.requestBody));
  const body = {};
  if (content && content.kind.startsWith("multipart/")) {
    const names = Object.keys(resolve(content.schema).properties || {});
    body.name = names[0] || "file";
    body.form = make("input", { type: "file", multiple: true });
    form.append(make("p", {}, make("label", {}, `${text("file")} (${body.name}) `, body.form)));
  } else if (content) {
    body.kind = content.kind;
    const filled = content.kind.includes("json") ? JSON.stringify(sample(content.schema), null, 2) : "";
    body.area = make("textarea", { value: filled, spellcheck: false, "aria-label": text("body") });
    form.append(body.area);
  }
  const out = make("pre", { hidden: true });
  form.append(make("button", { class: "go", type: "submit" }, text("send")), out);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    out.hidden = false;
    ask(verb, path, parameters, fields, body, out);
  });
  return make("details", {}, make("summary", {}, text("try")), form);
}

function operationBox(verb, path, operation, shared) {
  const parameters = [...shared, ...(operation.parameters || [])].map(resolve);
  const inside = make("div", { class: "inside" });
  const box = make("details", { class: "operation", id: `${verb}${path}` },
    make("summary", {}, make("span", { class: "verb " + verb }, verb.toUpperCase()),
      make("code", { class: "path" }, path), make("span", { class: "soft" }, operation.summary || "")), inside);
  // Filled when it is opened, so that a long description is there at once.
  box.addEventListener("toggle", () => {
    if (!box.open || inside.childElementCount) return;
    if (operation.description) inside.append(make("p", {}, operation.description));
    if (parameters.length) {
      inside.append(make("h3", {}, text("parameters")), table(parameters.map((one) => [
        make("code", {}, one.name), make("span", { class: "soft" }, one.in), make("code", {}, typeOf(one.schema)),
        make("span", {}, one.required ? make("span", { class: "needed" }, text("needed") + " ") : "", one.description || ""),
      ])));
    }
    const content = contentOf(resolve(operation.requestBody));
    if (content) inside.append(make("h3", {}, `${text("body")} · ${content.kind}`), shape(content.schema));
    inside.append(make("h3", {}, text("answers")));
    for (const [status, given] of Object.entries(operation.responses || {})) {
      const answer = resolve(given);
      const answered = contentOf(answer);
      inside.append(make("p", {}, make("strong", {}, status), " ", answer.description || ""));
      if (answered) inside.append(shape(answered.schema));
    }
    inside.append(trial(verb, path, operation, parameters));
  });
  return box;
}

function show() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  document.getElementById("language").textContent = text("other");
  document.getElementById("about").textContent = text("about");
  if (!description) return;
  document.getElementById("version").textContent = (description.info || {}).version || "";
  const wanted = document.getElementById("filter").value.trim().toLowerCase();
  const groups = new Map();
  for (const [path, item] of Object.entries(description.paths || {})) {
    for (const verb of VERBS.filter((one) => item[one])) {
      const operation = item[verb];
      const group = (operation.tags || [])[0] || path.split("/")[1] || "/";
      const words = [verb, path, group, operation.summary, operation.description].join(" ").toLowerCase();
      if (wanted && !wanted.split(/\s+/).every((word) => words.includes(word))) continue;
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push([verb, path, operation, item.parameters || []]);
    }
  }
  const main = document.getElementById("groups");
  const index = document.getElementById("index");
  main.replaceChildren();
  index.replaceChildren();
  for (const [group, operations] of [...groups].sort(([a], [b]) => a.localeCompare(b))) {
    main.append(make("h2", {}, group), ...operations.map((one) => operationBox(...one)));
    index.append(make("h3", {}, group), ...operations.map(([verb, path]) => make("a", { href: `#${verb}${path}` }, `${verb.toUpperCase()} ${path}`)));
  }
  if (!groups.size) main.append(make("p", { class: "soft" }, text("none")));
  openTarget();
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) { target.open = true; target.scrollIntoView(); }
}

async function begin() {
  document.getElementById("filter").addEventListener("input", show);
  document.getElementById("language").addEventListener("click", () => {
    language = language === "fr" ? "en" : "fr";
    localStorage.setItem("ilot_docs_language", language);
    show();
  });
  addEventListener("hashchange", openTarget);
  show();
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(String(answer.status));
    description = await answer.json();
    show();
  } catch {
    document.getElementById("groups").replaceChildren(make("p", { class: "needed" }, text("failed")));
  }
}

begin();
