"""Confidence intervals for one checkpoint, paired intervals and tests for two.

Several questions about the same fact are not independent. Items therefore have a group, and groups are resampled, swapped
and counted; if each item is its own group these are the textbook methods: Wilson's interval, Bonett and Price's interval
for a paired difference (2012), McNemar's exact test.
"""

from collections.abc import Mapping, Sequence
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
    middle = (share + Z * Z / (2 * effective)) / (1 + Z * Z / effective)
    half = Z * np.sqrt(share * (1 - share) / effective + (Z / (2 * effective)) ** 2) / (1 + Z * Z / effective)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def draws(groups: int, resamples: int, seed: int) -> Numbers:
    """For each resample (row), the number of times each group (column) is drawn; as many draws as groups."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(np.float64)


def swaps(groups: int, resamples: int, seed: int) -> Numbers:
    """For each resample (row), whether each group (column) is swapped: 1 or 0."""
    return np.random.default_rng(seed).integers(0, 2, size=(resamples, groups)).astype(np.float64)


def middle_95(values: Numbers) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def bootstrap(upper: Numbers, lower: Numbers, resamples: int, seed: int) -> tuple[float, float]:
    """Interval of sum(upper) / sum(lower), groups resampled."""
    drawn = draws(len(upper), resamples, seed)
    return middle_95((drawn @ upper) / (drawn @ lower))


def paired_share(before: Numbers, after: Numbers, asked: Numbers) -> tuple[float, float]:
    """Interval of the difference of two shares of the same items: Bonett and Price's, with groups."""
    change, total = after - before, asked.sum() + 2
    difference = change.sum() / total
    spread = ((change - difference * asked) ** 2).sum() + (1 - difference) ** 2 + (1 + difference) ** 2
    half = Z * np.sqrt(spread) / total
    return max(-1.0, float(difference - half)), min(1.0, float(difference + half))


def paired_bootstrap(
    before: Numbers, before_lower: Numbers, after: Numbers, after_lower: Numbers, resamples: int, seed: int
) -> tuple[float, float]:
    """Interval of the difference of two ratios over the same groups, both resampled alike."""
    drawn = draws(len(before), resamples, seed)
    return middle_95((drawn @ after) / (drawn @ after_lower) - (drawn @ before) / (drawn @ before_lower))


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
    swapped = swaps(len(before), resamples, seed)
    stay = 1 - swapped
    first = (stay @ before + swapped @ after) / (stay @ before_lower + swapped @ after_lower)
    second = (stay @ after + swapped @ before) / (stay @ after_lower + swapped @ before_lower)
    return share_as_large(second - first, after.sum() / after_lower.sum() - before.sum() / before_lower.sum())


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
