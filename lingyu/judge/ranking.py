"""Who wins how often, and how strong that makes each: win rates, Bradley–Terry, Elo, with intervals over items.

A vote is on one item, between two candidates; a tie is half a win for each. Votes on one item hang together (several reviewers, several
pairs), so items are resampled, not votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingyu import statistics as sure
from lingyu.statistics import Numbers

SCALE = 400 / np.log(10)  # Elo's: 400 points are odds of ten to one
MIDDLE = 1000.0
K = 32.0
DIGITS = 4
ORDERS = 4  # of each draw
NONE = -1


@dataclass(frozen=True)
class Vote:
    """score: 1 where `one` is preferred, 0 where `other` is, 0.5 for neither."""

    item: str
    one: str
    other: str
    score: float


def ranked(votes: Sequence[Vote], names: Sequence[str], resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Win rates, Bradley–Terry and Elo of all names that votes speak of."""
    names = [name for name in names if any(name in {vote.one, vote.other} for vote in votes)]
    if not votes:
        return {"votes": 0, "win_rates": {}, "bradley_terry": {}, "elo": {}}
    return {
        "votes": len(votes),
        "win_rates": win_rates(votes, names),
        "bradley_terry": bradley_terry(votes, names),
        "elo": elo(votes, names, resamples, seed),
    }


