"""What every way to align is given, and what it hands back to be trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lingyu.train.settings import Training


@dataclass(frozen=True)
class Given:
    """reward: the reward model; train, dev: folders of mix; place: for checkpoints of this run; label: before each line of progress."""

    params: Training
    model: Path
    reward: Path
    tokenizer: Any
    train: Path
    dev: Path
    place: Path
    label: str


@dataclass(frozen=True)
class Ready:
    """rows: learnt from; curves: columns of the log to keep beside the losses; more: for metrics.json."""

    trainer: Any
    rows: int
    curves: list[str]
    more: dict[str, Any] = field(default_factory=dict)
