// Renders a conversation. Text is inserted as text, never as HTML.
import { files, page, save } from "./api.js";
import { rendered } from "./markdown.js";

// The key that the person entered, for what a source opens.
export const secret = { key: () => "" };

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function questionView(text, words) {
  return element("li", "question", element("span", "hidden", words.you), element("p", "", text));
}

// Questions to choose from, each a button.
export function choicesView(questions, label, choose) {
  const list = element("ul", "", ...questions.map((question) => {
    const made = element("button", "example", question);
    made.type = "button";
    made.onclick = () => choose(question);
    return element("li", "", made);
  }));
  const made = element("nav", "next", list);
  made.setAttribute("aria-label", label);
  return made;
}

// A streaming answer: each part appears once it has content.
export class AnswerView {
  constructor(words) {
    this.words = words;
    this.content = "";
    this.reasoning = element("p", "");
    this.thought = element("details", "thought", element("summary", "", words.thinking), this.reasoning);
    this.thought.hidden = true;
    this.text = element("div", "text");
    this.foot = element("div", "foot");
    this.dots = element("span", "dots", element("i"), element("i"), element("i"));
    this.dots.setAttribute("role", "status");
    this.dots.setAttribute("aria-label", words.waiting);
    this.root = element("li", "answer", this.thought, this.text, this.dots, this.foot);
  }

  addReasoning(text) {
    this.thought.hidden = false;
    this.thought.open = this.content === "";
    this.reasoning.append(text);
  }

  addContent(text) {
    this.thought.open = false;
    this.dots.remove();
    this.content += text;
    this.text.replaceChildren(...rendered(this.content));
  }

  setSources(sources) {
    if (!sources.length) return;
    this.found = sources;
    this.sources = element("section", "sources", element("h2", "", this.words.sources));
    sources.forEach((source, at) => this.sources.append(sourceView(source, at + 1, this.words)));
  }

  // The last event of a reply from the documents: whose words it is, and which sentence of which source each part follows from.
  setGrounds(event) {
    this.citations = event.citations;
    const verified = event.answer_source !== "none";
    const badge = element("p", verified ? "badge good" : "badge doubt", this.words[`from_${event.answer_source}`]);
    if (event.note) badge.title = event.note;
    if (this.sources) this.foot.append(badge);
  }

  addRemark(text) {
    this.foot.append(element("span", "remark", text));
  }

  // vote: takes the rating, the right answer and the reason; null where the service keeps no feedback.
  end(vote = null) {
    this.dots.remove();
    this.thought.open = false;
    if (this.content) this.foot.append(copyButton(this.content, this.words));
    if (this.content && vote) this.foot.append(...voteButtons(this, vote));
    if (!this.sources) return;
    this.root.append(this.sources);
    if (this.citations) this.cite();
  }

  // The first sentence cited, by which the retrieval set knows its passage again.
  cited() {
    const [first] = this.citations ?? [];
    const source = first && this.found?.[first.source - 1];
    return source ? { source: source.source, section: source.section, text: source.text.slice(first.start, first.end) } : null;
  }

  // Each [1] becomes a button that opens the source, in which the cited sentences are highlighted.
  cite() {
    const views = [...this.sources.querySelectorAll(".source")];
    views.forEach((view, at) => highlight(view.querySelector("blockquote"), this.citations.filter((each) => each.source === at + 1)));
    this.text.replaceChildren(...rendered(this.content, (number) => views[number - 1] && citeButton(views[number - 1], String(number), this.words)));
  }

  fail(message, detail, action) {
    this.dots.remove();
    const card = element("div", "error", element("p", "", message));
    card.setAttribute("role", "alert");
    if (detail) card.append(element("details", "", element("summary", "", this.words.details), element("p", "", detail)));
    card.append(action);
    this.root.append(card);
  }
}

// Where a passage stands, in the words of whoever wrote the document: "page 12, 第六章 / 第六十二条, part 1" is "第 12 页".
function placeOf(source, words) {
  const [, page] = source.place.match(/^page (\d+)/) ?? [];
  const [, row] = source.place.match(/(?:^|, )(?:row|line) (\d+)/) ?? [];
  const where = page ? words.page.replace("{0}", page) : row ? words.entry.replace("{0}", row) : "";
  return [source.kind === "fact" ? words.graph : source.source.split("/").pop(), where].filter(Boolean).join(" · ");
}

function sourceView(source, number, words) {
  const heading = [source.title, source.section].filter(Boolean).join(" › ");
  const facts = element("dl", "");
  const about = source.metadata ?? {};
  const validity = [about.valid_from, about.valid_to].some(Boolean) ? `${about.valid_from ?? ""} – ${about.valid_to ?? ""}` : "";
  const told = [[words.place, placeOf(source, words)], [words.department, about.department], [words.validity, validity], [words.licence, source.licence]];
  for (const [name, value] of told) {
    if (value) facts.append(element("div", "", element("dt", "", name), element("dd", "", value)));
  }
  const summary = element("summary", "", element("b", "", String(number)), element("span", "", heading));
  const view = element("details", "source", summary, element("blockquote", "", source.text), facts);
  if (source.original) view.append(originalView(view, source, words));
  return view;
}

