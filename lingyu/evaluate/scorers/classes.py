"""Classification: a reply counts only where it is a class and nothing beside it."""

from lingyu.evaluate import rules
from lingyu.evaluate.scorer import Metric, Scorer, Values, share
from lingyu.records import Question

TASK = "classify"


def score(question: Question, reply: str) -> Values:
    called = rules.chosen_label(reply, [question.answer, *question.wrong])
    return {"exact": float(called == question.answer)}


SCORER = Scorer(
    tasks=(TASK,),
    metrics=(
        share("classify_accuracy", TASK),
        Metric("classify_macro_f1", "exact", TASK, kind="macro_f1", guarded=True),
        Metric("classify_weighted_f1", "exact", TASK, kind="weighted_f1"),
    ),
    score=score,
    whole=True,
)
