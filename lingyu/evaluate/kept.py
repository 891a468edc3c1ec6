"""What checkpoints answered, kept from run to run: the same question to the same checkpoint is asked once.

FOLDER/<key>.sqlite belongs to one checkpoint under one way of asking: its key is made of the bytes of the model's files, the settings, the
code that asks, the libraries and the machine. An answer is found by what exactly was asked, the whole prompt included. So another metric
asks nothing, a new item asks that item, and another template, vocabulary or weight asks everything again.

Answers are written as they come, hence a killed run goes on. A row whose check does not hold, or a file that SQLite cannot read, is treated
as missing.
"""

import ast
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from lingyu.files import hashes, short_hash

V = TypeVar("V")
FOLDER = Path(".lingyu", "answers")
ROOT = Path(__file__).parents[1]
CODE = ("evaluate/ask.py", "model/*.py")  # another version of these may answer otherwise
LIBRARIES = ("tokenizers", "torch", "transformers")
WAIT = 30.0  # seconds for another process to finish writing
AT_ONCE = 500  # keys of one query
UNUSABLE = "not kept: answers are asked again"


class Kept:
    """The answers of one checkpoint. room: bytes that the file may grow to."""

    def __init__(self, file: Path, room: int) -> None:
        self.file, self.room = file, room
        self.usable = True

    def found(self, keys: Sequence[str]) -> dict[str, Any]:
        """The kept answers, by key."""
        rows: list[tuple[str, str, str]] = []

        def read(base: sqlite3.Connection) -> None:
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                rows.extend(base.execute(f"SELECT key, value, sum FROM answers WHERE key IN ({marks})", some).fetchall())

        self._do(read)
        return {key: json.loads(value) for key, value, check in rows if check == short_hash(key, value)}

    def keep(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Write answers at once, all of them or none."""
        values = [(key, json.dumps(value, ensure_ascii=False)) for key, value in answers]
        rows = [(key, value, short_hash(key, value)) for key, value in values]
        if self.usable and self.file.exists() and self.file.stat().st_size > self.room:
            self.usable = False
        self._do(lambda base: base.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows))

    def _do(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        """Work on the file in one transaction. A file that cannot be used is never a reason to fail."""
        if not self.usable:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=WAIT)) as base:
                base.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing; a power cut, what the checks then find
                with base:
                    base.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT, sum TEXT) WITHOUT ROWID")
                    work(base)
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            self.usable = False
            print(f"{self.file}: {error}; {UNUSABLE}", flush=True)
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                self.file.unlink(missing_ok=True)


def of(model: Path, folder: Path | None, megabytes: int, **settings: Any) -> Kept | None:
    """The kept answers of the model in a folder, under these settings; None where none are to be kept.

    The files of other checkpoints that were used longest ago are removed, so that all of them together stay under the megabytes.
    """
    if folder is None or not megabytes:
        return None
    mine = folder / f"{key_of(model, settings)}.sqlite"
    if mine.exists():
        os.utime(mine)
    others = {path: path.stat() for path in folder.glob("*.sqlite") if path != mine}
    most, held = megabytes * 2**20, sum(state.st_size for state in others.values())
    for path, state in sorted(others.items(), key=lambda one: one[1].st_mtime):
        if held <= most / 2:
            break
        path.unlink(missing_ok=True)
        held -= state.st_size
    return Kept(mine, most - held)


def key_of(model: Path, settings: dict[str, Any]) -> str:
    """Everything that an answer depends on but the question."""
    import torch

    code = [ast.dump(ast.parse(path.read_bytes())) for pattern in CODE for path in sorted(ROOT.glob(pattern))]
    machine = [torch.backends.cpu.get_cpu_capability(), str(torch.get_num_threads())]
    if torch.cuda.is_available():
        machine.append(torch.cuda.get_device_name())
    files = [f"{name} {digest}" for name, digest in hashes(model).items()]
    said = [f"{name}={value}" for name, value in sorted(settings.items())]
    return short_hash(*files, *said, *machine, *(version(name) for name in LIBRARIES), *code)


def through(
    kept: Kept | None, kind: str, requests: Sequence[Any], ask: Callable[[list[int]], Iterator[tuple[list[int], list[V]]]]
) -> list[V]:
    """The answer to each request, from what is kept or by asking. ask: (places, their answers) of one batch after another.

    A request that occurs twice is asked once: in two batches its likelihood would have two last digits.
    """
    keys = [short_hash(kind, request if isinstance(request, str) else json.dumps(request)) for request in requests]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    answers: dict[str, V] = kept.found(sorted(first)) if kept else {}
    for places, values in ask(sorted(place for key, place in first.items() if key not in answers)):
        found = {keys[place]: value for place, value in zip(places, values, strict=True)}
        answers |= found
        if kept:
            kept.keep(found.items())
    return [answers[key] for key in keys]