def win_rates(votes: Sequence[Vote], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each name against each other: the share of votes won, ties half, with Wilson's interval over items."""
    rates: dict[str, dict[str, Any]] = {name: {} for name in names}
    for one in names:
        for other in names:
            scores = [(vote.item, score_of(vote, one)) for vote in votes if {vote.one, vote.other} == {one, other}]
            if one == other or not scores:
                continue
            won, asked = sure.group_sums([item for item, _ in scores], [score for _, score in scores], [1.0] * len(scores))
            low, high = sure.wilson(won, asked)
            wins, losses = sum(score == 1 for _, score in scores), sum(score == 0 for _, score in scores)
            value = float(won.sum() / asked.sum())
            counts = {"wins": wins, "ties": len(scores) - wins - losses, "losses": losses}
            rates[one][other] = {"value": round(value, DIGITS), "low": round(low, DIGITS), "high": round(high, DIGITS), **counts}
    return rates


def score_of(vote: Vote, name: str) -> float:
    return vote.score if vote.one == name else 1 - vote.score


def bradley_terry(votes: Sequence[Vote], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Strengths on Elo's scale, their mean at 1000. A tie is added for each pair that was compared: who won all of his votes would
    otherwise be infinitely strong, without any doubt.

    The interval is of the sandwich estimate of the variance over items, since votes on one item may hang together; for two candidates and
    a vote an item that is Woolf's interval of a log-odds, as Gart has it.
    """
    by_item = wins_by_item(votes, names)
    ties = (by_item.sum(axis=0) + by_item.sum(axis=0).T > 0) / 2
    found = strengths(by_item.sum(axis=0) + ties)
    chance = 1 / (1 + np.exp(found[None, :] - found[:, None]))
    games = by_item.sum(axis=0) + by_item.sum(axis=0).T + 2 * ties
    between = games * chance * (1 - chance)
    information = np.linalg.pinv(np.diag(between.sum(axis=1)) - between)
    scores = (by_item - (by_item + by_item.transpose(0, 2, 1)) * chance).sum(axis=2)
    # What a tie adds: a win and a loss, of half an item each.
    pairs = np.eye(len(names))[:, None, :] - np.eye(len(names))[None, :, :]
    added = np.einsum("ab,abi,abj->ij", ties * (1 - chance) ** 2, pairs, pairs)
    spread = information @ (scores.T @ scores * correction(len(by_item)) + added) @ information
    alone = by_item.sum(axis=(1, 2)).max() <= 1  # a vote an item: its error is known, not estimated
    return with_intervals(names, MIDDLE + SCALE * found, SCALE * np.sqrt(np.diag(spread)), sure.Z if alone else sure.t_95(len(by_item) - 1))


def correction(items: int) -> float:
    return items / max(items - 1, 1)


def wins_by_item(votes: Sequence[Vote], names: Sequence[str]) -> Numbers:
    """For each item, how often the row's name won against the column's."""
    place = {name: number for number, name in enumerate(names)}
    items: dict[str, int] = {}
    index = [items.setdefault(vote.item, len(items)) for vote in votes]
    wins = np.zeros((len(items), len(names), len(names)))
    for item, vote in zip(index, votes, strict=True):
        wins[item, place[vote.one], place[vote.other]] += vote.score
        wins[item, place[vote.other], place[vote.one]] += 1 - vote.score
    return wins


def strengths(wins: Numbers, steps: int = 5000, tolerance: float = 1e-9) -> Numbers:
    """Log-strengths with mean 0 that make these wins the likeliest, by Hunter's MM algorithm (2004). For one matrix or a stack of them."""
    games = wins + np.swapaxes(wins, -1, -2)
    won = wins.sum(axis=-1)
    strength = np.ones_like(won)
    for _ in range(steps):
        expected = (games / (strength[..., :, None] + strength[..., None, :])).sum(axis=-1)
        new = np.maximum(won, 1e-300) / np.maximum(expected, 1e-300)
        new /= np.exp(np.log(new).mean(axis=-1, keepdims=True))
        moved = float(np.abs(np.log(new / strength)).max())
        strength = new
        if moved < tolerance:
            break
    return np.asarray(np.log(strength))


def elo(votes: Sequence[Vote], names: Sequence[str], resamples: int, seed: int) -> dict[str, dict[str, float]]:
    """Elo ratings, from 1000 on with K = 32. They depend on the order of the votes, so they are the mean over random orders.

    The interval speaks of the items, not of the order: the bootstrap over items, each time in several orders, less what the orders of one
    draw differ by.
    """
    random = np.random.default_rng(seed)
    items: dict[str, list[int]] = {}
    for number, vote in enumerate(votes):
        items.setdefault(vote.item, []).append(number)
    groups = np.full((len(items), max(map(len, items.values()))), NONE)
    for row, numbers in zip(groups, items.values(), strict=True):
        row[: len(numbers)] = numbers
    drawn = groups[random.integers(0, len(groups), (resamples, len(groups)))].reshape(resamples, -1)
    drawn = shuffled(np.repeat(drawn, ORDERS, axis=0), random)
    whole = shuffled(np.tile(np.arange(len(votes)), (resamples, 1)), random)
    ratings = elo_of(votes, names, drawn).reshape(resamples, ORDERS, len(names))
    by_order = ratings.var(axis=1, ddof=1).mean(axis=0) / ORDERS
    by_item = np.maximum(ratings.mean(axis=1).var(axis=0, ddof=1) - by_order, 0.0) * correction(len(groups))
    return with_intervals(names, elo_of(votes, names, whole).mean(axis=0), np.sqrt(by_item), sure.t_95(len(groups) - 1))


def shuffled(rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Each row in a random order, what is NONE at its end."""
    keys = np.where(rows == NONE, 1.0, random.random(rows.shape))
    return np.take_along_axis(rows, keys.argsort(axis=1, kind="stable"), axis=1)


def elo_of(votes: Sequence[Vote], names: Sequence[str], orders: NDArray[np.int64]) -> Numbers:
    """Ratings after the votes in each of these orders: a row each, by numbers of votes; NONE is no vote."""
    place = {name: number for number, name in enumerate(names)}
    one, other = (np.array([place[getattr(vote, side)] for vote in votes]) for side in ("one", "other"))
    score = np.array([vote.score for vote in votes])
    ratings, rows = np.full((len(orders), len(names)), MIDDLE), np.arange(len(orders))
    for vote in orders.T:
        first, second = one[vote], other[vote]
        expected = 1 / (1 + 10 ** ((ratings[rows, second] - ratings[rows, first]) / 400))
        gain = np.where(vote == NONE, 0.0, K * (score[vote] - expected))
        ratings[rows, first] += gain
        ratings[rows, second] -= gain
    return ratings


def with_intervals(names: Sequence[str], values: Numbers, errors: Numbers, quantile: float) -> dict[str, dict[str, float]]:
    found = {}
    for name, value, error in zip(names, values, errors, strict=True):
        half = quantile * float(error)
        found[name] = {key: round(float(value) + side * half, 1) for key, side in (("value", 0), ("low", -1), ("high", 1))}
    return dict(sorted(found.items(), key=lambda entry: -entry[1]["value"]))
