"""The metrics of all scorers, their values with intervals, and how two checkpoints differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from lingyu import statistics as sure
from lingyu.evaluate import judged, overlap
from lingyu.evaluate.scorer import Metric as Metric
from lingyu.evaluate.scorer import Prediction as Prediction
from lingyu.evaluate.scorer import share
from lingyu.evaluate.scorers import SCORERS, WHOLE
from lingyu.records import is_rubric

INVALID = "invalid"
DIGITS = 6  # beyond these, sums over floats depend on the machine


class Measure(TypedDict):
    value: float
    low: float
    high: float
    count: int


METRICS = tuple(metric for scorer in SCORERS for metric in scorer.metrics)
BY_NAME = {metric.name: metric for metric in METRICS}


def all_metrics(rows: Sequence[Prediction]) -> list[Metric]:
    """METRICS, exact match and character F1 of each task that is not measured by a scorer alone, overlaps and a judge's
    scores where there are any."""
    others = sorted(task for task in {row.task for row in rows} - WHOLE if not is_rubric(task))
    compared = sorted({row.task for row in rows if overlap.NAMES[0] in row.values})
    alike = sorted({row.task for row in rows if "similarity" in row.values})
    more = [
        *((exact(task), char_f1(task)) for task in others),
        *(overlap.metrics_of(task) for task in compared),
        *((similarity(task),) for task in alike),
    ]
    return [*METRICS, *(metric for metrics in more for metric in metrics), *judged.metrics_of(rows)]


def named(name: str) -> Metric:
    """The metric of this name, of METRICS or of a task that has none of its own there."""
    if name in BY_NAME:
        return BY_NAME[name]
    if found := judged.named(name):
        return found
    for value in overlap.NAMES:
        if (task := name.removesuffix(f"_{value}")) != name:
            return next(metric for metric in overlap.metrics_of(task) if metric.value == value)
    if (task := name.removesuffix("_similarity")) != name:
        return similarity(task)
    task = name.removesuffix("_exact")
    return exact(task) if task != name else char_f1(name.removesuffix("_char_f1"))


def exact(task: str) -> Metric:
    return share(f"{task}_exact", task, guarded=True)


def similarity(task: str) -> Metric:
    return Metric(f"{task}_similarity", "similarity", task)


def char_f1(task: str) -> Metric:
    return Metric(f"{task}_char_f1", "char_f1", task)


def measured(rows: Sequence[Prediction], resamples: int, seed: int) -> dict[str, Measure]:
    """Each metric that has items, with its 95 % interval."""
    results = {metric.name: measure(metric, rows, resamples, seed) for metric in all_metrics(rows)}
    return {name: result for name, result in results.items() if result}


def measure(metric: Metric, rows: Sequence[Prediction], resamples: int, seed: int) -> Measure | None:
    counted = [row for row in rows if metric.item(row)]
    if not counted:
        return None
    if metric.kind in {"macro_f1", "weighted_f1"}:
        value, low, high = measure_f1(metric.kind, per_group_confusion(counted), resamples, seed)
    else:
        upper, lower = sums(metric, counted)
        value = float(upper.sum() / lower.sum())
        low, high = sure.wilson(upper, lower) if metric.kind == "share" else sure.bootstrap(upper, lower, resamples, seed)
        if metric.unit == "percent":
            low, high = max(0.0, low), min(1.0, high)
    return {"value": round(value, DIGITS), "low": round(low, DIGITS), "high": round(high, DIGITS), "count": len(counted)}


class Change(TypedDict):
    """How a metric moved from one checkpoint to another on the items both have. chance: of such a change if nothing changed."""

    before_value: float
    after_value: float
    difference: float
    low: float
    high: float
    chance: float
    count: int


def change(metric: Metric, before: Sequence[Prediction], after: Sequence[Prediction], resamples: int, seed: int) -> Change | None:
    found = moved(metric, before, after, resamples, seed)
    return found.change if found else None


@dataclass(frozen=True)
class Moved:
    """A change, and what further tests of it need.

    no_worse: by margin, the one-sided p-value of the metric having got worse by the margin or more; error: the standard error of the
    difference; swapped: differences where checkpoints are exchanged within groups at random.
    """

    change: Change
    no_worse: Callable[[float], float]
    error: float
    swapped: Callable[[], sure.Numbers]


def moved(metric: Metric, before: Sequence[Prediction], after: Sequence[Prediction], resamples: int, seed: int) -> Moved | None:
    """How the metric moved on the items that both have; None where there are none."""
    pairs = [(one, other) for one, other in zip(before, after, strict=True) if metric.item(one) and metric.item(other)]
    if not pairs:
        return None
    rows = [one for one, _ in pairs], [other for _, other in pairs]
    if metric.kind in {"macro_f1", "weighted_f1"}:
        labels = labels_of([*rows[0], *rows[1]])
        one, other = (per_group_confusion(side, labels) for side in rows)
        return moved_f1(metric.kind, one, other, len(pairs), resamples, seed)
    return moved_sums(metric, (*sums(metric, rows[0]), *sums(metric, rows[1])), len(pairs), resamples, seed)


def moved_sums(metric: Metric, sides: Sequence[sure.Numbers], count: int, resamples: int, seed: int) -> Moved:
    """Of a ratio of sums. sides: by group the sums above and below the line, before and after."""
    upper, lower, later_upper, later_lower = sides
    values = float(upper.sum() / lower.sum()), float(later_upper.sum() / later_lower.sum())

    def swapped() -> sure.Numbers:
        return sure.swapped_ratios(upper, lower, later_upper, later_lower, resamples, seed)

    if metric.kind == "share":
        low, high = sure.paired_share(upper, later_upper, lower)
        worse_first = (upper, later_upper) if metric.better == "higher" else (later_upper, upper)
        return Moved(
            changed(values, (low, high), sure.mcnemar(upper, later_upper), count),
            lambda margin: sure.no_worse_share(*worse_first, lower, margin),
            (high - low) / (2 * sure.Z),
            swapped,
        )
    difference, error = sure.paired_ratio(upper, lower, later_upper, later_lower)
    sign = 1 if metric.better == "higher" else -1
    return Moved(
        changed(values, sure.around(difference, error, len(upper)), sure.share_as_large(swapped(), difference), count),
        lambda margin: sure.no_worse(sign * difference, error, margin, len(upper)),
        error,
        swapped,
    )


def measure_f1(kind: str, confusion: sure.Numbers, resamples: int, seed: int) -> tuple[float, float, float]:
    """The F1 of groups' confusions, and Wilson's interval for it: of as many items as resamples vary by."""
    value, smooth = float(f1(confusion.sum(axis=0), kind)), smoothed(confusion)
    error = float(f1(resampled(sure.draws(len(smooth), resamples, seed), smooth), kind).std())
    return value, *sure.wilson_from(value, error, len(confusion))


def moved_f1(kind: str, one: sure.Numbers, other: sure.Numbers, count: int, resamples: int, seed: int) -> Moved:
    """Of an F1. one, other: the confusions of the same groups, before and after."""
    values = float(f1(one.sum(axis=0), kind)), float(f1(other.sum(axis=0), kind))
    smooth, later = smoothed_pair(one, other)
    drawn = sure.draws(len(smooth), resamples, seed)
    error = float((f1(resampled(drawn, later), kind) - f1(resampled(drawn, smooth), kind)).std())

    def swapped() -> sure.Numbers:
        swaps = sure.swaps(len(one), resamples, seed)
        first = f1(resampled(1 - swaps, one) + resampled(swaps, other), kind)
        return f1(resampled(1 - swaps, other) + resampled(swaps, one), kind) - first

    difference = values[1] - values[0]
    low, high = sure.around(difference, error, len(one))
    return Moved(
        changed(values, (max(-1.0, low), min(1.0, high)), sure.share_as_large(swapped(), difference), count),
        lambda margin: sure.no_worse(difference, error, margin, len(one)),
        error,
        swapped,
    )


def changed(values: tuple[float, float], bounds: tuple[float, float], chance: float, count: int) -> Change:
    return {
        "before_value": round(values[0], DIGITS),
        "after_value": round(values[1], DIGITS),
        "difference": round(values[1] - values[0], DIGITS),
        "low": round(bounds[0], DIGITS),
        "high": round(bounds[1], DIGITS),
        "chance": round(chance, DIGITS),
        "count": count,
    }


def smoothed(confusion: sure.Numbers) -> sure.Numbers:
    """The groups' confusions, and for each class that occurs one group of half a hit and half a miss, spread over the other answers.

    A class that was called right every time would otherwise be right in every resample, and its F1 would have no error.
    """
    hits, misses = halves(confusion)
    return np.concatenate([confusion, hits + misses])


def smoothed_pair(before: sure.Numbers, after: sure.Numbers) -> tuple[sure.Numbers, sure.Numbers]:
    """The same for two checkpoints: for each class half a hit that became a miss, and half a miss that became a hit."""
    hits, misses = halves(before)
    return np.concatenate([before, hits, misses]), np.concatenate([after, misses, hits])


def halves(confusion: sure.Numbers) -> tuple[sure.Numbers, sure.Numbers]:
    """Half a hit of each class that occurs, and half a miss of each."""
    size = confusion.shape[-1]
    classes = np.flatnonzero(confusion.sum(axis=(0, 2))[:-1])
    hits, misses = np.zeros((2, len(classes), size, size))
    for place, label in enumerate(classes):
        hits[place, label, label] = 0.5
        misses[place, label] = 0.5 / (size - 1)
        misses[place, label, label] = 0.0
    return hits, misses


def sums(metric: Metric, rows: Sequence[Prediction]) -> list[sure.Numbers]:
    items = [metric.item(row) or (0.0, 0.0) for row in rows]
    return sure.group_sums([row.group for row in rows], [upper for upper, _ in items], [lower for _, lower in items])


def labels_of(rows: Sequence[Prediction]) -> list[str]:
    """The classes, in the order in which the options of the questions list them."""
    return list(dict.fromkeys(label for row in rows for label in row.options))


def per_group_confusion(rows: Sequence[Prediction], labels: list[str] | None = None) -> sure.Numbers:
    """For each group, how often which class (row) was called which (column; the last column is invalid)."""
    places = {label: place for place, label in enumerate([*(labels or labels_of(rows)), INVALID])}
    groups: dict[str, int] = {}
    index = [groups.setdefault(row.group, len(groups)) for row in rows]
    counts = np.zeros((len(groups), len(places), len(places)))
    for group, row in zip(index, rows, strict=True):
        counts[group, places[row.answer], places[row.label]] += 1
    return counts


def resampled(weights: sure.Numbers, confusion: sure.Numbers) -> sure.Numbers:
    """For each row of weights, the groups' confusions summed with them."""
    return (weights @ confusion.reshape(len(confusion), -1)).reshape(-1, *confusion.shape[1:])


def f1(confusion: sure.Numbers, kind: str) -> sure.Numbers:
    """F1 over the classes that occur, plain mean or weighted by how often they occur; invalid replies are nobody's hit.

    For one matrix or a stack of them. A resample may draw none of a class: then it is not one of its classes.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)[..., :-1]
    actual, called = confusion.sum(axis=-1)[..., :-1], confusion.sum(axis=-2)[..., :-1]
    each = 2 * hits / np.maximum(actual + called, 1)
    weights = actual if kind == "weighted_f1" else (actual > 0).astype(np.float64)
    return np.asarray((each * weights).sum(axis=-1) / np.maximum(weights.sum(axis=-1), 1))


def confusion_rows(rows: Sequence[Prediction]) -> list[tuple[str, str, int]]:
    """(actual, predicted, count) for each class and each that it could have been called, "invalid" included."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        for option in row.options:
            for called in (*row.options, INVALID):
                counts.setdefault((option, called), 0)
        if row.options:
            counts[row.answer, row.label] += 1
    order = {label: place for place, label in enumerate([*labels_of(rows), INVALID])}
    return sorted(((*pair, count) for pair, count in counts.items()), key=lambda entry: (order[entry[0]], order[entry[1]]))
