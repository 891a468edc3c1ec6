"""The leak gate: the training texts that leak a held-out text, with the evidence for a person to check.

A text leaks another if both are identical (verbatim), identical except for punctuation, width, case and spaces (form) or for
traditional and simplified characters (script); if most of their character n-grams are shared (near); if one contains the
other as a whole, in a frame or a longer text (contained); among questions, if both quote one passage (passage); and
optionally, if both are based on one record (paragraph). Text shared by many, such as an instruction or a form header, does
not count: similar texts are also compared without it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate, islice
from math import log2
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from lingyu.split.ngram_index import Others, Prints, prints_of
from lingyu.text.ngrams import Grams, Sketches, grams_of_key, similarity
from lingyu.text.normalise import key, normal
from lingyu.text.numerals import CHINESE
from lingyu.text.simplified import one_script

Kind = Literal["verbatim", "form", "script", "near", "contained", "passage", "paragraph"]

SHORT = 128  # characters; in shorter texts a different number or code means a different subject
TYPO = 0.7  # similarity from which one word is a typo of another; wind and winter have .6
SLOTS = 32  # Chinese characters; in texts up to this length one different word makes a different question
NUMERALS = frozenset(f"{CHINESE}万")
TURNING = frozenset("+±<>≤≥≠⁺⁻↑↓")
SAYS = 5  # minimum Chinese characters, or three times as many others, of a meaningful question: 怎么办 is not one
NOTHING = 3  # the same unit; shorter remainders of a text count as empty
BATCH = 2000
OTHERS = 4096  # number of training texts that is enough to estimate what many share
COMPARED = 16  # held-out texts that a text is compared with character by character


class Bounds(BaseModel):
    """The thresholds above which two texts count as the same. Measured in docs/benchmarks.md."""

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
        """The similarity threshold for texts of this length: interpolated logarithmically between `near` and `near_long`."""
        way = min(max(log2(max(said, 1) / SLOTS), 0) / log2(SHORT / SLOTS), 1)
        return self.near + (self.near_long - self.near) * way


@dataclass(frozen=True)
class Item:
    """A text and its location."""

    id: str
    text: str
    source: str
    place: str


@dataclass(frozen=True)
class Leak:
    """A training text with the held-out text that it leaks most, and both locations."""

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
    """Held-out texts to protect. passages: whether a shared passage is a leak, as it is for questions about it.

    others: training texts to estimate what many texts share; by default the first ones that are judged.
    """

    def __init__(self, held: Iterable[Item], bounds: Bounds, *, passages: bool = False, others: Others | None = None) -> None:
        self._bounds, self._run = bounds, bounds.passage if passages else 0
        self._held = [item for item in held if key(item.text)]
        self._same: dict[str, int] = {}
        self._bare: dict[str, int] = {}
        self._folds: list[str] = []
        self._sketches = Sketches()
        self._index: Prints | None = None
        if self._held and others:
            self._index = Prints(self._folded(), others)

    @property
    def _prints(self) -> Prints:
        assert self._index, "judged makes it"
        return self._index

    def _folded(self) -> Iterator[str]:
        """The held-out texts in folded form, stored and sketched while iterating."""
        for number, item in enumerate(self._held):
            fold = folded(item.text)
            self._same.setdefault(fold, number)
            if bare := unframed(item.text):
                self._bare.setdefault(folded(bare), number)
            self._folds.append(fold)
            self._sketches.add(grams_of_key(fold))
            yield fold

    def leaks(self, items: Iterable[Item]) -> Iterator[Leak]:
        """A leak for each item that leaks a held-out text, in order."""
        rest = iter(items)
        while batch := list(islice(rest, BATCH)):
            yield from filter(None, self.judged(batch))

    def judged(self, items: Sequence[Item]) -> list[Leak | None]:
        """For each item its leak, or None."""
        if not self._held:
            return [None] * len(items)
        folds = [folded(item.text) for item in items]
        self._index = self._index or Prints(self._folded(), Others(folds))
        candidates = self._prints.candidates(folds, COMPARED, self._run)
        return [self._most(item, fold, *found) for item, fold, found in zip(items, folds, candidates, strict=True)]

    def _most(self, item: Item, fold: str, whole: list[int], alike: list[int]) -> Leak | None:
        if not fold:
            return None
        if (number := self._same.get(fold)) is not None:
            held = self._held[number].text
            kind: Kind = "verbatim" if item.text == held else "form" if key(item.text) == key(held) else "script"
            return leak_between(item, self._held[number], kind, 1.0)
        if (number := self._inside(item.text, fold, whole)) is not None:
            return leak_between(item, self._held[number], "contained", 1.0)
        if not alike:
            return None
        grams = grams_of_key(fold)
        alike = self._worth_comparing(fold, grams, alike)
        judged = [(verdict, number) for number in alike if (verdict := self._judged(item.text, fold, grams, number))]
        found = [(ORDER.index(kind), -score, number) for (kind, score), number in judged]
        if not found:
            return None
        place, score, number = min(found)
        return leak_between(item, self._held[number], ORDER[place], -score)

    def _inside(self, text: str, fold: str, numbers: list[int]) -> int | None:
        """The longest held-out text that the text contains as a whole, or equals except for its frame."""
        found = [number for number in numbers if self._folds[number] in fold and self._says_whole(text, fold, number)]
        if found:
            return max(found, key=lambda number: (len(self._folds[number]), -number))
        bare = unframed(text)
        if bare and (number := self._same.get(folded(bare), self._bare.get(folded(bare)))) is not None:
            return number
        return self._bare.get(fold)

    def _says_whole(self, text: str, fold: str, number: int) -> bool:
        """Whether a held-out text contained in another is meaningful enough to be a leak."""
        held = self._folds[number]
        said = amount(held)
        if said < self._bounds.min_contained:  # 可以停车吗 is part of many questions; as a separate sentence it is a question
            return said >= SAYS and is_between_marks(held, text)
        if len(held) < SHORT and not (numbers(self._held[number].text) <= numbers(text) or is_apart(held, fold)):
            return False
        own, _ = self._prints.split(held, everywhere=True)
        return own == held or amount(own) >= SAYS or bool(own and is_between_marks(held, text))  # an instruction alone is not a question

    def _worth_comparing(self, fold: str, grams: Grams, numbers: list[int]) -> list[int]:
        """The held-out texts that could be leaked; most share too few n-grams for that."""
        if self._run and len(fold) >= self._run:
            return numbers
        bounds = self._bounds
        sizes, shared = self._sketches.compared(grams, numbers)
        alike = shared / (sizes + grams.size - shared) >= min(bounds.near, bounds.near_long)
        fits = shared + 1e-6 >= bounds.contained * np.minimum(sizes, grams.size)  # same condition as in _judged, which rounds
        return [number for number, worth in zip(numbers, alike | fits, strict=True) if worth]

    def _judged(self, text: str, mine: str, grams: Grams, number: int) -> tuple[Kind, float] | None:
        """The kind and score of the leak between the text (mine: folded) and a held-out text that is not identical."""
        held, theirs, bounds = self._held[number].text, self._folds[number], self._bounds
        others = grams_of_key(theirs)
        if verdict := likeness(text, mine, grams, held, theirs, others, bounds):
            for everywhere in (False, True):
                (own, common), (own_held, common_held) = (self._prints.split(one, everywhere) for one in (mine, theirs))
                if own == own_held or not (common or common_held):
                    return verdict
                if everywhere or min(amount(own), amount(own_held)) >= NOTHING:  # otherwise all of it is shared by many texts
                    if verdict := likeness(
                        text, mine, grams, held, theirs, others, bounds, Boilerplate(own, own_held, common + common_held)
                    ):
                        return verdict
                    break
        if self._run:
            run = longest_run(mine, theirs)
            if amount(run) >= self._run and not self._prints.is_common(run):
                return "passage", amount(run) / max(amount(theirs), 1)
        return None


@dataclass(frozen=True)
class Boilerplate:
    """The specific parts of two texts, and the parts shared by many texts."""

    own: str
    own_held: str
    common: list[str]


def likeness(
    text: str, mine: str, grams: Grams, held: str, theirs: str, others: Grams, bounds: Bounds, without: Boilerplate | None = None
) -> tuple[Kind, float] | None:
    """Whether two texts (mine and theirs: folded) are near-identical, or one is nearly contained in the other.

    without: text to ignore.
    """
    size = max(len(text), len(held))
    if without:
        mine, theirs = without.own, without.own_held
        size = max(len(mine), len(theirs))
        shared = np.concatenate([grams_of_key(piece) for piece in without.common])
        grams, others = np.setdiff1d(grams, shared), np.setdiff1d(others, shared)
    alike = similarity(grams, others)
    shorter, longer = sorted((mine, theirs), key=len)
    said = amount(shorter)
    if alike >= bounds.near_at(said) and (size >= SHORT or same_words(text, held)):
        return "near", alike
    # One sentence of a long text does not leak it; half of it does.
    fits = alike * (grams.size + others.size) / (1 + alike) >= bounds.contained * min(grams.size, others.size)  # otherwise out of reach
    if fits and said >= bounds.min_contained and said >= amount(theirs) / 2:
        share = 1.0 if shorter in longer else shared_runs(shorter, longer)
        whole = share == 1 and (len(shorter) >= SHORT or numbers(min(text, held, key=len)) <= numbers(max(text, held, key=len)))
        if whole or (bounds.contained <= share < 1 and (size >= SHORT or same_words(text, held))):
            return "contained", share
    return None


def others_of(texts: Sequence[str], population: int) -> Others:
    """The text shared by this sample of texts."""
    return Others([folded(text) for text in texts[:: len(texts) // OTHERS + 1]], population)


ORDER: list[Kind] = ["near", "contained", "passage"]


def leak_between(item: Item, held: Item, kind: Kind, score: float) -> Leak:
    return Leak(item.id, item.text, item.source, item.place, held.id, held.text, held.source, held.place, kind, min(round(score, 4), 1.0))


def folded(text: str) -> str:
    """The key of a text, in simplified characters."""
    return one_script(key(text))


def amount(text: str) -> float:
    """The length of a text in Chinese characters; other characters count a third."""
    return sum(1 if character >= "⺀" else 1 / 3 for character in text)


# What separates a question from the surrounding text: line breaks, colons, quotation marks, sentence ends.
BETWEEN_MARKS = re.compile(r"[\n:：。？！!?；;“”\"「」『』《》【】<>]+|\.\s")
COURTESY = re.compile(
    r"[\W_]*(?:您好|你好|请问(?:一下)?|麻烦问一下|我?想问一下"
    r"|(?:hello|hi|(?:could|can) you (?:please )?tell me|please tell me)(?![a-z]))[\W_]*",
    re.IGNORECASE,
)
LABEL = re.compile(
    r"(?:问题|提问|问|题目|题|文本|内容|输入|用户|回答|答案|作答|(?<![a-z])(?:question|query|problem|text|input|prompt|user|human|answer|q))[\s\d.#*]*$",
    re.IGNORECASE,
)
FRAME_TAIL = re.compile(
    r"(?:[\W_]*(?:谢谢(?:您|你|医生)?|多谢|请(?:您|你)?(?:简要|详细|认真|直接)?(?:回答|作答|解答)(?:[上以]面的问题|这个问题|问题)?"
    r"|(?:回答|答案|答复|解答|答|输出|类别|助手)[\s\d.]*[:：])"
    r"|[\W_]+(?:thanks?(?: you)?|please answer(?: it| the question)?|(?:answer|response|reply|output|assistant|bot|a)\s*[:：]))[\W_]*$",
    re.IGNORECASE,
)
HEAD_END, TAIL_SIGN = re.compile(r"[:：\n？！。?!]"), re.compile(r"[:：]\W*$|[谢答]|thank|answer", re.IGNORECASE)
FRAMED = 400  # characters; longer texts are not framed questions
LABELLED, TAILED = 60, 30  # maximum characters of a frame before and after a question


def unframed(text: str) -> str:
    """The content of a frame (问题：…回答：, 请问…谢谢), if the text is little more than that; "" if there is no frame."""
    if len(text) > FRAMED:
        return ""
    bare = text
    while (mark := HEAD_END.search(bare, 0, LABELLED)) is not None:
        if mark[0] not in ":：" or not LABEL.search(bare[: mark.start()]):
            break
        bare = bare[mark.end() :]
    while (courtesy := COURTESY.match(bare)) is not None:
        bare = bare[courtesy.end() :]
    while TAIL_SIGN.search(bare, max(0, len(bare) - TAILED)) and (tail := FRAME_TAIL.search(bare, max(0, len(bare) - TAILED))) is not None:
        bare = bare[: tail.start()]
    return bare if len(bare) < len(text) else ""


def is_between_marks(held: str, text: str) -> bool:
    """Whether a folded text consists of whole sentences, lines or quotations of another."""
    parts = list(map(folded, BETWEEN_MARKS.split(text)))
    ends = set(accumulate(map(len, parts), initial=0))
    joined, at = "".join(parts), -1
    while (at := joined.find(held, at + 1)) >= 0:
        if at in ends and at + len(held) in ends:
            return True
    return False


def is_apart(inner: str, whole: str) -> bool:
    """Whether another text contains this one without splitting a number: 十二月的风速 does not contain 二月的风速."""
    counted, at = NUMERALS | set("0123456789"), whole.find(inner)
    while at >= 0:
        before, after = whole[at - 1 : at] if at else "", whole[at + len(inner) : at + len(inner) + 1]
        if not ((before in counted and inner[0] in counted) or (after in counted and inner[-1] in counted)):
            return True
        at = whole.find(inner, at + 1)
    return False


def shared_runs(shorter: str, longer: str) -> float:
    """The share of the shorter text's n-grams that the longer contains."""
    runs = np.unique(prints_of([shorter])[1])
    return float(np.isin(runs, prints_of([longer])[1]).mean()) if runs.size else 0.0


