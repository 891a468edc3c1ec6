"""What kind of questions people ask, for the trigger `drift` of `retrain`: LINGYU_QUESTIONS names a folder, and nothing is kept without it.

Of a question its character n-grams are kept, counted in 256 buckets by their hash: no text, no time, no person. Different n-grams share a
bucket, so the question cannot be read from it; somebody who guesses a question can check whether it fits. Files of 1,000 questions, the
oldest removed first.
"""

import os
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingyu.text.ngrams import hashed_grams
from lingyu.text.normalise import key

FOLDER = "LINGYU_QUESTIONS"
BUCKETS = 256
PER_FILE, FILES = 1000, 20
Sketch = NDArray[np.uint8]


def sketch(question: str) -> Sketch:
    """How often an n-gram of the question falls into each bucket; at most 255."""
    counts = np.bincount((hashed_grams(key(question)) >> np.uint64(32)) % np.uint64(BUCKETS), minlength=BUCKETS)
    return np.minimum(counts, 255).astype(np.uint8)


class Asked:
    """Appends to the newest file; what a crash cut short is cut off."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, question: str) -> None:
        row = sketch(question)
        if not row.any():
            return
        with self._lock:
            names = files(self._folder)
            newest = names[-1] if names else self._folder / name_of(0)
            count = newest.stat().st_size // BUCKETS if names else 0
            if count >= PER_FILE:
                newest, count = self._folder / name_of(number_of(newest) + 1), 0
                for old in names[: len(names) + 1 - FILES]:
                    old.unlink(missing_ok=True)
            with newest.open("ab") as file:
                file.truncate(count * BUCKETS)
                file.write(row.tobytes())


def opened() -> Asked | None:
    """The store that LINGYU_QUESTIONS names; None where it names none."""
    folder = os.environ.get(FOLDER, "").strip()
    return Asked(Path(folder)) if folder else None


def read(folder: Path) -> tuple[int, NDArray[np.uint8]]:
    """How many questions were ever kept, and those that are still there, oldest first."""
    names = files(folder)
    rows = [
        np.frombuffer(data[: len(data) // BUCKETS * BUCKETS], np.uint8).reshape(-1, BUCKETS) for data in (one.read_bytes() for one in names)
    ]
    if not rows:
        return 0, np.empty((0, BUCKETS), np.uint8)
    return number_of(names[-1]) * PER_FILE + len(rows[-1]), np.concatenate(rows)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.grams"))


def name_of(number: int) -> str:
    return f"{number:06}.grams"


def number_of(file: Path) -> int:
    return int(file.stem)
