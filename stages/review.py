"""review: apply reviewers' decisions to the generated rows, and hold back those that still need one.

Reads   out/generate/made               the generated tables
        out/split/train                 the source records of the rows, shown to reviewers
        out/split/dev                   the same for the dev part
        out/split/test                  the same for the test part
        data                            decisions in reviews/: *.xlsx, *.jsonl, *.json (Label Studio), if any
Writes  out/review/approved             the same tables with edits applied, without rejected and pending rows
        out/review/queue.xlsx           rows waiting for a decision; fill it in and import it with `make review`
        out/review/label_studio.json    the same rows as Label Studio tasks
        out/review/label_studio.xml     the labelling interface for them
        out/review/dropped.jsonl        every row that is not passed on and every unused decision, with the reason
        out/review/ledger.json          rows by table and source; decisions by file
        out/review/metrics.json         by table and method: rows, sampled, decided, error rate with interval, held back

The rows of a sampled method form one batch per table. The sampled rows wait for a reviewer; the others pass as long as
the error rate of the sample stays under the bound.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pydantic import Field, NonNegativeInt, field_validator

from lingyu.files import read_table, write_json, write_table
from lingyu.generate.registry import POLICIES, Policy, fault_of_names
from lingyu.generate.tables import MADE
from lingyu.ledger import Ledger
from lingyu.records import REVIEWS, Made, Row
from lingyu.review import label_studio
from lingyu.review.batches import Batches, Bound, Rule
from lingyu.review.decisions import DECISIONS, Decision, read_decisions
from lingyu.review.queue import Waiting, add_passages, made_rows
from lingyu.review.rulings import VERDICTS, Rulings, applied, misfits
from lingyu.review.workbook import write_workbook
from lingyu.stage import StageError, StageParams, start


class Params(StageParams):
    seed: int = Field(20, description="Chooses which rows of a sampled method are drawn for review.")
    policies: dict[str, Policy] = Field(
        POLICIES,
        description="By method, over these defaults. auto passes every row: what rules take from a record cannot say what the record does "
        "not, and given rows were written by people. sample lets a share wait for a person: a model, or a weak signal, made the rows. "
        "required lets all wait.",
    )
    sample_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Of the rows of a sampled method. 5 % of 2,000 rows are an hour's work, and find an error rate of 3 % in 19 "
        "of 20 cases.",
    )
    sample_rows: NonNegativeInt = Field(
        80,
        description="Of each batch (a method in a table) at least so many, or all: 80 without an error show that at most 4.6 % are wrong.",
    )
    max_error: float = Field(
        0.05, ge=0, le=1, description="Share of rejected and edited rows above which the rows of a batch that nobody saw are held back."
    )
    judged_by: Bound = Field(
        "high",
        description="What is compared with max_error, of the 95 % interval: high passes a batch once it is shown to be good, low until it "
        "is shown to be bad, rate by the share of errors alone. While nothing is decided, high holds back and the others pass.",
    )

    @field_validator("policies", mode="before")
    @classmethod
    def over_the_defaults(cls, policies: Any) -> Any:
        return {**POLICIES, **policies} if isinstance(policies, dict) else policies

    @field_validator("policies")
    @classmethod
    def known_methods(cls, policies: dict[str, Policy]) -> dict[str, Policy]:
        if fault := fault_of_names(policies):
            raise ValueError(fault)
        return policies

    def rule(self) -> Rule:
        return Rule(self.seed, self.sample_share, self.sample_rows, self.max_error, self.judged_by)


def run(params: Params, made: Path, train: Path, dev: Path, test: Path, data: Path, out: Path) -> None:
    rulings, batches = Rulings(read_decisions(data / REVIEWS)), Batches(params.policies, params.rule())
    register(made, rulings, batches)
    rulings.settle()
    batches.judge(rulings.on)
    if rulings and (faults := misfits(made_rows(made), rulings)):
        raise StageError("\n".join(["decisions in data/reviews do not match their rows 以下审核决定与对应的行不符:", *faults]))

    out.mkdir(parents=True, exist_ok=True)
    desk = Desk(rulings, batches)
    with (out / "dropped.jsonl").open("w", encoding="utf-8") as dropped:
        for table, row_type in MADE.items():
            write_table(out / "approved" / f"{table}.parquet", desk.passed(made, table, row_type, dropped), row_type)
        desk.count_decisions(dropped)

    add_passages(desk.waiting, (train, dev, test))
    write_workbook(out / "queue.xlsx", desk.waiting, DECISIONS)
    write_json(out / "label_studio.json", label_studio.tasks(desk.waiting))
    (out / "label_studio.xml").write_text(label_studio.interface(DECISIONS), encoding="utf-8")
    for line in batches.held_back():
        print(f"review: {line}", file=sys.stderr)
    write_json(out / "metrics.json", batches.metrics())
    desk.ledger.write(out / "ledger.json")


WAITS = "waits for a decision"
OUTDATED = "waits for a new decision: the row has changed"
REJECTED = "rejected by a reviewer"


def register(made: Path, rulings: Rulings, batches: Batches) -> None:
    """Register all rows: decisions are matched to them, and the sample of a batch depends on the whole batch."""
    for table, row in made_rows(made):
        seen = rulings.add(table, row)
        if isinstance(row, Made):
            batches.add(table, row, seen)


class Desk:
    """Decides for each row whether it passes, waits or is dropped, and counts it."""

    def __init__(self, rulings: Rulings, batches: Batches) -> None:
        self.rulings, self.batches = rulings, batches
        self.ledger = Ledger()
        self.waiting: list[Waiting] = []

    def passed(self, made: Path, table: str, row_type: type[Row], dropped: TextIO) -> Iterator[Row]:
        for row in read_table(made / f"{table}.parquet", row_type):
            self.ledger.read(table, row.source)
            decision = self.rulings.on(table, row.id, self.rulings.print_of(row))
            reason = self.reason_to_hold_back(table, row, decision)
            if reason is None:
                verdict = VERDICTS[decision.decision] if decision else "auto"
                self.ledger.kept(table, row.source)
                self.ledger.changed(table, row.source, verdict)
                self.count(table, row, f"passed_{verdict}" if decision else "passed_unseen")
                yield applied(row, decision)
                continue
            self.ledger.dropped(table, row.source, reason)
            review = {name: text for name, text in decision.as_row().items() if name in {"note", "reviewer"}} if decision else {}
            dropped.write(json.dumps({"table": table, "reason": reason, **review, **row.model_dump()}, ensure_ascii=False) + "\n")
            self.count(table, row, "waiting" if reason in (WAITS, OUTDATED) else "rejected" if reason == REJECTED else "held_back")
            if reason in (WAITS, OUTDATED):
                self.waiting.append(Waiting(table, row, describe_earlier(self.rulings.outdated(row.id))))

    def reason_to_hold_back(self, table: str, row: Row, decision: Decision | None) -> str | None:
        """None if the row passes: a reviewer accepted it, or its method needs no review and its batch passes."""
        if decision:
            return REJECTED if decision.decision == "reject" else None
        if self.rulings.outdated(row.id):
            return OUTDATED
        if not isinstance(row, Made):
            return None
        return WAITS if self.batches.is_sampled(table, row) else self.batches.reason_to_hold(table, row)

    def count(self, table: str, row: Row, fate: str) -> None:
        if isinstance(row, Made):
            self.batches.count(table, row, fate)

    def count_decisions(self, dropped: TextIO) -> None:
        """Decisions without a row are reported and kept in the dropped file; they do not stop the stage."""
        for decision in self.rulings.decisions:
            source = f"{REVIEWS}/{decision.file}"
            self.ledger.read("decisions", source)
            reason = self.rulings.unmet.get(decision)
            if reason is None:
                self.ledger.kept("decisions", source)
                if self.rulings.moved(decision):
                    self.ledger.changed("decisions", source, "found its row under another id")
                continue
            self.ledger.dropped("decisions", source, reason)
            print(f"review: {decision.where}: {reason}: {decision.id} 未采用的决定", file=sys.stderr)
            entry = {"table": "decisions", "reason": reason, "id": decision.id, **decision.as_row()}
            dropped.write(json.dumps(entry, ensure_ascii=False) + "\n")


def describe_earlier(decision: Decision | None) -> str:
    if decision is None:
        return ""
    return "\n".join(filter(None, (decision.decision, decision.reviewer, decision.answer, decision.note)))


if __name__ == "__main__":
    start(
        run,
        Params,
        made=Path("out/generate/made"),
        train=Path("out/split/train"),
        dev=Path("out/split/dev"),
        test=Path("out/split/test"),
        data=Path("data"),
        out=Path("out/review"),
    )
