"""Near-duplicates among millions of texts in bounded memory: MinHash finds candidate pairs, which are then compared exactly.

A signature consists of HASHES minima over a text's hashed n-grams; two texts agree in each with the probability of their
Jaccard similarity. Pairs that agree in a whole band of consecutive hashes are candidates. The n-grams of both texts then
decide about the threshold: every reported pair is a true one; about one in a thousand true pairs is missed.
The memory per text is 128 bytes plus eight per band; the text itself is on disk.
"""

import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingyu.text.ngrams import GRAM, Grams, distinct, grams_of_key, hashed_grams, similarity

Numbers = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]
Signs = npt.NDArray[np.uint8]  # one byte of each hash of a signature
Places = npt.NDArray[np.int64]

HASHES = 128
MISSED = 0.001  # share of missed pairs at the threshold; far lower above it
BLOCK = 1024  # texts compared with each other at a time
TOGETHER = 16  # texts whose signatures are computed at a time, so that their n-grams stay in the CPU cache
CROWD = 256  # maximum texts of one band to compare: thousands of filled-in forms share bands without being duplicates
LOOKS = 32  # most likely pairs of a text that are compared exactly
DOUBT = 0.15  # four standard deviations of the estimate by 128 hashes: less similar pairs are not compared exactly

_PLACE = np.uint32(32 - HASHES.bit_length() + 1)
_FACTORS = np.random.default_rng(20).integers(0, 1 << 32, HASHES, dtype=np.uint32) | np.uint32(1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.uint64(0xFFFFFFFF)
_NONE = np.uint32(0xFFFFFFFF)


def signatures(keys: Sequence[str]) -> Signatures:
    """A row for each key (normalise.key). Texts without n-grams get a special signature and are never similar.

    The first bits of an n-gram's hash select its bin in the signature, which keeps the minimum (one-permutation hashing). Empty bins
    of short texts take the minimum of all n-grams under an order of that bin. Two texts still agree with the probability of their
    similarity, as with a separate permutation per hash, which takes ten times as long for a long text.
    """
    signs = np.full((len(keys), HASHES), _NONE, np.uint32)
    for first in range(0, len(keys), TOGETHER):
        some = [text.ljust(GRAM, "\0") if text else text for text in keys[first : first + TOGETHER]]
        ends = np.cumsum([len(text) for text in some])
        grams = (hashed_grams("".join(some)) >> np.uint64(32)).astype(np.uint32)
        if not grams.size:
            continue
        owner = np.repeat(np.arange(first, first + len(some)), np.diff(ends, prepend=0))[: grams.size]
        across = (ends[:-1, None] - np.arange(1, GRAM)).reshape(-1)  # n-grams across two texts
        grams[across[(across >= 0) & (across < grams.size)]] = _NONE
        places = (grams >> _PLACE).astype(np.int64)
        places += owner * HASHES
        np.minimum.at(signs.reshape(-1), places, grams)
        for number in np.flatnonzero((signs[first : first + len(some)] == _NONE).any(axis=1)).tolist():
            sign, text = signs[first + number], some[number]
            if text:
                mine = grams[ends[number] - len(text) : ends[number] - GRAM + 1]
                sign[sign == _NONE] = (distinct(mine) * _FACTORS[sign == _NONE, None]).min(axis=1)
    return signs


def rows_a_band(threshold: float) -> int:
    """The largest number of hashes per band for which a pair at the threshold shares a band with probability 1 - MISSED."""
    fits = [rows for rows in range(1, 17) if (1 - threshold**rows) ** (HASHES // rows) <= MISSED]
    return max(fits, default=1)


class NearDuplicates:
    """For texts given in order, finds the earlier kept text that each duplicates; a text without one is kept.

    scratch: a folder for the kept texts, removed afterwards. Texts of different groups are never compared.
    """

    def __init__(self, threshold: float, scratch: Path) -> None:
        self._threshold = threshold
        self._rows = rows_a_band(threshold)
        self._bands = [_Places() for _ in range(HASHES // self._rows)]
        self._signs = _Growing(np.uint8, HASHES)
        self._groups = _Growing(np.uint64)
        self._names: list[str] = []
        self._ends = array("Q", [0])
        opened, named = tempfile.mkstemp(dir=scratch)
        os.unlink(named)  # removed when closed, even after a kill
        self._texts = os.fdopen(opened, "wb")
        self._grams = lru_cache(maxsize=1024)(self._grams_of)

    def close(self) -> None:
        self._texts.close()

    def repeated(self, names: Sequence[str], keys: Sequence[str], groups: Numbers, signs: Signatures) -> list[str]:
        """For each text the name of the most similar kept text, or "" if none reaches the threshold and the text is kept."""
        found: list[str] = []
        for start in range(0, len(names), BLOCK):
            block = slice(start, start + BLOCK)
            found += self._block(names[block], keys[block], groups[block], signs[block])
        return found

    def _block(self, names: Sequence[str], keys: Sequence[str], groups: Numbers, signs: Signatures) -> list[str]:
        bands = np.sort(band_keys(signs, groups, self._rows).T | np.arange(len(keys), dtype=np.uint64))
        small = ((signs * np.uint32(0x9E3779B1)) >> np.uint32(24)).astype(np.uint8)
        before = self._likely(met_before(bands, self._bands), small, groups, self._signs.all, self._groups.all)
        beside = self._likely(met_beside(bands), small, groups, small, groups)
        found: list[str] = []
        numbers: dict[int, int] = {}  # of kept texts: position in the block → number
        for place, text in enumerate(keys):
            likely = before.get(place, []) + [(share, numbers[other]) for share, other in beside.get(place, []) if other in numbers]
            found.append(self._most_like(text, likely))
            if not found[-1]:
                numbers[place] = len(self._names)
                self._names.append(names[place])
                self._ends.append(self._ends[-1] + self._texts.write(text.encode("utf-8", "surrogatepass")))
        kept = list(numbers)
        number_of = np.full(len(keys), _LOW)
        number_of[kept] = list(numbers.values())
        for band, sorted_keys in zip(self._bands, bands, strict=True):
            renumbered = sorted_keys & ~_LOW | number_of[(sorted_keys & _LOW).astype(np.int64)]
            band.add(renumbered[renumbered & _LOW != _LOW])
        self._signs.add(small[kept])
        self._groups.add(groups[kept])
        return found

    def _likely(
        self, met: tuple[Places, Places], mine: Signs, my_groups: Numbers, theirs: Signs, their_groups: Numbers
    ) -> dict[int, list[tuple[float, int]]]:
        """The candidate pairs that may reach the threshold: position → the number of equal hashes, and the other text."""
        likely: dict[int, list[tuple[float, int]]] = {}
        for start in range(0, met[0].size, 1 << 16):  # this many pairs of signatures fit into memory
            one, other = met[0][start : start + (1 << 16)], met[1][start : start + (1 << 16)]
            share = np.count_nonzero(mine[one] == theirs[other], axis=1) / HASHES
            close = (share >= self._threshold - DOUBT) & (my_groups[one] == their_groups[other])
            for place, number, agree in zip(one[close].tolist(), other[close].tolist(), share[close].tolist(), strict=True):
                likely.setdefault(place, []).append((agree, number))
        return likely

    def _most_like(self, text: str, likely: list[tuple[float, int]]) -> str:
        """The name of the most similar kept text, if it reaches the threshold."""
        if not likely:
            return ""
        grams = grams_of_key(text)
        likeliest = sorted(likely, key=lambda one: (-one[0], one[1]))[:LOOKS]
        score, number = max(((similarity(grams, self._grams(number)), -number) for _, number in likeliest))
        return self._names[-number] if score >= self._threshold else ""

    def _grams_of(self, number: int) -> Grams:
        start, end = self._ends[number], self._ends[number + 1]
        self._texts.flush()
        return grams_of_key(os.pread(self._texts.fileno(), end - start, start).decode("utf-8", "surrogatepass"))


def band_keys(signs: Signatures, groups: Numbers, rows: int) -> Numbers:
    """A number for each text and band, equal for two texts of a group that agree in the whole band; its low half is free."""
    bands = signs[:, : HASHES // rows * rows].reshape(len(signs), HASHES // rows, rows).astype(np.uint64)
    mixed = np.repeat(groups[:, None], HASHES // rows, axis=1)
    for row in range(rows):
        mixed = (mixed ^ bands[:, :, row]) * _GOLDEN
        mixed ^= mixed >> np.uint64(29)
    keys: Numbers = mixed & ~_LOW
    return keys


def met_before(bands: Numbers, kept: list["_Places"]) -> tuple[Places, Places]:
    """The pairs of a text of the block and a kept text that share a band, each once. bands: keys with positions of their texts."""
    codes = distinct(
        np.concatenate([found for keys, places in zip(bands, kept, strict=True) for found in places.find(keys)] or [bands[:0, 0]])
    )
    return (codes >> np.uint64(32)).astype(np.int64), (codes & _LOW).astype(np.int64)


def met_beside(bands: Numbers) -> tuple[Places, Places]:
    """The pairs of texts of the block that share a band, the later text first, each once."""
    met = [np.empty(0, np.int64)]
    apart = 1
    while apart < bands.shape[1] and (same := (bands[:, apart:] ^ bands[:, :-apart]) <= _LOW).any():  # sorted, so equal keys are adjacent
        met.append(((bands[:, apart:][same] & _LOW) * BLOCK + (bands[:, :-apart][same] & _LOW)).astype(np.int64))
        apart += 1
    pairs = distinct(np.concatenate(met))
    return pairs // BLOCK, pairs % BLOCK


class _Places:
    """The numbers of the kept texts by their key in one band: sorted runs, each at most an eighth of the previous one."""

    def __init__(self) -> None:
        self._runs: list[Numbers] = []

    def add(self, keys: Numbers) -> None:
        """Keys with the texts' numbers in their low halves, in ascending order."""
        self._runs.append(keys)
        while len(self._runs) > 1 and self._runs[-2].size < 8 * self._runs[-1].size:
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]), kind="stable")

    def find(self, keys: Numbers) -> Iterator[Numbers]:
        """Position of the key << 32 | number, for up to CROWD texts per key and run. keys: ascending, positions in the low halves."""
        for run in self._runs:
            first = np.searchsorted(run, keys & ~_LOW)
            hits = np.flatnonzero((run[np.minimum(first, run.size - 1)] ^ keys) <= _LOW) if run.size else ()
            if not len(hits):
                continue
            sizes = np.minimum(np.searchsorted(run, keys[hits] | _LOW, "right") - first[hits], CROWD)
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            numbers = run[np.repeat(first[hits], sizes) + within] & _LOW
            yield np.repeat(keys[hits] & _LOW, sizes) << np.uint64(32) | numbers


class _Growing:
    """An array with amortised append."""

    def __init__(self, kind: type[np.generic], *shape: int) -> None:
        self._room, self._size = np.empty((BLOCK, *shape), kind), 0

    @property
    def all(self) -> npt.NDArray[Any]:
        return self._room[: self._size]

    def add(self, more: npt.NDArray[Any]) -> None:
        needed = self._size + len(more)
        if needed > len(self._room):
            larger = np.empty((max(needed, len(self._room) * 3 // 2), *self._room.shape[1:]), self._room.dtype)
            larger[: self._size] = self.all
            self._room = larger
        self._room[self._size : needed], self._size = more, needed
