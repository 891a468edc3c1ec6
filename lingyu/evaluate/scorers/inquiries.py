"""Proactive questioning: a reply that should ask back before it answers, whether it asks for what is needed and for nothing else.

The answer of such a question lists what is needed, one a line, in as many wordings as may be used for it: 年龄/多大/几岁.
"""

import re

from lingyu.evaluate.rules import normalised
from lingyu.evaluate.scorer import Metric, Scorer, Values, share
from lingyu.records import Question
from lingyu.text.questions import has_question_word

TASK = "inquire"
SENTENCE = re.compile(r"[^。！？!?\n；;]+[。！？!?；;]?")


def questions_in(reply: str) -> list[str]:
    """The sentences that ask something."""
    return [one for one in SENTENCE.findall(reply) if one.rstrip().endswith(("？", "?")) or has_question_word(one)]


def needed(question: Question) -> list[tuple[str, ...]]:
    """For each thing to ask for, its wordings."""
    lines = [line for line in question.answer.splitlines() if line.strip()]
    return [tuple(filter(None, (normalised(wording) for wording in re.split("[/／|]", line)))) for line in lines]


def score(question: Question, reply: str) -> Values:
    slots, asked = needed(question), [normalised(one) for one in questions_in(reply)]
    if not slots:
        return {}
    met = [any(wording in one for one in asked for wording in slot) for slot in slots]
    useful = [any(wording in one for slot in slots for wording in slot) for one in asked]
    found = {"asked": sum(met) / len(slots), "complete": float(all(met)), "questions": float(len(asked))}
    return {**found, "needless": float(len(asked) - sum(useful))} if asked else found


SCORER = Scorer(
    tasks=(TASK,),
    metrics=(
        Metric("inquire_asked", "asked", TASK, guarded=True),
        share("inquire_complete", TASK, value="complete"),
        Metric("inquire_needless", "needless", TASK, over="questions", better="lower"),
    ),
    score=score,
    whole=True,
)
