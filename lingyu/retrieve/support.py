"""Whether an answer is supported by its sources, checked by rule, so that a wrong number is never reported as supported.

For each sentence of the answer, one source must contain all its numbers and known names and have the same negation.
Similarity is not enough: texts that differ in one number or a negation are almost identical to it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from lingyu.retrieve.words import folded, words
from lingyu.text.negation import denies
from lingyu.text.numerals import CHINESE
from lingyu.text.sentences import sentences

NUMBER = re.compile(rf"\d+(?:[.,:]\d+)*|[{CHINESE}万亿]{{2,}}|[a-z]+[-.]?\d+(?:[-.]\d+)*")
# A sentence without numbers and names is supported by a source that contains at least this share of its words.
ENOUGH = 0.6


def supported(answer: str, sources: list[str], terms: frozenset[str]) -> bool:
    """Whether every sentence of the answer is supported by a source; `terms` as from known_terms. An empty answer is not."""
    claims = [sentence for sentence in sentences(answer) if words(sentence)]
    return bool(claims) and all(any(supports(source, sentence, terms) for source in sources) for sentence in claims)


def known_terms(terms: Iterable[str]) -> frozenset[str]:
    """Names and values in normalised form, without single characters, which match everywhere."""
    return frozenset(squeezed(term) for term in terms if len(term) > 1)


def supports(source: str, sentence: str, terms: frozenset[str]) -> bool:
    claims = claims_of(sentence, terms)
    inside = squeezed(source)
    if claims:
        if not all(contains(claim, inside) for claim in claims):
            return False
    elif overlap(sentence, source) < ENOUGH:
        return False
    closest = max(sentences(source), key=lambda candidate: overlap(sentence, candidate), default="")
    return denies(folded(sentence)) == denies(folded(closest))


def claims_of(sentence: str, terms: frozenset[str]) -> list[str]:
    """The numbers of the sentence, and the longest known names and values it contains."""
    text = squeezed(sentence)
    present = sorted((term for term in terms if term in text), key=len, reverse=True)
    longest = [term for i, term in enumerate(present) if not any(term in longer for longer in present[:i])]
    return [*longest, *NUMBER.findall(folded(sentence))]


def contains(claim: str, text: str) -> bool:
    """Whether the text contains the claim as a whole: neither 3.5 nor 50 contains 5."""
    claim = squeezed(claim)
    before = r"(?<![\d.])" if claim[:1].isdigit() else ""
    after = r"(?!\d|[.,:]\d)" if claim[-1:].isdigit() else ""
    return re.search(before + re.escape(claim) + after, text) is not None


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", folded(text))


def overlap(sentence: str, source: str) -> float:
    """The share of the sentence's words that the source contains."""
    mine, theirs = word_set(sentence), word_set(source)
    return len(mine & theirs) / len(mine) if mine else 0.0


@lru_cache(maxsize=1 << 12)  # every sentence of an answer is compared with the same sources
def word_set(text: str) -> frozenset[str]:
    return frozenset(words(text))
