// The documents of the knowledge base: list, upload with progress, delete.
import { element } from "../chat/view.js";
import { save } from "../chat/api.js";
import { WORDS } from "./words.js";

const at = (id) => document.getElementById(id);
const storage = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* not available in a private window */ } },
};

let language = storage.get("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let words = WORDS[language];
let key = "";
let list = null; // what /v1/files said
let sending = []; // uploads on their way: {name, share, fault, again}
let timer = 0;

const filled = (text, ...values) => values.reduce((made, value, place) => made.replace(`{${place}}`, value), text);
const bearer = () => (key ? { Authorization: `Bearer ${key}` } : {});
// The service says it in both languages, English first.
const told = (message) => { const [en, ...zh] = message.split(" / "); return language === "zh" && zh.length ? zh.join(" / ") : en; };

function applyLanguage() {
  words = WORDS[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `${words.title} · lingyu`;
  for (const item of document.querySelectorAll("[data-word]")) item.textContent = words[item.dataset.word];
  for (const item of document.querySelectorAll("[data-hint]")) item.placeholder = words[item.dataset.hint];
  for (const item of document.querySelectorAll("[data-label]")) item.setAttribute("aria-label", words[item.dataset.label]);
  render();
}

async function call(path, options = {}) {
  const reply = await fetch(path, { ...options, headers: { ...bearer(), ...options.headers } }).catch(() => { throw new Error(words.offline); });
  if (reply.ok) return reply.json();
  if (reply.status === 401) at("key").hidden = false;
  throw new Error(told((await reply.json().catch(() => null))?.error?.message ?? words.failed));
}

async function load() {
  clearTimeout(timer);
  try {
    list = await call("v1/files");
    at("key").hidden = true;
    at("error").hidden = true;
  } catch (error) {
    say(error.message);
  }
  render();
  if (list?.data.some((file) => file.status === "uploaded")) timer = setTimeout(load, 1500);
}

function say(message) {
  at("error").textContent = message;
  at("error").hidden = false;
}

function render() {
  if (!list) return;
  at("add").hidden = !list.admin;
  at("limits").textContent = filled(words.limits, `${Math.round(list.largest / 1048576)} MB`, list.endings.join(" "));
  at("pick").accept = list.endings.join(",");
  at("search").hidden = list.data.length < 2;
  at("none").hidden = list.data.length + sending.length > 0;
  const wanted = at("search").value.trim().toLowerCase();
  const shown = list.data.filter((file) => !wanted || [file.filename, file.metadata.kind, file.metadata.department].some((text) => text?.toLowerCase().includes(wanted)));
  at("list").replaceChildren(...sending.map(sendingView), ...shown.map(fileView));
}

function sendingView(one) {
  const item = element("li", "", element("div", "head", element("span", "name", one.name)));
  if (one.fault) {
    item.append(element("p", "fault", one.fault));
    const row = element("div", "head");
    if (one.again) row.append(button(words.replace, () => { drop(one); send(one.file, true); }));
    row.append(button(words.no, () => { drop(one); render(); }));
    item.append(row);
  } else item.append(element("p", "facts", words.sending), bar(one.share));
  return item;
}

const drop = (one) => { sending = sending.filter((other) => other !== one); };

function bar(share) {
  const made = element("progress");
  made.max = 1;
  if (share !== null) made.value = share;
  return made;
}

function fileView(file) {
  const about = file.metadata;
  const facts = [
    about.kind, about.department, about.valid_from && filled(words.since, about.valid_from), about.valid_to && filled(words.until, about.valid_to),
    about.groups && filled(words.seenby, about.groups.join("、")),
    file.status === "processed" && filled(words.passages, file.passages), file.origin === "index" && words.from_index, file.hidden && words.hiddenone,
  ].filter(Boolean);
  const head = element("div", "head", element("span", "name", file.filename));
  if (file.original && file.status === "processed") head.append(button(words.open, () => save(file.id, file.filename.split("/").pop(), key).catch((error) => say(told(error.message)))));
  if (list.admin && file.hidden) head.append(button(words.restore, () => change(`v1/files/${file.id}/restore`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })));
  else if (list.admin) head.append(button(file.origin === "index" ? words.hide : words.remove, () => ask(file)));
  const item = element("li", file.hidden ? "hiddenone" : "", head, element("p", "facts", facts.join(" · ")));
  if (file.status === "uploaded") {
    const { step, done, total } = file.progress ?? {};
    item.append(element("p", "facts", step ? filled(words[step], done, total) : words.uploaded), bar(total ? done / total : null));
  }
  if (file.status === "error") item.append(element("p", "fault", file.status_details ?? words.failed));
  if (file.rejected?.length) {
    const parts = file.rejected.map(({ place, detail }) => element("li", "", [place, detail].filter(Boolean).join(": ")));
    if (file.rejected_more) parts.push(element("li", "", filled(words.more, file.rejected_more)));
    item.append(element("details", "", element("summary", "", filled(words.rejected, file.rejected.length + file.rejected_more)), element("ul", "", ...parts)));
  }
  return item;
}

function button(text, act) {
  const made = element("button", "quiet small", text);
  made.type = "button";
  made.onclick = act;
  return made;
}

function ask(file) {
  const hides = file.origin === "index";
  at("which").textContent = filled(hides ? words.sureHide : words.sureRemove, file.filename);
  at("yes").textContent = hides ? words.hide : words.remove;
  at("sure").returnValue = "no";
  at("sure").onclose = () => { if (at("sure").returnValue === "yes") change(`v1/files/${file.id}`, { method: "DELETE" }); };
  at("sure").showModal();
}

async function change(path, options) {
  try { await call(path, options); } catch (error) { say(error.message); return; }
  await load();
}

function metadata() {
  const said = Object.fromEntries(["kind", "department", "valid_from", "valid_to"].map((name) => [name, at(name).value.trim()]).filter(([, value]) => value));
  const groups = at("groups").value.split(/[,，、]/).map((one) => one.trim()).filter(Boolean);
  return { ...said, ...(groups.length ? { groups } : {}) };
}

// fetch tells nothing of how far an upload is.
function send(file, replace = false) {
  const one = { name: file.name, share: 0, fault: "", again: false, file };
  sending.unshift(one);
  render();
  const form = new FormData();
  form.append("purpose", "assistants");
  form.append("metadata", JSON.stringify(metadata()));
  if (replace) form.append("replace", "true");
  form.append("file", file);
  const request = new XMLHttpRequest();
  request.open("POST", "v1/files");
  for (const [name, value] of Object.entries(bearer())) request.setRequestHeader(name, value);
  request.upload.onprogress = (event) => { one.share = event.loaded / event.total; render(); };
  request.onerror = () => { one.fault = words.offline; render(); };
  request.onload = () => {
    if (request.status === 200) { drop(one); load(); return; }
    let error = {};
    try { error = JSON.parse(request.responseText).error; } catch { /* not of the service */ }
    one.fault = error.message ? told(error.message) : words.failed;
    one.again = error.code === "name_taken" && list.data.some((other) => other.filename === file.name);
    render();
  };
  request.send(form);
}

at("pick").onchange = () => { for (const file of at("pick").files) send(file); at("pick").value = ""; };
for (const kind of ["dragenter", "dragover"]) addEventListener(kind, (event) => { event.preventDefault(); at("drop").classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("drop").classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (list?.admin) for (const file of event.dataTransfer.files) send(file);
});
at("search").oninput = render;
at("key").onsubmit = (event) => { event.preventDefault(); key = at("secret").value.trim(); load(); };
at("language").onclick = () => { language = language === "zh" ? "en" : "zh"; storage.set("language", language); applyLanguage(); };
at("theme").onclick = () => {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const theme = dark === "dark" ? "light" : "dark";
  storage.set("theme", theme);
  document.documentElement.dataset.theme = theme;
};
if (storage.get("theme")) document.documentElement.dataset.theme = storage.get("theme");
applyLanguage();
load();
