"""What every way to align is given, and what it hands back to be trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lingyu.model.load import load_model, raise_what_learns
from lingyu.train.run import boards, progress
from lingyu.train.settings import Training


@dataclass(frozen=True)
class Given:
    """reward: the reward model; train, dev: folders of mix; place: for checkpoints of this run; label: before each line of progress;
    out: where the curves grow."""

    params: Training
    model: Path
    reward: Path
    tokenizer: Any
    train: Path
    dev: Path
    place: Path
    label: str
    out: Path

    def policy(self) -> Any:
        """The model that is to learn."""
        return raise_what_learns(load_model(self.model, self.params.max_length, self.params.precision))


@dataclass(frozen=True)
class Ready:
    """rows: learnt from; curves: columns of the log to keep beside the losses; more: for metrics.json."""

    trainer: Any
    rows: int
    curves: list[str]
    more: dict[str, Any] = field(default_factory=dict)


def watched(given: Given, curves: Sequence[str], divergence_factor: float = math.inf) -> list[Any]:
    """The trainer's callbacks: lines of progress, curves while they grow, a stop where a loss that should fall rises so many times."""
    return [progress(given.label, given.out / "curves.csv", curves, divergence_factor), *boards(given.params, given.place, given.label)]
