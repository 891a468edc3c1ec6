"""The sentences of the retrieved passages that bear on a question, and whether an answer follows from one of them.

That some source contains the words of an answer is not enough: "重大风险" stands somewhere, and answers nothing about a
weight. The sentence that contains them must also be among those that are closest to the question, and name what it names.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.support import claims_of, contains, squeezed, supports
from lingyu.retrieve.words import words
from lingyu.text.limits import limits
from lingyu.text.negation import denies
from lingyu.text.sentences import sentences

Relevance = Callable[[str, Sequence[str]], Sequence[float]]
"""Of texts to a question, each from 0 to 1."""

ENDED = re.compile(r"[。！？!?.][”’」』）)\"']*\s*$|\n\s*$")
# An answer is checked against sentences that are at least this close to the question, measured by the closest.
CLOSE = 0.75
# The share of an answer's words that its sentence, its headings or the question must contain. Names, numbers, limits and negation must
# agree as a whole whatever this is.
ENOUGH = 0.8
# "可以。" contains too little to be checked, without a number or a name: the sentence itself is the better answer.
FEWEST_WORDS = 2


@dataclass(frozen=True)
class Evidence:
    """A sentence of a passage. source: index of the passage; start, end: in its text; relevance: to the question, from 0 to 1."""

    source: int
    start: int
    end: int
    text: str
    headings: str
    relevance: float


def evidence(question: str, passages: Sequence[Chunk], terms: frozenset[str], relevance: Relevance) -> list[Evidence]:
    """The sentences of the passages that name what the question names, most relevant first; ties in the order of the passages."""
    found = [
        (source, start, end, passage.text[start:end], headings_of(passage))
        for source, passage in enumerate(passages)
        for start, end in spans(passage.text)
        if about(question, passage, passage.text[start:end], terms)
    ]
    if not found:
        return []
    scores = relevance(question, [f"{headings}\n{text}" for *_, text, headings in found])
    ranked = [Evidence(*place, relevance=float(score)) for place, score in zip(found, scores, strict=True)]
    return sorted(ranked, key=lambda each: -each.relevance)


def headings_of(passage: Chunk) -> str:
    return " / ".join(filter(None, (passage.title, passage.section)))


def spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text start and end. The items of a list, which end in ；, belong to the sentence that introduces them."""
    found, start, at = [], 0, 0
    for piece in sentences(text):
        at += len(piece)
        if ENDED.search(piece) or at == len(text):
            whole = text[start:at]
            if words(whole):
                found.append((start + len(whole) - len(whole.lstrip()), start + len(whole.rstrip())))
            start = at
    return found


def about(question: str, passage: Chunk, sentence: str, terms: frozenset[str]) -> bool:
    """Whether the sentence is about the names in the question.

    A name may stand in a heading, or elsewhere in the passage if the sentence itself has no other name.
    """
    names = names_in(question, terms)
    near = squeezed(f"{headings_of(passage)}\n{sentence}")
    missing = [name for name in names if not contains(name, near)]
    if not missing:
        return True
    return not names_in(sentence, terms) and all(contains(name, squeezed(passage.text)) for name in missing)


def names_in(text: str, names: frozenset[str]) -> list[str]:
    """The longest of the names that the text contains."""
    return [claim for claim in claims_of(text, names) if claim in names]


def proof(answer: str, question: str, ranked: Sequence[Evidence], terms: frozenset[str]) -> Evidence | None:
    """The sentence from which one sentence of an answer follows; None if there is none, or too little to check."""
    if len(words(answer)) < FEWEST_WORDS and not claims_of(answer, terms):
        return None
    close = [each for each in ranked if each.relevance >= CLOSE * ranked[0].relevance]
    return next((each for each in close if proves(each, answer, question, terms)), None)


def proves(each: Evidence, answer: str, question: str, terms: frozenset[str]) -> bool:
    source = f"{each.headings}\n{each.text}"
    if not supports(source, answer, terms) or limits(answer) - limits(source):
        return False
    if denies(answer) != denies(each.text) and denies(each.text):
        return False
    mine = set(words(answer))
    return len(mine & {*words(source), *words(question)}) >= ENOUGH * len(mine)
