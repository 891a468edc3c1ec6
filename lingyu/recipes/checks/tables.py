"""Counts of rows, and what stages wrote of themselves."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lingyu.files import read_json, read_jsonl
from lingyu.recipes.checks.check import Bounds, Check, Run


class Rows(Bounds):
    """The rows of a table that match. where: a regular expression for each field; a dot goes into a field, and into each of a list.
    several: how many values a field must have, each a list.
    distinct: count the different values of this field. per: count the values of this field that `each` rows or more have."""

    kind: Literal["rows"]
    table: Path
    where: dict[str, str] = Field(default_factory=dict)
    several: dict[str, int] = Field(default_factory=dict)
    distinct: str | None = None
    per: str | None = None
    each: int = 1

    def look(self, run: Run) -> tuple[bool, str]:
        rows = [row for row in table(run.folder / "out" / self.table) if matches(row, self.where)]
        rows = [row for row in rows if all(len(row[name]) >= least for name, least in self.several.items())]
        if self.per:
            sizes = Counter(str(value) for row in rows for value in values_at(row, self.per))
            count = sum(size >= self.each for size in sizes.values())
            return self.within(count), f"{count:,} of {len(sizes):,}"
        count = len({str(value) for row in rows for value in values_at(row, self.distinct)}) if self.distinct else len(rows)
        return self.within(count), f"{count:,}"


class Dropped(Bounds):
    """What a stage dropped for a reason, by its ledger."""

    kind: Literal["dropped"]
    stage: str
    reason: str

    def look(self, run: Run) -> tuple[bool, str]:
        reasons = read_json(run.folder / "out" / self.stage / "ledger.json")["total"]["dropped"]
        found = {reason: count for reason, count in reasons.items() if re.search(self.reason, reason)}
        return self.within(sum(found.values())), ", ".join(f"{reason} {count:,}" for reason, count in found.items()) or "0"


class Exchanges(Bounds):
    """What a teacher was asked and answered. named: regular expressions for the request, one group each; counted are the different
    combinations of what they name. items: how many each answer must have in its list."""

    kind: Literal["exchanges"]
    prompt: str
    named: list[str] = Field(min_length=1)
    items: int | None = None

    def look(self, run: Run) -> tuple[bool, str]:
        combined, ways, short, answered = set[tuple[str, ...]](), [set[str]() for _ in self.named], 0, 0
        for exchange in read_jsonl(run.folder / "out/generate/teacher.jsonl"):
            if exchange["prompt"] != self.prompt or not exchange["content"].strip():
                continue
            answered += 1
            request = "\n".join(message["content"] for message in exchange["request"]["messages"])
            values = [list(dict.fromkeys(re.findall(pattern, request, re.MULTILINE))) for pattern in self.named]
            for way, found in zip(ways, values, strict=True):
                way.update(found)
            combined.update(product(*values))
            said = json.loads(exchange["content"])
            short += self.items is not None and len(next(iter(said.values()))) != self.items
        shown = f"{' × '.join(str(len(way)) for way in ways)}: {len(combined):,}"
        return answered > 0 and short == 0 and self.within(len(combined)), shown + f", {short} of {answered} incomplete" * bool(short)


class Planted(Bounds):
    """The share of planted values, such as names, that still stand in a table. file: JSON lines with kind and value."""

    kind: Literal["planted"]
    file: Path
    kinds: list[str]
    table: Path
    field: str = "text"

    def look(self, run: Run) -> tuple[bool, str]:
        planted = {row["value"] for row in read_jsonl(self.file) if row["kind"] in self.kinds}
        text = "\n".join(str(value) for row in table(run.folder / "out" / self.table) for value in values_at(row, self.field))
        left = sorted(value for value in planted if value in text)
        return bool(planted) and self.within(
            len(left) / len(planted)
        ), f"{len(left)} of {len(planted)}" + f": {', '.join(left[:3])}" * bool(left)


class Value(Bounds):
    """A number in a JSON file of out/. at: its keys, with dots between them."""

    kind: Literal["value"]
    file: Path
    at: str

    def look(self, run: Run) -> tuple[bool, str]:
        value = read_json(run.folder / "out" / self.file)
        for key in self.at.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        return self.within(float(value)), f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


class File(Check):
    """A file of the recipe's folder, and a regular expression for its text."""

    kind: Literal["file"]
    path: Path
    says: str = ""

    def look(self, run: Run) -> tuple[bool, str]:
        text = (run.folder / self.path).read_text(encoding="utf-8", errors="replace")
        found = re.search(self.says, text)
        return found is not None, " ".join(found[0].split())[:80] if found else f"{self.path}: -"


def table(path: Path) -> Iterator[dict[str, Any]]:
    from lingyu.files import read_batches

    for batch in read_batches(path):
        yield from batch.to_pylist()


def matches(row: dict[str, Any], where: dict[str, str]) -> bool:
    return all(any(re.search(pattern, str(value)) for value in values_at(row, at)) for at, pattern in where.items())


def values_at(row: Any, at: str | None) -> Sequence[Any]:
    """The values at a place of a row, those of each item where it holds a list."""
    found = [row]
    for key in at.split(".") if at else []:
        found = [value for one in found for value in (one if isinstance(one, list) else [one])]
        found = [one[key] for one in found if isinstance(one, dict) and one.get(key) is not None]
    return [value for one in found for value in (one if isinstance(one, list) else [one])]
