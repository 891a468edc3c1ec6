"""The prompt of professional mode: the retrieved passages, then the question; training rows use the same format."""

from collections.abc import Sequence

from lingyu.records import headed
from lingyu.retrieve.chunks import Chunk

# The answer, of the service or of a model trained on it, if the passages have no answer; True for a question in Chinese.
NOTHING_FOUND = {
    True: "资料中没有找到与这个问题有关的内容，因此无法回答。",
    False: "The documents hold nothing on this question, so it cannot be answered from them.",
}


def with_passages(question: str, passages: Sequence[Chunk]) -> str:
    listed = "\n".join(f"[{number}] {passage_text(passage)}" for number, passage in enumerate(passages, 1))
    return f"资料：\n{listed}\n\n问题：{question}" if is_chinese(question) else f"Passages:\n{listed}\n\nQuestion: {question}"


def passage_text(passage: Chunk) -> str:
    """A passage with its headings, as in the pretraining text. A fact contains all names itself."""
    return headed(passage.title, passage.section, passage.text) if passage.kind == "document" else passage.text


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)
