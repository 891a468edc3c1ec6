"""Markdown and plain text."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from lingyu.ingest.readers import Block, Fault, Reading
from lingyu.ingest.readers.encoding import whole_text
from lingyu.ingest.readers.shown import LeftOut
from lingyu.ingest.readers.web import of_fragment
from lingyu.text.legal import HEADING, PART, UNIT
from lingyu.text.marks import LIST_ITEM, bare
from lingyu.text.normalise import Joined
from lingyu.text.sentences import CLOSERS

FORMULA_LINES = 60  # a longer formula between $$ is an unclosed mark
# The name of an embedded picture, or a reference to it.
PICTURE = re.compile(
    r"!\[([^\]\n]{0,500})\]\(\s*<?data:[^)\n]*\)"
    r"|^ {0,3}\[[^\]\n]{1,200}\]:\s*<?data:.*$"
    r"|<img\b[^<>]{0,500}\bsrc\s*=\s*[\"']?data:[^<>]*>",
    re.MULTILINE,
)
CODE = re.compile(r"(`+[^`\n]+`+)")
STRUCK = re.compile(r"(?<![~\\])~~(?=\S)([^~\n]+?)(?<=\S)~~(?!~)")
# HTML that changes how text is shown: hidden, struck out, raised, pronunciation, check boxes.
INLINE = re.compile(
    r"<(sup|sub|s|del|strike|ruby|math)\b[^<>]*>.{0,2000}?</\1\s*>"
    r"|<(\w+)\b[^<>]*(?:\shidden\b|style\s*=\s*[\"'][^\"'<>]*(?:display\s*:\s*none|visibility\s*:\s*hidden|line-through))[^<>]*>"
    r".{0,9000}?</\2\s*>"
    r"|<input\b[^<>]*\b(?:checkbox|radio)\b[^<>]*>",
    re.DOTALL | re.IGNORECASE,
)
RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")


def markdown(path: Path, how: Reading) -> Iterator[Block | Fault]:
    text, faults = whole_text(path, how)
    yield from faults
    left = LeftOut()
    yield from of_markdown(text, left)
    yield from left.faults()


def of_markdown(text: str, left: LeftOut) -> Iterator[Block]:
    """Headings with # or underlined, tables, paragraphs; without front matter and comments, code and formulas unchanged."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = "".join(between(text, "<!--", "-->", lambda comment: ""))
    for verbatim, lines in segments(text.split("\n")):
        if verbatim:
            yield Block("paragraph", "\n".join(line.rstrip() for line in lines))
            continue
        paragraph: list[str] = []
        for line in [*without_markup("\n".join(lines), left).split("\n"), ""]:
            heading = re.match(r"(#{1,6})\s+(.*?)\s*#*\s*$", line)
            underlined = len(paragraph) == 1 and re.fullmatch(r"=+|-{3,}", line.strip()) and not paragraph[0].startswith("|")
            if underlined:
                yield Block("heading", paragraph.pop().strip(), level=1 if "=" in line else 2)
            elif heading or not line.strip():
                yield from paragraph_or_table(paragraph)
                paragraph = []
                if heading and heading[2]:
                    yield Block("heading", heading[2], level=len(heading[1]))
            else:
                paragraph.append(line)


