// Two phones that talk to each other. Each message is shown to /v1/rewrite first; one that may hurt opens a sheet with three choices.
import { element } from "../chat/view.js";
import { WORDS } from "./words.js";

const at = (id) => document.getElementById(id);
const storage = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* not available in a private window */ } },
};
const PARTS = ["observation", "feeling", "need", "request"];

let language = storage.get("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let words = WORDS[language];
let key = "";

class Phone {
  constructor(side) {
    this.side = side;
    this.name = element("h2", "");
    this.talk = element("ol", "messages");
    this.talk.setAttribute("aria-live", "polite");
    this.field = element("textarea");
    Object.assign(this.field, { rows: 1, maxLength: 2000 });
    this.button = element("button", "main");
    this.form = element("form", "", this.field, this.button);
    this.root = element("section", `phone ${side}`, this.name, this.talk, this.form);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      const text = this.field.value.trim();
      if (text && !this.busy) this.consider(text);
    };
    this.field.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    };
  }

  say() {
    this.name.textContent = words[this.side];
    this.field.placeholder = words.write;
    this.field.ariaLabel = words[this.side === "left" ? "to_right" : "to_left"];
    this.button.textContent = words.send;
  }

  set waiting(waits) {
    this.busy = waits;
    this.button.disabled = waits;
    this.form.setAttribute("aria-busy", waits);
    this.button.textContent = waits ? "…" : words.send;
    this.button.ariaLabel = waits ? words.checking : words.send;
  }

  async consider(text) {
    this.waiting = true;
    try {
      const told = await judged(text);
      if (told.hurts) await this.choose(text, told);
      else this.send(text);
    } catch (error) {
      if (error.code === "invalid_api_key") askForKey(() => this.consider(text));
      else this.send(text, words.unchecked);
    } finally {
      this.waiting = false;
    }
  }

  send(text, remark = "") {
    for (const phone of Object.values(phones)) phone.show(text, phone === this, remark);
    this.field.value = "";
    this.field.focus();
  }

  show(text, own, remark) {
    const item = element("li", own ? "own" : "", element("p", "", text));
    if (own && remark) item.append(element("span", "remark", remark));
    this.talk.append(item);
    this.talk.scrollTop = this.talk.scrollHeight;
  }

  // Resolves once the person has chosen. Escape leaves the message in the field, unsent.
  choose(text, told) {
    return new Promise((chosen) => {
      const button = (name, className, act) => {
        const made = element("button", className, words[name]);
        made.type = "button";
        made.dataset.choice = name;
        made.onclick = () => { sheet.remove(); act(); chosen(); };
        return made;
      };
      const parts = element("dl", "", ...PARTS.map((name) => element("div", "", element("dt", "", words[name]), element("dd", "", told.elements[name]))));
      const choices = element("div", "choices",
        button("use", "main", () => this.send(told.rewrite)),
        button("anyway", "quiet", () => this.send(text)),
        button("discard", "quiet", () => { this.field.value = ""; this.field.focus(); }));
      const level = element("span", `risk ${told.risk}`, `${words.risk} · ${words[told.risk]}`);
      const sheet = element("div", "sheet", element("h3", "", words.ask, level),
        element("h4", "", words.original), element("blockquote", "original", text),
        element("h4", "", words.rewrite), element("blockquote", "kind", told.rewrite), parts, choices);
      sheet.setAttribute("role", "dialog");
      sheet.ariaLabel = words.ask;
      sheet.onkeydown = (event) => {
        if (event.key !== "Escape") return;
        sheet.remove();
        this.field.focus();
        chosen();
      };
      this.root.append(sheet);
      choices.firstChild.focus();
    });
  }
}

async function judged(text) {
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const reply = await fetch("v1/rewrite", { method: "POST", headers, body: JSON.stringify({ text }) });
  const body = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(body.error.message), { code: body.error.code });
  return body;
}

function askForKey(again) {
  at("keys").hidden = false;
  at("key").focus();
  at("keys").onsubmit = (event) => {
    event.preventDefault();
    key = at("key").value.trim();
    at("keys").hidden = true;
    again();
  };
}

function applyLanguage() {
  words = WORDS[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const item of document.querySelectorAll("[data-word]")) item.textContent = words[item.dataset.word];
  for (const item of document.querySelectorAll("[data-label]")) item.setAttribute("aria-label", words[item.dataset.label]);
  at("key").placeholder = at("key").ariaLabel = words.key;
  for (const phone of Object.values(phones)) phone.say();
}

const phones = { left: new Phone("left"), right: new Phone("right") };
at("phones").append(phones.left.root, phones.right.root);
at("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  storage.set("language", language);
  applyLanguage();
};
at("theme").onclick = () => {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark === "dark" ? "light" : "dark";
  storage.set("theme", document.documentElement.dataset.theme);
};
if (storage.get("theme")) document.documentElement.dataset.theme = storage.get("theme");
applyLanguage();
phones.left.field.focus({ preventScroll: true });
