"""The knowledge base: chunks, their retriever and its index, in one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lingyu.files import read_json, read_table, write_json, write_table
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.retrievers import Choice
from lingyu.retrieve.retrievers import Hit as Hit
from lingyu.retrieve.support import word_set
from lingyu.retrieve.words import words


def build(chunks: list[Chunk], folder: Path, retriever: Choice) -> None:
    """Write chunks.parquet, retriever.json and the retriever's index."""
    write_table(folder / "chunks.parquet", chunks, Chunk)
    write_json(folder / "retriever.json", retriever.model_dump())
    retriever.build(chunks, folder)


class Knowledge:
    """The chunks in a folder written by `build`, and search over them."""

    def __init__(self, folder: Path) -> None:
        self.chunks = list(read_table(folder / "chunks.parquet", Chunk))
        self.terms = frozenset(term for chunk in self.chunks for term in chunk.terms)
        self._index: Any = Choice.model_validate(read_json(folder / "retriever.json")).load(folder, self.chunks)
        self.search = self._index.search

    def relevance(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """How close each text is to the question, from 0 to 1: the weighted share of the question's words that it contains."""
        weights = {word: self._index.weight(word) for word in words(question)}
        total = sum(weights.values()) or 1.0
        return [sum(weight for word, weight in weights.items() if word in word_set(text)) / total for text in texts]