// The file itself, and of a PDF the page with the cited sentences marked; the page's key is asked for when it is used.
function originalView(view, source, words) {
  const row = element("div", "original");
  const act = (label, work) => {
    const made = element("button", "quiet small", label);
    made.type = "button";
    made.onclick = async () => {
      made.disabled = true;
      await work().catch(() => row.append(element("span", "remark", words.not_there)));
      made.disabled = false;
    };
    row.append(made);
  };
  if (/^page \d+/.test(source.place) && /\.pdf$/i.test(source.source)) {
    act(words.show_page, async () => {
      const cited = [...view.querySelectorAll("mark")].map((mark) => mark.textContent);
      const { picture, number, down } = await page(source.file, source.place, cited.length ? cited : [source.text], secret.key());
      const shown = element("img", "page");
      Object.assign(shown, { src: picture, alt: words.page.replace("{0}", number) });
      view.querySelector(".page")?.remove();
      view.append(shown);
      // The first marked line in the upper third of the window.
      shown.onload = () => scrollTo({ top: scrollY + shown.getBoundingClientRect().top + down * shown.clientHeight - innerHeight / 3, behavior: "smooth" });
    });
  }
  act(words.original, () => save(source.file, source.source.split("/").pop(), secret.key()));
  return row;
}

function highlight(quote, citations) {
  const text = quote.textContent;
  const parts = [];
  let at = 0;
  for (const { start, end } of [...citations].sort((a, b) => a.start - b.start)) {
    if (start < at) continue;
    parts.push(text.slice(at, start), element("mark", "", text.slice(start, end)));
    at = end;
  }
  quote.replaceChildren(...parts, text.slice(at));
}

function citeButton(source, number, words) {
  const button = element("button", "cite", number);
  button.type = "button";
  button.setAttribute("aria-label", `${words.sources} ${number}`);
  button.onclick = () => {
    source.open = true;
    source.scrollIntoView({ block: "nearest", behavior: "smooth" });
    source.querySelector("summary").focus({ preventScroll: true });
  };
  return button;
}

// Drawn, since many machines have no font with it.
function thumb() {
  const named = "http://www.w3.org/2000/svg";
  const made = document.createElementNS(named, "svg"), line = document.createElementNS(named, "path");
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", width: 16, height: 16, "aria-hidden": "true" })) made.setAttribute(name, value);
  const drawn = { d: "M7 10v10H4V10zM7 10l4-7c2 0 3 1.5 2.5 3.5L13 9h5.5c1.2 0 2 1.2 1.6 2.4l-2 6.6c-.3 1-1 2-2.6 2H7", fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linejoin": "round" };
  for (const [name, value] of Object.entries(drawn)) line.setAttribute(name, value);
  made.append(line);
  return made;
}

function voteButtons(view, vote) {
  const { root, words } = view;
  const button = (kind, label) => {
    const made = element("button", `quiet small vote ${kind}`, thumb());
    Object.assign(made, { type: "button", title: label, ariaLabel: label, ariaPressed: "false" });
    return made;
  };
  const up = button("up", words.good), down = button("down", words.bad);
  const cast = async (pressed, ...given) => {
    try {
      await vote(...given);
      pressed.ariaPressed = "true";
      up.disabled = down.disabled = true;
      pressed.after(element("span", "remark", words.thanks));
    } catch {
      pressed.after(element("span", "remark", words.not_kept));
    }
  };
  up.onclick = () => cast(up, "up", null, null, view.cited());
  down.onclick = () => {
    if (root.querySelector(".correct")) return;
    const right = element("textarea"), reason = element("input"), send = element("button", "main", words.send);
    Object.assign(right, { rows: 2, maxLength: 20000, placeholder: words.right_answer, ariaLabel: words.right_answer });
    Object.assign(reason, { maxLength: 2000, placeholder: words.reason, ariaLabel: words.reason });
    const source = sourceChoice(view.found ?? [], words);
    const form = element("form", "correct", right, source, reason, send);
    form.onsubmit = (event) => {
      event.preventDefault();
      form.remove();
      cast(down, "down", right.value.trim() || null, reason.value.trim() || null, JSON.parse(source.value));
    };
    root.append(form);
    right.focus();
  };
  return [up, down];
}

// Where the answer stands: one of the passages that were found, or any document.
function sourceChoice(found, words) {
  const option = (label, passage) => Object.assign(element("option", "", label), { value: JSON.stringify(passage) });
  const made = element("select", "", option(words.right_source, null));
  made.ariaLabel = words.right_source;
  found.forEach(({ title, section, source, text }, at) => {
    made.append(option(`${at + 1} · ${[title, section].filter(Boolean).join(" › ")}`, { source, section, text: text.slice(0, 200) }));
  });
  files(secret.key()).then((all) => {
    const group = element("optgroup", "", ...all.filter((file) => !file.hidden && file.status === "processed").map((file) => option(file.filename, { source: file.source })));
    group.label = words.documents;
    made.append(group);
  }).catch(() => { /* those that were found remain */ });
  return made;
}

function copyButton(text, words) {
  const button = element("button", "quiet small", words.copy);
  button.type = "button";
  button.onclick = async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = words.copied;
    setTimeout(() => { button.textContent = words.copy; }, 1500);
  };
  // The clipboard API is available on https and localhost only.
  button.hidden = !navigator.clipboard;
  return button;
}
