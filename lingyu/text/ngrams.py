"""Similarity of texts by character n-grams, for Chinese and English."""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lingyu.text.normalise import key

Grams = npt.NDArray[np.uint64]

_SHIFT, _HALF, _ODD = np.uint64(21), np.uint64(32), np.uint64(0x9E3779B97F4A7C15)
SKETCH = 2048  # bits; bounds the similarity of two unrelated texts of a thousand characters by a third
GRAM = 3  # characters; with one changed character, a question of thirty still has a similarity above .8


def similarity(one: Grams, other: Grams) -> float:
    """Jaccard similarity."""
    shared = np.intersect1d(one, other, assume_unique=True).size
    return float(shared / (one.size + other.size - shared)) if one.size or other.size else 0.0


class Sketches:
    """Sketches of 256 bytes per text, which give an upper bound on the number of n-grams it shares with another text."""

    def __init__(self) -> None:
        self._drawn, self._sizes, self._hidden = bytearray(), array("q"), array("q")

    def add(self, grams: Grams) -> None:
        bits = sketch(grams)
        self._drawn += bits.tobytes()
        self._sizes.append(grams.size)
        self._hidden.append(hidden(grams, bits))

    def compared(self, grams: Grams, numbers: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For the texts with these numbers: their n-gram counts, and upper bounds on the n-grams shared with the given ones."""
        mine = sketch(grams)
        sizes, unseen = (np.frombuffer(column, np.int64)[numbers] for column in (self._sizes, self._hidden))
        common = np.bitwise_count(np.frombuffer(self._drawn, np.uint64).reshape(-1, SKETCH // 64)[numbers] & mine).sum(
            axis=1, dtype=np.int64
        )
        shared: npt.NDArray[np.int64] = common + np.minimum(unseen, hidden(grams, mine))
        return sizes, np.minimum(shared, np.minimum(sizes, grams.size))


def hidden(grams: Grams, bits: npt.NDArray[np.uint64]) -> int:
    """The number of n-grams that fell on an already set bit: this many more than the common bits may be shared."""
    return grams.size - int(np.bitwise_count(bits).sum(dtype=np.int64))


def sketch(grams: Grams) -> npt.NDArray[np.uint64]:
    """A bit for each n-gram, chosen by its value."""
    bits = np.zeros(SKETCH, bool)
    bits[(grams % np.uint64(SKETCH)).astype(np.int64)] = True
    return np.packbits(bits).view(np.uint64)


def grams_of(text: str) -> Grams:
    """The text's distinct n-grams as hashes in ascending order, a random order of n-grams. Empty for an empty text."""
    return grams_of_key(key(text))


def grams_of_key(keyed: str) -> Grams:
    """The same for a text that is already a key."""
    return distinct(hashed_grams(keyed))


def distinct(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In ascending order; same result as np.unique, several times faster."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if ordered.size else ordered


def hashed_grams(keyed: str) -> Grams:
    """The hashed n-grams of a key, in order. A shorter key counts as one n-gram."""
    if not keyed:
        return np.empty(0, np.uint64)
    points = np.frombuffer(keyed.ljust(GRAM, "\0").encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    size = points.size - GRAM + 1
    mixed = points[:size] << _SHIFT
    for offset in range(1, GRAM):  # 21 bits hold any character: no collisions
        mixed |= points[offset : offset + size]
        if offset < GRAM - 1:
            mixed <<= _SHIFT
    mixed *= _ODD
    mixed ^= mixed >> _HALF
    mixed *= _ODD
    return mixed
