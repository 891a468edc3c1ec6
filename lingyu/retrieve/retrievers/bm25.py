"""BM25 over words, stored as plain arrays, so that the same chunks give the same bytes.

A vector store such as LanceDB uses random file names, so its output is not reproducible.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.retrievers import Hit, RetrieverOptions
from lingyu.retrieve.words import words

# The weight of a word that is in no title, heading, or name or relation of a fact. Users wrap questions in words that are in
# no passage ("翻到…那一页，后面写着什么"), and these must not outweigh the subject of the question.
BODY_WEIGHT = 0.3
# Single characters and numbers are everywhere, in headings too.
COMMON_WEIGHT = 0.1


class Options(RetrieverOptions):
    k1: PositiveFloat = 1.5
    b: float = Field(0.75, ge=0, le=1)


def build(chunks: list[Chunk], folder: Path, options: Options) -> None:
    """Write the index under bm25/, if any chunk has words."""
    import bm25s

    vocabulary: dict[str, int] = {}
    numbered = [[vocabulary.setdefault(word, len(vocabulary)) for word in words(indexed_text(chunk))] for chunk in chunks]
    if not vocabulary:
        return
    index = bm25s.BM25(k1=options.k1, b=options.b)
    index.index((numbered, vocabulary), show_progress=False)
    index.save(folder / "bm25", show_progress=False)


def indexed_text(chunk: Chunk) -> str:
    return f"{chunk.title}\n{chunk.section}\n{chunk.text}"


def load(folder: Path, chunks: list[Chunk]) -> "BM25":
    return BM25(folder, chunks)


class BM25:
    """Search over an index written by `build`. The score is the weighted share of the question's words that the chunk contains."""

    def __init__(self, folder: Path, chunks: list[Chunk]) -> None:
        self.chunks = chunks
        self._index: Any = None
        if (folder / "bm25").is_dir():
            import bm25s

            self._index = bm25s.BM25.load(folder / "bm25", show_progress=False)
        self._vocabulary: dict[str, int] = self._index.vocab_dict if self._index is not None else {}
        self._headings = {word for heading in {c.title for c in self.chunks} | {c.section for c in self.chunks} for word in words(heading)}

    def search(self, question: str, limit: int, kind: str | None = None) -> list[Hit]:
        """The best chunks for the question, best first, with ties resolved by BM25; optionally of one kind only."""
        weights = {word: self.weight(word) for word in words(question)}
        known = sorted(weights.keys() & self._vocabulary.keys())
        if not known:
            return []
        scores = np.zeros(len(self.chunks))
        for word in known:
            scores[self.holding(word)] += weights[word]
        if kind is not None:
            scores[[chunk.kind != kind for chunk in self.chunks]] = 0
        # Rounded, so that the order of summation does not break ties. lexsort sorts by its last key first.
        scores = (scores / sum(weights.values())).round(9)
        best = np.lexsort((np.arange(len(scores)), -self._index.get_scores(known), -scores))[:limit]
        return [Hit(self.chunks[i], float(scores[i])) for i in best if scores[i] > 0]

    def weight(self, word: str) -> float:
        """The weight of a word of the question: BM25's IDF, lowered if the word is in no title or heading."""
        holding = len(self.holding(word))
        rarity = math.log(1 + (len(self.chunks) - holding + 0.5) / (holding + 0.5))
        return rarity * (COMMON_WEIGHT if is_common(word) else 1.0 if word in self._headings else BODY_WEIGHT)

    def holding(self, word: str) -> NDArray[np.int32]:
        """The chunks that contain the word."""
        if word not in self._vocabulary:
            return np.empty(0, np.int32)
        at, starts = self._vocabulary[word], self._index.scores["indptr"]
        holding: NDArray[np.int32] = self._index.scores["indices"][starts[at] : starts[at + 1]]
        return holding


def is_common(word: str) -> bool:
    return len(word) == 1 or word.isdecimal()
