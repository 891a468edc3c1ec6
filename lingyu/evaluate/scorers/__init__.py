"""The scorers, a module each with SCORER; reports show their metrics in this order."""

from importlib import import_module

from lingyu.evaluate.scorer import EVERY, Scorer, Values
from lingyu.evaluate.scorers.stated import stated
from lingyu.records import Question, is_rubric

NAMES = (
    "facts",
    "articles",
    "citations",
    "classes",
    "exams",
    "reasoning",
    "chat",
    "inquiries",
    "preferences",
    "replies",
    "texts",
)
SCORERS: tuple[Scorer, ...] = tuple(import_module(f"{__name__}.{name}").SCORER for name in NAMES)
WHOLE = frozenset(task for scorer in SCORERS if scorer.whole for task in scorer.tasks)
"""The tasks that are measured by the metrics of a scorer alone."""


def values_of(question: Question, reply: str) -> Values:
    """What all scorers of the question's task say of a reply."""
    values = {} if question.task in WHOLE or is_rubric(question.task) else stated(question, reply)
    for scorer in SCORERS:
        if scorer.score is not None and {question.task, EVERY} & set(scorer.tasks):
            values |= scorer.score(question, reply)
    return values
