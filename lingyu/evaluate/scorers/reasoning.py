"""Questions to think about: the answer after the thought, and whether there is one thought and then an answer."""

from lingyu.evaluate import rules
from lingyu.evaluate.scorer import Scorer, Values, share
from lingyu.evaluate.scorers.stated import stated
from lingyu.model.chat import THINK_END
from lingyu.records import Question

TASK = "reason"


def score(question: Question, reply: str) -> Values:
    return {"format": float(rules.thought_and_answered(reply)), **stated(question, reply.rpartition(THINK_END)[2])}


SCORER = Scorer(
    tasks=(TASK,),
    metrics=(share("reason_exact", TASK, guarded=True), share("reason_format", TASK, value="format", guarded=True)),
    score=score,
    whole=True,
)
