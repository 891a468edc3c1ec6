"""split: part train, dev and test, and prove that they share nothing they must not.

Documents are parted by file, or by section where a scope has too few files; facts by entity and relation, dialogues and
preferences by what was asked, labels by text within each class, exams by question. A row of train that gives away one of
dev or test is dropped, and so is one of dev that gives away one of test.

Reads   out/clean/tables        the clean rows
Writes  out/split/train         the six tables, to learn from; its facts are those that questions may ask
        out/split/dev           the six tables, to choose by
        out/split/test          the six tables, to judge by
        out/split/leaks.jsonl   each dropped row with the row that it gave away
        out/split/ledger.json   rows by table, file and reason; how many went to each part
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from lingyu.corpus.duplicates import question_key, question_of
from lingyu.corpus.leak import Leak, leaks
from lingyu.corpus.normalise import key
from lingyu.corpus.parts import Part, parted
from lingyu.files import read_tables, write_jsonl, write_tables
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Preference, Row
from lingyu.stage import StageParams, start

PARTS: tuple[Part, ...] = ("train", "dev", "test")
PAIRS: tuple[tuple[Part, Part], ...] = (("dev", "test"), ("train", "test"), ("train", "dev"))  # what must not give away what


class Shares(BaseModel):
    """Shares of dev and test; the rest is train."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dev: float = Field(ge=0, lt=1)
    test: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def leave_some_to_train(self) -> "Shares":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev {self.dev} and test {self.test} leave nothing to train")
        return self


class Tables(BaseModel):
    """Shares for each table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: Shares
    facts: Shares
    dialogues: Shares
    labels: Shares
    exams: Shares
    preferences: Shares


class Params(StageParams):
    seed: int
    shares: Tables
    min_files: PositiveInt
    near_duplicate: float = Field(gt=0, le=1)


def run(params: Params, tables: Path, out: Path) -> None:
    rows = read_tables(tables)
    parts: dict[Part, dict[str, list[Row]]] = {part: {name: [] for name in TABLES} for part in PARTS}
    ledger = Ledger()
    for table, listed in rows.items():
        keys = keys_of(table, listed, params.min_files)
        shares: Shares = getattr(params.shares, table)
        part = parted(((key, group) for key, group in keys), params.seed, shares.dev, shares.test)
        for row, (row_key, _) in zip(listed, keys, strict=True):
            ledger.came(table, row.source)
            parts[part[row_key]][table].append(row)

    found: list[dict[str, Any]] = []
    for given, held in PAIRS:
        found += without_leaks(parts, given, held, params.near_duplicate, ledger)

    for name, tables_of_part in parts.items():
        for table, listed in tables_of_part.items():
            for row in listed:
                ledger.left(table, row.source)
                ledger.changed(table, row.source, f"to {name}", 1)
        write_tables(out / name, tables_of_part)
    write_jsonl(out / "leaks.jsonl", found)
    ledger.write(out / "ledger.json")


def keys_of(table: str, rows: list[Row], min_files: int) -> list[tuple[str, str]]:
    """For each row the key that decides its part (rows of one key stay together), and the group that is to be shared out."""
    files: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        files[row.scope].add(row.source)

    def key_and_group(row: Row) -> tuple[str, str]:
        match row:
            case Document():
                group = f"{row.scope}\0{row.language}"
                return (row.source if len(files[row.scope]) >= min_files else f"{row.source}\0{row.section or key(row.text)}"), group
            case Fact():
                return f"{key(row.entity)}\0{key(row.relation)}", row.language
            case Dialogue() | Preference():
                return question_key(row), f"{row.task}\0{row.scope}"
            case Label():
                return key(row.text), f"{row.task}\0{row.label}"
            case Exam():
                return key(row.question), row.scope
        raise TypeError(f"no such row: {type(row)}")

    return [key_and_group(row) for row in rows]


# What must not be shared: the tables compared, and what of a row is compared. A question asked in one table is given away in another.
COMPARED: list[tuple[tuple[str, ...], Callable[[Any], str]]] = [
    (("documents",), lambda row: row.text),
    (("dialogues", "preferences", "exams"), lambda row: row.question if isinstance(row, Exam) else question_of(row.messages)),
    (("labels",), lambda row: row.text),
]


def without_leaks(
    parts: dict[Part, dict[str, list[Row]]], given: Part, held: Part, threshold: float, ledger: Ledger
) -> list[dict[str, Any]]:
    """Take the rows out of `given` that give away one of `held`; each with its evidence."""
    found = []
    for tables, text_of in COMPARED:
        held_texts = [(row.id, text_of(row)) for table in tables for row in parts[held][table]]
        for table in tables:
            leaking = {leak.id: leak for leak in leaks(((row.id, text_of(row)) for row in parts[given][table]), held_texts, threshold)}
            for row in parts[given][table]:
                if leak := leaking.get(row.id):
                    ledger.dropped(table, row.source, f"{given}_leaks_{held}")
                    found.append(evidence(table, given, held, leak, row))
            parts[given][table] = [row for row in parts[given][table] if row.id not in leaking]
    return found


def evidence(table: str, given: Part, held: Part, leak: Leak, row: Row) -> dict[str, Any]:
    return {
        "table": table,
        "reason": f"{given}_leaks_{held}",
        "kind": leak.kind,
        "similarity": leak.similarity,
        "text": leak.text,
        "held_text": leak.held_text,
        "held_id": leak.held_id,
        "row": row.model_dump(),
    }


if __name__ == "__main__":
    start(run, Params, tables=Path("out/clean/tables"), out=Path("out/split"))
