"""BM25 over characters, pairs of characters and identifiers, stored as plain arrays, so that the same chunks give the same bytes.

A vector store such as LanceDB uses random file names, so its output is not reproducible.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveFloat

from lingyu.retrieve import fusion
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.embedders import Floats
from lingyu.retrieve.questions import Examples
from lingyu.retrieve.retrievers import Retriever, RetrieverOptions
from lingyu.retrieve.words import grams


class Options(RetrieverOptions):
    k1: PositiveFloat = 1.5
    b: float = Field(0.75, ge=0, le=1)


def build(chunks: list[Chunk], folder: Path, options: Options, examples: Examples) -> None:
    index(chunks, folder, options)
    fusion.build(chunks, folder, examples, BM25(folder, len(chunks)), None, 0.0)


def load(folder: Path, chunks: list[Chunk]) -> Retriever:
    return fusion.Fused(chunks, folder, BM25(folder, len(chunks)), None)


def index(chunks: list[Chunk], folder: Path, options: Options) -> None:
    """Write the index under bm25/, if any chunk has words."""
    import bm25s

    vocabulary: dict[str, int] = {}
    numbered = [[vocabulary.setdefault(word, len(vocabulary)) for word in grams(indexed_text(chunk))] for chunk in chunks]
    if not vocabulary:
        return
    found = bm25s.BM25(k1=options.k1, b=options.b)
    found.index((numbered, vocabulary), show_progress=False)
    found.save(folder / "bm25", show_progress=False)


def indexed_text(chunk: Chunk) -> str:
    return f"{chunk.title}\n{chunk.section}\n{chunk.text}"


class BM25:
    """Scores of an index written by `index`."""

    def __init__(self, folder: Path, count: int) -> None:
        self._count = count
        self._index: Any = None
        if (folder / "bm25").is_dir():
            import bm25s

            self._index = bm25s.BM25.load(folder / "bm25", mmap=True, show_progress=False)
        self._vocabulary: dict[str, int] = self._index.vocab_dict if self._index is not None else {}

    def scores(self, question: str) -> tuple[Floats, int]:
        """For each chunk its BM25 score, and the number of different words of the question."""
        asked = set(grams(question))
        known = sorted(asked & self._vocabulary.keys())
        if not known:
            return np.zeros(self._count, np.float32), len(asked)
        found: Floats = self._index.get_scores(known)
        return found, len(asked)

    def shares(self, question: str, texts: Sequence[str]) -> Floats:
        """For each text, which need not be indexed, the share of the question's words that it has, weighted by rarity in the index."""
        weights = {word: self._rarity(word) for word in set(grams(question))}
        total = max(sum(weights.values()), 1e-9)
        return np.array([sum(weights[word] for word in sorted(weights.keys() & set(grams(text)))) / total for text in texts], np.float32)

    def _rarity(self, word: str) -> float:
        """BM25's IDF."""
        holding = self.holding(word)
        return math.log(1 + (self._count - holding + 0.5) / (holding + 0.5))

    def holding(self, word: str) -> int:
        """How many passages have the word."""
        if word not in self._vocabulary:
            return 0
        starts, at = self._index.scores["indptr"], self._vocabulary[word]
        return int(starts[at + 1] - starts[at])

    @property
    def options(self) -> Options:
        return Options(k1=self._index.k1, b=self._index.b) if self._index is not None else Options()
