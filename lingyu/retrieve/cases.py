"""Consultations of the training part: what an adviser asked before advising, and what people replied.

The cases closest to a new one tell what to ask in it: no list of questions by topic has to be written.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lingyu.files import read_table, write_table
from lingyu.records import Dialogue, Row
from lingyu.retrieve.evidence import Relevance
from lingyu.retrieve.words import grams
from lingyu.text.sentences import sentences

FILE = "cases.parquet"
QUESTION = re.compile(r"[？?][”’\"')）]*\s*$")
LOOKED_AT = 40  # cases that share most words with the question, of which the closest are taken
SAME = 0.7  # from which closeness two questions ask the same
TOLD = 0.6  # from which closeness what a person said answers a question


class Case(Row):
    """question: what the person came with; asked, replies: what was asked of them and what they said, in pairs; advice: the last reply."""

    question: str
    asked: list[str]
    replies: list[str]
    advice: str


def cases_of(dialogues: Iterable[Dialogue]) -> Iterator[Case]:
    """The dialogues in which an adviser asks first and then advises."""
    for row in dialogues:
        turns = [message for message in row.messages if message.role != "system"]
        roles = [message.role for message in turns]
        if row.scope != "domain" or len(turns) < 4 or roles != ["user", "assistant"] * (len(turns) // 2):
            continue
        asked = [
            (question, reply.content)
            for said, reply in zip(turns[1:-1:2], turns[2::2], strict=True)
            for question in questions(said.content)
        ]
        if asked and not questions(turns[-1].content):
            shared = {name: getattr(row, name) for name in ("id", "source", "place", "licence", "scope", "language")}
            yield Case(
                **shared, question=turns[0].content, asked=[q for q, _ in asked], replies=[r for _, r in asked], advice=turns[-1].content
            )


def questions(text: str) -> list[str]:
    return [sentence.strip() for sentence in sentences(text) if QUESTION.search(sentence)]


def keep(cases: Iterable[Case], folder: Path) -> None:
    write_table(folder / FILE, cases, Case)


class Cases:
    """The cases in a folder written by `keep`."""

    def __init__(self, folder: Path) -> None:
        self.all = list(read_table(folder / FILE, Case)) if (folder / FILE).is_file() else []
        self._words = [set(grams(case.question)) for case in self.all]

    def nearest(
        self, question: str, relevance: Relevance, limit: int, allows: Callable[[str], bool] = lambda source: True
    ) -> list[tuple[Case, float]]:
        """The cases whose question is closest to this one, with their closeness, closest first; of sources that are allowed."""
        mine = set(grams(question))
        allowed = [number for number, case in enumerate(self.all) if allows(case.source)]
        order = sorted(allowed, key=lambda number: -len(mine & self._words[number]))[:LOOKED_AT]
        if not order:
            return []
        scores = relevance(question, [self.all[number].question for number in order])
        ranked = sorted(zip(order, scores, strict=True), key=lambda pair: -pair[1])
        return [(self.all[number], float(score)) for number, score in ranked[:limit]]


def to_ask(near: Sequence[Case], asked: Sequence[str], told: str, relevance: Relevance) -> list[str]:
    """What was asked in the cases and neither asked nor told in this one; what most cases asked comes first."""
    kinds: list[tuple[str, set[str]]] = []
    for case in near:
        for question in case.asked:
            known = next((cases for one, cases in kinds if same(question, one, relevance)), None)
            if known is None:
                kinds.append((question, {case.id}))
            else:
                known.add(case.id)
    kinds.sort(key=lambda kind: -len(kind[1]))
    return [
        question
        for question, _ in kinds
        if not any(same(question, one, relevance) for one in asked) and relevance(question, [told])[0] < TOLD
    ]


def same(one: str, other: str, relevance: Relevance) -> bool:
    """Whether two questions ask the same, one of them perhaps with more words."""
    return max(relevance(one, [other])[0], relevance(other, [one])[0]) >= SAME