def longest_run(text: str, held: str) -> str:
    """The (first) longest contiguous run of the text that the held-out text contains."""
    best, start = "", 0
    while start + len(best) < len(text):
        if (run := text[start : start + len(best) + 1]) in held:
            best = run
        else:
            start += 1
    return best


def same_subject(text: str, held: str) -> bool:
    """Whether two near-identical texts have the same subject: if short, judged by numbers, signs and words."""
    return max(len(text), len(held)) >= SHORT or same_words(text, held)


def same_words(text: str, held: str) -> bool:
    """Whether two texts have the same numbers and signs, and no different word in the same position."""
    if codes(text) != codes(held) or signs(text) != signs(held) or (numerals(text) != numerals(held) and not are_typos(text, held)):
        return False
    words, others = (Counter(re.findall(r"[^\W\d_]+", re.sub(r"[⺀-\U0003ffff]", " ", normal(one).casefold()))) for one in (text, held))
    gone, come = list((words - others).elements()), list((others - words).elements())
    return not (gone and come) or all(any(is_typo(word, other) for other in come) for word in gone)


def is_typo(word: str, other: str) -> bool:
    """Whether one word may be a typo of the other."""
    if len(word) == len(other) and sum(map(str.__ne__, word, other)) <= 1:
        return True
    return SequenceMatcher(None, word, other).ratio() >= TYPO


