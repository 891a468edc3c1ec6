"""Whether a checkpoint prefers what people prefer: by likelihood, by what it says, by what the reward model thinks of it."""

from lingyu.evaluate.scorer import Metric, Scorer, Values, share
from lingyu.evaluate.scorers.stated import stated
from lingyu.records import Question


def score(question: Question, reply: str) -> Values:
    return stated(question, reply) if question.task == "preferred" else {}


SCORER = Scorer(
    tasks=("preference", "preferred"),
    metrics=(
        share("preference_accuracy", "preference"),
        share("preferred_exact", "preferred", guarded=True),
        Metric("preferred_char_f1", "char_f1", "preferred"),
        Metric("reward_mean", "reward", unit="number"),
    ),
    score=score,
    whole=True,
)
