"""Start-up paid once: a process that has torch and the trainers imported, and forks for every stage that asks.

A third of a small model's road is Python importing torch, transformers and TRL, again in every stage. `python -m
lingyu.runtime.warm COMMAND…` imports them once, runs the command with LINGYU_WARM naming its socket, and ends with it.
A stage that finds the socket (lingyu.stage.start) hands over its arguments, folder, environment and streams, and
waits for the exit status of the fork; without one it runs where it is. Both give the same bytes: the fork holds
third-party modules only, none of ours, and no computation has happened in it. A fork whose stage was killed ends too.
The processes that a fork starts, as a stage in several processes does, ask for forks of their own.
What a library reads from the environment at its import (HF_ENDPOINT, say) it has from the command's environment.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn

from lingyu.runtime import set_environment

VARIABLE = "LINGYU_WARM"
FORK = "LINGYU_WARM_FORK"  # the fork itself, which asks for no other
# What the training and evaluating stages import; a module that is missing here is imported by the stage itself.
MODULES = ["torch", "transformers", "transformers.models.qwen3.modeling_qwen3", "transformers.trainer", "datasets", "peft"]
MODULES += [
    "pydantic",
    "yaml",
    "jinja2.sandbox",
    "trl.trainer.dpo_trainer",
    "trl.trainer.grpo_trainer",
    "trl.trainer.reward_trainer",
    "pyarrow.parquet",
    "sacrebleu",
]


KILLED = (
    "its process was killed from outside; perhaps memory ran out. Run again: training goes on from its last checkpoint.\n"
    "进程被外部终止，可能是内存不足。重新运行即可：训练从最近的检查点继续。"
)


def handed_over(module: str) -> int | None:
    """Run `python -m module argv…` in a fork of the warm process; its exit status, or None where there is none to ask."""
    address = os.environ.get(VARIABLE)
    if not address or os.environ.get(FORK) == str(os.getpid()) or None in (sys.stdin, sys.stdout, sys.stderr):
        return None
    request = json.dumps({"module": module, "argv": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        taken = status = b""
        with suppress(OSError):
            asked.connect(address)
            socket.send_fds(asked, [len(request).to_bytes(4, "big")], [0, 1, 2])
            asked.sendall(request)
            taken = asked.recv(1)
            status = asked.recv(4)
    if not taken:
        return None
    if not status:
        print(f"{module}: {KILLED}", file=sys.stderr)
        return 1
    return int.from_bytes(status, "big")


def serve(listener: socket.socket, life: int) -> None:
    """Import, then fork for each caller, until nobody holds the other end of `life`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command; a fork ends with its stage
    gc.disable()  # what is imported stays: to search it for cycles again and again is in vain
    for module in MODULES:
        with suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # else every search for cycles in a fork would go through all of it, and copy its pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that ended leave no zombies
    while life not in select.select([listener.fileno(), life], [], [])[0]:
        with listener.accept()[0] as asked:
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                gc.enable()
                and_end(answer, asked)


def answer(asked: socket.socket) -> int:
    """In the fork: become the stage, run it, send back its exit status. Fork first, thread later: no lock is held across a fork."""
    length, streams, *_ = socket.recv_fds(asked, 4, 3)
    written = asked.makefile("rb").read(size := int.from_bytes(length, "big"))
    if not size or len(written) < size:  # whoever asked was killed while asking
        return 1
    request = json.loads(written)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ[FORK] = str(os.getpid())
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "lingyu"]:
        del sys.modules[name]  # another folder may hold other code
    asked.sendall(b"\x01")
    threading.Thread(target=end_with, args=[asked], daemon=True).start()
    status = outcome(request["module"], request["argv"])
    atexit._run_exitfuncs()  # temporary folders of libraries
    with suppress(OSError):
        sys.stdout.flush()
    asked.sendall(status.to_bytes(4, "big"))
    return status


def outcome(module: str, argv: list[str]) -> int:
    """The exit status that Python would end with."""
    try:
        sys.argv = [module, *argv]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end_with(asked: socket.socket) -> None:
    """End this process when the stage that asked for it was killed: then its end of the socket closes."""
    select.select([asked], [], [])
    os._exit(1)


def and_end(act: Callable[..., int | None], *arguments: Any) -> NoReturn:
    """Act in a forked process, which must never return into what its parent was doing."""
    status = 1
    try:
        status = act(*arguments) or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def tell_of_full_disk() -> None:
    """DVC names each file that it could not store, but not what to do."""
    from lingyu.errors import FULL, no_room

    if no_room():
        print(FULL, file=sys.stderr)


def main(command: list[str]) -> int:
    """Listen, import beside the command's first stages, and give back the command's exit status."""
    if not command:
        sys.exit("usage: python -m lingyu.runtime.warm COMMAND…")
    set_environment()
    folder = tempfile.mkdtemp(prefix="lingyu-", dir="/tmp")  # not TMPDIR: the path of a socket must be short
    life, held = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{folder}/warm")
        listener.listen()
        if (server := os.fork()) == 0:
            os.close(held)
            and_end(serve, listener, life)
    running: subprocess.Popen[bytes] | None = None
    told = False

    def end(*_: object) -> None:
        nonlocal told
        told = True
        if running:
            running.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to the command too
    try:
        running = subprocess.Popen(command, env={**os.environ, VARIABLE: f"{folder}/warm"})
        if told:
            running.terminate()
        status = running.wait()
        if status:
            tell_of_full_disk()
        return status if status >= 0 else 128 - status
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
