"""split: part train, dev and test, and prove that they share nothing they must not.

What stays together is one thing to a table (`by`): a row, a file, a dialogue with its continuations, what rests on one
paragraph, or what was written before a day. A row of train that gives away one of dev or test is dropped, and so is one of
dev that gives away one of test. What is once held out stays so when the corpus grows.

Reads   out/clean/tables        the clean rows
Writes  out/split/train         the six tables, to learn from; its facts are those that questions may ask
        out/split/dev           the six tables, to choose by
        out/split/test          the six tables, to judge by
        out/split/frozen.json   what must stay held out although its hash alone does not say so; read again by the next run
        out/split/leaks.jsonl   each row that gave a held-out one away, with that one, where both stand, and how they are alike
        out/split/dropped.jsonl every row left out, with the reason
        out/split/ledger.json   rows by table, file and reason; how many went to each part
"""

import json
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from lingyu.corpus.duplicates import question_key, question_of
from lingyu.corpus.leak import Bounds, Gate, Item, Leak, leak_between
from lingyu.corpus.normalise import key, normal
from lingyu.corpus.parts import Part, Size, TooFew, exceptions, number_of, parted
from lingyu.files import BATCH, open_tables, read_json, read_table, short_hash, write_json
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Preference, Row
from lingyu.stage import StageError, StageParams, start

PARTS: tuple[Part, ...] = ("train", "dev", "test")
UNDATED = "no_date"
Way = Literal["row", "source", "section", "dialogue", "paragraph", "time", "auto"]


