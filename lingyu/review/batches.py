"""Batches of generated rows, by table and method: which rows are sampled for review, and whether the batch passes."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lingyu.generate.registry import Policy
from lingyu.generate.stable_choice import number
from lingyu.records import Made
from lingyu.review.decisions import Decision
from lingyu.statistics import group_sums, wilson

Bound = Literal["low", "rate", "high"]

ERRORS = "its batch has too many errors"
FEW = "too few rows of its batch are decided"


@dataclass(frozen=True)
class Rule:
    """How batches of a sampled method are judged: a share of the rows is sampled, at least `least` of every batch."""

    seed: int
    share: float
    least: int
    max_error: float
    judged_by: Bound


@dataclass(frozen=True)
class Candidate:
    """A row that may be sampled. group: rows from the same record are not independent."""

    number: int
    id: str
    print: str
    group: str


@dataclass
class Batch:
    policy: Policy
    rows: int = 0
    candidates: list[Candidate] = field(default_factory=list)  # those under the share; all for a required method
    smallest: list[tuple[int, str, str, str]] = field(default_factory=list)  # a heap of the `least` smallest, largest on top
    limit: float = 0
    counts: Counter[str] = field(default_factory=Counter)
    errors: dict[str, Any] | None = None
    held: str | None = None  # the reason why the other rows do not pass


class Batches:
    """Call `add` for every row, then `judge`; after that `is_sampled` and `reason_to_hold` are valid."""

    def __init__(self, policies: dict[str, Policy], rule: Rule) -> None:
        self._policies, self._rule = policies, rule
        self._batches: dict[str, Batch] = {}

    def of(self, table: str, row: Made) -> Batch:
        name = f"{table}/{row.method}"
        if name not in self._batches:
            self._batches[name] = Batch(self._policies[row.method])
        return self._batches[name]

    def add(self, table: str, row: Made, fingerprint: str) -> None:
        batch = self.of(table, row)
        batch.rows += 1
        if batch.policy == "auto":
            return
        candidate = Candidate(self._number(row.id), row.id, fingerprint, next(iter(row.references), row.id))
        if batch.policy == "required" or candidate.number < self._rule.share * 2**64:
            batch.candidates.append(candidate)
        if batch.policy == "sample":
            heapq.heappush(batch.smallest, (-candidate.number, candidate.id, candidate.print, candidate.group))
            if len(batch.smallest) > self._rule.least:
                heapq.heappop(batch.smallest)

    def judge(self, decided: Callable[[str, str, str], Decision | None]) -> None:
        """Estimate the error rate of each batch. decided: the decision on a row, by table, id and fingerprint."""
        for name, batch in self._batches.items():
            table = name.partition("/")[0]
            batch.limit = max(self._rule.share * 2**64, *(1 - entry[0] for entry in batch.smallest), 0)
            few = (Candidate(-negative, *rest) for negative, *rest in batch.smallest)
            drawn = list({candidate.id: candidate for candidate in (*batch.candidates, *few)}.values())
            found = [(candidate.group, decision) for candidate in drawn if (decision := decided(table, candidate.id, candidate.print))]
            wrong = [float(decision.decision != "approve") for _, decision in found]
            batch.counts.update(drawn=len(drawn), decided=len(found), errors=int(sum(wrong)))
            low, rate, high = 0.0, 0.0, 1.0
            if found:
                errors, counts = group_sums([group for group, _ in found], wrong, [1.0] * len(wrong))
                rate = float(np.mean(wrong))
                low, high = wilson(errors, counts)
                batch.errors = {"value": rate, "low": low, "high": high, "count": len(found)}
            if batch.policy == "sample" and {"low": low, "rate": rate, "high": high}[self._rule.judged_by] > self._rule.max_error:
                batch.held = ERRORS if rate > self._rule.max_error else FEW

    def is_sampled(self, table: str, row: Made) -> bool:
        batch = self.of(table, row)
        return batch.policy == "required" or (batch.policy == "sample" and self._number(row.id) < batch.limit)

    def reason_to_hold(self, table: str, row: Made) -> str | None:
        return self.of(table, row).held

    def count(self, table: str, row: Made, fate: str) -> None:
        self.of(table, row).counts[fate] += 1

    def metrics(self) -> dict[str, Any]:
        """For each batch its rows and their outcomes; the error rate if sampled rows were decided."""
        return {
            name: {
                "rows": batch.rows,
                **({"error_rate": batch.errors} if batch.errors else {}),
                **{fate: batch.counts[fate] for fate in sorted(batch.counts)},
            }
            for name, batch in sorted(self._batches.items())
        }

    def held_back(self) -> list[str]:
        """A line for each batch that is held back."""
        lines = []
        for name, batch in sorted(self._batches.items()):
            if batch.held:
                errors = batch.errors or {"value": 0.0, "low": 0.0, "high": 1.0}
                lines.append(
                    f"{name}: {batch.held}: {batch.counts['errors']} of {batch.counts['decided']} decided rows are wrong "
                    f"({errors['low']:.1%} to {errors['high']:.1%}), {batch.counts['drawn'] - batch.counts['decided']} of "
                    f"{batch.counts['drawn']} sampled rows wait for a decision. 该批次暂不放行。"
                )
        return lines

    def _number(self, row_id: str) -> int:
        return number(self._rule.seed, "review", row_id)
