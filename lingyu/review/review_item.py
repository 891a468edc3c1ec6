"""The texts of a row that reviewers see, and applying edits to a row."""

import re
from dataclasses import astuple, dataclass

from lingyu.files import short_hash
from lingyu.records import Dialogue, Document, Message, Preference, Question, Row

UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML cannot carry


@dataclass(frozen=True)
class ReviewItem:
    """The texts of a row that a decision is about. other: the rejected reply of a pair."""

    question: str
    answer: str
    reasoning: str = ""
    other: str = ""

    def fingerprint(self) -> str:
        """A hash of the texts, independent of the row's id, to match decisions to rows."""
        return short_hash(*map(normalised, astuple(self)))


def normalised(text: str) -> str:
    """The text without differences that a cell or form may introduce: white space and unprintable characters."""
    return " ".join(UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text).split())


def item_of(row: Row) -> ReviewItem:
    match row:
        case Dialogue():
            return ReviewItem(transcript(row.messages[:-1]), row.messages[-1].content, reasoning=row.messages[-1].reasoning or "")
        case Preference():
            return ReviewItem(transcript(row.messages), row.chosen, other=row.rejected)
        case Question():
            return ReviewItem(transcript(row.messages), row.answer)
        case Document():
            return ReviewItem("", row.text)
    raise TypeError(f"{type(row).__name__} is not a reviewable row")


def transcript(messages: list[Message]) -> str:
    """A single message as it is, several messages with their roles."""
    return messages[0].content if len(messages) == 1 else "\n".join(f"{message.role}: {message.content}" for message in messages)


def edited(row: Row, answer: str, reasoning: str | None = None) -> Row:
    """The row with a new answer, and with a new reasoning if given ("" for none)."""
    match row:
        case Dialogue():
            change = {"content": answer} | ({} if reasoning is None else {"reasoning": reasoning or None})
            return row.model_copy(update={"messages": [*row.messages[:-1], row.messages[-1].model_copy(update=change)]})
        case Preference():
            return row.model_copy(update={"chosen": answer})
        case Question():
            return row.model_copy(update={"answer": answer})
        case Document():
            return row.model_copy(update={"text": answer})
    raise TypeError(f"{type(row).__name__} is not a reviewable row")


def swapped(row: Preference) -> Preference:
    """The pair with chosen and rejected swapped."""
    return row.model_copy(update={"chosen": row.rejected, "rejected": row.chosen})
