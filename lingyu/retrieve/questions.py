"""What an index learns from: questions with the passages that answer them, of the training part, and their use as search keys.

A kernel ridge regression over frozen embeddings: samples are the known questions and the passages that answer them; targets say
which passages are right for a sample. It is solved in closed form, so it takes seconds, gives the same bytes everywhere that torch
does, and its leave-one-out predictions cost nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingyu.records import Language
from lingyu.retrieve.embedders import Floats

# Of the kernel exp((cosine - 1) / WIDTH) and the ridge; on leave-one-out of 700 consultations 0.2 to 0.5 and 0.05 to 0.2 are within
# a point of each other.
WIDTH, RIDGE = 0.3, 0.1
# The solution takes their cube: 4,000 take about two seconds. More are sampled evenly.
MOST_QUESTIONS = 4000
MOST_PASSAGES = 2000


@dataclass(frozen=True)
class Asked:
    """A question and the ids of the chunks that answer it."""

    question: str
    right: frozenset[str]


@dataclass(frozen=True)
class Examples:
    """learn: questions of the training part. choose: of the dev part, to calibrate with. elsewhere: questions on other things."""

    learn: list[Asked] = field(default_factory=list)
    choose: list[Asked] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


EVERYDAY = "lingyu/retrieve/everyday.yaml"


@cache
def everyday_by_language() -> dict[Language, list[str]]:
    import yaml

    found: dict[Language, list[str]] = yaml.safe_load(Path(__file__).with_name(Path(EVERYDAY).name).read_text(encoding="utf-8"))
    return found


def everyday() -> tuple[str, ...]:
    """Questions on everything and nothing, in Chinese and English."""
    return tuple(question for asked in everyday_by_language().values() for question in asked)


def sampled(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` items, evenly spaced."""
    return list(items[:: -(-len(items) // most)]) if items else []


class Keys:
    """Passages by the questions they are known to answer.

    samples: [m, d], centred vectors of unit length, questions before passages; coefficients: [m, p] for the p passages in `places`.
    """

    def __init__(self, samples: Floats, coefficients: Floats, places: NDArray[np.int64], centre: Floats, questions: int) -> None:
        self._samples, self._coefficients, self._places = samples, coefficients, places
        self._centre, self._questions = centre, questions

    def scores(self, question: Floats, count: int) -> tuple[Floats, float]:
        """For each of `count` passages how far it is expected to be right, 0 where nothing is known; the cosine of the closest question."""
        cosines = self._samples @ unit(question - self._centre)
        found = np.zeros(count, np.float32)
        found[self._places] = kernel(cosines) @ self._coefficients
        return found, float(cosines[: self._questions].max(initial=-1.0))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for name, values in (("samples", self._samples), ("coefficients", self._coefficients), ("centre", self._centre)):
            np.save(folder / f"{name}.npy", values.astype(np.float32), allow_pickle=False)
        np.save(folder / "places.npy", np.append(self._places, self._questions), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "Keys":
        samples, coefficients, centre = (np.load(folder / f"{name}.npy") for name in ("samples", "coefficients", "centre"))
        places = np.load(folder / "places.npy")
        return cls(samples, coefficients, places[:-1], centre, int(places[-1]))


def learnt(asked: Sequence[Asked], questions: Floats, passages: Floats, places: dict[str, int]) -> tuple[Keys, Floats]:
    """The keys, and the leave-one-out scores of each question for every passage: [questions, passages].

    questions: the vectors of `asked`; passages: those of all passages; places: of a chunk's id among them.
    """
    right = [sorted(places[id] for id in one.right if id in places) for one in asked]
    keyed = sorted({place for found in right for place in found})
    column = {place: number for number, place in enumerate(keyed)}
    targets = np.zeros((len(asked), len(keyed)))
    for number, found in enumerate(right):
        targets[number, [column[place] for place in found]] = 1 / max(len(found), 1)
    centre = questions.mean(0)
    samples = unit(questions - centre)
    if len(keyed) <= MOST_PASSAGES:  # a passage is a question that it answers itself
        own = unit(passages[keyed] - passages[keyed].mean(0))
        samples, targets = np.concatenate([samples, own]), np.concatenate([targets, np.eye(len(keyed))])
    inverse = np.linalg.inv(kernel(samples @ samples.T).astype(np.float64) + RIDGE * np.eye(len(samples)))
    coefficients = inverse @ targets
    left_out = np.zeros((len(asked), len(passages)), np.float32)
    left_out[:, keyed] = (targets - coefficients / np.diag(inverse)[:, None])[: len(asked)]
    return Keys(samples, coefficients.astype(np.float32), np.array(keyed, np.int64), centre, len(asked)), left_out


def kernel(cosines: Floats) -> Floats:
    found: Floats = np.exp((cosines - 1) / WIDTH)
    return found


def unit(rows: Floats) -> Floats:
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)
    return found.astype(np.float32)
