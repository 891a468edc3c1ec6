"""What a scorer is: for questions of some tasks it gives a reply named values, and its metrics say what is computed from them.

A metric is a ratio of sums over items (a share, a mean, bits over bytes) or an F1 over classes. What one checkpoint
got and how two differ are computed from the same definition, hence the leaderboard and the paired tests cannot disagree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lingyu.records import Language, Question

Values = dict[str, float]


class Prediction(BaseModel):
    """What a checkpoint made of one test item; every checkpoint has the same items in the same order.

    group: items of one group rest on the same fact and are resampled together. values: by name what was measured, without those that
    do not apply.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    group: str
    task: str  # of the question, or "domain", "general" (a text's likelihood), "preference"
    language: Language
    known: str
    prompt: str  # as the model read it
    reply: str
    answer: str
    label: str  # the class that the reply names, "" for other tasks
    options: list[str]  # the classes it could name
    values: Values

    @property
    def correct(self) -> bool:
        return bool(self.values.get("exact"))


@dataclass(frozen=True)
class Metric:
    """Of the items of a task ("" for any) that have the value. kind: "share" of items where it is 1, "ratio" of the sum of values to
    the number of items or to the sum of another value (`over`), or an F1 over the classes of such items.

    guarded: select refuses a checkpoint that lost it (lingyu/select/gate.py); the first such metric of a task is what the task is
    weighed by. detail: shown where all metrics are, folded.
    """

    name: str
    value: str
    task: str = ""
    known: str = ""
    kind: Literal["share", "ratio", "macro_f1", "weighted_f1"] = "ratio"
    over: str = ""
    better: Literal["higher", "lower"] = "higher"
    unit: Literal["percent", "number"] = "percent"
    guarded: bool = False
    detail: bool = False

    def item(self, row: Prediction) -> tuple[float, float] | None:
        """What an item adds to the sums above and below the line; None where it does not count."""
        if self.task not in {"", row.task} or self.known not in {"", row.known} or self.value not in row.values:
            return None
        below = row.values.get(self.over, 0.0) if self.over else 1.0
        return (row.values[self.value], below) if below else None


EVERY = "*"


@dataclass(frozen=True)
class Scorer:
    """score: the values of a reply to a question; None where they are not measured of replies (lingyu/evaluate/predict.py).

    tasks: EVERY for all questions, whatever they ask.
    whole: the task is measured by these metrics alone. Other tasks have exact match, character F1 and chrF as well.
    """

    tasks: tuple[str, ...]
    metrics: tuple[Metric, ...]
    score: Callable[[Question, str], Values] | None = None
    whole: bool = False


def share(
    name: str,
    task: str,
    known: str = "",
    value: str = "exact",
    guarded: bool = False,
    better: Literal["higher", "lower"] = "higher",
    detail: bool = False,
) -> Metric:
    return Metric(name, value, task, known, kind="share", guarded=guarded, better=better, detail=detail)
