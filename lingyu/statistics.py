"""Confidence intervals for one checkpoint, paired intervals and tests for two.

Several questions about the same fact are not independent. Items therefore have a group, and groups are resampled, swapped
and counted; if each item is its own group these are the textbook methods: Wilson's interval, Bonett and Price's interval
for a paired difference (2012), McNemar's exact test, Tango's score test of non-inferiority (1998), the studentised bootstrap
(Efron and Tibshirani 1993, chapter 12), the jackknife with Student's t.

tests/test_statistics.py draws thousands of samples and counts how often each holds.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959964  # 95 %, two-sided
Numbers = NDArray[np.float64]


def group_sums(groups: Sequence[str], *columns: Sequence[float]) -> list[Numbers]:
    """Each column summed within its group, groups in order of appearance."""
    places: dict[str, int] = {}
    index = [places.setdefault(group, len(places)) for group in groups]
    return [
        np.bincount(index, weights=np.asarray(column, dtype=np.float64), minlength=len(places)).astype(np.float64) for column in columns
    ]


def wilson(right: Numbers, asked: Numbers) -> tuple[float, float]:
    """Wilson's interval for a share, the count divided by the design effect of the groups (never below 1)."""
    total, groups = asked.sum(), len(asked)
    share = right.sum() / total
    if 0 < share < 1 and groups > 1:
        between = groups / (groups - 1) * ((right - share * asked) ** 2).sum() / total**2
        effective = min(share * (1 - share) * total / (total - 1) / between, total) if between else total
    else:
        effective = float(groups)
    return wilson_of(float(share), float(effective))


def wilson_of(share: float, effective: float) -> tuple[float, float]:
    """Wilson's interval for a share of so many independent items."""
    middle = (share + Z * Z / (2 * effective)) / (1 + Z * Z / effective)
    half = Z * math.sqrt(share * (1 - share) / effective + (Z / (2 * effective)) ** 2) / (1 + Z * Z / effective)
    return max(0.0, middle - half), min(1.0, middle + half)


def wilson_from(value: float, error: float, groups: int) -> tuple[float, float]:
    """Wilson's interval for a value from 0 to 1 that is no plain share, as an F1: of as many items as its standard error speaks of."""
    effective = min(value * (1 - value) / error**2, groups) if error and 0 < value < 1 else groups
    return wilson_of(value, float(effective))


@lru_cache(maxsize=8)  # metrics of the same items are asked for one after another
def draws(groups: int, resamples: int, seed: int) -> Numbers:
    """For each resample (row), the number of times each group (column) is drawn; as many draws as groups. Not to be written to."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(np.float64)


@lru_cache(maxsize=8)
def swaps(groups: int, resamples: int, seed: int) -> Numbers:
    """For each resample (row), whether each group (column) is swapped: 1 or 0. Not to be written to."""
    return np.random.default_rng(seed).integers(0, 2, size=(resamples, groups)).astype(np.float64)


def middle_95(values: Numbers) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def bootstrap(upper: Numbers, lower: Numbers, resamples: int, seed: int) -> tuple[float, float]:
    """Interval of sum(upper) / sum(lower) by the studentised bootstrap over groups."""
    groups = len(upper)

    def spread(weights: Numbers) -> tuple[Numbers, Numbers]:
        over, under = weights @ upper, weights @ lower
        value = over / under
        squares = weights @ upper**2 - 2 * value * (weights @ (upper * lower)) + value**2 * (weights @ lower**2)
        return value, np.sqrt(np.maximum(squares, 0.0) * groups / max(groups - 1, 1)) / under

    value, error = (float(found[0]) for found in spread(np.ones((1, groups))))
    values, errors = spread(draws(groups, resamples, seed))
    telling = errors > 1e-9 * max(1.0, abs(value))  # a resample of equal groups says nothing of its error
    if not telling.any() or groups == 1:
        return value, value
    low, high = middle_95((values[telling] - value) / errors[telling])
    return value - high * error, value - low * error


def paired_share(before: Numbers, after: Numbers, asked: Numbers) -> tuple[float, float]:
    """Interval of the difference of two shares of the same items: Bonett and Price's, with groups."""
    change, total = after - before, asked.sum() + 2
    difference = change.sum() / total
    spread = ((change - difference * asked) ** 2).sum() + (1 - difference) ** 2 + (1 + difference) ** 2
    half = Z * np.sqrt(spread) / total
    return max(-1.0, float(difference - half)), min(1.0, float(difference + half))


def paired_ratio(before: Numbers, before_lower: Numbers, after: Numbers, after_lower: Numbers) -> tuple[float, float]:
    """The difference of two ratios over the same groups, and its standard error by the jackknife."""
    difference = after.sum() / after_lower.sum() - before.sum() / before_lower.sum()
    groups = len(before)
    if groups == 1:
        return float(difference), 0.0
    without = (after.sum() - after) / (after_lower.sum() - after_lower) - (before.sum() - before) / (before_lower.sum() - before_lower)
    return float(difference), float(np.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum()))


