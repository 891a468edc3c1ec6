"""The user's side of a dialogue, recognising questions, and comparing answers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lingyu.records import Dialogue, Message, Preference
from lingyu.text.normalise import key, normal

# The first words of an answer that mean yes or no. 无论, 不过 and 未成年人 mean neither.
NO = re.compile(
    r"[\W_]*(?:(?:您好|你好|答)[\W_]+)?(?:不(?:可以?|能|会|是|行|需要?|用|必|得|应|该|要|允许|对|准|许|属于|算|合法|违法|包括|收|予|一定|[\W_]|$)"
    r"|没有|没(?=[\W_]|$)|否|无(?=[\W_]|$|需|须|权)|禁止|严禁|(?:no|not|never|cannot|can['’]t|don['’]t|mustn['’]t)\b)",
    re.IGNORECASE,
)
YES = re.compile(
    r"[\W_]*(?:(?:您好|你好|答)[\W_]+)?(?:可以|能(?!否)|是(?!否)|需要|必须|应当|应该|允许|属于|合法|违法|包括|(?:会|行|要|得|对|算|有|好)(?=[\W_]|$|的)"
    r"|(?:yes|sure|of course|certainly|correct|right)\b)",
    re.IGNORECASE,
)
NEGATION = re.compile(r"不|没有|没|未|无|勿|(?:\b(?:not|never|no)|n['’]t)\b", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:\.\d+)?|[〇零一二三四五六七八九十百千万两]+")
WORD = re.compile(r"[^\W_]+")

_ASKING = re.compile(r"下列|以下|哪|什么|[?？]|\b(?:which|what|who|following)\b", re.IGNORECASE)


def question_of(messages: list[Message]) -> str:
    """The text of all user turns."""
    return "\n".join(message.content for message in messages if message.role == "user")


def asks(text: str) -> bool:
    """Whether a text ends like a question."""
    return text.rstrip().endswith(("?", "？"))


def has_question_word(text: str) -> bool:
    """Whether a text contains a question word: such a sentence reads oddly once its blank is filled (下列属于机型的是云雀)."""
    return bool(_ASKING.search(text))


def question_key(row: Dialogue | Preference) -> str:
    return key(question_of(row.messages))


def exchanges(messages: list[Message]) -> Iterator[tuple[str, str]]:
    """Each reply with what the person said last before it."""
    asked = ""
    for message in messages:
        if message.role == "user":
            asked = message.content
        elif message.role == "assistant":
            yield asked, message.content


def is_bare(answer: str) -> bool:
    """Whether an answer is only one word, number or sign: 是, 可以, No, 120."""
    words = WORD.findall(normal(answer))
    return bool(key(answer)) and len(words) <= 1 and (not words or words[0].isascii() or len(words[0]) <= 2)


@dataclass(frozen=True)
class Stance:
    """The content of an answer that another can contradict."""

    says: int  # 1 yes, -1 no, 0 neither
    whole: str
    without_numbers: str
    without_negation: str


def stance_of(answer: str) -> Stance:
    whole = key(answer)
    says = -1 if NO.match(answer) else 1 if YES.match(answer) else 0
    return Stance(says, whole, NUMBER.sub("", whole), key(NEGATION.sub("", normal(answer))))


def are_contrary(one: Stance, other: Stance) -> bool:
    """Whether two answers to one question cannot both be right: yes and no, the same but for a number or for a negation."""
    if one.whole == other.whole:
        return False
    return one.says * other.says < 0 or one.without_numbers == other.without_numbers or one.without_negation == other.without_negation
