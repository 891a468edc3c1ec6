"""Whether a question can be answered from the passages found: signals of the best passage, turned into a probability.

Each signal is compared with what questions on everyday things reach on the same passages, in the same language, because cosines and
BM25 scores mean nothing by themselves. Where the dev part has questions with their passages, a logistic regression weights the
signals; else the weights are those below, and the threshold is where one everyday question in fifty would pass.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lingyu.retrieve.prompt import is_chinese

Numbers = NDArray[np.float64]
Signals = dict[str, float]

# meaning: cosine of question and passage; elsewhere: of the question and everyday questions; words: BM25; asked: of known questions.
WEIGHTS = {"meaning": 2.0, "elsewhere": -1.0, "words": 0.0, "asked": 0.0}
WORDS_ONLY = {"words": 2.0}
PASS = 0.02  # share of everyday questions that may pass where no dev question says more
ENOUGH = 30  # dev questions to fit by
PRIOR = 10.0  # questions that the weights above are worth
POINTS = 21  # of the curve


class Scale(BaseModel):
    """Mean and standard deviation of each signal for everyday questions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: Signals
    deviation: Signals


class Calibration(BaseModel):
    """scales: by language; threshold: the probability from which a question is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scales: dict[str, Scale]
    weights: Signals
    bias: float
    threshold: float

    def probability(self, question: str, signals: Signals) -> float:
        return float(sigmoid(np.array(self.sum_of(question, signals) + self.bias)))

    def sum_of(self, question: str, signals: Signals) -> float:
        values = standard(self.scales, question, signals)
        return sum(weight * values[name] for name, weight in self.weights.items())


def fitted(elsewhere: Sequence[tuple[str, Signals]], inside: Sequence[tuple[str, Signals]]) -> tuple[Calibration, list[dict[str, float]]]:
    """The calibration from questions on other things and, if there are enough, questions that can be answered; and its curve."""
    names = list(elsewhere[0][1])
    weights = {name: value for name, value in (WEIGHTS if "meaning" in names else WORDS_ONLY).items() if name in names}
    scales = {language: scale_of(elsewhere, language, names) for language in ("zh", "en")}
    far = np.array([[standard(scales, *one)[name] for name in weights] for one in elsewhere])
    near = np.array([[standard(scales, *one)[name] for name in weights] for one in inside]).reshape(-1, len(weights))
    start = np.array(list(weights.values()))
    bias = -float(np.quantile(far @ start, 1 - PASS))
    if len(near) < ENOUGH:
        made = Calibration(scales=scales, weights=rounded(weights, start), bias=round(bias, 6), threshold=0.5)
        return made, curve(made, elsewhere, inside)
    best, bias = logistic(np.concatenate([near, far]), np.r_[np.ones(len(near)), np.zeros(len(far))], start, bias)
    made = Calibration(scales=scales, weights=rounded(weights, best), bias=round(bias, 6), threshold=0.5)
    points = curve(made, elsewhere, inside)
    chosen = min(points, key=lambda point: (point["wrongly_refused"] + point["wrongly_answered"], abs(point["threshold"] - 0.5)))
    return made.model_copy(update={"threshold": chosen["threshold"]}), points


def curve(made: Calibration, elsewhere: Sequence[tuple[str, Signals]], inside: Sequence[tuple[str, Signals]]) -> list[dict[str, float]]:
    """Both kinds of error at each threshold."""
    far = np.array([made.probability(*one) for one in elsewhere])
    near = np.array([made.probability(*one) for one in inside])
    return [
        {
            "threshold": round(float(at), 4),
            "wrongly_refused": round(float((near < at).mean()), 4) if len(near) else 0.0,
            "wrongly_answered": round(float((far >= at).mean()), 4),
        }
        for at in np.linspace(0, 1, POINTS)
    ]


def scale_of(asked: Sequence[tuple[str, Signals]], language: str, names: list[str]) -> Scale:
    mine = [signals for question, signals in asked if language_of(question) == language]
    values = np.array([[signals[name] for name in names] for signals in mine or [signals for _, signals in asked]])
    means, deviations = values.mean(0), np.maximum(values.std(0), 1e-6)
    return Scale(mean=rounded(names, means), deviation=rounded(names, deviations))


def standard(scales: dict[str, Scale], question: str, signals: Signals) -> Signals:
    scale = scales[language_of(question)]
    return {name: (value - scale.mean[name]) / scale.deviation[name] for name, value in signals.items()}


def language_of(question: str) -> str:
    return "zh" if is_chinese(question) else "en"


def rounded(names: Any, values: Numbers) -> Signals:
    """To six digits, so that the last bits of sums do not change the file."""
    return {name: float(f"{value:.6g}") for name, value in zip(names, values.tolist(), strict=True)}


def logistic(values: Numbers, right: Numbers, start: Numbers, bias: float) -> tuple[Numbers, float]:
    """Weights and bias of a logistic regression in which both classes weigh the same, drawn towards `start` by PRIOR questions."""
    columns = np.column_stack([values, np.ones(len(values))])
    prior = np.append(start, bias)
    share = np.where(right == 1, 0.5 / right.mean(), 0.5 / (1 - right.mean()))
    pull = np.append(np.full(len(start), PRIOR), 1e-3)
    found = prior.copy()
    for _ in range(50):
        p = sigmoid(columns @ found)
        slope = columns.T @ (share * (p - right)) + pull * (found - prior)
        bend = (columns * (share * p * (1 - p))[:, None]).T @ columns + np.diag(pull)
        step = np.linalg.solve(bend, slope)
        # Far from the solution a whole Newton step overshoots.
        found -= step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
    return found[:-1], float(found[-1])


def sigmoid(values: Numbers) -> Numbers:
    found: Numbers = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return found
