// The chat page: state, keyboard and buttons. api.js calls the service, view.js renders, words.js holds the UI texts.
import { ServiceError, ask, feedback, models } from "./api.js";
import { Narrowing } from "./filter.js";
import { AnswerView, choicesView, element, questionView, secret } from "./view.js";
import { WORDS } from "./words.js";

const at = (id) => document.getElementById(id);
const storage = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* not available in a private window */ } },
};

const KEPT = 30; // turns
const CHOICES = 3; // questions to go on with
let language = storage.get("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let words = WORDS[language];
let served = null; // the model's entry in /v1/models
let key = "";
secret.key = () => key;
let turns = []; // finished turns: {question, answer, id, events}; kept in this browser only, until a new chat
const narrowing = new Narrowing(at, () => words);
let running = null; // the AbortController of the current answer

function applyLanguage() {
  words = WORDS[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const item of document.querySelectorAll("[data-word]")) item.textContent = words[item.dataset.word];
  for (const item of document.querySelectorAll("[data-hint]")) item.placeholder = words[item.dataset.hint];
  for (const item of document.querySelectorAll("[data-label]")) item.setAttribute("aria-label", words[item.dataset.label]);
  if (served) showSkills();
  narrowing.render();
}

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

async function loadModel() {
  [served] = await models(key);
  at("model").textContent = served.id;
  for (const mode of document.querySelectorAll("[name=mode]")) mode.parentElement.hidden = !served.modes.includes(mode.value);
  at("forgets").hidden = served.history_turns > 0;
  at("report").hidden = !served.report;
  showExamples();
  showSkills();
  if (!served.modes.includes("professional")) document.querySelector("[value=plain]").checked = true;
  if (served.filters) await narrowing.load(key).catch(() => { /* without a list there is nothing to choose from */ });
}

function showSkills() {
  const menu = at("skill"), chosen = menu.value;
  menu.hidden = served.skills.length === 0;
  menu.replaceChildren(new Option(words.no_skill, ""), ...served.skills.map((skill) => new Option(skill[language], skill.name)));
  menu.value = served.skills.some((skill) => skill.name === chosen) ? chosen : "";
}

function showExamples() {
  const shown = (served?.examples ?? []).filter((one) => one.language === language);
  at("examples").replaceChildren(...shown.map(({ question }) => {
    const button = element("button", "example", question);
    button.type = "button";
    button.onclick = () => submit(question);
    return element("li", "", button);
  }));
}

function busy(controller) {
  running = controller;
  at("send").hidden = controller !== null;
  at("stop").hidden = controller === null;
  at("main").setAttribute("aria-busy", controller !== null);
}

const mode = () => document.querySelector("[name=mode]:checked").value;

async function answer(question) {
  for (const old of document.querySelectorAll(".next")) old.remove();
  at("welcome").hidden = true;
  const item = questionView(question, words);
  const view = new AnswerView(words);
  at("talk").append(item, view.root);
  follow();
  const controller = new AbortController();
  busy(controller);
  try {
    if (!served) await loadModel();
    const earlier = turns.slice(turns.length - Math.min(turns.length, served.history_turns));
    const messages = earlier.flatMap((turn) => [{ role: "user", content: turn.question }, { role: "assistant", content: turn.answer }]);
    const body = {
      model: at("skill").value ? `${served.id}:${at("skill").value}` : served.id,
      messages: [...messages, { role: "user", content: question }],
      mode: mode(),
      reasoning: at("reasoning").checked,
    };
    if (mode() !== "plain") {
      body.filter = narrowing.chosen();
      body.follow_ups = { asked: turns.map((turn) => turn.question) };
    }
    const only = body.filter ? narrowing.told(body.filter) : "";
    const events = [];
    let id = null;
    await ask(body, key, controller.signal, (event) => {
      id = event.id;
      events.push(event);
      show(event, view);
    });
    const near = atEnd();
    if (only) view.addRemark(only);
    view.end(voteOn(body.messages, view, id));
    offer(view, events.at(-1)?.follow_ups);
    if (near) follow();
    if (view.content) {
      turns.push({ question, answer: view.content, id, messages: body.messages, only, events: short(events, view) });
      storage.set("turns", JSON.stringify(turns.slice(-KEPT)));
    }
  } catch (error) {
    if (error.name === "AbortError") {
      view.addRemark(words.stopped);
      view.end();
    } else {
      showError(error, view, () => { item.remove(); view.root.remove(); answer(question); });
      follow();
    }
  } finally {
    busy(null);
    at("question").focus();
  }
}

// Questions that the documents answer, too; gone once the conversation goes on.
function offer(view, questions) {
  if (questions?.length) view.root.append(choicesView(questions.slice(0, CHOICES), words.next, submit));
}

function submit(question) {
  if (running) return;
  at("question").value = question;
  at("form").requestSubmit();
}

function show(event, view) {
  const near = atEnd();
  const choice = event.choices[0];
  if (event.sources) view.setSources(event.sources);
  if (choice?.delta?.reasoning_content) view.addReasoning(choice.delta.reasoning_content);
  if (choice?.delta?.content) view.addContent(choice.delta.content);
  if (choice?.finish_reason === "length") view.addRemark(words.cut);
  if (event.answer_source !== undefined) view.setGrounds(event);
  if (near) follow();
}

// What rebuilds a finished answer: its text in one piece, and the events that carry more.
function short(events, view) {
  const parts = [{ reasoning_content: view.reasoning.textContent }, { content: view.content }];
  const said = parts.filter((delta) => Object.values(delta)[0]).map((delta) => ({ choices: [{ delta }] }));
  return [...said, ...events.filter((event) => event.sources || event.choices[0]?.finish_reason)];
}

function voteOn(messages, view, id) {
  if (!served?.feedback) return null;
  return (rating, correction = null, reason = null, passage = null) => feedback({ rating, messages, answer: view.content, correction, reason, passage, id }, key);
}

function restore() {
  try { turns = JSON.parse(storage.get("turns") ?? "[]"); } catch { turns = []; }
  if (!Array.isArray(turns) || !turns.length) { turns = []; return; }
  at("welcome").hidden = true;
  for (const turn of turns) {
    const view = new AnswerView(words);
    at("talk").append(questionView(turn.question, words), view.root);
    for (const event of turn.events) show(event, view);
    if (turn.only) view.addRemark(turn.only);
    view.end(voteOn(turn.messages, view, turn.id));
    if (turn === turns.at(-1)) offer(view, turn.events.at(-1)?.follow_ups);
  }
  follow();
}

// Do not scroll if the reader has scrolled up.
const atEnd = () => innerHeight + scrollY > document.body.scrollHeight - 120;
const follow = () => scrollTo({ top: document.body.scrollHeight });

function showError(error, view, retry) {
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
  // While an input method is composing, Enter confirms the candidate.
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
  storage.set("turns", "[]");
  at("talk").replaceChildren();
  at("welcome").hidden = false;
  at("question").focus();
};
for (const choice of document.querySelectorAll("[name=mode]")) choice.addEventListener("change", () => narrowing.allow(mode() !== "plain"));
at("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  storage.set("language", language);
  applyLanguage();
  showExamples();
};
at("theme").onclick = () => {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const theme = dark === "dark" ? "light" : "dark";
  storage.set("theme", theme);
  applyTheme(theme);
};

applyTheme(storage.get("theme"));
applyLanguage();
loadModel().catch(() => { /* shown once a question is asked */ }).finally(restore);
at("question").focus();
