"""Held-out rows stay held out in later runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lingyu.files import read_json, write_json
from lingyu.split.parts import Part


class Frozen:
    """The held-out rows of the previous run, and those to store for the next. Ignored if the seed has changed."""

    def __init__(self, seed: int, before: dict[str, Any]) -> None:
        self._seed, self._before, self._now = seed, before, dict[str, Any]()

    @classmethod
    def read(cls, path: Path | None, seed: int) -> "Frozen":
        record = read_json(path) if path else {}
        return cls(seed, record["tables"] if record.get("seed") == seed else {})

    def of(self, table: str, by: str) -> dict[str, Any]:
        """The record of a table when it was last split by this unit: unit of each scope, numbers of dev and test, texts of test."""
        record = self._before.get(table, {})
        return record if record.get("by") == by else {"by": by, "units": {}, "dev": [], "test": [], "texts": []}

    def record(self, table: str, by: str, units: dict[str, str], held: dict[int, Part], texts: Iterable[str]) -> None:
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
