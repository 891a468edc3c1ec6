// The chat page: state, keys and buttons. api.js talks to the service, view.js draws, words.js speaks.
import { ServiceError, ask, models } from "./api.js";
import { AnswerView, element, questionView } from "./view.js";
import { WORDS } from "./words.js";

const at = (id) => document.getElementById(id);
const kept = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* a private window keeps nothing */ } },
};

let language = kept.get("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let words = WORDS[language];
let served = null; // what /v1/models says of the model
let key = "";
let turns = []; // finished turns: {question, answer}
let running = null; // the AbortController of the answer under way

function speak() {
  words = WORDS[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const item of document.querySelectorAll("[data-word]")) item.textContent = words[item.dataset.word];
  for (const item of document.querySelectorAll("[data-hint]")) item.placeholder = words[item.dataset.hint];
  for (const item of document.querySelectorAll("[data-label]")) item.setAttribute("aria-label", words[item.dataset.label]);
}

function shade(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

async function meet() {
  [served] = await models(key);
  at("model").textContent = served.id;
  const professional = document.querySelector("[value=professional]");
  professional.disabled = !served.modes.includes("professional");
  if (professional.disabled) document.querySelector("[value=plain]").checked = true;
}

function busy(controller) {
  running = controller;
  at("send").hidden = controller !== null;
  at("stop").hidden = controller === null;
  at("main").setAttribute("aria-busy", controller !== null);
}

async function answer(question) {
  at("welcome").hidden = true;
  const asked = questionView(question, words);
  const view = new AnswerView(words);
  at("talk").append(asked, view.root);
  follow();
  const controller = new AbortController();
  busy(controller);
  try {
    if (!served) await meet();
    const earlier = turns.slice(turns.length - Math.min(turns.length, served.history_turns));
    const messages = earlier.flatMap((turn) => [{ role: "user", content: turn.question }, { role: "assistant", content: turn.answer }]);
    const body = {
      model: served.id,
      messages: [...messages, { role: "user", content: question }],
      mode: document.querySelector("[name=mode]:checked").value,
      reasoning: at("reasoning").checked,
    };
    await ask(body, key, controller.signal, (event) => show(event, view));
    const near = atEnd();
    view.end();
    if (near) follow();
    if (view.content) turns.push({ question, answer: view.content });
  } catch (error) {
    if (error.name === "AbortError") {
      view.remark(words.stopped);
      view.end();
    } else {
      explain(error, view, () => { asked.remove(); view.root.remove(); answer(question); });
      follow();
    }
  } finally {
    busy(null);
    at("question").focus();
  }
}

function show(event, view) {
  const near = atEnd();
  const choice = event.choices[0];
  if (event.sources) view.cite(event.sources);
  if (choice?.delta?.reasoning_content) view.think(choice.delta.reasoning_content);
  if (choice?.delta?.content) view.say(choice.delta.content);
  if (choice?.finish_reason === "length") view.remark(words.cut);
  if (event.supported !== undefined) view.ground(event.supported, event.note);
  if (near) follow();
}

// Whoever has scrolled up to read is left there.
const atEnd = () => innerHeight + scrollY > document.body.scrollHeight - 120;
const follow = () => scrollTo({ top: document.body.scrollHeight });

function explain(error, view, retry) {
  if (!(error instanceof ServiceError)) console.error(error);
  const code = error.code in words ? error.code : "other_error";
  const again = element("button", "quiet", words.again);
  again.type = "button";
  again.onclick = retry;
  view.fail(words[code], error.message, code === "invalid_api_key" ? keyForm(retry) : again);
}

function keyForm(retry) {
  const field = element("input");
  Object.assign(field, { type: "password", autocomplete: "off", placeholder: words.key, ariaLabel: words.key, required: true });
  const form = element("form", "key", field, element("button", "main", words.enter));
  form.onsubmit = (event) => {
    event.preventDefault();
    key = field.value.trim();
    retry();
  };
  return form;
}

function grow() {
  const field = at("question");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, innerHeight / 3)}px`;
}

at("form").onsubmit = (event) => {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question || running) return;
  at("question").value = "";
  grow();
  answer(question);
};
at("question").oninput = grow;
at("question").onkeydown = (event) => {
  // While an input method is composing, Enter chooses a word.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("form").requestSubmit();
  }
  if (event.key === "ArrowUp" && at("question").value === "" && turns.length) {
    event.preventDefault();
    at("question").value = turns.at(-1).question;
    grow();
  }
};
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
at("stop").onclick = () => running?.abort();
at("new").onclick = () => {
  running?.abort();
  turns = [];
  at("talk").replaceChildren();
  at("welcome").hidden = false;
  at("question").focus();
};
at("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  kept.set("language", language);
  speak();
};
at("theme").onclick = () => {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const theme = dark === "dark" ? "light" : "dark";
  kept.set("theme", theme);
  shade(theme);
};

shade(kept.get("theme"));
speak();
meet().catch(() => { /* told when a question is asked */ });
at("question").focus();
