"""Preference pairs by corruption: the right answer against the same answer with one thing wrong in it.

The difference is one that similarity does not show: the value of another entity, the number of another article, a
negation that was lost; or the whole answer is that to another question.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from lingyu.generate.provenance import provenance, user
from lingyu.generate.rules import articles, facts, knowledge
from lingyu.generate.rules.articles import Article
from lingyu.generate.stable_choice import pick, picks
from lingyu.records import Dialogue, Fact, Preference
from lingyu.text.negation import without_negation
from lingyu.text.ngrams import Grams, grams_of
from lingyu.text.normalise import key
from lingyu.text.numerals import CHINESE, FIGURE, NO_FIGURE
from lingyu.text.questions import question_of

METHOD = "corruption"

Rejected = Literal["similar", "corrupted", "any"]
NUMERAL = re.compile(rf"\d+(?:\.\d+)*|[{CHINESE}]+")
SAME_QUESTION = 0.7  # similarity from which two questions are one in other words, and the answer to one may be right for the other


def fact_pairs(rows: Iterable[Fact], others: dict[str, list[str]], asked: Callable[[Fact], list[str]]) -> Iterator[Preference]:
    """A pair for each question that `asked` has for a fact; none for a fact whose relation has no other value."""
    for fact in rows:
        values = others[fact.id]
        for turn, question in enumerate(asked(fact) if values else []):
            value = values[turn % len(values)]
            yield Preference(
                **provenance(fact, method=METHOD, task=facts.TASK, asked=question),
                messages=user(question),
                chosen=knowledge.answer(fact),
                rejected=knowledge.answer(fact, value),
            )


def article_pairs(rows: Iterable[Article], numbers: dict[str, list[str]], seed: int) -> Iterator[Preference]:
    """A pair an article: its text under the number of another article, or without its negation where it has one."""
    for article in rows:
        others = [number for number in numbers[article.title] if number != article.number]
        forms = articles.WORDINGS[article.record.language].train[articles.RECALL]
        right = articles.answer(article, articles.RECALL)
        lost = without_negation(right)
        if lost is None and not others:
            continue
        for form in picks(1, len(forms), seed, "pair", article.record.id):
            asked = articles.in_words(forms[form], article)
            other = pick(others, seed, "other", article.record.id) if others else ""
            yield Preference(
                **provenance(article.record, method=METHOD, task=articles.RECALL, asked=asked, references=article.references),
                messages=user(asked),
                chosen=right,
                rejected=right.replace(article.number, other, 1) if lost is None else lost,
            )


def negation_pairs(rows: Iterable[Dialogue]) -> Iterator[Preference]:
    """A pair for each dialogue whose answer denies something, and has no reasoning that a pair could not carry."""
    for row in rows:
        *messages, reply = row.messages
        lost = None if reply.reasoning else without_negation(reply.content)
        if lost is not None:
            fields = provenance(row, method=METHOD, task=row.task, asked=messages[-1].content)
            yield Preference(**fields, messages=messages, chosen=reply.content, rejected=lost)


def other_answers(rows: Sequence[Dialogue], rejected: Rejected, seed: int) -> Iterator[Preference]:
    """A pair for each dialogue: its answer, and as the worse one what `rejected` says. None where there is none, or reasoning."""
    plain = [row for row in rows if not row.messages[-1].reasoning]
    by_task: dict[str, list[Dialogue]] = defaultdict(list)
    for row in plain:
        by_task[row.task].append(row)
    found = {task: Answers(some, seed) for task, some in by_task.items()}
    for row in plain:
        *messages, reply = row.messages
        answers = found[row.task]
        other = answers.any_but(row) if rejected == "any" else answers.to_the_nearest(row) or answers.any_but(row)
        if rejected == "corrupted":
            other = corrupted(reply.content, other, seed) or other
        if other:
            fields = provenance(row, method=METHOD, task=row.task, asked=messages[-1].content)
            yield Preference(**fields, messages=messages, chosen=reply.content, rejected=other)


class Answers:
    """The answers of a task, with what they answer."""

    def __init__(self, rows: Sequence[Dialogue], seed: int) -> None:
        self._rows, self._seed = rows, seed
        self._distinct = sorted({row.messages[-1].content for row in rows})

    def any_but(self, row: Dialogue) -> str:
        """One of them by hash, "" where all say the same."""
        if len(self._distinct) < 2:
            return ""
        other = pick(self._distinct, self._seed, "swapped", row.id)
        return other if other != row.messages[-1].content else self._distinct[self._distinct.index(other) - 1]

    def to_the_nearest(self, row: Dialogue) -> str:
        """What answers the most similar question that is another one; "" where all say the same."""
        grams = self._grams[self._places[row.id]]
        names, places = self._holding
        starts, ends = np.searchsorted(names, grams), np.searchsorted(names, grams, "right")
        postings = [places[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        shared = np.bincount(np.concatenate([np.empty(0, np.int64), *postings]), minlength=len(self._rows))
        alike = shared / np.maximum(self._sizes + grams.size - shared, 1)
        alike[self._places[row.id]] = 0  # the question itself
        numerals = numerals_of(question_of(row.messages))
        for place in by_similarity(alike):
            nearest: Dialogue = self._rows[place]
            another = alike[place] < SAME_QUESTION or numerals_of(question_of(nearest.messages)) != numerals
            if another and not same_answer(nearest.messages[-1].content, row.messages[-1].content):
                return nearest.messages[-1].content
        return ""

    @cached_property
    def _grams(self) -> list[Grams]:
        return [grams_of(question_of(row.messages)) for row in self._rows]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {row.id: place for place, row in enumerate(self._rows)}

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int64]:
        return np.array([grams.size for grams in self._grams])

    @cached_property
    def _holding(self) -> tuple[Grams, npt.NDArray[np.int64]]:
        """Every gram of every question, in rising order, and the places of the questions."""
        grams = np.concatenate(self._grams)
        order = np.argsort(grams, kind="stable")
        return grams[order], np.repeat(np.arange(len(self._grams)), self._sizes)[order]


def same_answer(one: str, other: str) -> bool:
    """Whether two answers differ in width, case, punctuation and spaces at most; texts of very different lengths need no key."""
    return one == other or (min(len(one), len(other)) * 2 > max(len(one), len(other)) and key(one) == key(other))


def by_similarity(alike: npt.NDArray[np.float64]) -> Iterator[int]:
    """The places in falling order, of equals the first; those at least half as similar as the nearest are nearly always enough."""
    near = alike >= alike.max() / 2
    for some in (np.flatnonzero(near), np.flatnonzero(~near)):
        yield from some[np.argsort(-alike[some], kind="stable")].tolist()


def numerals_of(question: str) -> list[str]:
    """By them two questions that are otherwise the same differ: 第六条, 第七条."""
    return NUMERAL.findall(question)


def corrupted(answer: str, other: str, seed: int) -> str:
    """The answer with one thing wrong in it: without its negation, or with a figure of the other answer; "" where it has neither."""
    lost = without_negation(answer)
    if lost is not None:
        return lost
    figures: list[str] = [found for found in FIGURE.findall(answer) if found not in NO_FIGURE]
    wrong = [found for found in FIGURE.findall(other) if found not in (*NO_FIGURE, *figures)]
    if not figures or not wrong:
        return ""
    figure, instead = pick(figures, seed, "figure", answer), pick(wrong, seed, "instead", answer)
    return answer.replace(figure, instead, 1)
