"""Rows too poor to learn from, each rule with the name that the ledger shows."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lingyu.records import Dialogue, Document, Exam, Fact, Label, Message, Preference, Row
from lingyu.text.language import is_foreign
from lingyu.text.ngrams import grams_of
from lingyu.text.normalise import key
from lingyu.text.sentences import ENDED
from lingyu.text.word_lists import Words

# The lists of words.yaml that the rules read.
LISTS = ("nothing", "placeholder", "garbled", "other_model", "refusal", "missing_input")
GARBLED = 0.02  # share of a text; a single lost character in a translated reply is no reason to lose the reply
SENTENCE = 6  # characters; shorter ones, "end" in code or 是的, may well come again
LETTERS = re.compile(r"[^\W_]+")
LOOP = re.compile(r"([^\W\d_][^\n]{0,19}?)\1{11,}")


@dataclass(frozen=True)
class Limits:
    """What params.yaml and words.yaml say of quality."""

    min_chars: int
    max_repeated: float
    languages: tuple[str, ...]
    words: Mapping[str, Words]

    def says(self, name: str, text: str) -> bool:
        """The text has what that list names."""
        return self.words[name].is_in(text)


def reason_to_drop(row: Row, limits: Limits) -> str | None:
    """The first rule that the row breaks, or None to keep it."""
    return next((reason for reason, broken in RULES[type(row)](row, limits) if broken), None)


def document(row: Document, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "too_short", len(key(row.text)) < limits.min_chars
    yield "garbled", limits.words["garbled"].share_of(row.text) > GARBLED
    yield "wrong_language", is_foreign(row.text, limits.languages)
    yield "boilerplate", limits.says("other_model", row.text)
    yield "repeated", repeated_share(row.text) > limits.max_repeated


def fact(row: Fact, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_entity", limits.says("nothing", row.entity)
    yield "empty_relation", limits.says("nothing", row.relation)
    yield "empty_values", not row.values or any(not value.strip() for value in row.values)


def dialogue(row: Dialogue, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_question", any(limits.says("nothing", text) for text in said(row.messages, "user"))
    replies = said(row.messages, "assistant")
    yield "empty_answer", any(not key(text) for text in replies)
    # Question and answer together: a translation into another language is no stray row.
    yield "wrong_language", is_foreign("\n".join(message.content for message in row.messages), limits.languages)
    yield from reply_rules(replies, limits)


def preference(row: Preference, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_question", limits.says("nothing", row.messages[-1].content)
    yield "empty_answer", not key(row.chosen) or not key(row.rejected)
    yield "no_difference", key(row.chosen) == key(row.rejected)
    yield "wrong_language", is_foreign("\n".join([*said(row.messages, "user"), row.chosen]), limits.languages)
    yield "placeholder", limits.says("placeholder", row.chosen)
    yield "missing_input", limits.says("missing_input", row.chosen)
    yield "refusal", limits.says("refusal", row.chosen)
    yield "boilerplate", limits.says("other_model", row.chosen)
    yield "garbled", limits.words["garbled"].share_of(row.chosen) > GARBLED
    yield "repeated", repeated_share(row.chosen) > limits.max_repeated


def label(row: Label, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_text", limits.says("nothing", row.text)
    yield "empty_label", not row.label.strip()
    yield "garbled", limits.words["garbled"].share_of(row.text) > GARBLED
    yield "wrong_language", is_foreign(row.text, limits.languages)


def exam(row: Exam, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_question", limits.says("nothing", row.question)
    yield "empty_options", len(row.options) < 2 or any(not option.strip() for option in row.options)
    yield "no_right_option", not row.right
    yield "wrong_language", is_foreign("\n".join([row.question, *row.options]), limits.languages)


RULES: dict[type[Row], Callable[..., Iterator[tuple[str, bool]]]] = {
    Document: document,
    Fact: fact,
    Dialogue: dialogue,
    Label: label,
    Exam: exam,
    Preference: preference,
}


def reply_rules(replies: list[str], limits: Limits) -> Iterator[tuple[str, bool]]:
    whole = "\n".join(replies)
    yield "placeholder", any(limits.says("placeholder", reply) for reply in replies)
    yield "missing_input", any(limits.says("missing_input", reply) for reply in replies)
    yield "refusal", any(limits.says("refusal", reply) for reply in replies)
    yield "boilerplate", limits.says("other_model", whole)
    yield "garbled", limits.words["garbled"].share_of(whole) > GARBLED
    yield "repeated", repeated_share(whole) > limits.max_repeated


def said(messages: list[Message], role: str) -> list[str]:
    return [message.content for message in messages if message.role == role]


def repeated_share(text: str) -> float:
    """How much of a text is sentences that it has said before; 1 where a phrase runs on in a loop."""
    length = len(key(text))
    if grams_of(text).size < 0.7 * length and LOOP.search(text):  # the search is slow, and a loop leaves few distinct n-grams
        return 1.0
    seen: set[str] = set()
    again = 0
    for sentence in ENDED.split(text.casefold()):
        said = "".join(LETTERS.findall(sentence))
        if len(said) >= SENTENCE:
            again += len(said) if said in seen else 0
            seen.add(said)
    return again / max(1, length)
