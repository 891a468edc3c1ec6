"""Start-up paid once: a process that has torch and the trainers imported, and forks for every stage that asks.

A third of a small model's road is Python importing torch, transformers and TRL, again in every stage. `python -m
lingyu.warm COMMAND…` imports them once, runs the command with LINGYU_WARM naming its socket, and ends with it.
A stage that finds the socket (lingyu.stage.start) hands over its arguments, folder, environment and streams, and
waits for the exit status of the fork; without one it runs where it is. Both give the same bytes: the fork holds
third-party modules only, none of ours, and no computation has happened in it. A fork whose stage was killed ends too.
"""

import array
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

VARIABLE = "LINGYU_WARM"
# What the training and evaluating stages import; a module that is missing here is imported by the stage itself.
MODULES = ["torch", "transformers", "transformers.models.qwen3.modeling_qwen3", "transformers.trainer", "datasets", "peft", "trl.trainer.dpo_trainer"]
MODULES += ["trl.trainer.grpo_trainer", "trl.trainer.reward_trainer", "pyarrow.parquet", "sacrebleu"]
STREAMS = 3


def handed_over(module: str) -> int | None:
    """Run `python -m module argv…` in a fork of the warm process; its exit status, or None where there is none to ask."""
    address = os.environ.get(VARIABLE)
    if not address:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        try:
            asked.connect(address)
        except OSError:
            return None
        request = json.dumps({"module": module, "argv": sys.argv[1:], "folder": str(Path.cwd()), "environment": dict(os.environ)}).encode()
        streams = array.array("i", [0, 1, 2])
        asked.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        asked.sendall(request)
        answer = asked.recv(4)
    return int.from_bytes(answer, "big") if answer else 1


def serve(listener: socket.socket) -> None:
    """Fork for each caller until the process is told to end. Fork first, thread later: no lock is held across a fork."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            answer(asked)
        asked.close()


def answer(asked: socket.socket) -> None:
    """In the fork: become the stage, run it, send back its exit status."""
    length, ancillary, *_ = asked.recvmsg(4, socket.CMSG_SPACE(STREAMS * array.array("i").itemsize))
    streams = array.array("i")
    streams.frombytes(ancillary[0][2])
    size, text = int.from_bytes(length, "big"), b""
    while len(text) < size:
        text += asked.recv(size - len(text))
    request = json.loads(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115 – the process's own streams
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ.pop(VARIABLE)
    os.chdir(request["folder"])
    threading.Thread(target=end_with, args=[asked], daemon=True).start()
    status = outcome(request["module"], request["argv"])
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    with suppress(OSError):
        asked.sendall(status.to_bytes(4, "big"))
    os._exit(status)


def outcome(module: str, argv: list[str]) -> int:
    sys.argv, sys.path[0] = [module, *argv], os.getcwd()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def end_with(asked: socket.socket) -> None:
    """End this process when the stage that asked for it was killed: then its end of the socket closes."""
    select.select([asked], [], [])
    os._exit(1)


def main(command: list[str]) -> int:
    """Listen, import beside the command's first stages, and give back the command's exit status."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        address = str(Path(folder) / "warm")
        listener.bind(address)
        listener.listen()
        server = os.fork()
        if server == 0:
            for module in MODULES:
                importlib.import_module(module)
            serve(listener)
        try:
            return subprocess.run(command, env={**os.environ, VARIABLE: address}).returncode
        except KeyboardInterrupt:
            return 130
        finally:
            os.kill(server, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