def segments(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Runs of lines, and whether each is verbatim: fenced code or a formula between $$."""
    held: list[str] = []
    at = 0
    while at < len(lines):
        end = end_of_verbatim(lines, at)
        if end:
            yield False, held
            yield True, [line for line in lines[at:end] if line.strip() or not lines[at].lstrip().startswith("$$")]
            held, at = [], end
        else:
            held.append(lines[at])
            at += 1
    yield False, held


def end_of_verbatim(lines: list[str], at: int) -> int:
    """The line after the code or formula that starts here; 0 if there is none."""
    line = lines[at].strip()
    if line[:1] not in ("`", "~", "$"):
        return 0
    if fence := re.match(r"(`{3,})[^`]*$|(~{3,})", line):
        mark = fence[1] or fence[2]
        closing = (n for n in range(at + 1, len(lines)) if (s := lines[n].strip()).startswith(mark) and not s.strip(mark[0]))
        return next(closing, len(lines) - 1) + 1
    if line.startswith("$$") and not line[2:].endswith("$$"):
        for number in range(at + 1, min(at + FORMULA_LINES, len(lines))):
            if lines[number].strip().endswith("$$"):
                return number + 1
    return 0


def between(text: str, start: str, end: str, make: Callable[[str], str]) -> Iterator[str]:
    """The text, with each part between the marks replaced by `make`."""
    at, lower = 0, text.lower()
    while (first := lower.find(start, at)) >= 0 and (last := lower.find(end, first + len(start))) >= 0:
        yield text[at:first]
        at = last + len(end)
        yield make(text[first:at])
    yield text[at:]


def without_markup(text: str, left: LeftOut) -> str:
    """The text without inline HTML and struck-out text; inline code is unchanged."""
    if "data:" in text:
        text = PICTURE.sub(lambda found: picture(found[1] or "", left), text)
    if "<" in text:
        text = "".join(between(text, "<table", "</table>", lambda table: markdown_of(table, left)))
    if "<" not in text and "~~" not in text:
        return text
    parts = CODE.split(text)
    parts[::2] = [
        STRUCK.sub(lambda found: left_out("struck_text", found[1], left), INLINE.sub(partial(inline, left), part)) for part in parts[::2]
    ]
    return "".join(parts)


def picture(name: str, left: LeftOut) -> str:
    left.add("picture", name or "–")
    return name


def left_out(reason: str, text: str, left: LeftOut) -> str:
    left.add(reason, text)
    return ""


def markdown_of(table: str, left: LeftOut) -> str:
    """A table in HTML as one in Markdown, its caption above."""
    return "\n\n" + "\n\n".join(block.text for block in of_fragment(table, left)) + "\n\n"


def inline(left: LeftOut, found: re.Match[str]) -> str:
    """The text of inline HTML in a paragraph."""
    return " ".join(block.text for block in of_fragment(found[0], left, whole=False))


def paragraph_or_table(lines: list[str]) -> Iterator[Block]:
    """The lines between two blank ones: tables with outer bars, also right below a line; list items separate, other lines joined."""
    at = 0
    for head in range(len(lines) - 1) if any("|" in line for line in lines) else ():
        if head >= at and begins_table(lines[head], lines[head + 1]):
            end = next((row for row in range(head + 2, len(lines)) if "|" not in lines[row]), len(lines))
            yield from paragraph_of(lines[at:head])
            yield Block("table", "\n".join(map(barred, lines[head:end])))
            at = end
    yield from paragraph_of(lines[at:])


def paragraph_of(lines: list[str]) -> Iterator[Block]:
    if not lines:
        return
    if lines[0].lstrip().startswith("|"):
        yield Block("table", "\n".join(line.rstrip() for line in lines))
        return
    paragraph = Joined(lines[0].rstrip())
    for before, line in pairwise(lines) if len(lines) > 1 else ():
        if LIST_ITEM.match(line) or before.endswith("  ") or begins_part(line, before):
            paragraph.below(line.rstrip())
        else:
            paragraph.add(line.strip())
    if re.sub(r"[\s*_-]", "", text := str(paragraph)):  # a horizontal rule has no content
        yield Block("paragraph", text)


def begins_table(line: str, below: str) -> bool:
    """Whether a line is a table header: it has bars, and a rule with the same number of cells below."""
    return "|" in line and "|" in below and bool(RULE.fullmatch(below)) and cells(line) == cells(below)


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", barred(row))) - 1


def barred(row: str) -> str:
    """A row of a table with bars on both sides."""
    row = row.strip()
    before, after = "" if row.startswith("|") else "| ", "" if row.endswith("|") and not row.endswith("\\|") else " |"
    return before + row + after


def begins_part(line: str, before: str) -> bool:
    """Whether the line starts an article or chapter, rather than continuing a sentence that refers to one."""
    text = bare(line)
    return bool(PART.match(text)) or (before.rstrip().endswith(CLOSERS) and bool(HEADING.match(text) or UNIT.match(text)))


def plain(path: Path, how: Reading) -> Iterator[Block | Fault]:
    text, faults = whole_text(path, how)
    yield from faults
    yield from of_plain(text)


def of_plain(text: str) -> Iterator[Block]:
    """One paragraph per line; lines broken in the middle of a sentence are joined."""
    for group in re.split(r"\n\s*\n", text):
        paragraph: Joined | None = None
        for line in filter(str.strip, group.split("\n")):
            if paragraph and paragraph.length >= 20 and not paragraph.last.endswith(CLOSERS) and not LIST_ITEM.match(line):
                paragraph.add(line.strip())
                continue
            if paragraph:
                yield Block("paragraph", str(paragraph))
            paragraph = Joined(line.strip())
        if paragraph:
            yield Block("paragraph", str(paragraph))
