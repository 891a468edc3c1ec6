"""Splits documents into chunks that are readable as a source: within one section, at sentence ends."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from lingyu.files import short_hash
from lingyu.records import Document, Fact, Row
from lingyu.text.sentences import INTRODUCES, ITEM, MORE_ITEMS, clauses, sentences


class Chunk(Row):
    """A passage of a document, or a fact in one line. terms: the names and values of a fact."""

    kind: str  # document or fact
    title: str
    section: str
    text: str
    terms: list[str]


def chunks_of_document(document: Document, max_characters: int) -> Iterator[Chunk]:
    for number, text in enumerate(passages(document.text, max_characters)):
        yield Chunk(
            **shared(document, short_hash(document.id, str(number))),
            kind="document",
            title=document.title,
            section=document.section,
            text=text,
            terms=[],
        )


def chunk_of_fact(fact: Fact) -> Chunk:
    return Chunk(
        **shared(fact, short_hash(fact.id, "fact")),
        kind="fact",
        title=fact.entity,
        section=fact.relation,
        text=sentence_of(fact),
        terms=[fact.entity, *fact.values],
    )


def shared(row: Row, new_id: str) -> dict[str, Any]:
    return {"id": new_id, "source": row.source, "place": row.place, "licence": row.licence, "scope": row.scope, "language": row.language}


def sentence_of(fact: Fact) -> str:
    if fact.language == "zh":
        return f"{fact.entity}的{fact.relation}是{'、'.join(fact.values)}。"
    return f"The {fact.relation} of {fact.entity} is {', '.join(fact.values)}."


TABLE = re.compile(r"(?:^|(?<=\n))(\|[^\n]*\|[ \t]*\n\|[ \t:|-]+\|[ \t]*)((?:\n\|[^\n]*\|[ \t]*)+)")
"""A Markdown table: its head, and its rows."""
CELLS = re.compile(r"(?<!\\)\|")


def passages(text: str, max_characters: int) -> list[str]:
    """Each row of a table under its head, and what stands between tables cut at sentences."""
    found, at = list[str](), 0
    for table in TABLE.finditer(text):
        found += prose(text[at : table.start()], max_characters)
        found += [f"{table[1]}\n{row}" for row in table[2].strip().split("\n")]
        at = table.end()
    return found + prose(text[at:], max_characters)


def is_row(text: str) -> bool:
    """Whether a passage is a row of a table under its head."""
    return text.count("\n") == 2 and TABLE.fullmatch(text) is not None


def plain(text: str) -> str:
    """A row of a table as pairs of column and filled cell, which embedders and readers understand better; any other text as it is."""
    if not is_row(text):
        return text
    lines = text.split("\n")
    heads, cells = ([cell.strip() for cell in CELLS.split(line.strip().strip("|"))] for line in (lines[0], lines[2]))
    pairs = [(head, cell) for head, cell in zip(heads, cells, strict=False) if any(map(str.isalnum, cell))]
    return "; ".join(f"{head}: {cell}" if head else cell for head, cell in pairs)


def prose(text: str, max_characters: int) -> list[str]:
    """Sentences joined up to max_characters; a longer sentence is split at clauses, and a longer clause anywhere.

    A list that is cut goes on under the sentence that introduces it: an item alone says neither of whom nor with what effect.
    """
    found: list[str] = []
    current = ""
    for piece, lead in under_leads(pieces(text, max_characters)):
        if current and piece.strip() and len(current) + len(piece) > max_characters:
            found.append(current.strip())
            current = lead if len(lead) + len(piece) <= max_characters else ""
        current += piece
    return [passage for passage in [*found, current.strip()] if passage]


def under_leads(parts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each piece of a text with the sentence that introduces the list it is in, or ""."""
    lead, before, starts = "", "\n", True
    for piece in parts:
        # Where a line starts that is no item, the list has ended.
        if starts and piece.strip() and not (INTRODUCES.search(before) or ITEM.match(piece) or MORE_ITEMS.search(before)):
            lead = ""
        yield piece, lead
        if piece.strip():
            before = piece
        starts = piece.endswith("\n")
        if starts and INTRODUCES.search(piece):
            lead = piece


def pieces(text: str, max_characters: int) -> Iterator[str]:
    for sentence in sentences(text):
        if len(sentence) <= max_characters:
            yield sentence
            continue
        for clause in clauses(sentence):
            yield from (clause[start : start + max_characters] for start in range(0, len(clause), max_characters))
