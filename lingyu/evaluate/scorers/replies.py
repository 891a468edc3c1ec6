"""What any reply can have wrong with it, whatever was asked: it refuses what it should answer, or repeats itself."""

from functools import cache

from lingyu.evaluate import rules
from lingyu.evaluate.scorer import EVERY, Metric, Scorer, Values, share
from lingyu.records import Question
from lingyu.text.word_lists import Words, own_lists

OUTSIDE = "outside"
"""The task of questions outside the domain, which are to be refused."""
SIZE = 4


@cache
def own_refusals() -> Words:
    return own_lists()["refusal"]


def refuses(reply: str) -> bool:
    return own_refusals().is_in(reply)


def repeated(reply: str) -> float:
    """The share of four-grams, of Han characters and words, that only repeat an earlier one (seq-rep-4 of Welleck et al., 2020)."""
    units = rules.characters(reply)
    grams = [tuple(units[place : place + SIZE]) for place in range(len(units) - SIZE + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def score(question: Question, reply: str) -> Values:
    found = {"repeated": repeated(reply)}
    if question.task == OUTSIDE:
        found["refused_outside"] = float(refuses(reply))
    elif not refuses(question.answer):
        found["refused"] = float(refuses(reply))
    return found


SCORER = Scorer(
    tasks=(EVERY,),
    metrics=(
        share("outside_refused", OUTSIDE, value="refused_outside", guarded=True),
        share("wrong_refusals", "", value="refused", better="lower", guarded=True),
        Metric("repetition", "repeated", better="lower"),
    ),
    score=score,
)
