// Markdown as a model writes it, as elements. Text becomes text nodes, never HTML; links and pictures stay the text they are.
import { element } from "./view.js";

const FENCE = /^\s*```/, HEADING = /^(#{1,6})\s+(.*)$/, RULE = /^\s*(?:-{3,}|\*{3,}|_{3,})\s*$/, QUOTE = /^\s*>\s?(.*)$/;
const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/, DIVIDER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const OTHERS = [FENCE, HEADING, RULE, QUOTE, ITEM];
const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*([^\s*](?:[^*]*[^\s*])?)\*|~~(.+?)~~| ?\[(\d{1,2})\]/g;

// cite: an element for the number of a source, or null.
export function rendered(text, cite = () => null) {
  return blocks(text.split("\n"), cite);
}

function blocks(lines, cite) {
  const made = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    if (!line.trim()) { at += 1; continue; }
    if (FENCE.test(line)) {
      let end = at + 1;
      while (end < lines.length && !FENCE.test(lines[end])) end += 1;
      made.push(element("pre", "", element("code", "", lines.slice(at + 1, end).join("\n"))));
      at = end + 1;
    } else if (HEADING.test(line)) {
      const [, marks, words] = line.match(HEADING);
      made.push(element(`h${Math.min(6, marks.length + 2)}`, "", ...inline(words, cite)));
      at += 1;
    } else if (RULE.test(line)) {
      made.push(element("hr", ""));
      at += 1;
    } else if (startsTable(lines, at)) {
      let end = at + 2;
      while (end < lines.length && lines[end].includes("|")) end += 1;
      made.push(table(line, lines.slice(at + 2, end), cite));
      at = end;
    } else if (QUOTE.test(line)) {
      let end = at;
      while (end < lines.length && QUOTE.test(lines[end])) end += 1;
      made.push(element("blockquote", "", ...blocks(lines.slice(at, end).map((each) => each.match(QUOTE)[1]), cite)));
      at = end;
    } else if (ITEM.test(line)) {
      let end = at + 1;
      while (end < lines.length && (ITEM.test(lines[end]) || /^\s+\S/.test(lines[end]))) end += 1;
      made.push(list(lines.slice(at, end), cite));
      at = end;
    } else {
      let end = at + 1;
      while (end < lines.length && lines[end].trim() && !OTHERS.some((mark) => mark.test(lines[end])) && !startsTable(lines, end)) end += 1;
      const parts = lines.slice(at, end).flatMap((each, number) => (number ? [element("br", ""), ...inline(each, cite)] : inline(each, cite)));
      made.push(element("p", "", ...parts));
      at = end;
    }
  }
  return made;
}

const startsTable = (lines, at) => lines[at].includes("|") && DIVIDER.test(lines[at + 1] ?? "");

function list(lines, cite) {
  const [, indent, , first] = lines[0].match(ITEM);
  const made = element(first === undefined ? "ul" : "ol", "");
  if (first !== undefined && first !== "1") made.start = Number(first);
  let item = [];
  const close = () => {
    if (!item.length) return;
    const [words, ...rest] = item;
    made.append(element("li", "", ...inline(words, cite), ...blocks(rest, cite)));
  };
  for (const line of lines) {
    const found = line.match(ITEM);
    if (found && found[1].length <= indent.length) {
      close();
      item = [found[4]];
    } else item.push(line.replace(/^\s{1,4}/, ""));
  }
  close();
  return made;
}

function table(head, rows, cite) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const names = cells(head);
  const row = (line, tag) => element("tr", "", ...names.map((_, at) => element(tag, "", ...inline(cells(line)[at] ?? "", cite))));
  const whole = element("table", "", element("thead", "", row(head, "th")), element("tbody", "", ...rows.map((line) => row(line, "td"))));
  return element("div", "table", whole);
}

function inline(text, cite) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, , code, strong, strong2, em, gone, number] = found;
    const part = code !== undefined ? element("code", "", code)
      : strong ?? strong2 ? element("strong", "", ...inline(strong ?? strong2, cite))
      : em !== undefined ? element("em", "", ...inline(em, cite))
      : gone !== undefined ? element("s", "", ...inline(gone, cite))
      : cite(Number(number));
    if (!part) continue;
    made.push(text.slice(at, found.index), part);
    at = found.index + whole.length;
  }
  made.push(text.slice(at));
  return made.filter((part) => part !== "");
}
