"""The ledger of a stage: for every table and source, rows in + rows made = rows out + rows dropped, by named reason."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from lingyu.files import write_json
from lingyu.stage import StageError


class Ledger:
    """Counts rows read, made, kept and dropped; `write` fails if they do not balance."""

    def __init__(self) -> None:
        self._in: Counter[tuple[str, str]] = Counter()
        self._out: Counter[tuple[str, str]] = Counter()
        self._made: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._dropped: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._changed: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def read(self, table: str, source: str, rows: int = 1) -> None:
        self._in[table, source] += rows

    def kept(self, table: str, source: str, rows: int = 1) -> None:
        self._out[table, source] += rows

    def made(self, table: str, source: str, method: str, rows: int = 1) -> None:
        self._made[table, source][method] += rows

    def dropped(self, table: str, source: str, reason: str, rows: int = 1) -> None:
        self._dropped[table, source][reason] += rows

    def changed(self, table: str, source: str, change: str, count: int = 1) -> None:
        """Count changes to kept rows, such as what was masked or which part they were assigned to. Not part of the balance."""
        self._changed[table, source][change] += count

    def entries(self) -> list[dict[str, Any]]:
        keys = sorted({*self._in, *self._out, *self._made, *self._dropped})
        return [
            {
                "table": table,
                "source": source,
                "in": self._in[table, source],
                "made": dict(sorted(self._made[table, source].items())),
                "out": self._out[table, source],
                "dropped": dict(sorted(self._dropped[table, source].items())),
                "changed": dict(sorted(self._changed[table, source].items())),
            }
            for table, source in keys
        ]

    def write(self, path: Path) -> None:
        """Write the entries and their totals. Raises StageError with the entries whose rows were lost or duplicated."""
        entries = self.entries()
        wrong = [e for e in entries if e["in"] + sum(e["made"].values()) != e["out"] + sum(e["dropped"].values())]
        if wrong:
            lines = [
                f"  {e['table']} of {e['source']}: in {e['in']} + made {e['made']} != out {e['out']} + dropped {e['dropped']}"
                for e in wrong
            ]
            raise StageError("\n".join(["the ledger does not balance; this is a bug in the stage, please report it:", *lines]))
        dropped = sum((Counter(e["dropped"]) for e in entries), Counter[str]())
        changed = sum((Counter(e["changed"]) for e in entries), Counter[str]())
        total = {
            "in": sum(e["in"] for e in entries),
            "made": sum(sum(e["made"].values()) for e in entries),
            "out": sum(e["out"] for e in entries),
            "dropped": dict(sorted(dropped.items())),
            "changed": dict(sorted(changed.items())),
        }
        write_json(path, {"total": total, "entries": entries})
