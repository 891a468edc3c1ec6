"""split: split the tables into train, dev and test, and check that nothing leaks between them.

Each table has one unit that stays together (`by`): a row, a file, a dialogue with its continuations, everything based on one
paragraph, or everything before a date. A train row that leaks a dev or test row is dropped, and so is a dev row that leaks
a test row. Held-out rows stay held out when the corpus grows.

Reads   out/clean/tables        the clean rows
Writes  out/split/train         the six tables, for training; its facts are those that training questions may ask
        out/split/dev           the six tables, for model selection
        out/split/test          the six tables, for evaluation
        out/split/frozen.json   what must stay held out although its hash alone does not select it; read by the next run
        out/split/leaks.jsonl   each row that leaks a held-out row, with that row, both locations and how they are similar
        out/split/dropped.jsonl every dropped row, with the reason
        out/split/ledger.json   rows by table, file and reason; the number of rows in each part
"""

import json
from array import array
from contextlib import ExitStack
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

from pydantic import Field, PositiveInt

from lingyu import last_run
from lingyu.files import open_tables, read_table, short_hash
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Dialogue, is_rubric
from lingyu.split.frozen import Frozen
from lingyu.split.groups import NONE, PARTS, Parting, Tables, date_of, group_of, key_of, place_key, text_of_row, units_of
from lingyu.split.guard import COMPARED, Guard
from lingyu.split.leak import Bounds
from lingyu.split.parts import Part, TooFew, assign_parts, exceptions, number_of
from lingyu.stage import StageError, StageParams, start


class Params(StageParams):
    seed: int = Field(
        21, description="An item's part is a hash of its text and this. Keep it once results are compared: another seed gives other parts."
    )
    tables: Tables = Field(
        Tables(), description="For each table. What is once held out stays so: out/split/frozen.json, which is to be committed."
    )
    min_files: PositiveInt = Field(
        12, description="With fewer files of a scope, documents are split by section: two of five files held out would be half the corpus."
    )
    min_opening: int = Field(
        8, ge=0, description="With by: dialogue, characters of the person's first message that distinguish one dialogue; 你好 does not."
    )
    test_sources: list[str] = Field(
        [],
        description="Patterns of files that are a test of your own: all their rows are of the test, whatever the shares are. "
        "generate.test.given and .exams say how many of them are asked.",
    )
    leaks: Bounds = Field(Bounds(), description="When a row gives a held-out one away.")


def run(params: Params, tables: Path, out: Path) -> None:
    frozen = Frozen.read(last_run.left(out / "frozen.json"), params.seed)
    parts = {table: part_of_rows(table, tables, params, frozen) for table in TABLES}

    ledger = Ledger()
    with ExitStack() as stack:
        write = {part: stack.enter_context(open_tables(out / part)) for part in PARTS}
        leaks, dropped = (stack.enter_context((out / name).open("w", encoding="utf-8")) for name in ("leaks.jsonl", "dropped.jsonl"))
        for group, passages in COMPARED:
            guard = Guard(group, passages, tables, parts, params.tables, params.leaks)
            for table in group:
                for row, part, reason, found in guard.checked(table):
                    ledger.read(table, row.source)
                    if part and not reason:
                        write[part](table, row)
                        ledger.kept(table, row.source)
                        ledger.changed(table, row.source, f"to {part}", 1)
                        continue
                    ledger.dropped(table, row.source, reason)
                    write_line(dropped, {"table": table, "reason": reason, **row.model_dump()})
                    if found:
                        write_line(leaks, {"table": table, "reason": reason, **asdict(found)})
    ledger.write(out / "ledger.json")
    frozen.write(out / "frozen.json")


def part_of_rows(table: str, tables: Path, params: Params, frozen: Frozen) -> bytearray:
    """For each row of the table the index of its part in PARTS, or NONE if it is split by time and has no date."""
    parting: Parting = getattr(params.tables, table)
    before = frozen.of(table, parting.by)
    held: dict[int, Part] = {int(number, 16): part for part in PARTS[1:] for number in before[part]}
    texts = set(before["texts"])
    units = units_of(table, tables, params.min_files, before["units"], texts) if parting.by == "auto" else {}

    result, numbers, groups, known, own = bytearray(), array("Q"), array("L"), dict[str, int](), list[int]()
    hashes, days = [], []
    by_text = parting.by != "row"  # then the same text may return in another file, so it is also tracked by its content
    for row in read_table(tables / f"{table}.parquet", TABLES[table]):
        unit = units.get(row.scope, parting.by)
        unit_key, group = ("", "") if unit == "time" else (key_of(row, unit, params.min_opening), group_of(row))
        numbers.append(number_of(unit_key, params.seed))
        groups.append(known.setdefault(group, len(known)))
        if by_text:
            hashes.append(short_hash(place_key(text_of_row(row))))
        if unit == "time":
            days.append(date_of(row))
        if any(fnmatchcase(row.source, pattern) for pattern in params.test_sources):
            own.append(len(numbers) - 1)
        elif isinstance(row, Dialogue) and is_rubric(row.task):
            raise StageError(
                f"{row.source}, {row.place} is a question with a rubric, which would be learnt as its answer. "
                f"Such files are a test as a whole: list {row.source!r} in params.yaml, split.test_sources."
            )

    if parting.by == "time":
        without = PARTS.index("train") if parting.undated == "train" else NONE
        result.extend(without if day is None else 2 if day >= str(parting.test) else 1 if day >= str(parting.dev) else 0 for day in days)
        chosen: dict[int, Part] = {}
    else:
        dev, test = parting.sizes()
        try:
            chosen = assign_parts(zip(numbers, map(str, groups), strict=True), dev, test, held)
        except TooFew as error:
            raise StageError(f"{table}: {error}. Lower it in params.yaml, split.tables.{table}, or add more rows.") from error
        result.extend(PARTS.index(chosen[number]) for number in numbers)
        held = exceptions(chosen, dev, test)
    for place, text in enumerate(hashes):
        if text in texts and result[place] != NONE:
            result[place] = PARTS.index("test")
    for place in own:
        result[place] = PARTS.index("test")
    frozen.record(table, parting.by, units, held, (text for place, text in enumerate(hashes) if result[place] == PARTS.index("test")))
    return result


def write_line(file: IO[str], value: dict[str, Any]) -> None:
    file.write(json.dumps(value, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    start(run, Params, tables=Path("out/clean/tables"), out=Path("out/split"))
