"""What counts as right in a reply. Embedding similarity rates a wrong number or a lost negation at .9; these rules do not."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from lingyu.text.legal import cited, titles
from lingyu.text.negation import denials
from lingyu.text.numerals import CHINESE
from lingyu.text.sentences import ANSWER_CLAUSE, STOPS

MARKS = f"{STOPS}.,，"
COPULA = re.compile(r"[是为]|\b(?:is|are|was|were)\b")
NUMBER = re.compile(r"(?<![0-9a-z])-?\d+(?:\.\d+)?|\d+(?:\.\d+)?")


def normalised(text: str) -> str:
    """One form of the same text: width, case, thousands separators, and no spaces but those between two Latin letters or before a minus."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").strip()
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return re.sub(r"(?<![a-z]) (?!-\d)| (?![a-z]|-\d)", "", re.sub(r"\s+", " ", text))


def states_answer(reply: str, answer: str, wrong: Iterable[str] = (), question: str = "") -> bool:
    """Whether the reply says what the answer says: its value and none of the wrong ones, no other number, no negation more or less.

    Numbers and wrong values that the question or the answer itself names may be repeated.
    """
    said, right, asked = normalised(reply), normalised(answer).rstrip(MARKS), normalised(question)
    value = value_of(right, asked)
    others = [other for other in map(bare, wrong) if other and other != value and not stands_in(other, asked)]
    if any(value in other and stands_in(other, said) for other in others):
        return False
    parts = parts_of(value, said)
    if not parts or not set(NUMBER.findall(said)) <= {*NUMBER.findall(right), *NUMBER.findall(asked)}:
        return False
    rest, right_rest = without(parts, said), without(parts, right)
    if any(stands_in(other, rest) and not stands_in(other, right_rest) for other in others):
        return False
    clauses = [without(parts, clause) for clause in ANSWER_CLAUSE.split(said) if any(stands_in(part, clause) for part in parts)]
    return max(map(denials, clauses), default=0) <= denials(right_rest)


def value_of(answer: str, question: str) -> str:
    """What an answer sentence tells: all after the last "is" that follows words of the question, else the whole answer.

    The words before it must be in the question, so that an "is" within a relation (是否…) or a value splits nothing.
    """
    for copula in reversed(list(COPULA.finditer(answer))):
        before = re.search(r"[a-z\d]+ ?$|..$", answer[: copula.start()])
        value = answer[copula.end() :].strip()
        if before and before[0].strip() in question and value:
            return value
    return answer


def parts_of(value: str, said: str) -> list[str]:
    """The value as the text has it: whole, or each of its values in any order; nothing where one is missing."""
    for parts in ([value], [part.strip() for part in re.split(r"、|(?<![a-z])and(?![a-z])", value)]):
        if all(part and stands_in(part, said) for part in parts):
            return sorted(parts, key=len, reverse=True)
    return []


def stands_in(value: str, text: str) -> bool:
    """Whether the text has the value by itself: 5 is not in 15 or 5.5, low not in below, 一级 not in 十一级."""
    return bool(value) and re.search(pattern_of(value), text) is not None


def without(values: Iterable[str], text: str) -> str:
    for value in values:
        text = re.sub(pattern_of(value), " ", text)
    return text


def pattern_of(value: str) -> str:
    before = {"digit": r"(?<!\d)(?<!\d\.)", "letter": "(?<![a-z])", "numeral": f"(?<![{CHINESE}万])", "": ""}[kind_of(value[0])]
    after = {"digit": r"(?!\d|\.\d)", "letter": "(?![a-z])", "numeral": f"(?![{CHINESE}万])", "": ""}[kind_of(value[-1])]
    return before + re.escape(value) + after


def kind_of(character: str) -> str:
    if character.isdecimal():
        return "digit"
    if character.isascii() and character.isalpha():
        return "letter"
    return "numeral" if character in f"{CHINESE}万" else ""


def bare(text: str) -> str:
    return normalised(text).rstrip(MARKS)


def chosen_label(reply: str, labels: Iterable[str]) -> str | None:
    """The label that the reply is, and nothing beside it; None for any other reply."""
    return next((label for label in labels if bare(label) == bare(reply)), None)


def thought_and_answered(reply: str) -> bool:
    """Whether the reply is one thought between think marks and then an answer, neither of them empty."""
    found = re.fullmatch(r"\s*<think>(.*?)</think>(.*)", reply, flags=re.DOTALL)
    return found is not None and all(part.strip() and "think>" not in part for part in found.groups())


def cites(reply: str, asked: str, number: str | None = None) -> bool | None:
    """Whether the reply cites what the question asks for: that article (or `number`, where the question wants to know it)
    and no other, under that title. None where there is no article to cite. A title without 《》 cannot be recognised and is not required.
    """
    titles, articles = citations(asked)
    if number is not None:
        articles = citations(number)[1]
    if not articles:
        return None
    said_titles, said_articles = citations(reply)
    return said_articles == articles and said_titles == titles if number is None else said_articles == articles and said_titles <= titles


def body_of(reply: str) -> str:
    """The reply without the citation it opens with."""
    head, colon, body = re.split(r"([:：])", reply, maxsplit=1) if re.search("[:：]", reply) else (reply, "", "")
    return body.strip() if colon and citations(head)[1] else reply


def citations(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The titles and the articles that a text names."""
    return titles(normalised(text)), frozenset(cited(text))


def character_f1(reply: str, answer: str) -> float:
    """Overlap of characters, as F1; Latin words and numbers count as one character each, for their letters always overlap."""
    said, right = Counter(characters(reply)), Counter(characters(answer))
    shared = (said & right).total()
    return 2 * shared / (said.total() + right.total()) if shared else 0.0


def characters(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+(?:\.\d+)?|[^\W\d_a-z]", normalised(text))


def chrf(reply: str, answer: str) -> float:
    """chrF: F score over character n-grams, between 0 and 1."""
    return float(scorer().sentence_score(reply, [answer]).score) / 100


@cache
def scorer() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=0)
