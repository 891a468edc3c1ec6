"""What a person asked in a dialogue, and what makes a text a question."""

import re

from lingyu.records import Dialogue, Message, Preference
from lingyu.text.normalise import key

_ASKING = re.compile(r"下列|以下|哪|什么|[?？]|\b(?:which|what|who|following)\b", re.IGNORECASE)


def question_of(messages: list[Message]) -> str:
    """All that the person said."""
    return "\n".join(message.content for message in messages if message.role == "user")


def asks(text: str) -> bool:
    """Whether a text ends as a question."""
    return text.rstrip().endswith(("?", "？"))


def has_question_word(text: str) -> bool:
    """Whether something in a text asks: such a sentence reads oddly once its blank is filled (下列属于机型的是云雀)."""
    return bool(_ASKING.search(text))


def question_key(row: Dialogue | Preference) -> str:
    return key(question_of(row.messages))