class Parting(BaseModel):
    """What stays together, and how much of it is held out: a share, a count, or all from a day on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Way
    dev: float | int | date
    test: float | int | date

    @model_validator(mode="after")
    def make_sense(self) -> "Parting":
        sizes = [("dev", self.dev), ("test", self.test)]
        if self.by == "time":
            if not isinstance(self.dev, date) or not isinstance(self.test, date) or self.dev > self.test:
                raise ValueError(f"by time, dev and test are the days from which they begin, dev first; found {self.dev}, {self.test}")
            return self
        for name, size in sizes:
            if isinstance(size, date) or size < 0 or (isinstance(size, float) and size >= 1):
                raise ValueError(f"{name} {size} is neither a share below 1 nor a count; a day belongs to `by: time`")
        if sum(size for _, size in sizes if isinstance(size, float)) >= 1:
            raise ValueError(f"dev {self.dev} and test {self.test} leave nothing to train")
        return self

    def sizes(self) -> tuple[Size, Size]:
        """Of dev and test; none is a share of 0."""

        def share(size: Size | date) -> Size:
            return 0.0 if isinstance(size, date) else size or 0.0

        return share(self.dev), share(self.test)


class Documents(Parting):
    by: Literal["auto", "source", "section", "time"]


class Rows(Parting):
    by: Literal["row", "source", "time"]


class Talks(Parting):
    by: Literal["row", "source", "dialogue", "paragraph", "time"]


class Tables(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: Documents
    facts: Rows
    dialogues: Talks
    labels: Rows
    exams: Rows
    preferences: Talks


class Params(StageParams):
    seed: int
    tables: Tables
    min_files: PositiveInt
    min_opening: int = Field(ge=0)
    leaks: Bounds


def run(params: Params, tables: Path, out: Path) -> None:
    frozen = Frozen.read(out / "frozen.json", params.seed)
    parts = {table: part_of_rows(table, tables, params, frozen) for table in TABLES}

    ledger = Ledger()
    with ExitStack() as stack:
        write = {part: stack.enter_context(open_tables(out / part)) for part in PARTS}
        leaks, dropped = (stack.enter_context((out / name).open("w", encoding="utf-8")) for name in ("leaks.jsonl", "dropped.jsonl"))
        for group, passages in COMPARED:
            guard = Guard(group, passages, tables, parts, params)
            for table in group:
                for row, part, reason, found in guard.checked(table):
                    ledger.came(table, row.source)
                    if part and not reason:
                        write[part](table, row)
                        ledger.left(table, row.source)
                        ledger.changed(table, row.source, f"to {part}", 1)
                        continue
                    ledger.dropped(table, row.source, reason)
                    write_line(dropped, {"table": table, "reason": reason, **row.model_dump()})
                    if found:
                        write_line(leaks, {"table": table, "reason": reason, **asdict(found)})
    ledger.write(out / "ledger.json")
    frozen.write(out / "frozen.json")


class Frozen:
    """What the file says was held out before, and what is to be said of it the next time. With another seed it says nothing."""

    def __init__(self, seed: int, before: dict[str, Any]) -> None:
        self._seed, self._before, self._now = seed, before, dict[str, Any]()

    @classmethod
    def read(cls, path: Path, seed: int) -> "Frozen":
        said = read_json(path) if path.exists() else {}
        return cls(seed, said["tables"] if said.get("seed") == seed else {})

    def of(self, table: str, by: str) -> dict[str, Any]:
        """What was said of the table when it was parted in this way: unit of each scope, numbers of dev and test, texts of test."""
        said = self._before.get(table, {})
        return said if said.get("by") == by else {"by": by, "units": {}, "dev": [], "test": [], "texts": []}

    def say(self, table: str, by: str, units: dict[str, str], held: dict[int, Part], texts: Iterable[str]) -> None:
        before = self.of(table, by)
        self._now[table] = {
            "by": by,
            "units": dict(sorted({**before["units"], **units}.items())),
            **{
                part: sorted({*before[part], *(f"{number:016x}" for number, has in held.items() if has == part)})
                for part in ("dev", "test")
            },
            "texts": sorted({*before["texts"], *texts}),
        }

    def write(self, path: Path) -> None:
        write_json(path, {"seed": self._seed, "tables": self._now})


def part_of_rows(table: str, tables: Path, params: Params, frozen: Frozen) -> bytearray:
    """For each row of the table the number of its part in PARTS, or NONE where it has no date to be parted by."""
    parting: Parting = getattr(params.tables, table)
    before = frozen.of(table, parting.by)
    held: dict[int, Part] = {int(number, 16): part for part in PARTS[1:] for number in before[part]}
    texts = set(before["texts"])
    units = units_of(table, tables, params.min_files, before["units"], texts) if parting.by == "auto" else {}

    result, numbers, groups, known = bytearray(), array("Q"), array("L"), dict[str, int]()
    hashes, days = [], []
    by_text = parting.by != "row"  # then a text may come back under another file, and must be known by itself
    for row in read_table(tables / f"{table}.parquet", TABLES[table]):
        unit = units.get(row.scope, parting.by)
        unit_key, group = ("", "") if unit == "time" else (key_of(row, unit, params.min_opening), group_of(row))
        numbers.append(number_of(unit_key, params.seed))
        groups.append(known.setdefault(group, len(known)))
        if by_text:
            hashes.append(short_hash(key(text_of_row(row))))
        if unit == "time":
            days.append(date_of(row))

    if parting.by == "time":
        result.extend(NONE if day is None else 2 if day >= str(parting.test) else 1 if day >= str(parting.dev) else 0 for day in days)
        chosen: dict[int, Part] = {}
    else:
        dev, test = parting.sizes()
        try:
            chosen = parted(zip(numbers, map(str, groups), strict=True), dev, test, held)
        except TooFew as error:
            raise StageError(f"{table}: {error}. Lower it in params.yaml, split.tables.{table}, or bring more rows.") from error
        result.extend(PARTS.index(chosen[number]) for number in numbers)
        held = exceptions(chosen, dev, test)
    for place, text in enumerate(hashes):
        if text in texts and result[place] != NONE:
            result[place] = PARTS.index("test")
    frozen.say(table, parting.by, units, held, (text for place, text in enumerate(hashes) if result[place] == PARTS.index("test")))
    return result


NONE = 255


def units_of(table: str, tables: Path, min_files: int, before: dict[str, str], texts: set[str]) -> dict[str, str]:
    """By scope: parted as before while any of the texts held out then is there, else by file where there are enough, else by section."""
    files: dict[str, set[str]] = defaultdict(set)
    units: dict[str, str] = {}
    for row in read_table(tables / f"{table}.parquet", TABLES[table]):
        files[row.scope].add(row.source)
        if row.scope in before and row.scope not in units and short_hash(key(text_of_row(row))) in texts:
            units[row.scope] = before[row.scope]
    return {scope: "source" if len(names) >= min_files else "section" for scope, names in files.items()} | units


def key_of(row: Row, unit: str, min_opening: int) -> str:
    """What decides the part: rows of one key stay together."""
    match row, unit:
        case _, "source":
            return row.source
        case Document(), _:
            return f"{row.source}\0{row.section or key(row.text)}"
        case Dialogue() | Preference(), "dialogue":
            return opening(row, min_opening)
        case Dialogue() | Preference(), "paragraph":
            return paragraphs_of(row)[0]
        case Fact(), _:
            return f"{key(row.entity)}\0{key(row.relation)}"
        case Dialogue() | Preference(), _:
            return question_key(row)
        case Label(), _:
            return key(row.text)
        case Exam(), _:
            return key(row.question)
    raise TypeError(f"no such row: {type(row)}")


def group_of(row: Row) -> str:
    """What is to be shared out: each group has its shares."""
    match row:
        case Document():
            return f"{row.scope}\0{row.language}"
        case Fact():
            return row.language
        case Dialogue() | Preference():
            return f"{row.task}\0{row.scope}"
        case Label():
            return f"{row.task}\0{row.label}"
    return row.scope


def opening(row: Dialogue | Preference, least: int) -> str:
    """The first that the person said, as far as it tells one dialogue from another: a greeting does not."""
    said = ""
    for message in row.messages:
        if message.role == "user" and len(said) < least:
            said += key(message.content)
    return said


def paragraphs_of(row: Dialogue | Preference) -> list[str]:
    """What it rests on: the records referred to, else the place where it stands."""
    return sorted(row.references) or [f"{row.source}\0{row.place}"]


DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:[-./年](\d{1,2})(?:[-./月](\d{1,2}))?|(\d\d)(\d\d))?(?!\d)")


def date_of(row: Row) -> str | None:
    """The day that its place, its file's name, its title or its headings tell, the first of these that do.

    Of a month or a year the first day. In a place 2024 or 20240506 is the number of a row.
    """
    for text in (row.place, *reversed(Path(row.source).parts), getattr(row, "title", ""), getattr(row, "section", "")):
        for year, month, day, month_too, day_too in DATE.findall(normal(text)):
            if month or text is not row.place:
                try:
                    return date(int(year), int(month or month_too or 1), int(day or day_too or 1)).isoformat()
                except ValueError:
                    continue
    return None


def text_of_row(row: Row) -> str:
    """What of a row is compared."""
    match row:
        case Document() | Label():
            return row.text
        case Exam():
            return row.question
        case Dialogue() | Preference():
            return question_of(row.messages)
        case Fact():
            return f"{row.entity}\n{row.relation}"
    raise TypeError(f"no such row: {type(row)}")


# What must not be shared: the tables compared with one another. A question asked in one is given away in another. Facts are
# held apart by entity and relation alone: all of them stand in the documents.
COMPARED: list[tuple[tuple[str, ...], bool]] = [
    (("documents",), False),
    (("facts",), False),
    (("dialogues", "preferences", "exams"), True),
    (("labels",), False),
]


class Guard:
    """Tables that are compared with one another: each row with its part, or with the reason why it is in none."""

    def __init__(self, group: tuple[str, ...], passages: bool, tables: Path, parts: dict[str, bytearray], params: Params) -> None:
        self._tables, self._parts, self._params = tables, parts, params
        held: dict[Part, list[tuple[str, Item, list[str]]]] = {"dev": [], "test": []}
        for table in group if group != ("facts",) else ():
            for row, part in self._rows(table):
                if part in held:
                    held[part].append((table, item_of(row), self._paragraphs(table, row)))
        self._test = Held(held["test"], params.leaks, passages)
        leaking = self._test.leaks(held["dev"])
        self._leaking = {(table, item.id): found for (table, item, _), found in zip(held["dev"], leaking, strict=True) if found}
        self._dev = Held((one for one in held["dev"] if (one[0], one[1].id) not in self._leaking), params.leaks, passages)

    def checked(self, table: str) -> Iterator[tuple[Row, Part | None, str, Leak | None]]:
        """Every row with its part, the reason to drop it if there is one, and the evidence if it is a leak."""
        rows = iter(self._rows(table))
        while batch := list(islice(rows, BATCH)):
            learnt = [(table, item_of(row), self._paragraphs(table, row)) for row, part in batch if part == "train"]
            given = {"test": iter(self._test.leaks(learnt)), "dev": iter(self._dev.leaks(learnt))}
            for row, part in batch:
                found, reason = self._leaking.get((table, row.id)), "dev_leaks_test"
                if part == "train":
                    of_test, of_dev = next(given["test"]), next(given["dev"])
                    found, reason = of_test or of_dev, "train_leaks_test" if of_test else "train_leaks_dev"
                yield row, part, UNDATED if part is None else reason if found else "", found

    def _rows(self, table: str) -> Iterator[tuple[Row, Part | None]]:
        rows = read_table(self._tables / f"{table}.parquet", TABLES[table])
        for row, number in zip(rows, self._parts[table], strict=True):
            yield row, None if number == NONE else PARTS[number]

    def _paragraphs(self, table: str, row: Row) -> list[str]:
        by_paragraph = getattr(self._params.tables, table).by == "paragraph"
        return paragraphs_of(row) if by_paragraph and isinstance(row, Dialogue | Preference) else []


class Held:
    """Held-out rows, as (table, text, paragraphs): what gives one of them away."""

    def __init__(self, rows: Iterable[tuple[str, Item, list[str]]], bounds: Bounds, passages: bool) -> None:
        self._paragraphs: dict[str, Item] = {}
        items = []
        for _, item, paragraphs in rows:
            items.append(item)
            for paragraph in paragraphs:
                self._paragraphs.setdefault(paragraph, item)
        self._gate = Gate(items, bounds, passages=passages)

    def leaks(self, rows: list[tuple[str, Item, list[str]]]) -> list[Leak | None]:
        """For each row the leak that it is, or None."""
        found = self._gate.judged([item for _, item, _ in rows])
        return [leak or self._shared(item, paragraphs) for leak, (_, item, paragraphs) in zip(found, rows, strict=True)]

    def _shared(self, item: Item, paragraphs: list[str]) -> Leak | None:
        held = next((self._paragraphs[paragraph] for paragraph in paragraphs if paragraph in self._paragraphs), None)
        return leak_between(item, held, "paragraph", 1.0) if held else None


def item_of(row: Row) -> Item:
    return Item(row.id, text_of_row(row), row.source, row.place)


def write_line(file: IO[str], value: dict[str, Any]) -> None:
    file.write(json.dumps(value, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    start(run, Params, tables=Path("out/clean/tables"), out=Path("out/split"))
