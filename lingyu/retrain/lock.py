"""One run at a time in a project folder, by hand or on a schedule.

The lock is the operating system's, on a file that says who holds it: it is free as soon as the last process that inherited it is gone,
however that ended. What the file says of a process that is gone does not count.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lingyu.stage import StageError

PATIENCE = 15.0  # seconds for the processes of a killed run to end in (lingyu.runtime.supervised)


class Busy(StageError):
    """Another run holds the lock, or a `dvc` command is at work in the folder."""


@contextmanager
def held(path: Path, name: str) -> Iterator[int]:
    """Hold the lock as `name`; gives the number of the open file, for processes that are to hold it too. Raises Busy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        take(file)
        if others := dvc_commands():
            raise Busy(f"DVC is at work in this folder: {'; '.join(others)}. Wait for it, or stop it. 本目录中有 DVC 命令正在运行。")
        holder = {"name": name, "process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        file.truncate(0)
        json.dump(holder, file)
        file.flush()
        try:
            yield file.fileno()
        finally:
            file.truncate(0)


def rename(path: Path, name: str) -> None:
    """For the holder: go by another name from now on."""
    with path.open("r+", encoding="utf-8") as file:
        if holder := read(file):
            file.seek(0)
            file.truncate()
            json.dump({**holder, "name": name}, file)


def abandoned(path: Path) -> str | None:
    """The name of a run that was killed while it held the lock; None if there is none, or a run is active."""
    if not path.exists():
        return None
    with path.open("a+", encoding="utf-8") as file:
        try:
            take(file)
        except Busy:
            return None
        holder = read(file)
        file.truncate(0)
        return str(holder["name"]) if holder else None


def take(file: TextIO) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = read(file)
            if time.monotonic() > end or holder is None or runs(holder):
                raise Busy(described(holder)) from None
            time.sleep(0.2)


def read(file: TextIO) -> dict[str, Any] | None:
    """Who holds the lock; None in the moment before it is written."""
    file.seek(0)
    text = file.read()
    return json.loads(text) if text else None


def runs(holder: dict[str, Any]) -> bool:
    """Whether the process lives, as far as can be seen from this machine."""
    return holder["host"] != socket.gethostname() or alive(holder["process"])


def alive(process: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def described(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "another run has just begun in this folder. 另一个运行刚刚开始。"
    who = "{name}, process {process} on {host}, since {since}".format(**holder)
    if not runs(holder):
        return f"the run {who}, was killed and its stage has not ended yet. Run again in a minute. 上次运行被终止，其阶段尚未结束。"
    return f"another run is active in this folder: {who}. Wait for it, or cancel it. 本目录中已有运行（见上），请等待或取消。"


def dvc_commands(rwlock: Path = Path(".dvc/tmp/rwlock")) -> list[str]:
    """The `dvc` commands that hold files of this folder now; DVC's own lock lists them, those that are gone too."""
    try:
        locked = json.loads(rwlock.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    holders = [*locked.get("write", {}).values(), *(one for some in locked.get("read", {}).values() for one in some)]
    found = {int(one["pid"]): one["cmd"] for one in holders}
    return [f"`{command}`, process {process}" for process, command in sorted(found.items()) if alive(process)]
