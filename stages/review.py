"""review: apply people's decisions to the made rows, and hold back those that still need one.

Reads   out/generate/made         the made tables
        data                      the decisions in reviews/*.xlsx and reviews/*.jsonl, if there are any: id, decision, answer
Writes  out/review/approved       the same tables, without what was rejected or waits, with what was edited
        out/review/queue.xlsx     what waits for a decision; filled in and put into data/reviews, it comes back as decisions
        out/review/dropped.jsonl  every row that is not passed on, and every decision for a row that is not there, with the reason
        out/review/ledger.json    rows by table and source
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from lingyu.files import read_table, write_jsonl, write_table
from lingyu.ledger import Ledger
from lingyu.records import Made, Row
from lingyu.stage import StageParams, start
from lingyu.teach import MADE
from lingyu.teach.by_method import fault_of_names
from lingyu.teach.choice import number
from lingyu.teach.decisions import Decision, edited, read_decisions, write_queue

Policy = Literal["auto", "sample", "required"]


class Params(StageParams):
    seed: int
    policies: dict[str, Policy]
    sample_share: float = Field(ge=0, le=1)

    @field_validator("policies")
    @classmethod
    def every_method(cls, policies: dict[str, Policy]) -> dict[str, Policy]:
        if fault := fault_of_names(policies):
            raise ValueError(fault)
        return policies


def run(params: Params, made: Path, data: Path, out: Path) -> None:
    decisions = read_decisions(data / "reviews")
    ledger, waiting, dropped, met = Ledger(), [], [], set()
    for table, row_type in MADE.items():
        approved = []
        for row in read_table(made / f"{table}.parquet", row_type):
            ledger.came(table, row.source)
            decision = decisions.get(row.id)
            met.add(row.id)
            reason = reason_to_hold_back(row, decision, params)
            if reason is None:
                approved.append(reviewed(row, decision))
                ledger.left(table, row.source)
                ledger.changed(table, row.source, VERDICTS[decision.decision] if decision else "auto")
                continue
            ledger.dropped(table, row.source, reason)
            dropped.append({"table": table, "reason": reason, **row.model_dump()})
            if reason == WAITS:
                waiting.append((table, row))
        write_table(out / "approved" / f"{table}.parquet", approved, row_type)

    dropped += [*unmet(decisions, met, ledger)]
    write_queue(out / "queue.xlsx", waiting)
    write_jsonl(out / "dropped.jsonl", dropped)
    ledger.write(out / "ledger.json")


VERDICTS = {"approve": "approved", "edit": "edited"}
WAITS = "waits for a decision"
REJECTED = "rejected by a reviewer"
UNKNOWN = "no row has this id"


def reason_to_hold_back(row: Row, decision: Decision | None, params: Params) -> str | None:
    """None where the row passes: a person approved or edited it, or its method's policy asks for no one."""
    if decision:
        return REJECTED if decision.decision == "reject" else None
    policy = params.policies[row.method] if isinstance(row, Made) else "auto"
    drawn = policy == "sample" and number(params.seed, "review", row.id) < params.sample_share * 2**64
    return WAITS if policy == "required" or drawn else None


def reviewed(row: Row, decision: Decision | None) -> Row:
    if decision and decision.decision == "edit":
        row = edited(row, decision.answer)
    if not isinstance(row, Made):
        return row
    return row.model_copy(update={"review": VERDICTS[decision.decision] if decision else "auto"})


def unmet(decisions: dict[str, Decision], met: set[str], ledger: Ledger) -> Iterator[dict[str, Any]]:
    """The decisions whose row is not there, any more or by a slip of the hand: told, kept, and no reason to stop."""
    for decision in decisions.values():
        source = f"reviews/{decision.where.split(' row ')[0]}"
        ledger.came("decisions", source)
        if decision.id in met:
            ledger.left("decisions", source)
            continue
        ledger.dropped("decisions", source, UNKNOWN)
        print(f"review: {decision.where}: {UNKNOWN}: {decision.id} 没有这个编号的行", file=sys.stderr)
        yield {
            "table": "decisions",
            "reason": UNKNOWN,
            "id": decision.id,
            "decision": decision.decision,
            "answer": decision.answer,
            "where": decision.where,
        }


if __name__ == "__main__":
    start(run, Params, made=Path("out/generate/made"), data=Path("data"), out=Path("out/review"))
