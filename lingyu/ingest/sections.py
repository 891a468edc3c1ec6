"""Converts the blocks of a document into rows: one per section, and in a statute one per article."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from lingyu.files import short_hash
from lingyu.ingest.readers import Block
from lingyu.records import Document, Scope
from lingyu.text.legal import ENGLISH_HEADING, ENGLISH_UNIT, HEADING, UNIT, Heading, heading
from lingyu.text.marks import bare
from lingyu.text.normalise import Joined, language_of, normal
from lingyu.text.numerals import value
from lingyu.text.sentences import CLOSERS, CUTS

UNIT_LEVELS = {
    "编": 1,
    "分编": 2,
    "章": 3,
    "节": 4,
    "title": 1,
    "book": 1,
    "schedule": 1,
    "annex": 1,
    "part": 2,
    "division": 2,
    "subpart": 3,
    "chapter": 3,
    "article": 3,
    "subchapter": 4,
    "section": 4,
}
TABLE_HEAD = re.compile(r"^\|.*\n\|(?: ?:?-{3,}:? ?\|)+\n", re.MULTILINE)
BEGINNINGS = frozenset("第§ABCDPSTabcdpst")
FEW = 3  # minimum articles of a statute


@dataclass(frozen=True)
class Origin:
    """The common fields of the rows of a file."""

    source: str
    licence: str
    scope: Scope
    task: str = ""


def documents(blocks: list[Block], origin: Origin, title: str, max_chars: int) -> Iterator[Document]:
    """A row for each text under one heading or article, split at sentence ends if it is longer than max_chars."""
    title, blocks = titled(blocks, title)
    split_blocks = [part for block in blocks for part in at_articles(block)]
    statute = kind_of_articles(split_blocks)
    if statute:
        blocks = list(with_units(whole_paragraphs([headed_article(block, statute) for block in split_blocks]), statute))
    seen: dict[str, int] = {}
    for path, place, text in sections(blocks, statute):
        section, language = " / ".join(path), language_of(text)
        pieces = list(cut(text, max_chars))
        for number, piece in enumerate(pieces, 1):
            where = ", ".join(filter(None, [place, normal(section), f"part {number}" if len(pieces) > 1 else ""])) or "beginning"
            seen[where] = seen.get(where, 0) + 1
            yield Document(
                id=short_hash("documents", origin.source, where, str(seen[where])),
                source=origin.source,
                place=where,
                licence=origin.licence,
                scope=origin.scope,
                language=language,
                title=title,
                section=section,
                text=piece,
            )


def kind_of_articles(blocks: list[Block]) -> str:
    """How a statute calls its articles (条, Article, Section, §): the kind that it has most of; "" where a document is none."""
    kinds = Counter[str]()
    for block in blocks:
        found = heading(bare(block.text)) if block.kind != "table" else None
        if found and (block.kind == "paragraph" or is_headed(found, block.text)):
            kinds[found.kind] += 1
    kind, count = kinds.most_common(1)[0] if kinds else ("", 0)
    return kind if count >= FEW else ""


def is_headed(found: Heading, text: str) -> bool:
    """Whether a heading of English law says what the article is about: "§ 107.3 Definitions". Bare, it is a heading like any other."""
    return found.kind != "条" and bool(bare(text)[found.end :].strip(" .:—–-"))


def headed_article(block: Block, kind: str) -> Block:
    """A heading that begins an article as a paragraph of it; its level stays, for nothing is to be joined to it."""
    found = heading(bare(block.text)) if block.kind == "heading" else None
    return (
        replace(block, kind="paragraph", level=max(block.level, 1))
        if found and found.kind == kind and is_headed(found, block.text)
        else block
    )


def missing_articles(rows: list[Document]) -> str:
    """The missing article numbers of a statute, in words; "" if none are missing."""
    names = [row.section.rpartition(" / ")[2] for row in rows]
    numbers = list(dict.fromkeys(value(found[2]) for name in names if (found := HEADING.fullmatch(name))))
    gaps = [(last + 1, number - 1) for last, number in pairwise([0, *numbers]) if number > last + 1] if len(numbers) >= FEW else []
    return "、".join(f"第{first}条" if first == last else f"第{first}条–第{last}条" for first, last in gaps)


def titled(blocks: list[Block], otherwise: str) -> tuple[str, list[Block]]:
    """The title, and the blocks without it: the first heading, if it is the only one of the top level."""
    headings = [block for block in blocks if block.kind == "heading"]
    if not headings or any(other.level <= headings[0].level for other in headings[1:]) or begins(headings[0].text):
        return otherwise, blocks
    return headings[0].text, [block for block in blocks if block is not headings[0]]


def begins(line: str) -> bool:
    """Whether a line begins an article, a chapter or the like."""
    return is_beginning(bare(line))


def is_beginning(text: str) -> bool:
    """The same of a bare text. Nothing else begins with these letters: most lines are told by the first."""
    return text[:1] in BEGINNINGS and bool(
        HEADING.match(text) or UNIT.match(text) or ENGLISH_HEADING.match(text) or ENGLISH_UNIT.fullmatch(text)
    )


def at_articles(block: Block) -> Iterator[Block]:
    """A paragraph split before lines that start an article or unit: many statutes have only a line break there."""
    begun: list[str] = []
    for line in block.text.split("\n") if block.kind == "paragraph" else [block.text]:
        if begun and begins(line):
            yield replace(block, text="\n".join(begun))
            begun = []
        begun.append(line)
    yield replace(block, text="\n".join(begun))


def whole_paragraphs(blocks: list[Block]) -> Iterator[Block]:
    """Joins paragraphs of a statute that do not end with punctuation with the next, unless a heading or article starts there."""
    held: Block | None = None
    whole = Joined("")
    for block in blocks:
        text = bare(block.text)
        new = block.kind != "paragraph" or is_beginning(text) or re.match(r"\d{4}年", text)
        if held and not new and not held.level and whole.length >= 15 and not whole.last.endswith(CLOSERS):
            whole.add(block.text)
            continue
        if held:
            yield replace(held, text=str(whole))
        held = block if block.kind == "paragraph" and not UNIT.match(text) and not ENGLISH_UNIT.fullmatch(text) else None
        whole = Joined(block.text)
        if held is None:
            yield block
    if held:
        yield replace(held, text=str(whole))


def with_units(blocks: Iterator[Block], kind: str) -> Iterator[Block]:
    """Turns chapters and other units into headings of their levels; also a short line without punctuation right before an article.

    kind: of the articles. Sections above articles, and articles above sections, are chapters, too.
    """
    listed = list(blocks if kind == "条" else named_units(list(blocks), kind))
    for block, after in zip(listed, [*listed[1:], None], strict=True):
        text = bare(block.text)
        unit = UNIT.fullmatch(text) or (ENGLISH_UNIT.fullmatch(text) if kind != "条" else None)
        other = heading(text) if kind != "条" else None
        if block.kind != "table" and unit and not text.endswith(CLOSERS):
            yield Block("heading", f"{unit[1]} {closed(unit[3])}".strip(), block.place, UNIT_LEVELS[unit[2].lower()])
        elif block.kind != "table" and other and other.kind != kind and len(text) <= 80 and not text.endswith("."):
            yield replace(block, kind="heading", text=text, level=UNIT_LEVELS["section" if other.kind != "Article" else "article"])
        elif block.kind == "heading":
            yield replace(block, level=UNIT_LEVELS["章"])
        elif (
            block.kind == "paragraph" and re.fullmatch(r"\w{2,15}", closed(text)) and after and heading(bare(after.text)) and text != "目录"
        ):
            yield Block("heading", closed(text), block.place, UNIT_LEVELS["章"])
        else:
            yield block


def named_units(blocks: list[Block], kind: str) -> Iterator[Block]:
    """A chapter of English law, or the like, with its name, where that is in a line of its own below it. kind: of the articles."""
    rest = iter(pairwise([*blocks, Block("table", "")]))
    for block, after in rest:
        text, name = bare(block.text), after.text.strip()
        unit, other = ENGLISH_UNIT.fullmatch(text), heading(text)
        bare_unit = (unit and not unit[3]) or (other and other.kind != kind and other.end == len(text))
        is_name = after.kind != "table" and 0 < len(name) <= 80 and not begins(name) and not name.endswith(CLOSERS)
        if block.kind != "table" and bare_unit and is_name:
            block = replace(block, text=f"{block.text} {name}")
            next(rest, None)
        yield block


def sections(blocks: list[Block], statute: str) -> Iterator[tuple[list[str], str, str]]:
    """The path of headings, the place and the text of each section with text. statute: the kind of its articles, "" if it is none."""
    above: list[tuple[int, str]] = []
    article, place, texts = "", "", list[str]()
    number: tuple[int, ...] = (0,)

    def section() -> Iterator[tuple[list[str], str, str]]:
        if any(text.strip() for text in texts):
            yield [text for _, text in above] + ([article] if article else []), place, "\n".join(texts)

    for block in blocks:
        found = heading(bare(block.text)) if statute and block.kind == "paragraph" else None
        if block.kind == "heading":
            yield from section()
            above = [(level, text) for level, text in above if level < block.level] + [(block.level, block.text)]
            article, texts = "", []
        elif found and found.kind == statute and follows(found, number, texts):
            yield from section()
            article, number, texts = found.label, found.number, [block.text]
            place = block.place
        else:
            place = place if texts else block.place
            texts.append(block.text)
    yield from section()


def follows(found: Heading, number: tuple[int, ...], texts: list[str]) -> bool:
    """Whether an article starts here: the next one, a later one after a full stop, or 之一; not "第五条" within a sentence."""
    now, ended = found.number, not texts or texts[-1].endswith(CLOSERS)
    following = now == (*number[:-1], number[-1] + 1)
    if found.further:
        return now == number or (found.kind != "条" and (following or (now > number and ended)))
    return (following and (found.apart or ended)) or (now > number and found.apart and ended) or (now == (1,) and found.apart)


def closed(text: str) -> str:
    """总　则 as 总则: removes the spaces of a heading with a space after every character."""
    parts = text.split()
    return "".join(parts) if all(len(part) == 1 for part in parts) else " ".join(parts)


def cut(text: str, max_chars: int) -> Iterator[str]:
    """Pieces of at most max_chars that joined are the text, each ending at a line or sentence end if possible.

    A piece that starts inside a table repeats the header of the table.
    """
    head, before, at = "", "", 0  # before: the repeated table header of the piece
    while len(text) - at + len(before) > max_chars:
        window = before + text[at : at + max_chars - len(before)]
        end = next(
            (ends[-1] for mark in CUTS if (ends := [found.end() for found in mark.finditer(window)]) and ends[-1] > max_chars // 3),
            max_chars,
        )
        piece = window[:end].rstrip("\n")
        at += end - len(before)
        yield piece
        heads = TABLE_HEAD.findall(piece)
        head = heads[-1] if heads else head
        within = text.startswith("|", at) and piece.rpartition("\n")[2].startswith("|")
        before = head if within and len(head) < max_chars // 3 else ""
    if text[at:].strip():
        yield before + text[at:]
