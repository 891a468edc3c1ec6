"""An index of character n-grams: finds the texts that share n-grams with a text, as candidates for an exact comparison.

A fingerprint is the hash of an n-gram. Of long texts one fingerprint in SAMPLED is kept, selected by its value, so that both
sides select the same. A fingerprint shared by many texts, such as an instruction or a common phrase, is uninformative and not
looked up, unless a text has no other. Each text has an anchor, its rarest fingerprint: a text that contains it as a whole has
the anchor too, however many similar texts there are. The index takes eight bytes per fingerprint: about 1 kB for a text of a
thousand characters.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

import numpy as np
import numpy.typing as npt

from lingyu.text.ngrams import GRAM, distinct

Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Prints32 = npt.NDArray[np.uint32]

HAN, LATIN = 5, 12  # characters of an n-gram with a Chinese character among its first HAN, of any other: about two words in both cases
LONG = 160  # characters; of shorter texts every fingerprint is kept
SAMPLED = 8
CAP = 16  # number of texts from which a fingerprint is common
COMMON_SHARE, LEAST = 0.1, 8  # with few texts: this share of all, but at least this number
EVERYWHERE = 0.25  # share of the other texts from which a fingerprint is boilerplate of the corpus
ENOUGH = 0.25  # minimum share of either side's fingerprints for an exact comparison
DRAWN = 1 << 19  # characters of the sample that estimates which fingerprints are common
CHANCE = 3  # minimum sampled texts with a fingerprint to extrapolate to all texts
FEWEST = 4  # below this number of sampled fingerprints, a shared share is chance
STRETCH, GAP = 16, 2  # minimum characters of contiguous common fingerprints that are boilerplate; maximum differing characters within
BATCH = 2000  # texts whose fingerprints are in memory at a time
BITS = 24  # of the first filter, 16 MB that stay in the CPU cache


class Others:
    """Fingerprints shared by a sample of `population` texts of the same kind as those indexed."""

    def __init__(self, texts: Sequence[str], population: int = 0) -> None:
        drawn = thinned(texts, DRAWN)
        self.drawn, self.population = len(drawn), max(population, len(texts))
        self.prints, self.counts = print_counts(drawn)


class Prints:
    """An index of texts, numbered in the order given. others: further texts to estimate which fingerprints are common."""

    def __init__(self, texts: Iterable[str], others: Others) -> None:
        packed, count, long, drawn = [np.empty(0, np.uint64)], 0, [np.empty(0, bool)], list[str]()
        step = 1  # every step-th text is sampled
        rest = iter(texts)
        while batch := list(islice(rest, BATCH)):
            owner, found = prints_of(batch, sampled=True)
            packed.append(np.unique(found & _HIGH | (owner + np.uint64(count))))
            long.append(np.array([len(text) >= LONG for text in batch]))
            drawn += batch[-count % step :: step]
            count += len(batch)
            while sum(map(len, drawn)) > 2 * DRAWN:
                drawn, step = drawn[::2], 2 * step
        every = np.concatenate(packed)
        del packed
        every.sort()
        prints: Prints32 = (every >> np.uint64(32)).astype(np.uint32)
        owners = (every & _LOW).astype(np.uint32)
        del every
        place, held = ranks(prints)
        self._common, self._everywhere = shared_by_many(thinned(drawn, DRAWN), count, others)
        common = (held >= CAP) | isin(prints, self._common)
        self._anchors, self._anchored = anchors(prints, owners, np.where(common, held | _COMMON, held), count)
        nothing_else = np.ones(count, bool)
        nothing_else[owners[~common]] = False
        kept = ~common | (nothing_else[owners] & (place < CAP))
        self._prints, self._owners = prints[kept], owners[kept]
        self._sizes = np.bincount(self._owners, minlength=count)
        self._long = np.concatenate(long)
        self._sieve = np.zeros(1 << BITS, bool)
        for sifted in (self._prints, self._anchors):
            self._sieve[sifted >> np.uint32(32 - BITS)] = True

    def candidates(self, texts: Sequence[str], most: int, run: int = 0) -> Iterator[tuple[list[int], list[int]]]:
        """For each text the numbers of the indexed texts that it may contain as a whole, and of up to `most` that share enough
        fingerprints, most similar first.

        run: length in characters of a shared passage that is enough by itself, 0 for none.
        """
        for start in range(0, len(texts), BATCH):
            yield from self._candidates(texts[start : start + BATCH], most, run)

    def is_common(self, text: str) -> bool:
        """Whether most fingerprints of the text are shared by many texts: boilerplate."""
        found = np.unique((prints_of([text])[1] >> np.uint64(32)).astype(np.uint32))
        return bool(found.size) and bool(isin(found, self._common).mean() > 0.5)

    def split(self, text: str, everywhere: bool = False) -> tuple[str, list[str]]:
        """The specific part of a text, and its pieces of boilerplate, each with context of one n-gram on both sides.

        everywhere: only boilerplate of the whole corpus.
        """
        common = self._everywhere if everywhere else self._common
        if not common.size:
            return text, []
        _, found, places = located_prints([text])
        covered = np.zeros(len(text) + 1, np.int64)
        for place in places[isin((found >> np.uint64(32)).astype(np.uint32), common)].tolist():
            covered[place] += 1
            covered[place + (HAN if max(text[place : place + HAN]) >= "⺀" else LATIN)] -= 1
        if not covered.any():
            return text, []
        edges = np.flatnonzero(np.diff(np.concatenate([[0], covered.cumsum()[:-1] > 0, [0]]).astype(np.int8)))
        stretches: list[list[list[int]]] = []  # pieces at most GAP characters apart
        for begin, end in edges.reshape(-1, 2).tolist():
            if stretches and begin - stretches[-1][-1][1] <= GAP:
                stretches[-1].append([begin, end])
            else:
                stretches.append([[begin, end]])
        pieces = [piece for stretch in stretches if stretch[-1][1] - stretch[0][0] >= STRETCH for piece in stretch]
        ends = [0, *(end for _, end in pieces)]
        kept = [text[end:begin] for end, (begin, _) in zip(ends, [*pieces, [len(text), 0]], strict=True)]
        return "".join(kept), [text[max(0, begin - GRAM + 1) : end + GRAM - 1] for begin, end in pieces]

    def _candidates(self, texts: Sequence[str], most: int, run: int) -> Iterator[tuple[list[int], list[int]]]:
        asker, full = prints_of(texts)
        sampled = np.bincount(asker[is_sampled(full)].astype(np.int64), minlength=len(texts))
        every = np.bincount(asker.astype(np.int64), minlength=len(texts))
        passed = self._sieve[full >> np.uint64(64 - BITS)]
        asked = np.unique(full[passed] & _HIGH | asker[passed])  # sorted by fingerprint, so that the search passes over the index once
        prints = (asked >> np.uint64(32)).astype(np.uint32)
        whole, anchored = found_in(asked, prints, self._anchors, self._anchored)
        pairs, shared = np.unique(np.bitwise_or(*found_in(asked, prints, self._prints, self._owners)), return_counts=True)
        text, owner = (pairs >> np.uint64(32)).astype(np.int64), (pairs & _LOW).astype(np.int64)

        long = self._long[owner]  # of these only a sample is indexed
        mine = shared / np.maximum(np.where(long, np.maximum(sampled[text], FEWEST), every[text]), 1)
        theirs = shared / np.maximum(self._sizes[owner], 1)
        score = np.maximum(mine, theirs)
        enough = score >= ENOUGH
        if run:
            enough |= shared >= np.maximum((run - HAN) / np.where(long, 2 * SAMPLED, 2), 2)
        text, owner, score = text[enough], owner[enough], score[enough]
        order = np.lexsort((owner, -score, text))
        bounds = np.searchsorted(text, np.arange(len(texts) + 1))
        found = np.sort(whole | anchored)
        wholes = np.searchsorted(found >> np.uint64(32), np.arange(len(texts) + 1, dtype=np.uint64))
        within = (found & _LOW).astype(np.int64)
        for (begin, end), (first, last) in zip(pairwise(bounds.tolist()), pairwise(wholes.tolist()), strict=True):
            yield within[first:last].tolist(), owner[order[begin : min(end, begin + most)]].tolist()


_HIGH, _LOW = np.uint64(0xFFFFFFFF00000000), np.uint64(0xFFFFFFFF)
_COMMON = np.uint32(1 << 31)
_ODD = np.uint64(0x9E3779B97F4A7C15)


def prints_of(texts: Sequence[str], sampled: bool = False) -> tuple[Numbers, Numbers]:
    """The fingerprints of all texts, each with the number of its text. sampled: of long texts only the selected ones."""
    owner, hashes, _ = located_prints(texts, sampled)
    return owner, hashes


def located_prints(texts: Sequence[str], sampled: bool = False) -> tuple[Numbers, Numbers, Places]:
    """The same, with the start of each in the concatenation of all texts."""
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
    han = padded >= 0x2E80
    han = np.logical_or.reduce([han[offset : offset + points.size] for offset in range(HAN)])
    hashes = np.where(han, short, hashes) * _ODD
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    whole = left >= np.where(han, HAN, LATIN)
    if sampled:
        whole &= is_sampled(hashes) | (lengths < LONG)[owner.astype(np.int64)]
    places = np.flatnonzero(whole)
    return owner[places], hashes[places], places


def is_sampled(prints: Numbers) -> npt.NDArray[np.bool_]:
    """Selects by the low bits; the index keeps the high ones."""
    chosen: npt.NDArray[np.bool_] = (prints >> np.uint64(16)) % np.uint64(SAMPLED) == 0
    return chosen


def ranks(ordered: Prints32) -> tuple[Prints32, Prints32]:
    """For each number of an ascending array, the count of equal numbers before it, and in total."""
    if not ordered.size:
        return np.empty(0, np.uint32), np.empty(0, np.uint32)
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])).astype(np.uint32)
    sizes = np.diff(np.concatenate([begins, [ordered.size]])).astype(np.uint32)
    return np.arange(ordered.size, dtype=np.uint32) - np.repeat(begins, sizes), np.repeat(sizes, sizes)


def thinned(texts: Sequence[str], characters: int) -> Sequence[str]:
    """Every second text, or fourth, and so on, up to this number of characters."""
    while len(texts) > 1 and sum(map(len, texts)) > characters:
        texts = texts[::2]
    return texts


def shared_by_many(held: Sequence[str], indexed: int, others: Others) -> tuple[Prints32, Prints32]:
    """The fingerprints shared by many texts, and those found throughout the corpus. held: a sample of the indexed texts."""
    prints, counts = print_counts(held)
    both = np.union1d(prints, others.prints)
    of_held, of_others = np.zeros(both.size, np.int64), np.zeros(both.size, np.int64)
    of_held[np.searchsorted(both, prints)] = counts
    of_others[np.searchsorted(both, others.prints)] = others.counts
    everywhere = of_others >= max(CAP, EVERYWHERE * others.drawn)
    of_held, of_others = scaled(of_held, indexed, len(held)), scaled(of_others, others.population, others.drawn)
    enough = max(LEAST, min(CAP, COMMON_SHARE * (indexed + others.population)))
    return both[of_held + of_others >= enough], both[(of_held >= CAP) | everywhere]


def print_counts(texts: Sequence[str]) -> tuple[Prints32, Places]:
    """The fingerprints that more than one text has, with their counts."""
    owner, found = prints_of(texts)
    prints: Prints32 = (distinct(found & _HIGH | owner) >> np.uint64(32)).astype(np.uint32)
    place, sizes = ranks(prints)
    first = (place == 0) & (sizes > 1)
    return prints[first], sizes[first].astype(np.int64)


def scaled(counts: Places, all_: int, drawn: int) -> Places:
    """Counts in the sample scaled to all texts; counts that are too low are not scaled."""
    return np.where(counts >= CHANCE, counts * (all_ / max(1, drawn)), counts).astype(np.int64)


def isin(prints: Prints32, ordered: Prints32) -> npt.NDArray[np.bool_]:
    """Which of the fingerprints are in an ascending array."""
    if not ordered.size:
        return np.zeros(prints.size, bool)
    found: npt.NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, prints), ordered.size - 1)] == prints
    return found


def anchors(prints: Prints32, owners: Prints32, counts: Prints32, texts: int) -> tuple[Prints32, Prints32]:
    """The rarest fingerprint of each text, in ascending order, with the numbers of the texts."""
    rarest = np.full(texts, _HIGH | _LOW)
    np.minimum.at(rarest, owners, counts.astype(np.uint64) << np.uint64(32) | np.arange(prints.size, dtype=np.uint64))
    with_any = np.flatnonzero(rarest != (_HIGH | _LOW))
    chosen = np.sort(rarest[with_any] & _LOW).astype(np.int64)
    return prints[chosen], owners[chosen]


def found_in(asked: Numbers, prints: Prints32, ordered: Prints32, owners: Prints32) -> tuple[Numbers, Numbers]:
    """The query text << 32 and the owner of a fingerprint in the ascending array, for each query that has it."""
    first, last = np.searchsorted(ordered, prints, "left"), np.searchsorted(ordered, prints, "right")
    return np.repeat(asked & _LOW, last - first) << np.uint64(32), owners[_ranges(first, last)].astype(np.uint64)


def _ranges(first: Places, last: Places) -> Places:
    """All numbers from each first up to its last, range by range."""
    sizes = last - first
    return np.repeat(first - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(sizes.sum()) if sizes.size else first
