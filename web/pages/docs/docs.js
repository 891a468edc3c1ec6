// The routes of the service from its own openapi.json, each with its fields and a request to try.
import { WORDS } from "./words.js";

const find = (id) => document.getElementById(id);
const storage = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* not available in a private window */ } },
};
let language = storage.get("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let description = { paths: {}, components: { schemas: {} } };

function element(name, options = {}, ...children) {
  const made = Object.assign(document.createElement(name), options);
  made.append(...children);
  return made;
}

function say(word) {
  return WORDS[language][word];
}

function label() {
  document.documentElement.lang = language;
  for (const one of document.querySelectorAll("[data-word]")) one.textContent = say(one.dataset.word);
  for (const one of document.querySelectorAll("[data-label]")) one.setAttribute("aria-label", say(one.dataset.label));
}

// "Answer a conversation · 回答对话": both languages stand in the summary.
function inLanguage(summary = "") {
  const [en, zh] = summary.split(" · ");
  return language === "zh" ? zh ?? en : en;
}

function resolved(schema) {
  return schema?.$ref ? description.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function kind(schema) {
  if (schema?.$ref) return schema.$ref.split("/").pop();
  if (schema?.anyOf) return [...new Set(schema.anyOf.map(kind))].filter((one) => one !== "null").join(" | ");
  if (schema?.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema?.const !== undefined) return JSON.stringify(schema.const);
  if (schema?.type === "array") return `[${kind(schema.items)}]`;
  return schema?.type ?? "";
}

function fields(schema) {
  const rows = Object.entries(schema?.properties ?? {}).map(([name, field]) => {
    const needed = schema.required?.includes(name) ? ` · ${say("required")}` : "";
    return element("tr", {}, element("td", {}, element("code", { textContent: name })), element("td", { textContent: kind(field) + needed }));
  });
  return element("table", { className: "fields" }, element("tbody", {}, ...rows));
}

async function send(method, path, values, body, shown, status) {
  const url = path.replace(/{([^}:]+)[^}]*}/g, (_, name) => encodeURIComponent(values.get(name)?.value ?? ""));
  const headers = body ? { "Content-Type": "application/json" } : {};
  if (find("key").value) headers.Authorization = `Bearer ${find("key").value}`;
  status.textContent = say("sending");
  shown.textContent = "";
  try {
    const reply = await fetch(`.${url}`, { method, headers, body: body?.value });
    status.textContent = `${reply.status} ${reply.statusText}`;
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) shown.textContent += part.value;
    try {
      shown.textContent = JSON.stringify(JSON.parse(shown.textContent), null, 2);
    } catch {
      // Events of a stream stay as they came.
    }
  } catch {
    status.textContent = say("offline");
  }
}

function route(path, method, operation) {
  const content = operation.requestBody?.content?.["application/json"];
  const shown = element("pre");
  const status = element("span", { className: "status" });
  const button = element("button", { type: "button", className: "main", textContent: say("send") });
  const values = new Map();
  const parameters = (operation.parameters ?? []).filter((one) => one.in === "path").map((one) => {
    const input = element("input", { placeholder: one.name, ariaLabel: one.name });
    values.set(one.name, input);
    return input;
  });
  const body = content && element("textarea", { spellcheck: false, ariaLabel: say("body"), value: JSON.stringify(content.example ?? {}, null, 2) });
  button.addEventListener("click", () => send(method.toUpperCase(), path, values, body, shown, status));
  const inside = element("div", { className: "inside" });
  if (content) inside.append(fields(resolved(content.schema)), body);
  inside.append(element("div", { className: "row" }, ...parameters, button, status), shown);
  const summary = element(
    "summary", {},
    element("span", { className: "method", textContent: method.toUpperCase() }),
    element("code", { textContent: path }),
    element("span", { className: "what", textContent: inLanguage(operation.summary) }),
  );
  return element("details", { className: "route" }, summary, inside);
}

function show() {
  label();
  const routes = Object.entries(description.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, one]) => route(path, method, one)));
  find("routes").replaceChildren(...routes);
}

find("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  storage.set("language", language);
  show();
});
function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

find("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  storage.set("theme", now === "dark" ? "light" : "dark");
  applyTheme(storage.get("theme"));
});
applyTheme(storage.get("theme"));
label();
try {
  description = { ...description, ...(await (await fetch("./openapi.json")).json()) };
  const names = await (await fetch("./v1/models")).json();
  const model = names.data?.[0]?.id;
  if (model) {
    for (const methods of Object.values(description.paths)) {
      for (const one of Object.values(methods)) {
        const example = one.requestBody?.content?.["application/json"]?.example;
        if (example?.model) example.model = model;
      }
    }
  }
} catch {
  find("routes").textContent = say("offline");
}
show();
