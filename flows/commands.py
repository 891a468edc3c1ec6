"""The commands of a run: their output goes to the log, and none outlives the run."""

import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import IO

from prefect import get_run_logger
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from lingyu.errors import UNAVAILABLE
from lingyu.runtime import supervised
from lingyu.stage import StageError, StageParams

LAST_LINES = 12  # of a failed command, in the message; the full output is in the log of its task
# DVC prints after every stage how to commit it; not useful in a log.
HINTS = ("To track the changes with git", "git add ", "To enable auto staging", "dvc config core.autostage", "Use `dvc push`")

running: set[Popen[bytes]] = set()
ending = threading.Event()
lock_files: list[int] = []  # inherited by every command, so that the lock of the run is held until the last of its processes is gone


class Ended(Exception):
    """The run is being cancelled, so that its commands were ended or not started."""


class Retries(StageParams):
    retries: NonNegativeInt = Field(
        3,
        description="Further tries of what may pass by itself: an endpoint, a hub or a DVC remote that does not answer, a stage that was "
        "killed, a file that another DVC command holds. A broken expectation or a wrong parameter is not tried again.",
    )
    retry_delay_seconds: NonNegativeFloat = Field(30, description="Before the first further try; doubled before each of the next.")


@contextmanager
def of_a_run(lock_file: int) -> Iterator[None]:
    """All commands started within end when it is left by an error: a cancellation, Ctrl-C, a failure elsewhere."""
    ending.clear()
    lock_files[:] = [lock_file]
    without_half_written_lock()
    try:
        yield
    except BaseException:
        end()
        raise
    finally:
        lock_files.clear()


def end() -> None:
    """End all running commands, and start no other; returns when they are gone."""
    ending.set()
    commands = list(running)
    for command in commands:
        close(command)
    for command in commands:
        command.wait()


def close(command: Popen[bytes]) -> None:
    """Have the supervisor of the command end it (lingyu.runtime.supervised)."""
    if command.stdin and not command.stdin.closed:
        command.stdin.close()


def wait(seconds: float) -> None:
    """Sleep; raises Ended at once when the run is cancelled."""
    if ending.wait(seconds):
        raise Ended


def logged(*words: str, **environment: str) -> list[str]:
    """Run `python -m words` and log its output; returns the lines. Raises StageError with the last lines if it fails."""
    wait(0)
    log, said = get_run_logger(), []
    # Unbuffered, so that output appears in the log at once.
    command = supervised.started((sys.executable, "-m", *words), {**os.environ, "PYTHONUNBUFFERED": "1", **environment}, lock_files)
    running.add(command)
    try:
        assert command.stdout is not None
        for line in lines(command.stdout):
            if not line.lstrip().startswith(HINTS):
                log.info("%s", line)
            said.append(line)
        status = command.wait()
    finally:
        close(command)
        command.wait()
        running.discard(command)
    if ending.is_set():
        raise Ended
    if status:
        raise StageError("\n  ".join([f"`{' '.join(words)}` failed:", *said[-LAST_LINES:]]))
    return said


def lines(output: IO[bytes], every: float = 30.0) -> Iterator[str]:
    """The lines of a running command. A progress bar, which rewrites its line, gives one line per `every` seconds and its last."""
    shown, pending = time.monotonic(), ""
    with io.TextIOWrapper(output, encoding="utf-8", errors="replace", newline="") as parts:
        for part in parts:
            text = part.rstrip()
            if not part.endswith("\r"):
                if text or pending:
                    yield text or pending
                pending = ""
            elif text:
                pending = text
                if time.monotonic() - shown >= every:
                    yield pending
                    shown, pending = time.monotonic(), ""
    if pending:
        yield pending


def retried(params: Retries, *words: str) -> list[str]:
    """The output of the command, after as many tries as it takes where its error may pass by itself."""
    for attempt in range(params.retries):
        try:
            return logged(*words)
        except StageError as error:
            if not may_pass(words, str(error)):
                raise
            without_half_written_lock()
            seconds = params.retry_delay_seconds * 2**attempt
            get_run_logger().warning("%s\nNext try in %g s (%d of %d).", error, seconds, attempt + 1, params.retries)
            wait(seconds)
    return logged(*words)


def may_pass(words: tuple[str, ...], message: str) -> bool:
    """Whether the failure of a command may pass by itself, by what DVC says of it."""
    return bool(re.search(STAGE if "repro" in words else REMOTE, message) or re.search(f"{LOCKED}|{HALF_WRITTEN}", message))


STAGE = rf"exited with ({UNAVAILABLE}|-\d+|1[34]\d)\b"  # it says so (lingyu.errors), or a signal killed it
REMOTE = (
    r"(?i)connection|timed? ?out|temporar|unreachable|name resolution|\b(429|50[0234])\b"  # what DVC's remotes say, or data.dvc's source
)
LOCKED = r"Unable to acquire lock|it is being blocked by"  # another DVC command is at work
HALF_WRITTEN = "Unable to read RWLock-file"
RWLOCK = Path(".dvc/tmp/rwlock")


def without_half_written_lock() -> None:
    """Remove DVC's file of who reads and writes what where it is half written: left by a DVC that was killed.

    Half a second decides whether one is writing it just now.
    """
    for seconds in (0.0, 0.5):
        time.sleep(seconds)
        try:
            json.loads(RWLOCK.read_text(encoding="utf-8"))
            return
        except FileNotFoundError:
            return
        except ValueError:
            continue
    RWLOCK.unlink(missing_ok=True)
