"""A command that never outlives whoever started it, nor leaves a process behind: `python -m lingyu.runtime.supervised COMMAND…`.

The starter holds the other end of standard input. When it closes that, or dies of whatever, the command and all of its descendants end:
first as by Ctrl-C, so that DVC frees its locks; what is still there after GRACE by force, the command itself last, because DVC ends by
itself once its stage has. Files that the starter has it inherit, such as a lock, stay open until the last process is gone.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

GRACE = 4.0  # seconds to end in after Ctrl-C
LAST = 2.0  # seconds for the command to end in after its children were killed
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux


def started(
    words: Iterable[str], environment: dict[str, str], inherited: Iterable[int] = (), output: int | None = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start the command; closing `stdin` of the result ends it. Its messages and errors come in one stream"""
    return subprocess.Popen(
        [sys.executable, "-P", __file__, *words],  # by its file: the folder it runs in need not have lingyu
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        env=environment,
        pass_fds=tuple(inherited),
        start_new_session=True,  # Ctrl-C of the terminal and Prefect's signals are for the starter
    )


def main(words: list[str]) -> int:
    if sys.platform == "linux":  # orphans become children of this process, so that none is lost
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, lambda *_: None)  # a handler is not inherited: the command ends by Ctrl-C even in the background
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=inherited_files()) as command:
        threading.Thread(target=end_with_starter, args=[command], daemon=True).start()
        status = command.wait()
    send(signal.SIGKILL, descendants())
    return status if status >= 0 else 128 - status


def inherited_files() -> list[int]:
    """The open files beyond the standard streams."""
    found = []
    for number in range(3, 256):
        with suppress(OSError):
            if os.get_inheritable(number):
                found.append(number)
    return found


def end_with_starter(command: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    send(signal.SIGINT, descendants())
    wait_until_gone(GRACE)
    send(signal.SIGKILL, [number for number in descendants() if number != command.pid])
    wait_until_gone(LAST)
    send(signal.SIGKILL, descendants())


def wait_until_gone(seconds: float) -> None:
    end = time.monotonic() + seconds
    while descendants() and time.monotonic() < end:
        time.sleep(0.05)


def descendants() -> list[int]:
    """The living processes under this one."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def send(what: signal.Signals, numbers: Iterable[int]) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, what)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
