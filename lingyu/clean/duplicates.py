"""Duplicate rows, and facts, labels and answers that contradict each other."""

from dataclasses import dataclass, field
from typing import Any

from lingyu.records import Dialogue, Document, Exam, Fact, Label, Preference, Row
from lingyu.text.legal import HEADING
from lingyu.text.normalise import key
from lingyu.text.questions import Stance, are_contrary, question_key, stance_of


@dataclass(frozen=True)
class Verdict:
    """Why a row is dropped ("" if kept) and the row that caused it; the fields changed in a kept row."""

    reason: str
    because: str
    changed: dict[str, Any] = field(default_factory=dict)


KEPT = Verdict("", "")


def sameness(row: Row) -> tuple[str, ...]:
    """Rows of a table with the same key are duplicates."""
    match row:
        case Document():
            return (statute(row), key(row.text))
        case Fact():
            return (key(row.entity), key(row.relation), *sorted(map(key, row.values)))
        case Dialogue():
            return tuple(key(message.content) for message in row.messages)
        case Label():
            return (row.task, key(row.text), row.label)
        case Exam():
            return (key(row.question), *map(key, row.options))
        case Preference():
            return (question_key(row), key(row.chosen), key(row.rejected))
    raise TypeError(f"no such row: {type(row)}")


def statute(row: Document) -> str:
    """The title if the row is an article, otherwise "": the same text in two statutes is two sources to cite."""
    return key(row.title) if HEADING.fullmatch(row.section.rpartition(" / ")[2]) else ""


def subject(row: Row) -> tuple[str, ...]:
    """What rows can contradict each other about: the text of a label, the entity and relation of a fact, the question of a dialogue."""
    match row:
        case Label():
            return (row.task, key(row.text))
        case Fact():
            return (key(row.entity), key(row.relation))
        case Dialogue():
            return (row.task, *(key(message.content) for message in row.messages[:-1]))
    return ()


class Duplicates:
    """Finds all but the first row of each group of duplicates."""

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}

    def first(self, same: bytes, id_: str) -> str:
        """The id of the first row with this key, which may be the row itself."""
        return self._first.setdefault(same, id_)


class Labels:
    """Texts with more than one class in a task: all their rows are dropped, because it is unknown which is right."""

    def __init__(self) -> None:
        self._first: dict[bytes, tuple[str, str]] = {}
        self._torn: set[bytes] = set()

    def add(self, subject: bytes, row: dict[str, Any]) -> None:
        if self._first.setdefault(subject, (row["label"], row["id"]))[0] != row["label"]:
            self._torn.add(subject)

    def verdict(self, subject: bytes, row: dict[str, Any]) -> Verdict:
        return Verdict("conflicting_label", self._first[subject][1]) if subject in self._torn else KEPT


class Answers:
    """Questions with answers that cannot both be right: all their rows are dropped, because it is unknown which is right."""

    def __init__(self) -> None:
        self._given: dict[bytes, list[tuple[str, Stance]]] = {}
        self._torn: dict[bytes, str] = {}

    def add(self, subject: bytes, row: dict[str, Any]) -> None:
        stance = stance_of(row["messages"][-1]["content"])
        given = self._given.setdefault(subject, [])
        if subject not in self._torn and any(are_contrary(stance, other) for _, other in given):
            self._torn[subject] = given[0][0]
        given.append((row["id"], stance))

    def verdict(self, subject: bytes, row: dict[str, Any]) -> Verdict:
        if subject not in self._torn:
            return KEPT
        return Verdict("conflicting_answer", self._torn[subject])


class Facts:
    """One fact for each entity and relation.

    If a relation has several values anywhere in the corpus, rows of the same entity are merged into the first. If it always
    has one value, different values are a contradiction, and all of them are dropped because it is unknown which is right.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, tuple[str, list[str]]] = {}
        self._others: dict[bytes, list[str]] = {}  # values of the rows after the first
        self._many: set[str] = set()

    def add(self, subject: bytes, row: dict[str, Any]) -> None:
        if len(row["values"]) > 1:
            self._many.add(key(row["relation"]))
        if self._first.setdefault(subject, (row["id"], row["values"]))[0] != row["id"]:
            self._others.setdefault(subject, []).extend(row["values"])

    def verdict(self, subject: bytes, row: dict[str, Any]) -> Verdict:
        first, values = self._first[subject]
        others = self._others.get(subject, [])
        if others and key(row["relation"]) not in self._many:
            return Verdict("conflicting_fact", first)
        if row["id"] != first:
            return Verdict("merged_fact", first)
        distinct = {key(value) or value: value for value in reversed([*values, *others])}
        return Verdict("", "", {"values": list(reversed(distinct.values()))})
