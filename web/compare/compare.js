// Shows one pair of answers after another. A vote is sent at once; the next pair comes with its reply.
import { WORDS } from "./words.js";

const at = (id) => document.getElementById(id);
const storage = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* not available in a private window */ } },
};
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", ArrowUp: "bad", t: "tie", b: "bad" };

let language = storage.get("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let reviewer = "", pair = null, busy = false;

function say() {
  const words = WORDS[language];
  document.documentElement.lang = language;
  for (const one of document.querySelectorAll("[data-word]")) one.textContent = words[one.dataset.word];
  for (const one of document.querySelectorAll("[data-label]")) one.ariaLabel = words[one.dataset.label];
  if (pair) show(pair);
}

async function ask(path, more = {}) {
  if (busy) return;
  busy = true;
  try {
    const reply = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reviewer, ...more }),
    });
    if (!reply.ok) throw new Error(reply.status);
    show(await reply.json());
    at("error").hidden = true;
    if (path !== "next") window.scrollTo(0, 0);
  } catch {
    at("error").textContent = WORDS[language].lost;
    at("error").hidden = false;
  } finally {
    busy = false;
  }
}

function show(told) {
  const words = WORDS[language], over = told.key === undefined, other = pair?.key !== told.key;
  pair = told;
  at("enter").hidden = true;
  at("pair").hidden = over;
  at("end").hidden = !over;
  document.querySelector("footer").hidden = false;
  document.querySelector(".choices").hidden = over;
  at("who").textContent = reviewer;
  at("bar").hidden = false;
  at("bar").max = told.total || 1;
  at("bar").value = told.done;
  at("count").textContent = `${told.done} / ${told.total}`;
  at("undo").disabled = told.done === 0;
  if (over) return;
  at("question").textContent = told.question;
  at("left").textContent = told.left || words.nothing;
  at("right").textContent = told.right || words.nothing;
  at("history").replaceChildren(...told.history.map(({ role, text }) => {
    const line = document.createElement("li"), who = document.createElement("b");
    who.textContent = words[role];
    line.append(who, ` ${text}`);
    return line;
  }));
  for (const [id, text] of [["reference", told.answer], ["passage", told.passage]]) {
    at(id).hidden = !text;
    at(id).querySelector("p").textContent = text;
  }
  at("known").hidden = !told.answer && !told.passage;
  if (other) at("known").open = false;
}

const vote = (choice) => pair?.key && ask("vote", { key: pair.key, choice });
const undo = () => pair?.done && ask("undo");

for (const button of document.querySelectorAll("[data-choice]")) button.onclick = () => vote(button.dataset.choice);
at("undo").onclick = undo;
at("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  storage.set("language", language);
  say();
};
at("enter").onsubmit = (event) => {
  event.preventDefault();
  reviewer = at("name").value.trim();
  if (!reviewer) return;
  storage.set("reviewer", reviewer);
  document.activeElement?.blur();
  ask("next");
};
document.addEventListener("keydown", (event) => {
  if (!pair || event.target.matches("input, summary") || event.altKey || event.repeat) return;
  const undoes = event.key.toLowerCase() === "u" || (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey));
  if (!undoes && (event.ctrlKey || event.metaKey || !KEYS[event.key])) return;
  event.preventDefault();
  if (undoes) undo();
  else vote(KEYS[event.key]);
});

at("name").value = storage.get("reviewer") ?? "";
at("enter").hidden = false;
say();
at("name").focus();
