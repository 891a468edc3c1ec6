"""What was asked and answered, by the hash of all that decides the answer: nothing is asked twice.

Every exchange is appended to a journal as soon as it is complete, and never removed; a process that is killed loses none. A run's
output is the exchanges that it used, in an order of its own. Both are read: the journal knows what this copy of the
project has paid for, the output what another copy did.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lingyu.files import short_hash
from lingyu.stage import StageError


class Exchange(BaseModel):
    """A question and its answer as they went over the wire. No key, no time: the same exchange is the same line."""

    model_config = ConfigDict(extra="forbid")

    id: str
    prompt: str  # which of the prompts it is
    variant: int  # which of several answers to the same question
    request: dict[str, Any]
    content: str
    reasoning: str
    finish: str  # why the answer ends: stop, length, content_filter
    model: str  # as the endpoint calls itself
    asked_tokens: int
    answered_tokens: int


def hash_of(request: dict[str, Any], variant: int) -> str:
    return short_hash(json.dumps(request, ensure_ascii=False, sort_keys=True), str(variant))


class Record:
    """The exchanges of a journal and of earlier outputs. In memory are only their places."""

    def __init__(self, journal: Path, earlier: Path | None = None, wait: bool = False) -> None:
        """wait: for another process that has the journal, instead of raising StageError."""
        journal.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(self._file)
            raise StageError(f"{journal} is in use: another run is asking. Wait for it, or stop it.") from None
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        for line in (line for line in all_lines(journal) if line.endswith(b"\n")):
            self._places[checked(line, journal).id] = (self._end, len(line))
            self._end += len(line)
        os.ftruncate(self._file, self._end)  # the beginning of a line that was never finished
        if earlier:
            for line in (line.removesuffix(b"\n") + b"\n" for line in all_lines(earlier)):
                id_ = checked(line, earlier).id
                if id_ not in self._places or self._line(id_) != line:  # what is versioned counts
                    self._append(id_, line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def __len__(self) -> int:
        return len(self._places)

    def get(self, id_: str) -> Exchange | None:
        return Exchange.model_validate_json(self._line(id_)) if id_ in self._places else None

    def add(self, exchange: Exchange) -> None:
        self._append(exchange.id, (json.dumps(exchange.model_dump(), ensure_ascii=False) + "\n").encode())

    def write(self, output: Path, ids: Iterable[str]) -> None:
        """The exchanges of these ids, each once, in this order, less what was never answered; the output is never half written."""
        unfinished = output.with_name(f"{output.name}.unfinished")
        with unfinished.open("wb") as file:
            for id_ in (id_ for id_ in dict.fromkeys(ids) if id_ in self._places):
                file.write(self._line(id_))
        unfinished.replace(output)

    def _line(self, id_: str) -> bytes:
        start, length = self._places[id_]
        return os.pread(self._file, length, start)

    def _append(self, id_: str, line: bytes) -> None:
        written = os.write(self._file, line)  # in the hands of the system: a killed process has written it, too
        if written < len(line):
            os.ftruncate(self._file, self._end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._places[id_] = (self._end, len(line))
        self._end += len(line)


def all_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, with their ends; none where there is no file."""
    if path.exists():
        with path.open("rb") as file:
            yield from file


def checked(line: bytes, path: Path) -> Exchange:
    try:
        return Exchange.model_validate_json(line)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise StageError(
            f"{path} has a line that is no exchange with a teacher ({faults}): {line[:120].decode(errors='replace')!r}. "
            "Fix or delete that line; the request is then sent again."
        ) from None
