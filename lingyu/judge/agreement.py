"""How far judges agree beyond chance: Cohen's kappa for two, Fleiss's for several, weighted kappa for scores."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from lingyu import statistics as sure
from lingyu.statistics import Numbers

DIGITS = 4


def cohen(one: Sequence[Hashable], other: Sequence[Hashable]) -> float | None:
    """Kappa of two judges of the same things; None where both always say one and the same: then agreement says nothing."""
    return weighted(table(one, other), np.array([1.0]))


def cohen_of_scores(one: Sequence[int], other: Sequence[int], lowest: int, highest: int) -> float | None:
    """Kappa of two judges' scores, with quadratic weights (Cohen 1968): two points apart count four times as much as one."""
    counts = np.zeros((highest - lowest + 1,) * 2)
    for first, second in zip(one, other, strict=True):
        counts[first - lowest, second - lowest] += 1
    places = np.arange(len(counts))
    return weighted(counts, np.asarray((places[:, None] - places[None, :]) ** 2, dtype=np.float64))


def of_scores(one: Sequence[int], other: Sequence[int], points: Sequence[int], resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Quadratic kappa of two judges' scores, with its interval over the things judged."""
    drawn = np.random.default_rng(seed).integers(0, len(one), (resamples, len(one)))
    first, second = np.array(one), np.array(other)
    spread = [cohen_of_scores(first[rows].tolist(), second[rows].tolist(), points[0], points[-1]) for rows in drawn]
    return {**bounded(cohen_of_scores(one, other, points[0], points[-1]), spread), "count": len(one)}


def table(one: Sequence[Hashable], other: Sequence[Hashable]) -> Numbers:
    places = {category: number for number, category in enumerate(dict.fromkeys([*one, *other]))}
    counts = np.zeros((len(places), len(places)))
    for first, second in zip(one, other, strict=True):
        counts[places[first], places[second]] += 1
    return counts


def weighted(counts: Numbers, cost: Numbers) -> float | None:
    """1 − what disagreement costs ÷ what it would by chance. cost: of each pair of categories; [1] for 1 off the diagonal."""
    if cost.size == 1:
        cost = 1.0 - np.eye(len(counts))
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(counts.sum(), 1)
    expected = float((cost * chance).sum())
    return None if expected == 0 else 1 - float((cost * counts).sum()) / expected


def fleiss(counts: Numbers) -> float | None:
    """Kappa of several judges (Fleiss 1971). counts: for each thing, how many judges put it into each category; at least two judges, not
    always the same number."""
    judges = counts.sum(axis=1)
    agreed = float((((counts**2).sum(axis=1) - judges) / (judges * (judges - 1))).mean())
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return None if chance == 1 else (agreed - chance) / (1 - chance)


Said = Mapping[str, Mapping[str, Hashable]]
"""For each judge what he said of each thing."""


def agreement(said: Said, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Cohen's kappa of each two judges, and Fleiss's of all where there are more than two; with intervals over the things judged."""
    pairs = {}
    for one, other in combinations(said, 2):
        shared = [thing for thing in said[one] if thing in said[other]]
        if shared:
            first, second = ([said[judge][thing] for thing in shared] for judge in (one, other))
            pairs[f"{one} · {other}"] = {
                **interval_of_cohen(first, second, resamples, seed),
                "agreed": round(float(np.mean([a == b for a, b in zip(first, second, strict=True)])), DIGITS),
                "count": len(shared),
            }
    return {"cohen": pairs, "fleiss": fleiss_of(said, resamples, seed) if len(said) > 2 else None}


def interval_of_cohen(one: Sequence[Hashable], other: Sequence[Hashable], resamples: int, seed: int) -> dict[str, float | None]:
    places = {category: number for number, category in enumerate(dict.fromkeys([*one, *other]))}
    each = np.zeros((len(one), len(places), len(places)))
    for number, (first, second) in enumerate(zip(one, other, strict=True)):
        each[number, places[first], places[second]] = 1
    drawn = (sure.draws(len(each), resamples, seed) @ each.reshape(len(each), -1)).reshape(-1, len(places), len(places))
    return bounded(cohen(one, other), [weighted(counts, np.array([1.0])) for counts in drawn])


def fleiss_of(said: Said, resamples: int, seed: int) -> dict[str, Any] | None:
    things = list(dict.fromkeys(thing for judged in said.values() for thing in judged))
    given = {thing: [judged[thing] for judged in said.values() if thing in judged] for thing in things}
    several = [categories for categories in given.values() if len(categories) > 1]
    if not several:
        return None
    places = {category: number for number, category in enumerate(dict.fromkeys(one for categories in several for one in categories))}
    counts = np.zeros((len(several), len(places)))
    for number, categories in enumerate(several):
        for category in categories:
            counts[number, places[category]] += 1
    drawn = np.random.default_rng(seed).integers(0, len(counts), (resamples, len(counts)))
    return {**bounded(fleiss(counts), [fleiss(counts[rows]) for rows in drawn]), "count": len(several)}


def bounded(value: float | None, spread: Sequence[float | None]) -> dict[str, float | None]:
    telling = [one for one in spread if one is not None]
    if value is None or not telling:
        return {"kappa": None, "low": None, "high": None}
    low, high = sure.middle_95(np.array(telling))
    return {"kappa": round(value, DIGITS), "low": round(low, DIGITS), "high": round(high, DIGITS)}