def around(difference: float, error: float, groups: int) -> tuple[float, float]:
    """Student's interval of a difference with this standard error."""
    half = t_95(groups - 1) * error if error else 0.0
    return difference - half, difference + half


def t_95(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: Hill's expansion (1970); the first two exactly."""
    if freedom <= 2:
        return 12.7062 if freedom < 2 else 4.30265
    z, n = Z, freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / n**power for power, term in enumerate(terms, 1)))


def mcnemar(before: Numbers, after: Numbers) -> float:
    """Exact two-sided p-value under the null hypothesis that the change of each group is equally likely in both directions.

    If each group is one item this is McNemar's exact test. The distribution of the sum is enumerated, not sampled.
    """
    changes = np.abs(after - before).astype(int)
    observed = abs(int((after - before).sum()))
    chances = np.ones(1)
    for change in changes[changes > 0]:
        wider = np.zeros(len(chances) + 2 * change)
        wider[: len(chances)] += chances / 2
        wider[2 * change :] += chances / 2
        chances = wider
    sums = np.abs(np.arange(len(chances)) - len(chances) // 2)
    return min(1.0, float(chances[sums >= observed].sum()))


def swap_test(before: Numbers, before_lower: Numbers, after: Numbers, after_lower: Numbers, resamples: int, seed: int) -> float:
    """Two-sided p-value of a difference of two ratios, under the null hypothesis that checkpoints are exchangeable within groups."""
    observed = after.sum() / after_lower.sum() - before.sum() / before_lower.sum()
    return share_as_large(swapped_ratios(before, before_lower, after, after_lower, resamples, seed), float(observed))


def swapped_ratios(before: Numbers, before_lower: Numbers, after: Numbers, after_lower: Numbers, resamples: int, seed: int) -> Numbers:
    """The differences of two ratios where groups are swapped at random."""
    swapped = swaps(len(before), resamples, seed)
    stay = 1 - swapped
    first = (stay @ before + swapped @ after) / (stay @ before_lower + swapped @ after_lower)
    second = (stay @ after + swapped @ before) / (stay @ after_lower + swapped @ before_lower)
    return np.asarray(second - first)


def share_as_large(differences: Numbers, observed: float) -> float:
    """The share of differences at least as far from zero as the observed one, which is included."""
    return float((1 + (np.abs(differences) >= abs(observed) - 1e-9).sum()) / (1 + len(differences)))


def holm(chances: Mapping[Any, float]) -> dict[Any, float]:
    """Holm's correction of p-values for multiple comparisons."""
    raised, highest = {}, 0.0
    for rank, (name, chance) in enumerate(sorted(chances.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, chance * (len(chances) - rank)))
        raised[name] = highest
    return {name: raised[name] for name in chances}


def no_worse_share(before: Numbers, after: Numbers, asked: Numbers, margin: float) -> float:
    """One-sided p-value of a share having fallen by `margin` or more: Tango's score test for items answered twice.

    Where a difference was lost or won by few items, tests with the observed spread reject too often; this one takes the spread under
    the null hypothesis. Groups: what was lost and won is divided by the design effect of the change.
    """
    change, total = after - before, float(asked.sum())
    lost, won = float(np.maximum(-change, 0).sum()), float(np.maximum(change, 0).sum())
    mean = (won - lost) / total
    between, alone = float(((change - mean * asked) ** 2).sum()), won + lost - (won - lost) ** 2 / total
    effect = max(1.0, between / alone) if alone > 0 else max(1.0, total / len(asked))
    items, lost, won = total / effect, lost / effect, won / effect
    middle = -lost - won + (2 * items - lost + won) * margin
    chance = (math.sqrt(middle**2 + 8 * items * won * margin * (1 - margin)) - middle) / (4 * items)
    spread = items * (2 * chance + margin * (1 - margin))
    return below((lost - won - items * margin) / math.sqrt(spread))


def no_worse(difference: float, error: float, margin: float, groups: int) -> float:
    """One-sided p-value of a difference being -margin or lower, by Student's t."""
    if not error:
        return 0.0 if difference > -margin else 1.0
    t, freedom = (difference + margin) / error, max(groups - 1, 1)
    # Wallace's normal deviate of Student's t (1959).
    z = math.sqrt(freedom * math.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return below(-math.copysign(z, t))


def below(z: float) -> float:
    """The share of the normal distribution below z."""
    return math.erfc(-z / math.sqrt(2)) / 2


@cache
def items_to_show(margin: float, level: float) -> int:
    """The fewest items on which a share can be shown to have fallen by less than `margin`: as many as do if no answer changed."""
    items = 1
    while no_worse_share(np.zeros(items), np.zeros(items), np.ones(items), margin) >= level:
        items += 1
    return items
