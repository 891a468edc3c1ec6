"""Quality rules, by the names shown in the ledger."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from lingyu.records import Dialogue, Document, Exam, Fact, Label, Message, Preference, Row
from lingyu.text.language import is_foreign, same_language
from lingyu.text.ngrams import grams_of
from lingyu.text.normalise import key
from lingyu.text.questions import exchanges, is_bare, question_of
from lingyu.text.sentences import ENDED
from lingyu.text.word_lists import Words

# The lists of word_lists.yaml that the rules use.
LISTS = ("nothing", "missing", "placeholder", "garbled", "other_model", "refusal", "template", "missing_input")
GARBLED = 0.02  # share of a text; a single garbled character is no reason to drop a reply
SENTENCE = 6  # characters; shorter sentences, such as "end" in code or 是的, may repeat
LETTERS = re.compile(r"[^\W_]+")
# 无 and None are valid answers to some questions: 有禁忌吗, which drones may fly at night.
NONE = re.compile(r"[\W_]*(?:无|没有|暂无|none|nil)[\W_]*", re.IGNORECASE)
MAY_BE_NONE = re.compile(
    r"有|无|没|吗|是否|哪|什么|何|\b(?:any|which|what|who|whom|how many|is there|are there|does|do|did)\b", re.IGNORECASE
)
LONGEST_NOTHING = 40  # characters; longer texts have content
LATIN_NONE = re.compile(r"[\W_]*(?:none|nil|n/?a)?[\W_]*", re.IGNORECASE)
NO_WORD = re.compile(r"[\W_]*(?:测试|test|空|na)[\W_]*", re.IGNORECASE)  # possible as an answer; Na is sodium
OF_CODE = re.compile(r"null|nil\b|\bnan|undefined|json|sql|python|java|变量|返回|编程|代码|空值|缺失值|英文|英语|翻译", re.IGNORECASE)
OF_TEMPLATES = re.compile(r"模板|变量|占位|语法|写法|placeholder|template|variable", re.IGNORECASE)
OF_REPEATING = re.compile(r"[两二三四五六七八九十\d]+\s*[遍次]|重复|反复|\brepeat\b|\btimes\b", re.IGNORECASE)
LOOP = re.compile(r"([^\W\d_][^\n]{0,19}?)\1{11,}")


@dataclass(frozen=True)
class Limits:
    """The quality settings of params.yaml and word_lists.yaml."""

    min_chars: int
    max_repeated: float
    languages: tuple[str, ...]
    words: Mapping[str, Words]
    drop: frozenset[str] = frozenset()  # optional reasons to drop rows
    matching: Mapping[str, str] = field(default_factory=dict)  # the user's own reasons, each with a regular expression

    def matches(self, name: str, text: str) -> bool:
        """Whether the text matches the list."""
        return self.words[name].is_in(text)


def reason_to_drop(row: Row, limits: Limits) -> str | None:
    """The first rule that the row violates, or None to keep it."""
    broken = (reason for reason, broken in RULES[type(row)](row, limits) if broken)
    matched = (reason for reason, pattern in limits.matching.items() if re.search(pattern, all_text(row)))
    return next(broken, None) or next(matched, None)


def all_text(row: Row) -> str:
    match row:
        case Document() | Label():
            return row.text
        case Fact():
            return "\n".join([row.entity, row.relation, *row.values])
        case Exam():
            return "\n".join([row.question, *row.options])
        case Preference():
            return "\n".join([*(message.content for message in row.messages), row.chosen, row.rejected])
        case Dialogue():
            return "\n".join(message.content for message in row.messages)
    raise TypeError(f"clean has no rows of type {type(row).__name__}")


def document(row: Document, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "too_short", len(key(row.text)) < limits.min_chars
    yield "garbled", limits.words["garbled"].share_of(row.text) > GARBLED
    yield "wrong_language", is_foreign(row.text, limits.languages)
    yield "boilerplate", limits.matches("other_model", row.text)
    yield "repeated", repeated_share(row.text) > limits.max_repeated


def fact(row: Fact, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_entity", limits.matches("nothing", row.entity)
    yield "empty_relation", limits.matches("nothing", row.relation)
    none = LATIN_NONE if row.language == "en" else NONE
    missing = (limits.matches("missing", value) and not none.fullmatch(value) for value in row.values)
    yield "empty_values", not row.values or any(not value.strip() for value in row.values) or any(missing)


def dialogue(row: Dialogue, limits: Limits) -> Iterator[tuple[str, bool]]:
    asked, replies = contents(row.messages, "user"), contents(row.messages, "assistant")
    question = "\n".join(asked)
    yield "empty_question", bool(asked) and all(limits.matches("nothing", text) for text in asked)  # 没有 may answer an earlier question
    yield "empty_answer", any(says_nothing(reply, before, limits) for before, reply in exchanges(row.messages))
    # Question and answer together: a translation into another language is not a foreign row.
    yield "wrong_language", is_foreign("\n".join(message.content for message in row.messages), limits.languages)
    yield from reply_rules(question, replies, limits)
    yield "bare_answer", "bare_answer" in limits.drop and not row.messages[-1].reasoning and is_bare(replies[-1])
    yield "other_language", "other_language" in limits.drop and not same_language(question, replies[-1])
    yield "template_remnant", "template_remnant" in limits.drop and any(limits.matches("template", text) for text in [*asked, *replies])


def preference(row: Preference, limits: Limits) -> Iterator[tuple[str, bool]]:
    question = question_of(row.messages)
    yield "empty_question", limits.matches("nothing", question)
    yield "empty_answer", says_nothing(row.chosen, question, limits) or not key(row.rejected) or limits.matches("missing", row.rejected)
    yield "no_difference", key(row.chosen) == key(row.rejected)
    yield "wrong_language", is_foreign("\n".join([question, row.chosen]), limits.languages)
    yield from reply_rules(question, [row.chosen], limits)


def label(row: Label, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_text", limits.matches("nothing", row.text)
    yield "empty_label", not row.label.strip() or is_nan(row.label, limits)
    yield "garbled", limits.words["garbled"].share_of(row.text) > GARBLED
    yield "wrong_language", is_foreign(row.text, limits.languages)


def exam(row: Exam, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_question", limits.matches("nothing", row.question)
    blank, missing = [not option.strip() for option in row.options], [is_nan(option, limits) for option in row.options]
    yield "empty_options", len(row.options) < 2 or any(blank) or sum(missing) > 1  # one NaN may be a valid option
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


def reply_rules(question: str, replies: list[str], limits: Limits) -> Iterator[tuple[str, bool]]:
    whole = "\n".join(replies)
    blank = any(limits.matches("placeholder", reply) for reply in replies)  # not if the question is about it
    yield "placeholder", blank and not limits.matches("placeholder", question) and not OF_TEMPLATES.search(question)
    lacking = bool(replies) and limits.matches("missing_input", replies[-1])  # an earlier reply was given what it lacked
    yield "missing_input", lacking
    yield "refusal", any(limits.matches("refusal", reply) for reply in replies)
    yield "boilerplate", limits.matches("other_model", whole)
    yield "garbled", limits.words["garbled"].share_of(whole) > GARBLED
    again = any(repeated_share(reply) > limits.max_repeated for reply in replies)  # what comes again in a later reply is courtesy
    yield "repeated", again and not OF_REPEATING.search(question)


def says_nothing(reply: str, question: str, limits: Limits) -> bool:
    """Whether a reply is blank, a missing value, or 无 to a question that it cannot answer."""
    if not key(reply):
        return True
    if len(reply) > LONGEST_NOTHING:
        return False
    if limits.matches("missing", reply):
        return not OF_CODE.search(question) and not (question.isascii() and NONE.fullmatch(reply) and MAY_BE_NONE.search(question))
    if not limits.matches("nothing", reply) or NO_WORD.fullmatch(reply):
        return False
    return not (NONE.fullmatch(reply) and MAY_BE_NONE.search(question))


def is_nan(text: str, limits: Limits) -> bool:
    """Whether a text can only be a missing value: a class may be called None, or -."""
    return limits.matches("missing", text) and not LATIN_NONE.fullmatch(text)


def contents(messages: list[Message], role: str) -> list[str]:
    return [message.content for message in messages if message.role == role]


def repeated_share(text: str) -> float:
    """The share of a text in repeated sentences; 1 if a phrase repeats in a loop."""
    length = len(key(text))
    if grams_of(text).size < 0.7 * length and LOOP.search(text):  # the search is slow, and a loop has few distinct n-grams
        return 1.0
    seen: set[str] = set()
    again = 0
    for sentence in ENDED.split(text.casefold()):
        letters = "".join(LETTERS.findall(sentence))
        if len(letters) >= SENTENCE:
            again += len(letters) if letters in seen else 0
            seen.add(letters)
    return again / max(1, length)
