"""Passages added to an index after it was built: their words and their meaning, on the scale of the index.

BM25 counts a word over both; the scores of the index's own passages stay as they were built, so that nothing is indexed again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.embedders import Floats
from lingyu.retrieve.retrievers.bm25 import BM25, indexed_text
from lingyu.retrieve.retrievers.dense import Vectors
from lingyu.retrieve.words import grams

MEASURED = 1000  # passages of the index, evenly spaced, from which the mean length of a passage is taken


class Words(BaseModel):
    """The words of some passages, as BM25 counts them. places: for each word, the passages that have it and how often."""

    model_config = ConfigDict(frozen=True)

    lengths: list[int]
    places: dict[str, tuple[list[int], list[int]]]

    @classmethod
    def of(cls, chunks: Iterable[Chunk]) -> "Words":
        lengths, places = list[int](), dict[str, tuple[list[int], list[int]]]()
        for number, chunk in enumerate(chunks):
            found = Counter(grams(indexed_text(chunk)))
            lengths.append(found.total())
            for word, times in found.items():
                at, counts = places.setdefault(word, ([], []))
                at.append(number)
                counts.append(times)
        return cls(lengths=lengths, places=places)


@dataclass(frozen=True)
class Added:
    """Passages, their words, and their vectors where the index has an embedder."""

    chunks: list[Chunk]
    words: Words
    rows: Floats | None


class AddedWords(BM25):
    """Scores of the passages of an index, and after them of those added to it, in parts."""

    def __init__(self, base: BM25, own: Sequence[Chunk], parts: Sequence[Words]) -> None:
        self._base, self._own, self._parts = base, own, parts
        self._starts: NDArray[np.int64] = np.cumsum([0, *(len(part.lengths) for part in parts)])
        self._added = int(self._starts[-1])
        self._count = len(own) + self._added

    @cached_property
    def _norms(self) -> Floats:
        options, lengths = self._base.options, np.array([length for part in self._parts for length in part.lengths], np.float32)
        sampled = self._own[:: max(1, len(self._own) // MEASURED)]
        measured = [len(grams(indexed_text(chunk))) for chunk in sampled] or lengths.tolist()
        found: Floats = options.k1 * (1 - options.b + options.b * lengths / max(float(np.mean(measured or [1.0])), 1.0))
        return found

    def scores(self, question: str) -> tuple[Floats, int]:
        own, asked = self._base.scores(question)
        more = np.zeros(self._added, np.float32)
        for word in sorted(set(grams(question))):
            rarity = self._rarity(word)
            for start, part in zip(self._starts, self._parts, strict=False):
                if word in part.places:
                    at, counts = np.array(part.places[word][0]) + start, np.array(part.places[word][1], np.float32)
                    more[at] += rarity * counts / (counts + self._norms[at])
        return np.concatenate([own, more]), asked

    def holding(self, word: str) -> int:
        return self._base.holding(word) + sum(len(part.places[word][0]) for part in self._parts if word in part.places)


class AddedVectors(Vectors):
    """The vectors of both, and the embedder of the index."""

    def __init__(self, base: Vectors, own: int, parts: Sequence[Floats]) -> None:
        """own: how many passages the index has."""
        self._base, self._own, self.embedder, self.nearly = base, own, base.embedder, base.nearly
        self._rows = np.concatenate([part.astype(np.float32) for part in parts])

    def cosines(self, vector: Floats) -> Floats:
        return np.concatenate([self._base.cosines(vector), self._rows @ vector])

    def exact(self, places: NDArray[np.int64], vector: Floats) -> Floats:
        found = np.empty(len(places), np.float32)
        own = places < self._own
        found[own], found[~own] = self._base.exact(places[own], vector), self._rows[places[~own] - self._own] @ vector
        return found
