"""What a made row tells of itself: the fields that are the same whatever method made it."""

from collections.abc import Callable, Sequence
from typing import Any

from lingyu.files import short_hash
from lingyu.records import Message, Row

RULES = "rules"  # the teacher that is no model: templates and extraction

Left = Callable[[Row, str], None]
"""Told by a method of a record, or a part of it, of which it makes nothing, and why."""


def unheard(record: Row, reason: str) -> None:
    """For who need not know what was left."""


def provenance(record: Row, *, method: str, task: str, asked: str, use: str = "", references: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of records.Made for a row that a rule made of this record, named by what it asks.

    use: makes the id another where one question serves twice; references: further rows that it rests on, beside the record.
    """
    return {
        "id": short_hash(method, task, use, record.id, asked),
        "source": record.source,
        "place": record.place,
        "licence": record.licence,
        "scope": record.scope,
        "language": record.language,
        "task": task,
        "references": [record.id, *references],
        "method": method,
        "teacher": RULES,
        "prompt_hash": "",
        "review": "",
    }


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def exchange(question: str, answer: str) -> list[Message]:
    return [*user(question), Message(role="assistant", content=answer)]
