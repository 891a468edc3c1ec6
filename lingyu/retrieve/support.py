"""Whether an answer stands on its sources: a check of what can be checked by rule, so that a wrong number is never called supported.

Each sentence of the answer must find one source that holds all its numbers and known names and says it with the same
negation. Similarity would not do: texts that differ in one number or in a lost negation are nearly the same to it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from lingyu.retrieve.words import folded, words
from lingyu.text.negation import denies
from lingyu.text.numerals import CHINESE
from lingyu.text.sentences import sentences

NUMBER = re.compile(rf"\d+(?:[.,:]\d+)*|[{CHINESE}万亿]{{2,}}|[a-z]+[-.]?\d+(?:[-.]\d+)*")
# A sentence without number or name is held by a source that shares at least this much of its words.
ENOUGH = 0.6


def supported(answer: str, sources: list[str], terms: frozenset[str]) -> bool:
    """Whether every sentence of the answer is held by a source; `terms` as from known_terms. An empty answer is not."""
    said = [sentence for sentence in sentences(answer) if words(sentence)]
    return bool(said) and all(any(holds(source, sentence, terms) for source in sources) for sentence in said)


def known_terms(terms: Iterable[str]) -> frozenset[str]:
    """Names and values in the form in which they are looked for. A single character would stand in every word."""
    return frozenset(squeezed(term) for term in terms if len(term) > 1)


def holds(source: str, sentence: str, terms: frozenset[str]) -> bool:
    claims = claims_of(sentence, terms)
    inside = squeezed(source)
    if claims:
        if not all(stands_in(claim, inside) for claim in claims):
            return False
    elif overlap(sentence, source) < ENOUGH:
        return False
    closest = max(sentences(source), key=lambda told: overlap(sentence, told), default="")
    return denies(folded(sentence)) == denies(folded(closest))


def claims_of(sentence: str, terms: frozenset[str]) -> list[str]:
    """The numbers of the sentence, and the longest known names and values that stand in it."""
    text = squeezed(sentence)
    present = sorted((term for term in terms if term in text), key=len, reverse=True)
    longest = [term for i, term in enumerate(present) if not any(term in longer for longer in present[:i])]
    return [*longest, *NUMBER.findall(folded(sentence))]


def stands_in(claim: str, text: str) -> bool:
    """Whether the claim stands there whole: 5 does not stand in 3.5, nor in 50."""
    claim = squeezed(claim)
    before = r"(?<![\d.])" if claim[:1].isdigit() else ""
    after = r"(?!\d|[.,:]\d)" if claim[-1:].isdigit() else ""
    return re.search(before + re.escape(claim) + after, text) is not None


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", folded(text))


def overlap(sentence: str, source: str) -> float:
    """The share of the sentence's words that stand in the source."""
    mine, theirs = word_set(sentence), word_set(source)
    return len(mine & theirs) / len(mine) if mine else 0.0


@lru_cache(maxsize=1 << 12)  # every sentence of an answer is held against the same sources
def word_set(text: str) -> frozenset[str]:
    return frozenset(words(text))
