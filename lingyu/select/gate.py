"""Which checkpoint is better than the simpler one and has lost nothing that matters. Predictions in, a verdict out.

A challenger is promoted over an incumbent if both hold on the same items:

better    the primary metric is significantly higher by its paired test (two-sided, Holm-corrected over the challengers of a round), and by
          more than seeds of one training differ, where that was measured
no worse  every guarded metric is shown to have lost less than its margin: a one-sided test of non-inferiority at the level. All of them
          must pass, so none needs a correction: a challenger that truly lost the margin passes its test with the level's probability

A guarded metric with fewer items than the margin needs (statistics.items_to_show) can be shown by nobody; it only bars a challenger
that is significantly worse. The first incumbent is the simplest checkpoint. Those promoted over it compete with each other in the next
round, the simplest of them as incumbent, until none is promoted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lingyu import statistics
from lingyu.evaluate import metrics
from lingyu.evaluate.metrics import Change, Metric, Moved, Prediction

SCORE = "weighted_score"
Outcome = Literal["promoted", "no difference", "worse", "lost", "not shown", "noise"]


@dataclass(frozen=True)
class Rules:
    """primary: the metric that decides, or SCORE, the mean of the weighted tasks' metrics; these are then not guarded one by one.

    margins: what each guarded metric may lose, in its own unit; for a metric without an upper bound (bits per byte) as a share of the
    incumbent's value.
    """

    primary: str
    margins: Mapping[str, float]
    weights: Mapping[str, float] = field(default_factory=dict)  # by metric
    level: float = 0.05
    noise: Mapping[str, float] = field(default_factory=dict)  # by metric: how far seeds of one training differ


@dataclass(frozen=True)
class Guarded:
    """How a guarded metric moved. chance: one-sided, of this if it had lost the margin; few: too few items to show anything."""

    change: Change
    margin: float
    chance: float
    few: bool
    fell: bool  # the difference, for better or worse


@dataclass(frozen=True)
class Compared:
    """A challenger beside the incumbent, on the same items."""

    primary: Change
    fell: bool
    guarded: Mapping[str, Guarded]


@dataclass(frozen=True)
class Verdict:
    """What became of a challenger. lost: the guarded metrics that are significantly worse (Holm); unshown: those not shown to be no worse;
    few: those that too few items speak of."""

    outcome: Outcome
    corrected: float
    lost: Sequence[str] = ()
    unshown: Sequence[str] = ()
    few: Sequence[str] = ()

    @property
    def promoted(self) -> bool:
        return self.outcome == "promoted"


@dataclass(frozen=True)
class Round:
    incumbent: str
    compared: Mapping[str, Compared]
    verdicts: Mapping[str, Verdict]


def verdict(compared: Compared, rules: Rules, corrected: float | None = None) -> Verdict:
    """corrected: the primary p-value after the correction for several challengers; its own p-value where there is only one."""
    chance = compared.primary["chance"] if corrected is None else corrected
    losses = statistics.holm({name: one.change["chance"] for name, one in compared.guarded.items()})
    shaken = [name for name, one in compared.guarded.items() if one.few or one.chance >= rules.level]
    lost = [name for name in shaken if compared.guarded[name].fell and losses[name] < rules.level]
    few = [name for name in shaken if compared.guarded[name].few]
    unshown = [name for name in shaken if name not in lost and name not in few]
    outcome: Outcome = "lost" if lost else "not shown" if unshown else "promoted"
    if chance >= rules.level or not compared.primary["difference"]:
        outcome = "no difference"
    elif compared.fell:
        outcome = "worse"
    elif abs(compared.primary["difference"]) <= rules.noise.get(rules.primary, 0.0):
        outcome = "noise"
    return Verdict(outcome, chance, lost, unshown, few)


def tournament(names: Sequence[str], compare: Callable[[str, str], Compared], rules: Rules) -> tuple[str, list[Round]]:
    """The winner of names, which are ordered from simple to complex, and the rounds. compare(incumbent, challenger)."""
    incumbent, *challengers = names
    rounds = []
    while challengers:
        compared = {name: compare(incumbent, name) for name in challengers}
        corrected = statistics.holm({name: found.primary["chance"] for name, found in compared.items()})
        verdicts = {name: verdict(found, rules, corrected[name]) for name, found in compared.items()}
        rounds.append(Round(incumbent, compared, verdicts))
        promoted = [name for name in challengers if verdicts[name].promoted]
        if not promoted:
            break
        incumbent, *challengers = promoted
    return incumbent, rounds


def compare(before: Sequence[Prediction], after: Sequence[Prediction], rules: Rules, resamples: int = 1000, seed: int = 0) -> Compared:
    """Two checkpoints' predictions of the same items in the same order: the incumbent's and the challenger's."""
    primary = score if rules.primary == SCORE else one
    change = primary(before, after, rules, resamples, seed)
    better = 1 if rules.primary == SCORE or metrics.named(rules.primary).better == "higher" else -1
    guarded = {}
    for name, margin in rules.margins.items():
        if name == rules.primary or name in rules.weights:
            continue
        metric = metrics.named(name)
        if moved := metrics.moved(metric, before, after, resamples, seed):
            guarded[name] = guard(metric, moved, margin, rules.level)
    return Compared(change, better * change["difference"] < 0, guarded)


