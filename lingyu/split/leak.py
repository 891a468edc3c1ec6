"""The leak gate: which training texts give away a held-out one, with the evidence for a person to judge.

A text gives another away when it is the same (verbatim), the same but for punctuation, width, case and spaces (form) or for
traditional and simplified characters (script); when most of its characters stand in the same order (near); when one of
the two stands whole in the other (contained); among questions, when both quote one passage (passage); and, where that is
asked for, when both rest on one record (paragraph).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from math import log2
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from lingyu.split.ngram_index import Prints, prints_of
from lingyu.text.ngrams import Grams, Sketches, grams_of_key, similarity
from lingyu.text.normalise import key, normal
from lingyu.text.numerals import CHINESE
from lingyu.text.simplified import one_script

Kind = Literal["verbatim", "form", "script", "near", "contained", "passage", "paragraph"]

SHORT = 128  # characters; in a text shorter than this a number or code says what it is about
TYPO = 0.7  # likeness of two words from which one is a slip of the other; wind and winter have .6
SLOTS = 32  # Chinese characters; in a text no longer, one other word makes another question of it
NUMERALS = frozenset(f"{CHINESE}万")
BATCH = 2000
COMPARED = 4  # held texts that a text is compared with character by character


class Bounds(BaseModel):
    """From where on two texts count as one. Measured in docs/benchmarks.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    near: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Jaccard similarity of the character trigrams of texts up to 32 Chinese characters or 96 others. One changed "
        "character in thirty still reaches it; another question about the same thing does not.",
    )
    near_long: float = Field(
        0.5,
        gt=0,
        le=1,
        description="The same from 128 Chinese characters or 384 others on; in between it depends on the length. It finds one changed "
        "character in twenty. At 0.4 articles of one statute about two similar cases count as one.",
    )
    contained: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of the shorter text's runs of five characters that the longer text has. Below 0.9 it is the wording of a "
        "template.",
    )
    min_contained: NonNegativeInt = Field(
        10,
        description="Chinese characters (another counts a third) from which a contained text says something: 怎么办 is in many questions.",
    )
    passage: NonNegativeInt = Field(
        60, description="The same measure, of an unbroken run that two questions quote. Instructions around a question are shorter."
    )

    def near_at(self, said: float) -> float:
        """The similarity that texts of this amount must reach: between the two by how often the shorter doubles."""
        way = min(max(log2(max(said, 1) / SLOTS), 0) / log2(SHORT / SLOTS), 1)
        return self.near + (self.near_long - self.near) * way


@dataclass(frozen=True)
class Item:
    """A text and where it stands."""

    id: str
    text: str
    source: str
    place: str


@dataclass(frozen=True)
class Leak:
    """A training text beside the held-out text that it gives away most, and where both stand."""

    id: str
    text: str
    source: str
    place: str
    held_id: str
    held_text: str
    held_source: str
    held_place: str
    kind: Kind
    similarity: float


class Gate:
    """Held-out texts to keep apart. passages: whether a passage in common gives away, as it does where it is asked about."""

    def __init__(self, held: Iterable[Item], bounds: Bounds, *, passages: bool = False) -> None:
        self._bounds, self._run = bounds, bounds.passage if passages else 0
        self._held = [item for item in held if key(item.text)]
        self._same: dict[str, int] = {}
        self._sketches = Sketches()
        self._prints = Prints(self._folds())

    def _folds(self) -> Iterator[str]:
        """The held texts folded, each remembered and sketched as it passes."""
        for number, item in enumerate(self._held):
            fold = folded(item.text)
            self._same.setdefault(fold, number)
            self._sketches.add(grams_of_key(fold))
            yield fold

    def leaks(self, items: Iterable[Item]) -> Iterator[Leak]:
        """A leak for each item that gives a held one away, in the order of the items."""
        rest = iter(items)
        while batch := list(islice(rest, BATCH)):
            yield from filter(None, self.judged(batch))

    def judged(self, items: Sequence[Item]) -> list[Leak | None]:
        """For each item the leak that it is, or None."""
        if not self._held:
            return [None] * len(items)
        folds = [folded(item.text) for item in items]
        candidates = self._prints.candidates(folds, COMPARED, self._run)
        return [self._most(item, fold, numbers) for item, fold, numbers in zip(items, folds, candidates, strict=True)]

    def _most(self, item: Item, fold: str, numbers: list[int]) -> Leak | None:
        if not fold:
            return None
        if (number := self._same.get(fold)) is not None:
            held = self._held[number].text
            kind: Kind = "verbatim" if item.text == held else "form" if key(item.text) == key(held) else "script"
            return leak_between(item, self._held[number], kind, 1.0)
        if not numbers:
            return None
        grams = grams_of_key(fold)
        numbers = self._worth_comparing(fold, grams, numbers)
        judged = [(verdict, number) for number in numbers if (verdict := self._judged(item.text, fold, grams, number))]
        found = [(ORDER.index(kind), -score, number) for (kind, score), number in judged]
        if not found:
            return None
        place, score, number = min(found)
        return leak_between(item, self._held[number], ORDER[place], -score)

    def _worth_comparing(self, fold: str, grams: Grams, numbers: list[int]) -> list[int]:
        """Those of the held texts that may turn out to be given away; by far the most share too few grams for that."""
        if self._run and len(fold) >= self._run:
            return numbers
        bounds = self._bounds
        sizes, shared = self._sketches.compared(grams, numbers)
        alike = shared / (sizes + grams.size - shared) >= min(bounds.near, bounds.near_long)
        fits = shared + 1e-6 >= bounds.contained * np.minimum(sizes, grams.size)  # as _judged has it, which rounds
        return [number for number, worth in zip(numbers, alike | fits, strict=True) if worth]

    def _judged(self, text: str, mine: str, grams: Grams, number: int) -> tuple[Kind, float] | None:
        """What the text (mine: folded) has in common with a held one that is not the same."""
        held, bounds = self._held[number].text, self._bounds
        theirs = folded(held)
        others = grams_of_key(theirs)
        alike = similarity(grams, others)
        shorter, longer = sorted((mine, theirs), key=len)
        said = amount(shorter)
        if alike >= bounds.near_at(said) and same_subject(text, held):
            return "near", alike
        # A sentence out of a long text does not give it away; half of it does.
        fits = alike * (grams.size + others.size) / (1 + alike) >= bounds.contained * min(grams.size, others.size)  # else no runs can
        if fits and said >= bounds.min_contained and said >= amount(theirs) / 2:
            share = 1.0 if shorter in longer else shared_runs(shorter, longer)
            whole = share == 1 and (len(shorter) >= SHORT or numbers(min(text, held, key=len)) <= numbers(max(text, held, key=len)))
            if whole or (bounds.contained <= share < 1 and same_subject(text, held)):
                return "contained", share
        if self._run:
            run = longest_run(mine, theirs)
            if amount(run) >= self._run and not self._prints.is_common(run):
                return "passage", amount(run) / max(amount(theirs), 1)
        return None


