"""What was held out before stays held out."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lingyu.files import read_json, write_json
from lingyu.split.parts import Part


class Frozen:
    """What the file says was held out before, and what is to be said of it the next time. With another seed it says nothing."""

    def __init__(self, seed: int, before: dict[str, Any]) -> None:
        self._seed, self._before, self._now = seed, before, dict[str, Any]()

    @classmethod
    def read(cls, path: Path | None, seed: int) -> "Frozen":
        said = read_json(path) if path else {}
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
