"""Finds the training rows that leak a test item: they ask the same question or contain the same text.

The question of a row is the text of all user turns, because that is what evaluation asks; with several turns also each turn that
is meaningful by itself: 没有 and 是的 answer the assistant, and follow-up questions that many dialogues share depend on earlier turns.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lingyu.generate.rules import classify
from lingyu.records import Dialogue, Document, Preference, Question, Row
from lingyu.split.leak import OTHERS, Bounds, Gate, Item, amount, folded, others_of

LEANS = 3  # number of dialogues with the same follow-up question from which it counts as depending on earlier turns
ASKED = ("train/sft", "train/preference", "train/prompts")


def leaking(rows: dict[str, list[Row]], bounds: Bounds) -> Iterator[dict[str, Any]]:
    """The training rows that are (near-)duplicates of a test question or a test text."""
    tested = [row for table in ("test/questions", "test/preference") for row in rows[table]]
    trained = [row for table in ASKED for row in rows[table]]
    speaks = Speaking([*tested, *trained], bounds.min_contained)
    asked = gate((item for row in tested for item in items_of(row, texts_tested(row, speaks))), trained, bounds)
    for table in ASKED:
        for leak in asked.leaks(item for row in rows[table] for item in items_of(row, texts_asked(row, speaks))):
            yield {"table": table, **asdict(leak)}
    texts = (item for table in ("test/domain", "test/general") for row in rows[table] for item in items_of(row, texts_of_row(row)))
    said = gate(texts, rows["train/pretrain"], bounds)
    for leak in said.leaks(item for row in rows["train/pretrain"] for item in items_of(row, texts_of_row(row))):
        yield {"table": "train/pretrain", **asdict(leak)}


def gate(held: Iterable[Item], trained: Sequence[Row], bounds: Bounds) -> Gate:
    """The gate for the held-out items, which knows the text that many training rows share."""
    drawn = [text for row in trained[:: len(trained) // OTHERS + 1] for text in ("\n".join(turns_of(row)), *texts_of_row(row)) if text]
    return Gate(held, bounds, others=others_of(drawn, len(trained)))


def items_of(row: Row, texts: Iterable[str]) -> Iterator[Item]:
    return (Item(row.id, text, row.source, row.place) for text in texts)


def texts_of_row(row: Row) -> list[str]:
    return [row.text] if isinstance(row, Document) else []


class Speaking:
    """The turns of these rows that are meaningful by themselves."""

    def __init__(self, rows: Iterable[Row], least: float) -> None:
        self._least = least
        openings: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            first, *later = turns_of(row) or [""]
            for turn in later:
                if amount(fold := folded(turn)) >= least and len(openings[fold]) < LEANS:
                    openings[fold].add(folded(first))
        self._leaning = {fold for fold, firsts in openings.items() if len(firsts) >= LEANS}

    def __call__(self, turn: str) -> bool:
        fold = folded(turn)
        return amount(fold) >= self._least and fold not in self._leaning


def texts_tested(row: Row, speaks: Speaking) -> list[str]:
    """The question of a test item: all user turns, and the last turn if it is meaningful by itself."""
    turns = turns_of(row)
    return turns if len(turns) < 2 else ["\n".join(turns), *filter(speaks, turns[-1:])]


def texts_asked(row: Row, speaks: Speaking) -> list[str]:
    """The questions of a training row: all user turns, and each turn that is meaningful by itself."""
    turns = turns_of(row)
    return turns if len(turns) < 2 else ["\n".join(turns), *filter(speaks, turns)]


def turns_of(row: Row) -> list[str]:
    """The user turns of a row; for classification only the text, since the rest of the prompt is the same for all."""
    if not isinstance(row, Dialogue | Preference | Question):
        return []
    texts = [message.content for message in row.messages if message.role == "user"]
    return [classify.text_asked(text, row.language) for text in texts] if row.method in classify.PROMPTED else texts
