"""How far results differ by the seed of a training alone: a candidate beside those that repeat it with other seeds.

A repeat is a candidate of its own (evaluate.candidates.NAME.seed_of), trained by a stage of its own: seeds run side by side, and one more
trains one more. It is measured on the dev items and never wins. The largest spread of a metric is its noise floor.
"""

from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import Any, TypedDict

from lingyu.evaluate.metrics import DIGITS, Measure
from lingyu.stage import StageError


class Spread(TypedDict):
    """A metric of one candidate under each seed, the candidate's own first. spread: the largest less the smallest."""

    values: list[float]
    spread: float
    deviation: float


def families(seed_of: Mapping[str, str]) -> dict[str, list[str]]:
    """The candidates that are repeated, each with its repeats. seed_of: by candidate, whom it repeats; "" nobody."""
    found: dict[str, list[str]] = {}
    for name, own in seed_of.items():
        if not own:
            continue
        if own not in seed_of or seed_of[own] or own == name:
            raise StageError(f"evaluate.candidates.{name}.seed_of: {own!r} is no candidate of evaluate that has a seed of its own.")
        found.setdefault(own, [own]).append(name)
    return found


def check_repeats(families: Mapping[str, Sequence[str]], checkpoints: Mapping[str, str], sections: Mapping[str, Any]) -> None:
    """Raise StageError where a repeat differs in more than its seed: then the spread would be no noise. sections: of params.yaml."""
    for own, names in families.items():
        first = training(checkpoints[own], sections)
        for name in names[1:]:
            other = training(checkpoints[name], sections)
            differing = sorted(key for key in {*first, *other} - {"seed"} if first.get(key) != other.get(key))
            if differing or first.get("seed", 0) == other.get("seed", 0):
                what = f"differ in {', '.join(differing)}" if differing else "have the same seed"
                raise StageError(
                    f"{checkpoints[name]} is to repeat {checkpoints[own]} with another seed, but they {what} (params.yaml, seed_of: {own})."
                )


def training(checkpoint: str, sections: Mapping[str, Any]) -> dict[str, Any]:
    """What params.yaml says of a candidate of sft or align."""
    stage, slash, item = checkpoint.partition("/")
    found = ((sections.get(stage) or {}).get("candidates") or {}).get(item) if slash else None
    if not isinstance(found, dict):
        raise StageError(f"evaluate.candidates: seed_of is for candidates of sft and align, not {checkpoint}.")
    return found


def spreads(families: Mapping[str, Sequence[str]], measures: Mapping[str, Mapping[str, Measure]]) -> dict[str, dict[str, Spread]]:
    """By candidate and metric, what its seeds gave."""
    return {
        own: {
            metric: spread_of([measures[name][metric]["value"] for name in names])
            for metric in measures[own]
            if all(metric in measures[name] for name in names)
        }
        for own, names in families.items()
    }


def spread_of(values: Sequence[float]) -> Spread:
    return {"values": list(values), "spread": round(max(values) - min(values), DIGITS), "deviation": round(stdev(values), DIGITS)}


def floors(found: Mapping[str, Mapping[str, Spread]], weights: Mapping[str, float], score: str) -> dict[str, float]:
    """By metric the largest spread; and that of the weighted score, named `score`, where tasks are weighed."""
    lowest: dict[str, float] = {}
    for own in found.values():
        for metric, one in own.items():
            lowest[metric] = max(lowest.get(metric, 0.0), one["spread"])
        parts = {metric: weight for metric, weight in weights.items() if metric in own}
        if parts:
            total, seeds = sum(parts.values()), len(own[next(iter(parts))]["values"])
            means = [sum(weight * own[metric]["values"][seed] for metric, weight in parts.items()) / total for seed in range(seeds)]
            lowest[score] = max(lowest.get(score, 0.0), spread_of(means)["spread"])
    return lowest
