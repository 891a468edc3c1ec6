"""Who wins how often, and how strong that makes each: win rates, Bradley–Terry, Elo, with intervals over items.

A vote is on one item, between two candidates; a tie is half a win for each. Votes on one item hang together (several reviewers, several
pairs), so items are resampled, not votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lingyu import statistics as sure
from lingyu.statistics import Numbers

SCALE = 400 / np.log(10)  # Elo's: 400 points are odds of ten to one
MIDDLE = 1000.0
K = 32.0
DIGITS = 4
LEAST = 0.05  # of a win, in each resample: strengths stay finite


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
        "bradley_terry": bradley_terry(votes, names, resamples, seed),
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


def bradley_terry(votes: Sequence[Vote], names: Sequence[str], resamples: int, seed: int) -> dict[str, dict[str, float]]:
    """Strengths on Elo's scale, their mean at 1000. A tie is added for each pair that was compared, as half a win and half a loss that are
    resampled as items are: who won all of his votes would otherwise be infinitely strong, without any doubt."""
    by_item = with_ties(wins_by_item(votes, names))
    weights = sure.draws(len(by_item), resamples, seed)
    drawn = (weights @ by_item.reshape(len(by_item), -1)).reshape(-1, len(names), len(names))
    least = np.where(by_item.sum(axis=0) > 0, LEAST, 0.0)
    return with_intervals(names, MIDDLE + SCALE * strengths(by_item.sum(axis=0)), MIDDLE + SCALE * strengths(drawn + least))


def with_ties(by_item: Numbers) -> Numbers:
    """The wins of items, and for each pair that was compared an item of half a win for the one and another for the other."""
    total = by_item.sum(axis=0)
    more = []
    for one, other in np.argwhere(total + total.T > 0):
        half = np.zeros_like(total)
        half[one, other] = 0.5
        more.append(half)
    return np.concatenate([by_item, more])


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
    """Elo ratings, from 1000 on with K = 32. They depend on the order of the votes, so they are the mean over random orders."""
    random = np.random.default_rng(seed)
    items: dict[str, list[int]] = {}
    for number, vote in enumerate(votes):
        items.setdefault(vote.item, []).append(number)
    groups = list(items.values())
    whole = [random.permutation(len(votes)) for _ in range(resamples)]
    drawn = [
        random.permutation([number for group in random.integers(0, len(groups), len(groups)) for number in groups[group]])
        for _ in range(resamples)
    ]
    return with_intervals(names, elo_of(votes, names, whole).mean(axis=0), elo_of(votes, names, drawn))


def elo_of(votes: Sequence[Vote], names: Sequence[str], orders: Sequence[Any]) -> Numbers:
    """Ratings after the votes in each of these orders: a row each."""
    place = {name: number for number, name in enumerate(names)}
    one, other = (np.array([place[getattr(vote, side)] for vote in votes]) for side in ("one", "other"))
    score = np.array([vote.score for vote in votes])
    ratings, rows = np.full((len(orders), len(names)), MIDDLE), np.arange(len(orders))
    lengths = np.array([len(order) for order in orders])
    padded = np.zeros((len(orders), lengths.max()), dtype=int)
    for row, order in enumerate(orders):
        padded[row, : len(order)] = order
    for step in range(padded.shape[1]):
        vote = padded[:, step]
        first, second = one[vote], other[vote]
        expected = 1 / (1 + 10 ** ((ratings[rows, second] - ratings[rows, first]) / 400))
        gain = np.where(step < lengths, K * (score[vote] - expected), 0.0)
        ratings[rows, first] += gain
        ratings[rows, second] -= gain
    return ratings


def with_intervals(names: Sequence[str], values: Numbers, spread: Numbers) -> dict[str, dict[str, float]]:
    found = {}
    for number, name in enumerate(names):
        low, high = sure.middle_95(spread[:, number])
        found[name] = {"value": round(float(values[number]), 1), "low": round(low, 1), "high": round(high, 1)}
    return dict(sorted(found.items(), key=lambda entry: -entry[1]["value"]))
