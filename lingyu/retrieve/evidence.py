"""The sentences of the retrieved passages that bear on a question, and whether an answer follows from one of them.

That some source contains the words of an answer is not enough: "重大风险" stands somewhere, and answers nothing about a
weight. The sentence that contains them must also be among those that are closest to the question, and name what it names.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lingyu.retrieve.chunks import Chunk, is_row, plain
from lingyu.retrieve.support import claims_of, contains, squeezed, supports
from lingyu.retrieve.words import folded, words
from lingyu.text.asked_for import asked_for, has
from lingyu.text.legal import cited
from lingyu.text.limits import limits
from lingyu.text.negation import denies
from lingyu.text.numerals import CHINESE
from lingyu.text.sentences import INTRODUCES, ITEM, MORE_ITEMS, sentences

if TYPE_CHECKING:
    from lingyu.retrieve.graph import Graph

Relevance = Callable[[str, Sequence[str]], Sequence[float]]
"""Of texts to a question, each from 0 to 1."""

ENDED = re.compile(r"[。！？!?.][”’」』）)\"']*\s*$|\n\s*$")
# A model's or part's name with a number in it, in folded text: what is told of another one answers nothing.
CODE = re.compile(rf"[\u4e00-\u9fff]{{2}}(?<![月第])[{CHINESE}\d]+[号型]|(?<![a-z\d])[a-z]+-?\d+[a-z\d-]*")
# "May Puffin carry 6 kg?": the limit is another figure, so what a question states of them need not stand in the sentence.
FIGURE = re.compile(rf"[{CHINESE}\d]|^(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty)")
# An answer is checked against sentences that are at least this close to the question, measured by the closest.
CLOSE = 0.75
# The share of an answer's words that its sentence or its headings must contain. Names, numbers, limits and negation must
# agree as a whole whatever this is.
ENOUGH = 0.8
# "可以。" contains too little to be checked, without a number or a name: the sentence itself is the better answer.
FEWEST_WORDS = 2


@dataclass(frozen=True)
class Evidence:
    """A sentence of a passage. source: index of the passage; start, end: in its text; relevance: to the question, from 0 to 1.

    lead: the sentence that introduces the list of which this one is an item.
    """

    source: int
    start: int
    end: int
    text: str
    headings: str
    relevance: float
    lead: str = ""

    @property
    def whole(self) -> str:
        return f"{self.lead}{self.text}"


def evidence(
    question: str,
    passages: Sequence[Chunk],
    terms: frozenset[str],
    relevance: Relevance,
    graph: "Graph | None" = None,
    required: Sequence[str] | None = None,
) -> list[Evidence]:
    """The sentences of the passages that may answer the question, most relevant first; ties in the order of the passages.

    They name what the question names, and have what it asks for: a person where it asks who, a number where it asks how many.
    required: words of which a sentence must have one (Graph.required).
    """
    found = list[tuple[Evidence, str]]()
    for source, passage in enumerate(passages):
        for start, end, lead in places(passage.text):
            text = passage.text[start:end]
            told = plain(passage.text) if is_row(passage.text) else lead + text
            if (
                about(question, passage, told, terms, graph.entities if graph else frozenset())
                and answers(question, passage, told, exactly=bool(graph and names_in(question, graph.entities)))
                and (graph is None or not graph.another(question, passage, text))
                and (required is None or graph is None or graph.has_one(required, headings_of(passage), told))
            ):
                found.append((Evidence(source, start, end, text, headings_of(passage), 0.0, lead), told))
    if not found:
        return []
    scores = relevance(question, [f"{each.headings}\n{told}" for each, told in found])
    ranked = [replace(each, relevance=float(score)) for (each, _), score in zip(found, scores, strict=True)]
    return sorted(ranked, key=lambda each: -each.relevance)


def headings_of(passage: Chunk) -> str:
    return " / ".join(filter(None, (passage.title, passage.section)))


def places(text: str) -> list[tuple[int, int, str]]:
    """Where the sentences of a text start and end, and the sentence that introduces the list that each is an item of, or "".

    A sentence that introduces a list is none by itself, unless the text ends with it; nor is the head of a table, which introduces its row.
    """
    if is_row(text):
        head, _, row = text.split("\n")
        return [(len(text) - len(row), len(text), head)]
    found, lead, before = [], "", ""
    every = spans(text)
    for start, end in every:
        sentence = text[start:end]
        if text[:start].endswith("\n") and not (INTRODUCES.search(before) or ITEM.match(sentence) or MORE_ITEMS.search(before)):
            lead = ""
        if INTRODUCES.search(sentence) and end < every[-1][1]:
            lead = sentence
        else:
            found.append((start, end, lead))
        before = sentence
    return found


def spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text start and end. The items of a list in one line, which end in ；, belong to the sentence that
    introduces them."""
    found, start, at = [], 0, 0
    for piece in sentences(text):
        at += len(piece)
        if ENDED.search(piece) or at == len(text):
            whole = text[start:at]
            if words(whole):
                found.append((start + len(whole) - len(whole.lstrip()), start + len(whole.rstrip())))
            start = at
    return found


def about(question: str, passage: Chunk, sentence: str, terms: frozenset[str], entities: frozenset[str] = frozenset()) -> bool:
    """Whether the sentence is about the names, articles and codes in the question. entities: those of the terms that are no values.

    A name may stand in a heading, or elsewhere in the passage if the sentence itself has no other name.
    """
    near = squeezed(f"{headings_of(passage)}\n{sentence}")
    if not set(cited(question)) <= {*cited(passage.section), *cited(passage.text)}:
        return False
    if not all(contains(code, squeezed(f"{headings_of(passage)}\n{passage.text}")) for code in CODE.findall(folded(question))):
        return False
    names = [name for name in names_in(question, terms) if name in entities or not FIGURE.search(name)]
    missing = [name for name in names if not contains(name, near)]
    if not missing:
        return True
    return not names_in(sentence, terms) and all(contains(name, squeezed(passage.text)) for name in missing)


def answers(question: str, passage: Chunk, sentence: str, exactly: bool = False) -> bool:
    """Whether the sentence has what the question asks for. A fact has it where the question names its relation.

    exactly: "how far" asks for a length. Rules also answer in other words, so it is asked of entities of the graph only.
    """
    kind = asked_for(question)
    if kind is None or (passage.kind == "fact" and squeezed(passage.section) in squeezed(question)):
        return True
    return has(kind, sentence, exactly)


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
    source = f"{each.headings}\n{each.whole}"
    if not supports(source, answer, terms) or limits(answer) - limits(source):
        return False
    if denies(answer) != denies(each.whole) and denies(each.whole):
        return False
    mine = set(words(answer))
    names = names_in(question, terms)
    asked = {word for word in words(question) if not any(word in name for name in names)}
    # "提前1天。" has nothing of what was asked for: its sentence must.
    if asked and not asked & set(words(source)):
        return False
    return len(mine & set(words(source))) >= ENOUGH * len(mine)
