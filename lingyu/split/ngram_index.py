"""Which of many texts share runs of characters with a text: what an exact comparison is then worth making with.

A print is the hash of a run of characters. Of long texts one print in SAMPLED is kept, chosen by its own value, so that
both sides choose alike; a print that many texts have tells little, and only the first CAP of them are kept with it. An
index takes eight bytes a print: about 1 kB for a text of a thousand characters.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

HAN, LATIN = 5, 12  # characters of a run that starts with a Chinese character, with any other: about two words either way
LONG = 160  # characters; of a shorter text every print is kept
SAMPLED = 8
CAP = 16
ENOUGH = 0.25  # share of either side's prints from which a text is worth comparing
BATCH = 2000  # texts whose prints are in memory at a time
BITS = 24  # of the first sieve, 16 MB that stay in the processor's cache


class Prints:
    """The index of the texts given, in their order."""

    def __init__(self, texts: Iterable[str]) -> None:
        packed, count = [np.empty(0, np.uint64)], 0
        rest = iter(texts)
        while batch := list(islice(rest, BATCH)):
            owner, found = prints_of(batch, sampled=True)
            packed.append(np.unique(found & _HIGH | (owner + np.uint64(count))))
            count += len(batch)
        every = np.concatenate(packed)
        del packed
        every.sort()
        prints: npt.NDArray[np.uint32] = (every >> np.uint64(32)).astype(np.uint32)
        kept = rank(prints) < CAP
        self._prints = prints[kept]
        self._owners = (every[kept] & _LOW).astype(np.uint32)
        self._sizes = np.bincount(self._owners, minlength=count)
        self._sieve = np.zeros(1 << BITS, bool)
        self._sieve[self._prints >> np.uint32(32 - BITS)] = True

    def candidates(self, texts: Sequence[str], most: int, run: int = 0) -> Iterator[list[int]]:
        """For each text up to `most` of the indexed ones (their numbers) that share enough of either, the likeliest first.

        run: characters from which a passage in common is enough by itself, 0 for none.
        """
        for start in range(0, len(texts), BATCH):
            yield from self._candidates(texts[start : start + BATCH], most, run)

    def is_common(self, text: str) -> bool:
        """Whether most prints of the text are those of many indexed texts: boilerplate."""
        found = np.unique((prints_of([text])[1] >> np.uint64(32)).astype(np.uint32))
        have = np.searchsorted(self._prints, found, "right") - np.searchsorted(self._prints, found, "left")
        return bool(np.median(have[have > 0]) >= CAP) if (have > 0).any() else False

    def _candidates(self, texts: Sequence[str], most: int, run: int) -> Iterator[list[int]]:
        asker, full = prints_of(texts)
        sampled = np.bincount(asker[is_sampled(full)].astype(np.int64), minlength=len(texts))
        every = np.bincount(asker.astype(np.int64), minlength=len(texts))
        passed = self._sieve[full >> np.uint64(64 - BITS)]
        asked = np.unique(full[passed] & _HIGH | asker[passed])  # by print, so that the search walks the index once
        prints = (asked >> np.uint64(32)).astype(np.uint32)
        first, last = np.searchsorted(self._prints, prints, "left"), np.searchsorted(self._prints, prints, "right")
        owners = self._owners[_ranges(first, last)].astype(np.uint64)
        pairs, shared = np.unique(np.repeat(asked & _LOW, last - first) << np.uint64(32) | owners, return_counts=True)
        text, owner = (pairs >> np.uint64(32)).astype(np.int64), (pairs & _LOW).astype(np.int64)

        long = self._sizes[owner] * SAMPLED >= LONG  # roughly: of these only a sample could be met
        mine = shared / np.maximum(np.where(long, sampled[text], every[text]), 1)
        theirs = shared / np.maximum(self._sizes[owner], 1)
        score = np.maximum(mine, theirs)
        enough = score >= ENOUGH
        if run:
            enough |= shared >= np.maximum((run - HAN) / np.where(long, 2 * SAMPLED, 2), 2)
        text, owner, score = text[enough], owner[enough], score[enough]
        order = np.lexsort((owner, -score, text))
        bounds = np.searchsorted(text, np.arange(len(texts) + 1))
        for begin, end in pairwise(bounds.tolist()):
            yield owner[order[begin : min(end, begin + most)]].tolist()


_HIGH, _LOW = np.uint64(0xFFFFFFFF00000000), np.uint64(0xFFFFFFFF)
_ODD = np.uint64(0x9E3779B97F4A7C15)


def prints_of(texts: Sequence[str], sampled: bool = False) -> tuple[Numbers, Numbers]:
    """The prints of all texts, and beside each the number of its text. sampled: of long texts only the chosen ones."""
    lengths = np.array([len(text) for text in texts], np.int64)
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(points.size)  # characters to the end of its text
    padded = np.concatenate([points, np.zeros(LATIN, np.uint64)])
    hashes = np.zeros(points.size, np.uint64)
    short = hashes
    for offset in range(LATIN):
        hashes = (hashes ^ padded[offset : offset + points.size]) * _ODD
        hashes ^= hashes >> np.uint64(29)
        if offset == HAN - 1:
            short = hashes
    han = points >= 0x2E80
    hashes = np.where(han, short, hashes) * _ODD
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    whole = left >= np.where(han, HAN, LATIN)
    if sampled:
        whole &= is_sampled(hashes) | (lengths < LONG)[owner.astype(np.int64)]
    return owner[whole], hashes[whole]


def is_sampled(prints: Numbers) -> npt.NDArray[np.bool_]:
    """By the low bits; the index keeps the high ones."""
    chosen: npt.NDArray[np.bool_] = (prints >> np.uint64(16)) % np.uint64(SAMPLED) == 0
    return chosen


def rank(ordered: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """For each number of a rising row, how many of the same stand before it."""
    if not ordered.size:
        return np.empty(0, np.int64)
    place = np.arange(ordered.size)
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    return place - np.maximum.accumulate(np.where(begins, place, 0))


def _ranges(first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All numbers from each first up to its last, one range after the other."""
    sizes = last - first
    return np.repeat(first - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(sizes.sum()) if sizes.size else first