def guard(metric: Metric, moved: Moved, margin: float, level: float) -> Guarded:
    change = moved.change
    allowed = margin if metric.unit == "percent" else margin * abs(change["before_value"])
    few = metric.unit == "percent" and change["count"] < statistics.items_to_show(margin, level)
    better = 1 if metric.better == "higher" else -1
    return Guarded(change, margin, moved.no_worse(allowed), few, better * change["difference"] < 0)


def one(before: Sequence[Prediction], after: Sequence[Prediction], rules: Rules, resamples: int, seed: int) -> Change:
    """How the primary metric moved."""
    found = metrics.change(metrics.named(rules.primary), before, after, resamples, seed)
    if found is None:
        raise ValueError(f"no item has the primary metric {rules.primary}")
    return found


def score(before: Sequence[Prediction], after: Sequence[Prediction], rules: Rules, resamples: int, seed: int) -> Change:
    """How the weighted mean of several metrics moved; items of different tasks are independent, those of a task are resampled by group."""
    moves = {
        name: found
        for place, name in enumerate(rules.weights)
        if (found := metrics.moved(metrics.named(name), before, after, resamples, seed + place))
    }
    if not moves:
        raise ValueError(f"no item has one of the weighted metrics {', '.join(rules.weights)}")
    total = sum(rules.weights[name] for name in moves)
    parts = {name: rules.weights[name] / total for name in moves}
    values = tuple(sum(part * moves[name].change[side] for name, part in parts.items()) for side in ("before_value", "after_value"))
    difference = values[1] - values[0]
    half = statistics.Z * sum((part * moves[name].error) ** 2 for name, part in parts.items()) ** 0.5
    swapped = sum((part * moves[name].swapped() for name, part in parts.items()), start=np.zeros(1))
    chance = statistics.share_as_large(swapped, difference)
    count = sum(found.change["count"] for found in moves.values())
    return metrics.changed((values[0], values[1]), (difference - half, difference + half), chance, count)


def margins_of(measured: Sequence[str], margin: float, own: Mapping[str, float]) -> dict[str, float]:
    """What each guarded metric among those measured may lose: its own margin, or the common one."""
    return {name: own.get(name, margin) for name in measured if metrics.named(name).guarded or name in own}


def weights_of(measured: Sequence[str], tasks: Mapping[str, float]) -> dict[str, float]:
    """The weights by metric: of each weighted task the first guarded metric that was measured."""
    found: dict[str, float] = {}
    for task, weight in tasks.items():
        own = next((name for name in measured if metrics.named(name).guarded and metrics.named(name).task == task), None)
        if own and weight:
            found[own] = weight
    return found


def as_json(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """The rounds as winner.json holds them."""
    return [
        {
            "incumbent": each.incumbent,
            "challengers": [
                {
                    "name": name,
                    "outcome": found.outcome,
                    "primary": {**each.compared[name].primary, "corrected_chance": round(found.corrected, metrics.DIGITS)},
                    "lost": list(found.lost),
                    "not_shown": list(found.unshown),
                    "too_few_items": list(found.few),
                    "guarded": {
                        metric: {**one.change, "margin": one.margin, "chance_no_worse": round(one.chance, metrics.DIGITS)}
                        for metric, one in each.compared[name].guarded.items()
                    },
                }
                for name, found in each.verdicts.items()
            ],
        }
        for each in rounds
    ]
