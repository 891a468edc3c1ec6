"""The question as professional mode puts it to the model, with the passages found before it; training rows are made in the same form."""

from collections.abc import Sequence

from lingyu.records import headed
from lingyu.retrieve.chunks import Chunk

# What is said, by the service or by a model trained on it, where the passages do not answer; True for a question in Chinese.
NOTHING_FOUND = {
    True: "资料中没有找到与这个问题有关的内容，因此无法回答。",
    False: "The documents hold nothing on this question, so it cannot be answered from them.",
}


def with_passages(question: str, passages: Sequence[Chunk]) -> str:
    listed = "\n".join(f"[{number}] {shown(passage)}" for number, passage in enumerate(passages, 1))
    return f"资料：\n{listed}\n\n问题：{question}" if is_chinese(question) else f"Passages:\n{listed}\n\nQuestion: {question}"


def shown(passage: Chunk) -> str:
    """A passage under its headings, as pretraining reads it. A fact names all itself."""
    return headed(passage.title, passage.section, passage.text) if passage.kind == "document" else passage.text


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)