def numbers(text: str) -> set[str]:
    """The numbers of a text, in digits and in Chinese, and its codes."""
    return codes(text) | numerals(text)


def codes(text: str) -> set[str]:
    """The words of a text that contain a digit."""
    return {word for word in re.findall(r"[a-z0-9]+(?:[.\-][a-z0-9]+)*", normal(text).casefold()) if any(map(str.isdigit, word))}


def signs(text: str) -> set[str]:
    """The signs and negative numbers of a text, which change its meaning: >5 is not <5, CD4+ not CD4-, -5 not 5."""
    keyed = key(text)
    return {*TURNING & set(keyed), *re.findall(r"-\d+", keyed)}


def numerals(text: str) -> set[str]:
    """The numbers in Chinese. 一 and 两 alone are ignored."""
    return set(re.findall(f"[{CHINESE}万]{{2,}}|[二三四五六七八九十百千]", normal(text)))


def are_typos(text: str, held: str) -> bool:
    """Whether every numeral in which two texts differ replaces a non-numeral: 十市 may be a typo of 十二, but 十三 not of 十."""
    mine, theirs = normal(text), normal(held)
    for tag, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        counted = [not NUMERALS.isdisjoint(part) for part in (mine[a:b], theirs[c:d])]
        if tag != "equal" and any(counted) and (all(counted) or b - a != d - c):
            return False
    return True
