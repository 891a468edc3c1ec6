"""People's votes, a line each, on the disk before a vote is answered; one that is taken back is a line of its own."""

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lingyu.judge.sources import Pairing
from lingyu.stage import StageError

Choice = Literal["one", "other", "tie", "bad"]


class Cast(BaseModel):
    """key: of the pairing. choice: None where the vote is taken back. names: who is who, for a person who reads the file."""

    model_config = ConfigDict(extra="forbid")

    reviewer: str = Field(min_length=1, max_length=60)
    key: str
    choice: Choice | None
    names: tuple[str, str]
    at: str


class Votes:
    """The votes of a file, by reviewer and pairing in the order in which they were given. One process at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise StageError(f"{path} is in use: another `lingyu compare` serves it. Stop that one, or use its page.") from None
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        os.ftruncate(self._file, len(whole))  # the beginning of a line that was never finished
        self.by_reviewer: dict[str, dict[str, Choice]] = {}
        for cast in casts(whole, path):
            self._apply(cast)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def cast(self, reviewer: str, pairing: Pairing, choice: Choice | None) -> None:
        """Keep a vote; None takes it back."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        vote = Cast(reviewer=reviewer, key=pairing.key, choice=choice, names=(pairing.one, pairing.other), at=now)
        with self._lock:
            os.write(self._file, (json.dumps(vote.model_dump(), ensure_ascii=False) + "\n").encode())
            os.fsync(self._file)
            self._apply(vote)

    def _apply(self, cast: Cast) -> None:
        given = self.by_reviewer.setdefault(cast.reviewer, {})
        given.pop(cast.key, None)
        if cast.choice:
            given[cast.key] = cast.choice


def read(paths: Iterable[Path]) -> dict[str, dict[str, Choice]]:
    """The votes of several files, as of several machines."""
    found: dict[str, dict[str, Choice]] = {}
    for path in paths:
        if not path.exists():
            raise StageError(f"{path} not found.")
        for cast in casts(path.read_bytes(), path):
            given = found.setdefault(cast.reviewer, {})
            given.pop(cast.key, None)
            if cast.choice:
                given[cast.key] = cast.choice
    return {reviewer: given for reviewer, given in found.items() if given}


def casts(text: bytes, path: Path) -> Iterator[Cast]:
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            yield Cast.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors()[0]
            raise StageError(
                f"{path}, line {number} is no vote ({'.'.join(map(str, fault['loc']))}: {fault['msg']}). Fix or delete that line."
            ) from None


def preferences(pairings: Iterable[Pairing], votes: Mapping[str, Mapping[str, Choice]]) -> tuple[list[dict[str, object]], int]:
    """Rows that `ingest` reads as preference pairs, from what most people preferred; and how many pairs divided them or won nobody."""
    rows, undecided = [], 0
    for pairing in pairings:
        given = [choices[pairing.key] for choices in votes.values() if pairing.key in choices]
        if not given:
            continue
        lead = given.count("one") - given.count("other")
        if not lead or 2 * max(given.count("one"), given.count("other")) <= len(given):
            undecided += 1
            continue
        chosen, rejected = pairing.replies if lead > 0 else pairing.replies[::-1]
        said = [message.content for message in pairing.item.history if message.role in {"user", "assistant"}]
        history = [[question, answer] for question, answer in zip(said[::2], said[1::2], strict=False)]
        system = "\n".join(message.content for message in pairing.item.history if message.role == "system")
        row: dict[str, object] = {"question": pairing.item.question, "chosen": chosen.strip(), "rejected": rejected.strip()}
        rows.append(row | ({"history": history} if history else {}) | ({"system": system} if system else {}))
    return rows, undecided
