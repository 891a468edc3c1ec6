"""Whether the questions that people ask are still those that the model was trained on: a two-sample test on character n-grams.

Each question is a vector of n-gram counts in buckets (lingyu/serve/asked.py), of unit length. The statistic is the squared distance of the
two means, which is the maximum mean discrepancy of a linear kernel (Gretton and others 2012); its distribution under "no difference" comes
from permutations, so that the share of false alarms is the level, whatever the questions are like. tests/test_drift.py shows both by
simulation.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lingyu.serve.asked import sketch

Vectors = NDArray[np.float32]
PERMUTATIONS = 999


def unit(sketches: NDArray[np.uint8]) -> Vectors:
    rows = sketches.astype(np.float32)
    vectors: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return vectors


def chance(one: Vectors, other: Vectors, seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """The probability of means at least so far apart where both samples are of one kind."""
    rows = np.concatenate([one, other])
    total, first = rows.sum(axis=0), len(one)

    def distance(sums: Vectors) -> Vectors:
        apart: Vectors = ((sums / first - (total - sums) / len(other)) ** 2).sum(axis=-1)
        return apart

    observed = distance(one.sum(axis=0))
    random = np.random.default_rng(seed)
    chosen = np.zeros((permutations, len(rows)), np.float32)
    chosen[np.arange(permutations)[:, None], random.random((permutations, len(rows))).argpartition(first - 1, axis=1)[:, :first]] = 1
    drawn = distance(chosen @ rows)
    return float((1 + (drawn >= observed * (1 - 1e-6)).sum()) / (1 + permutations))


def trained_on(table: Path, most: int, seed: int = 0) -> NDArray[np.uint8]:
    """Sketches of the questions of a training table (out/mix/train/sft.parquet), a draw of them where there are many."""
    rows = pq.read_table(table, columns=["messages"])["messages"]
    chosen = np.random.default_rng(seed).permutation(len(rows))[:most]
    said = (next((one["content"] for one in reversed(rows[int(number)].as_py()) if one["role"] == "user"), "") for number in sorted(chosen))
    return np.stack([sketch(question) for question in said]) if len(chosen) else np.empty((0, 0), np.uint8)
