"""Markdown and plain text."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from lingyu.ingest.readers import Block, Fault, Reading
from lingyu.ingest.readers.encoding import whole_text
from lingyu.text.legal import HEADING, PART, UNIT
from lingyu.text.marks import LIST_ITEM, bare
from lingyu.text.normalise import joined
from lingyu.text.sentences import CLOSERS


def markdown(path: Path, how: Reading) -> Iterator[Block | Fault]:
    text, faults = whole_text(path, how)
    yield from faults
    yield from of_markdown(text)


def of_markdown(text: str) -> Iterator[Block]:
    """Headings by # or underlined, tables, paragraphs; front matter and comments left out, code kept as it stands."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    paragraph: list[str] = []
    fenced = False
    for line in [*text.split("\n"), ""]:
        fence = line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else re.match(r"(#{1,6})\s+(.*?)\s*#*\s*$", line)
        underlined = not fenced and len(paragraph) == 1 and re.fullmatch(r"=+|-{3,}", line.strip()) and not paragraph[0].startswith("|")
        if fenced or fence:
            paragraph.append(line)
            fenced ^= fence
        elif underlined:
            yield Block("heading", paragraph.pop().strip(), level=1 if "=" in line else 2)
        elif heading or not line.strip():
            yield from paragraph_or_table(paragraph)
            paragraph = []
            if heading and heading[2]:
                yield Block("heading", heading[2], level=len(heading[1]))
        else:
            paragraph.append(line)
    yield from paragraph_or_table(paragraph)


def paragraph_or_table(lines: list[str]) -> Iterator[Block]:
    """The lines between two blank ones: a table's as they stand, list items apart, the others joined."""
    if not lines:
        return
    if lines[0].lstrip().startswith(("|", "```", "~~~")):
        yield Block("table" if lines[0].lstrip().startswith("|") else "paragraph", "\n".join(line.rstrip() for line in lines))
        return
    paragraph = lines[0].rstrip()
    for before, line in pairwise(lines):
        apart = LIST_ITEM.match(line) or before.endswith("  ") or begins_part(line, before)
        paragraph = f"{paragraph}\n{line.rstrip()}" if apart else joined(paragraph, line.strip())
    if re.sub(r"[\s*_-]", "", paragraph):  # a mere rule across the page says nothing
        yield Block("paragraph", paragraph)


def begins_part(line: str, before: str) -> bool:
    """Whether an article or a chapter begins with the line, and not the rest of a sentence that refers to one."""
    text = bare(line)
    return bool(PART.match(text)) or (before.rstrip().endswith(CLOSERS) and bool(HEADING.match(text) or UNIT.match(text)))


def plain(path: Path, how: Reading) -> Iterator[Block | Fault]:
    text, faults = whole_text(path, how)
    yield from faults
    yield from of_plain(text)


def of_plain(text: str) -> Iterator[Block]:
    """A paragraph a line; lines broken in the middle of a sentence are joined."""
    for group in re.split(r"\n\s*\n", text):
        paragraph = ""
        for line in filter(str.strip, group.split("\n")):
            if len(paragraph) >= 20 and not paragraph.endswith(CLOSERS) and not LIST_ITEM.match(line):
                paragraph = joined(paragraph, line.strip())
                continue
            if paragraph:
                yield Block("paragraph", paragraph)
            paragraph = line.strip()
        if paragraph:
            yield Block("paragraph", paragraph)