ORDER: list[Kind] = ["near", "contained", "passage"]


def leak_between(item: Item, held: Item, kind: Kind, score: float) -> Leak:
    return Leak(item.id, item.text, item.source, item.place, held.id, held.text, held.source, held.place, kind, min(round(score, 4), 1.0))


def folded(text: str) -> str:
    """The key of a text, in simplified characters."""
    return one_script(key(text))


def amount(text: str) -> float:
    """How much a text says, in Chinese characters: another character counts a third."""
    return sum(1 if character >= "⺀" else 1 / 3 for character in text)


def shared_runs(shorter: str, longer: str) -> float:
    """The share of the shorter text's runs that stand in the longer."""
    runs = np.unique(prints_of([shorter])[1])
    return float(np.isin(runs, prints_of([longer])[1]).mean()) if runs.size else 0.0


def longest_run(text: str, held: str) -> str:
    """The longest unbroken run of the text that stands in the held one, the first of them."""
    best, start = "", 0
    while start + len(best) < len(text):
        if (run := text[start : start + len(best) + 1]) in held:
            best = run
        else:
            start += 1
    return best


def same_subject(text: str, held: str) -> bool:
    """Whether two texts that are nearly the same are about the same: if short, the same numbers, and no word for quite another."""
    if max(len(text), len(held)) >= SHORT:
        return True
    if codes(text) != codes(held) or (numerals(text) != numerals(held) and not are_slips(text, held)):
        return False
    words, others = (Counter(re.findall(r"[^\W\d_]+", re.sub(r"[⺀-\U0003ffff]", " ", normal(one).casefold()))) for one in (text, held))
    gone, come = list((words - others).elements()), list((others - words).elements())
    return not (gone and come) or all(any(is_slip(word, other) for other in come) for word in gone)


def is_slip(word: str, other: str) -> bool:
    """Whether one word may be the other, mistyped."""
    if len(word) == len(other) and sum(map(str.__ne__, word, other)) <= 1:
        return True
    return SequenceMatcher(None, word, other).ratio() >= TYPO


def numbers(text: str) -> set[str]:
    """The numbers of a text, in digits and in Chinese, and its codes."""
    return codes(text) | numerals(text)


def codes(text: str) -> set[str]:
    """The words of a text with a digit in them."""
    return {word for word in re.findall(r"[a-z0-9]+(?:[.\-][a-z0-9]+)*", normal(text).casefold()) if any(map(str.isdigit, word))}


def numerals(text: str) -> set[str]:
    """The numbers in Chinese. 一 and 两 alone count nothing."""
    return set(re.findall(f"[{CHINESE}万]{{2,}}|[二三四五六七八九十百千]", normal(text)))


def are_slips(text: str, held: str) -> bool:
    """Whether each numeral in which two texts differ stands for a character that is none: 十市 may be 十二 mistyped, 十三 and 十 not."""
    mine, theirs = normal(text), normal(held)
    for tag, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        counted = [not NUMERALS.isdisjoint(part) for part in (mine[a:b], theirs[c:d])]
        if tag != "equal" and any(counted) and (all(counted) or b - a != d - c):
            return False
    return True
