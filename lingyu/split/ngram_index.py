"""Which of many texts share runs of characters with a text: what an exact comparison is then worth making with.

A print is the hash of a run of characters. Of long texts one print in SAMPLED is kept, chosen by its own value, so that
both sides choose alike. A print that many texts have, an instruction or a phrase of the field, tells nothing of any of them and
is not looked up, unless a text has no other. Each text has an anchor, the rarest of its prints: whoever has the whole
text has its anchor too, however many other texts are like it. An index takes eight bytes a print: about 1 kB for a text of
a thousand characters.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

import numpy as np
import numpy.typing as npt

from lingyu.text.ngrams import GRAM, distinct

Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Prints32 = npt.NDArray[np.uint32]

HAN, LATIN = 5, 12  # characters of a run with a Chinese character among its first HAN, of any other: about two words either way
LONG = 160  # characters; of a shorter text every print is kept
SAMPLED = 8
CAP = 16  # texts from which a print is common
COMMON_SHARE, LEAST = 0.1, 8  # of few texts that share of all, and no fewer than that
EVERYWHERE = 0.25  # share of the other texts from which a print is boilerplate of the corpus
ENOUGH = 0.25  # share of either side's prints from which a text is worth comparing
DRAWN = 1 << 19  # characters of the texts by which it is known what many share
CHANCE = 3  # of the other texts drawn, those that have a print before it is said of all of them
FEWEST = 4  # sampled prints below which the share of them that is shared is mere chance
STRETCH, GAP = 16, 2  # characters of common prints in one stretch that are boilerplate; characters that may differ within it
BATCH = 2000  # texts whose prints are in memory at a time
BITS = 24  # of the first sieve, 16 MB that stay in the processor's cache


class Others:
    """What some of `population` texts share, which are of the kind of those indexed."""

    def __init__(self, texts: Sequence[str], population: int = 0) -> None:
        drawn = thinned(texts, DRAWN)
        self.drawn, self.population = len(drawn), max(population, len(texts))
        self.prints, self.counts = print_counts(drawn)


class Prints:
    """The index of the texts given, in their order. others: by which, beside these, it is known what many texts share."""

    def __init__(self, texts: Iterable[str], others: Others) -> None:
        packed, count, long, drawn = [np.empty(0, np.uint64)], 0, [np.empty(0, bool)], list[str]()
        step = 1  # every so many texts are drawn
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
        """For each text the indexed ones (their numbers) that may stand in it whole, and up to `most` that share enough of either,
        the likeliest first.

        run: characters from which a passage in common is enough by itself, 0 for none.
        """
        for start in range(0, len(texts), BATCH):
            yield from self._candidates(texts[start : start + BATCH], most, run)

    def is_common(self, text: str) -> bool:
        """Whether most prints of the text are those of many texts: boilerplate."""
        found = np.unique((prints_of([text])[1] >> np.uint64(32)).astype(np.uint32))
        return bool(found.size) and bool(isin(found, self._common).mean() > 0.5)

    def parted(self, text: str, everywhere: bool = False) -> tuple[str, list[str]]:
        """What is a text's own, and its boilerplate piece by piece, each with what stands beside it as far as an n-gram may reach.

        everywhere: only what is all over the corpus.
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
        stretches: list[list[list[int]]] = []  # pieces that at most GAP characters part
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
        asked = np.unique(full[passed] & _HIGH | asker[passed])  # by print, so that the search walks the index once
        prints = (asked >> np.uint64(32)).astype(np.uint32)
        whole, anchored = found_in(asked, prints, self._anchors, self._anchored)
        pairs, shared = np.unique(np.bitwise_or(*found_in(asked, prints, self._prints, self._owners)), return_counts=True)
        text, owner = (pairs >> np.uint64(32)).astype(np.int64), (pairs & _LOW).astype(np.int64)

        long = self._long[owner]  # of these only a sample could be met
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
    """The prints of all texts, and beside each the number of its text. sampled: of long texts only the chosen ones."""
    owner, hashes, _ = located_prints(texts, sampled)
    return owner, hashes


def located_prints(texts: Sequence[str], sampled: bool = False) -> tuple[Numbers, Numbers, Places]:
    """The same, with where in all texts joined each begins."""
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
    """By the low bits; the index keeps the high ones."""
    chosen: npt.NDArray[np.bool_] = (prints >> np.uint64(16)) % np.uint64(SAMPLED) == 0
    return chosen


def ranks(ordered: Prints32) -> tuple[Prints32, Prints32]:
    """For each number of a rising row, how many of the same stand before it, and how many there are."""
    if not ordered.size:
        return np.empty(0, np.uint32), np.empty(0, np.uint32)
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])).astype(np.uint32)
    sizes = np.diff(np.concatenate([begins, [ordered.size]])).astype(np.uint32)
    return np.arange(ordered.size, dtype=np.uint32) - np.repeat(begins, sizes), np.repeat(sizes, sizes)


def thinned(texts: Sequence[str], characters: int) -> Sequence[str]:
    """Every second text, or fourth, and so on, so that they have no more characters than that."""
    while len(texts) > 1 and sum(map(len, texts)) > characters:
        texts = texts[::2]
    return texts


def shared_by_many(held: Sequence[str], indexed: int, others: Others) -> tuple[Prints32, Prints32]:
    """The prints that many texts have, and those that are all over the corpus. held: drawn from those indexed."""
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
    """The prints that more than one text has, and how many have each."""
    owner, found = prints_of(texts)
    prints: Prints32 = (distinct(found & _HIGH | owner) >> np.uint64(32)).astype(np.uint32)
    place, sizes = ranks(prints)
    first = (place == 0) & (sizes > 1)
    return prints[first], sizes[first].astype(np.int64)


def scaled(counts: Places, all_: int, drawn: int) -> Places:
    """Counts among those drawn as counts among all; of too few nothing is said but that they are there."""
    return np.where(counts >= CHANCE, counts * (all_ / max(1, drawn)), counts).astype(np.int64)


def isin(prints: Prints32, ordered: Prints32) -> npt.NDArray[np.bool_]:
    """Which of the prints are in a rising row."""
    if not ordered.size:
        return np.zeros(prints.size, bool)
    found: npt.NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, prints), ordered.size - 1)] == prints
    return found


def anchors(prints: Prints32, owners: Prints32, counts: Prints32, texts: int) -> tuple[Prints32, Prints32]:
    """Of each text the print that the fewest have, in rising order, with the texts' numbers."""
    rarest = np.full(texts, _HIGH | _LOW)
    np.minimum.at(rarest, owners, counts.astype(np.uint64) << np.uint64(32) | np.arange(prints.size, dtype=np.uint64))
    with_any = np.flatnonzero(rarest != (_HIGH | _LOW))
    chosen = np.sort(rarest[with_any] & _LOW).astype(np.int64)
    return prints[chosen], owners[chosen]


def found_in(asked: Numbers, prints: Prints32, ordered: Prints32, owners: Prints32) -> tuple[Numbers, Numbers]:
    """The asking text << 32 and the owner of a print in the rising row, for each that has one of the prints."""
    first, last = np.searchsorted(ordered, prints, "left"), np.searchsorted(ordered, prints, "right")
    return np.repeat(asked & _LOW, last - first) << np.uint64(32), owners[_ranges(first, last)].astype(np.uint64)


def _ranges(first: Places, last: Places) -> Places:
    """All numbers from each first up to its last, one range after the other."""
    sizes = last - first
    return np.repeat(first - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(sizes.sum()) if sizes.size else first
