"""Rows too poor to learn from, each rule with the name that the ledger shows."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lingyu.corpus.language import is_foreign
from lingyu.corpus.normalise import key
from lingyu.corpus.similar import grams_of
from lingyu.records import Dialogue, Document, Exam, Fact, Label, Message, Preference, Row

# What people type where they have nothing to say, as `key` leaves it.
NOTHING = {"", "无", "没有", "暂无", "无内容", "略", "如题", "空", "none", "null", "nan", "na", "nil", "test", "测试", "todo", "tbd"}
# 第X条, 《XX法》: a citation that nobody filled in.
PLACEHOLDER = re.compile(
    r"第\s*(?:[XxＸ×*＊_?？]+|某)\s*[条款章]|《[XxＸ×*＊_]{1,6}[法条例规定]*》|\blorem ipsum\b|\{\{.+?\}\}"
    r"|【(?:此处)?(?:待补充|待填写|填写[^】]*)】"
)
REFUSAL = re.compile(
    r"^(?:很?(?:抱歉|对不起|遗憾)[，,。!！]?[^。！\n]{0,12}(?:无法|不能|没有办法|没法)|我(?:无法|不能)(?:回答|提供|协助|满足)"
    r"|(?:I['’]?m sorry|I am sorry|Sorry|I apologi[sz]e)[,.!]?\s[^.\n]{0,40}(?:can['’]?t|cannot|unable|not able)"
    r"|I (?:can['’]?t|cannot|am unable to) (?:answer|help|assist|provide|comply))",
    re.IGNORECASE,
)
# A reply to a text, table or picture that the question forgot to bring.
MISSING = re.compile(
    r"^(?:您好|你好)?[，,。]?(?:很|非常)?(?:抱歉|对不起|不好意思)[，,。！]?\s?(?:但是?|由于|因为)?[，,]?[您你](?:并)?(?:没有|没|未)"
    r"(?:给|提供|为我|指定|说明|附上|上传|输入)"
    r"|^(?:I['’]?m |I am )?sorry[,.]? (?:but )?(?:it (?:seems|looks like) )?you (?:did not|didn['’]?t|have not|haven['’]?t|forgot to)"
    r" (?:provide|give|specif|attach|includ|share)",
    re.IGNORECASE,
)
BOILERPLATE = re.compile(
    r"作为(?:一[个名款位])?[^，。,.\n]{0,6}?(?:人工智能|AI|语言)\s?(?:语言)?(?:模型|助手|程序|系统|机器人)?\s?[，,]\s?(?:请?让?我|没有|无法|不能|如果您)"
    r"|作为一(?:个|名|款)?(?:大型)?(?:人工智能|AI|语言模型|聊天机器人|智能助手)|我是一(?:个|名|款)?(?:人工智能|AI|语言模型)"
    r"|\bas an (?:AI|artificial intelligence)\b|\bI am an AI\b|\blanguage model trained by\b|知识截止",
    re.IGNORECASE,
)
SENTENCE = 6  # characters; shorter ones, "end" in code or 是的, may well come again
ENDED = re.compile(r"[。！？!?；;\n]|\.\s")
LETTERS = re.compile(r"[^\W_]+")
LOOP = re.compile(r"([^\W\d_][^\n]{0,19}?)\1{11,}")


@dataclass(frozen=True)
class Limits:
    """What params.yaml says of quality."""

    min_chars: int
    max_repeated: float
    languages: tuple[str, ...]


def reason_to_drop(row: Row, limits: Limits) -> str | None:
    """The first rule that the row breaks, or None to keep it."""
    return next((reason for reason, broken in RULES[type(row)](row, limits) if broken), None)


def document(row: Document, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "too_short", len(key(row.text)) < limits.min_chars
    yield "garbled", garbled_share(row.text) > 0.02
    yield "wrong_language", is_foreign(row.text, limits.languages)
    yield "boilerplate", BOILERPLATE.search(row.text) is not None
    yield "repeated", repeated_share(row.text) > limits.max_repeated


def fact(row: Fact, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_entity", key(row.entity) in NOTHING
    yield "empty_relation", key(row.relation) in NOTHING
    yield "empty_values", not row.values or any(not value.strip() for value in row.values)


def dialogue(row: Dialogue, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_question", any(key(text) in NOTHING for text in said(row.messages, "user"))
    replies = said(row.messages, "assistant")
    yield "empty_answer", any(not key(text) for text in replies)
    # Question and answer together: a translation into another language is no stray row.
    yield "wrong_language", is_foreign("\n".join(message.content for message in row.messages), limits.languages)
    yield from reply_rules(replies, limits)


def preference(row: Preference, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_question", key(row.messages[-1].content) in NOTHING
    yield "empty_answer", not key(row.chosen) or not key(row.rejected)
    yield "no_difference", key(row.chosen) == key(row.rejected)
    yield "wrong_language", is_foreign("\n".join([*said(row.messages, "user"), row.chosen]), limits.languages)
    yield "placeholder", PLACEHOLDER.search(row.chosen) is not None
    yield "missing_input", MISSING.search(row.chosen.strip()) is not None
    yield "refusal", REFUSAL.search(row.chosen.strip()) is not None
    yield "boilerplate", BOILERPLATE.search(row.chosen) is not None
    yield "garbled", garbled_share(row.chosen) > 0.02
    yield "repeated", repeated_share(row.chosen) > limits.max_repeated


def label(row: Label, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_text", key(row.text) in NOTHING
    yield "empty_label", not row.label.strip()
    yield "garbled", garbled_share(row.text) > 0.02
    yield "wrong_language", is_foreign(row.text, limits.languages)


def exam(row: Exam, limits: Limits) -> Iterator[tuple[str, bool]]:
    yield "empty_question", key(row.question) in NOTHING
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
    yield "placeholder", PLACEHOLDER.search(whole) is not None
    yield "missing_input", any(MISSING.search(reply.strip()) for reply in replies)
    yield "refusal", any(REFUSAL.search(reply.strip()) for reply in replies)
    yield "boilerplate", BOILERPLATE.search(whole) is not None
    yield "garbled", garbled_share(whole) > 0.02
    yield "repeated", repeated_share(whole) > limits.max_repeated


def said(messages: list[Message], role: str) -> list[str]:
    return [message.content for message in messages if message.role == role]


def garbled_share(text: str) -> float:
    """The share of characters that no reader can read: replacements and private ones."""
    return len(re.findall(r"[\ufffd\ue000-\uf8ff]", text)) / max(1, len(text))


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
