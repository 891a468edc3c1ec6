"""What reviewers see of a row, and what their word makes of it."""

import re
from dataclasses import astuple, dataclass

from lingyu.files import short_hash
from lingyu.records import Dialogue, Document, Message, Preference, Question, Row

UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML cannot carry


@dataclass(frozen=True)
class Shown:
    """The texts of a row that a decision is about. other: the worse reply of a pair."""

    question: str
    answer: str
    reasoning: str = ""
    other: str = ""

    def print(self) -> str:
        """A hash that stays with the texts, whatever the row's id: by it a decision finds its row again."""
        return short_hash(*map(even, astuple(self)))


def even(text: str) -> str:
    """The text as it comes back from a cell or a form: white space and characters that cannot be shown tell nothing apart."""
    return " ".join(UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text).split())


def shown(row: Row) -> Shown:
    match row:
        case Dialogue():
            return Shown(spoken(row.messages[:-1]), row.messages[-1].content, reasoning=row.messages[-1].reasoning or "")
        case Preference():
            return Shown(spoken(row.messages), row.chosen, other=row.rejected)
        case Question():
            return Shown(spoken(row.messages), row.answer)
        case Document():
            return Shown("", row.text)
    raise TypeError(f"{type(row).__name__} is not a row that people review")


def spoken(messages: list[Message]) -> str:
    """One message as it is, several with their speakers."""
    return messages[0].content if len(messages) == 1 else "\n".join(f"{message.role}: {message.content}" for message in messages)


def edited(row: Row, answer: str, reasoning: str | None = None) -> Row:
    """The row with another answer; with another reasoning where one is given, "" for none."""
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
    raise TypeError(f"{type(row).__name__} is not a row that people review")


def swapped(row: Preference) -> Preference:
    """The pair with the other reply as the better one."""
    return row.model_copy(update={"chosen": row.rejected, "rejected": row.chosen})
