"""What a person asked in a dialogue."""

from lingyu.records import Dialogue, Message, Preference
from lingyu.text.normalise import key


def question_of(messages: list[Message]) -> str:
    """All that the person said."""
    return "\n".join(message.content for message in messages if message.role == "user")


def question_key(row: Dialogue | Preference) -> str:
    return key(question_of(row.messages))
