"""The metrics of a language model's scores (lingyu/judge), by the values that it leaves in predictions."""

from collections.abc import Sequence

from lingyu.evaluate.scorer import Metric, Prediction, share
from lingyu.records import RUBRIC, is_rubric

PREFIX, OF_TASK = "judged_", "_judged"
LACKING = f"{PREFIX}lacking"


def metrics_of(rows: Sequence[Prediction]) -> list[Metric]:
    """A mean of points for each criterion, and for each task with rubrics; the share of replies without scores."""
    names = dict.fromkeys(name for row in rows for name in row.values if name.startswith(PREFIX))
    tasks = sorted({row.task for row in rows if f"{PREFIX}{RUBRIC}" in row.values})
    general = [name for name in names if name not in {LACKING, f"{PREFIX}{RUBRIC}"}]
    found = [*general, *(f"{task}{OF_TASK}" for task in tasks), *([LACKING] if LACKING in names else [])]
    return [metric for name in found if (metric := named(name))]


def named(name: str) -> Metric | None:
    if name == LACKING:
        return share(LACKING, "", value=LACKING, better="lower", detail=True)
    if name.startswith(PREFIX):
        return Metric(name, name, unit="number")
    task = name.removesuffix(OF_TASK)
    return Metric(name, f"{PREFIX}{RUBRIC}", task, unit="number") if task != name and is_rubric(task) else None


def is_score(name: str) -> bool:
    """Whether a metric is the mean of a judge's points."""
    return name != LACKING and (name.startswith(PREFIX) or named(name) is not None)
