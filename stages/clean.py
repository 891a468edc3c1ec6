"""clean: normalise, mask personal data, drop poor and duplicate rows, and say why each was dropped.

Reads   out/ingest/tables           the rows as they were read
        out/validate/metrics.json   only so that nothing is cleaned before the expectations hold
Writes  out/clean/tables            the rows kept, in their order
        out/clean/dropped.jsonl     the others, each with its table and reason, and the row because of which
        out/clean/ledger.json       rows by table, file and reason; how many were mended and what was masked in them
"""

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, NonNegativeInt, field_validator

from lingyu.corpus import pii
from lingyu.corpus.duplicates import Dropped, conflicting_labels, duplicates, near_duplicates, settled_facts
from lingyu.corpus.normalise import normal
from lingyu.corpus.quality import reason_to_drop
from lingyu.files import read_tables, write_jsonl, write_tables
from lingyu.ledger import Ledger
from lingyu.records import Row
from lingyu.stage import StageError, StageParams, start

# What a person wrote. The other fields are ours, or say where the row came from.
WRITTEN = {
    "title", "section", "text", "entity", "kind", "relation", "values", "messages", "content", "reasoning", "chosen", "rejected",
    "label", "question", "options",
}  # fmt: skip


class Params(StageParams):
    min_chars: NonNegativeInt
    max_repeated: float = Field(ge=0, le=1)
    near_duplicate: float = Field(gt=0, le=1)
    mask: list[str]

    @field_validator("mask")
    @classmethod
    def known(cls, kinds: list[str]) -> list[str]:
        if unknown := [kind for kind in kinds if kind not in pii.RULES]:
            raise ValueError(f"no rule for {', '.join(unknown)}; known: {', '.join(pii.RULES)}")
        return kinds


def run(params: Params, tables: Path, validated: Path, out: Path) -> None:
    kept: dict[str, list[Row]] = {}
    dropped: list[dict[str, Any]] = []
    ledger = Ledger()
    for table, rows in read_tables(tables).items():
        mended = []
        for row in rows:
            ledger.came(table, row.source)
            clean, changes = mend(row, params.mask)
            for change, count in changes.items():
                ledger.changed(table, row.source, change, count)
            mended.append(clean)
        kept[table], gone = settled(table, mended, params)
        for row in kept[table]:
            ledger.left(table, row.source)
        for one in gone:
            ledger.dropped(table, one.row.source, one.reason)
            dropped.append({"table": table, "reason": one.reason, "because": one.because, **one.row.model_dump()})

    if not any(kept.values()):
        raise StageError(
            f"no row of {tables} was kept; dropped by reason: {dict(Counter(row['reason'] for row in dropped))}. "
            "Loosen the rules in params.yaml, section clean, or bring more documents."
        )
    write_tables(out / "tables", kept)
    write_jsonl(out / "dropped.jsonl", dropped)
    ledger.write(out / "ledger.json")


def mend(row: Row, kinds: list[str]) -> tuple[Row, Counter[str]]:
    """The row with every text a person wrote normalised and masked, and what was changed in it."""
    changes: Counter[str] = Counter()
    masked = pii.Mask(row.language, kinds)

    def mended(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: mended(getattr(value, name)) for name in type(value).model_fields if name in WRITTEN})
        if isinstance(value, list):
            return [mended(item) for item in value]
        if not isinstance(value, str):
            return value
        return masked(normal(value))

    clean: Row = mended(row)
    changes.update({f"masked {kind}": count for kind, count in masked.counts.items()})
    if clean != row:
        changes["mended rows"] += 1
    return clean, changes


def settled(table: str, rows: list[Row], params: Params) -> tuple[list[Row], list[Dropped]]:
    """The rows to keep, and the others: first the poor, then what only repeats, then what contradicts."""
    dropped: list[Dropped] = []

    def without(rows: list[Row], more: list[Dropped]) -> list[Row]:
        dropped.extend(more)
        gone = {one.row.id for one in more}
        return [row for row in rows if row.id not in gone]

    poor = ((row, reason_to_drop(row, params.min_chars, params.max_repeated)) for row in rows)
    rows = without(rows, [Dropped(row, reason, "") for row, reason in poor if reason])
    rows = without(rows, list(duplicates(rows)))
    if table == "documents":
        rows = without(rows, list(near_duplicates(rows, params.near_duplicate)))
    if table == "labels":
        rows = without(rows, list(conflicting_labels(rows)))
    if table == "facts":
        rows, more = settled_facts(rows)
        dropped.extend(more)
    return rows, dropped


if __name__ == "__main__":
    start(run, Params, tables=Path("out/ingest/tables"), validated=Path("out/validate/metrics.json"), out=Path("out/clean"))
