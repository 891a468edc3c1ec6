"""Whether a retraining that is killed at random ends as one that was left alone: `python -m bench.kills FOLDER [--kills 30] [--seed 0]`.

On the small corpus of the tests, with a real server, schedule and worker, and the gpu stages on a runner in a clone of its own. A kill is
SIGKILL of the flow, of a worker, of the server, of a stage, or a clone is lost with all of its processes and files and made again from
the git remote. Afterwards everything is started again as a service manager would, until the run has ended. Each round adds a document,
and compares dvc.lock with that of a clone of its own cache in which the same corpora were run without a kill.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml

KINDS = ("flow", "worker", "server", "stage", "machine")
POOL = "gpu"
# Fewer candidates than the sample, so that a run takes minutes: two trainings, each with a checkpoint to go on from.
FEWER: dict[str, Any] = {
    "sft": {"candidates": {"full": {"start": "pretrain", "method": {"name": "full"}}}},
    "reward": {"enabled": False},
    "align": {"candidates": {}},
    "evaluate": {"candidates": {"base": {"checkpoint": "base"}, "sft-full": {"checkpoint": "sft/full"}}},
    "select": {"pairs": []},
}


class Place:
    """The clones, remotes and services in one folder."""

    def __init__(self, top: Path) -> None:
        self.top, self.home, self.source = top, top / "home", top / "source"
        self.clones = {"schedule": top / "main", "runner": top / POOL}
        self.services: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.api = f"http://127.0.0.1:{self.port}/api"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "PYTHON"))}
        quiet = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PREFECT_SERVER_API_PORT": self.port, "PREFECT_WORKER_QUERY_SECONDS": "2"}
        # A worker that was killed counts as offline after three heartbeats; the default of 30 s would make most of the waiting.
        prefect = {"PREFECT_HOME": str(self.home / "prefect"), "PREFECT_WORKER_HEARTBEAT_SECONDS": "5"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**kept, **quiet, **prefect, "HOME": str(self.home), "PATH": path, **more}

    def ran(self, folder: Path, *words: str) -> str:
        done = subprocess.run(words, cwd=folder, env=self.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} in {folder}:\n{done.stdout}")
        return done.stdout

    def git(self, folder: Path, *words: str) -> str:
        return self.ran(folder, "git", *words)

    def dvc(self, folder: Path, *words: str) -> str:
        return self.ran(folder, sys.executable, "-m", "dvc", *words)

    def made(self) -> None:
        """The project of the tests, its corpus outside, with a git and a DVC remote."""
        sys.path.insert(0, "tests")
        from miniature import change_params, commit, project

        self.home.mkdir(parents=True)
        (self.home / ".gitconfig").write_text("[user]\nname = a\nemail = a@example.org\n[init]\ndefaultBranch = main\n")
        first = project(self.top / "first")
        shutil.move(first / "samples/drone", self.source)
        shutil.rmtree(first / "data")
        shutil.copyfile("prefect.yaml", first / "prefect.yaml")
        own = {"retrain": {"retries": 5, "retry_delay_seconds": 2, "pools": {"gpu": POOL}}}
        change_params(
            first, lambda values: {**values, **{key: {**(values.get(key) or {}), **more} for key, more in {**FEWER, **own}.items()}}
        )
        self.dvc(first, "import-url", "--force", "--quiet", str(self.source), "data")
        self.dvc(first, "remote", "add", "--quiet", "--default", "store", str(self.top / "store"))
        commit(first, "a corpus outside")
        self.git(first, "branch", "--move", "--force", "main")
        self.git(self.top, "clone", "--quiet", "--bare", str(first), "origin.git")
        for clone in (*self.clones.values(), self.top / "reference"):
            self.cloned(clone)

    def cloned(self, clone: Path) -> None:
        branches = self.git(self.top / "origin.git", "branch", "--format=%(refname:short)").split()
        branch = "retrain" if "retrain" in branches else "main"
        self.git(self.top, "clone", "--quiet", "--branch", branch, "origin.git", str(clone))

    def kept(self) -> None:
        """Start whatever is not alive, as a service manager does."""
        for name, clone in self.clones.items():
            if name in self.services and self.services[name].poll() is None:
                continue
            if not clone.exists():
                self.cloned(clone)
            words = ["flows.schedule", "--cron", "0 0 1 1 *"] if name == "schedule" else ["flows.runners", POOL]
            more = {} if name == "schedule" else {"PREFECT_API_URL": self.api}
            log = self.top / f"{name}.log"
            begun = log.stat().st_size if log.exists() else 0
            with log.open("a") as output:
                self.services[name] = subprocess.Popen(
                    [sys.executable, "-m", *words],
                    cwd=clone,
                    env=self.environment(**more),
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            wait_until(partial(ready, self.services[name], log, begun, "schedule: --cron" if name == "schedule" else "started!"), 300)

    def processes(self, *wanted: str, under: Path | None = None) -> list[psutil.Process]:
        """Processes of the clones by words of their command line."""
        return [
            process
            for process, folder, line in running()
            if folder.is_relative_to(under or self.top) and all(word in line for word in wanted) and "bench.kills" not in line
        ]

    def ended(self) -> None:
        for process in self.processes():
            kill(process)


def ready(service: subprocess.Popen[bytes], log: Path, begun: int, word: str) -> bool:
    return word in log.read_text(errors="replace")[begun:] or service.poll() is not None


def running() -> Iterator[tuple[psutil.Process, Path, str]]:
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process, Path(process.cwd()), " ".join(process.cmdline())
        except (psutil.Error, OSError):
            continue


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def wait_until(true: Callable[[], Any], seconds: float, each: float = 0.3) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > end:
            return None
        time.sleep(each)
    return found


def killed(place: Place, kind: str, chance: random.Random) -> str:
    """Kill one thing of this kind; what it was, or "" if there is none at the moment."""
    if kind == "machine":
        name = chance.choice(list(place.clones))
        clone = place.clones[name]
        # Several times: a process that is being killed may still start another, or write a file.
        while wait_until(lambda: not place.processes(under=clone), 0.1) is None:
            for process in place.processes(under=clone):
                kill(process)
        shutil.rmtree(clone)
        return f"machine: the clone {clone.name}"
    words = {"flow": ("prefect",), "worker": ("worker", "start"), "server": ("prefect",), "stage": ("stages.",)}[kind]
    found = [one for one in place.processes(*words) if fits(kind, one)]
    if not found:
        return ""
    one = chance.choice(found)
    try:
        said = f"{kind}: {Path(one.cwd()).name}: {' '.join(one.cmdline()[1:])[-60:]}"
    except psutil.NoSuchProcess:
        return ""
    kill(one)
    return said


def fits(kind: str, process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    supervised = "supervised" in line
    if kind == "flow":
        return not supervised and ("flow_engine" in line or "prefect.engine" in line or "flow-run execute" in line)
    if kind == "server":
        return not supervised and ("server start" in line or "prefect.server" in line)
    return not supervised and (kind != "stage" or " -m stages." in line)


def killed_while_active(place: Place, kind: str, chance: random.Random) -> str:
    return killed(place, kind, chance) or ("" if active(place) else "-")


@contextmanager
def client_of(place: Place) -> Iterator[Any]:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(api=place.api) as client:
        yield client


def active(place: Place) -> bool:
    """Whether a run is at work in the main clone."""
    from lingyu.retrain import lock

    file = place.clones["schedule"] / ".lingyu/retrain/lock"
    if not file.exists():
        return False
    with file.open("a+") as opened:
        return (holder := lock.read(opened)) is not None and lock.runs(holder)


def submitted(place: Place) -> None:
    """Have the deployment run, with what the schedule gives it and a push; the lock of the last run may take a moment to be free."""
    import httpx

    with suppress(httpx.HTTPError), client_of(place) as client:  # the server may just have been killed
        deployment = client.read_deployment_by_name("retrain/process")
        parameters = {"commit": True, "push": True, "pull": (place.top / "lost").exists()}
        client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        (place.top / "lost").unlink(missing_ok=True)
        wait_until(lambda: active(place), 120)


def done(place: Place, files: int) -> bool:
    """Whether a run on this corpus has ended and been pushed."""
    main = place.clones["schedule"]
    if active(place) or not (main / "data.dvc").exists():
        return False
    now = yaml.safe_load((main / "data.dvc").read_text())
    pushed = subprocess.run(["git", "show", "retrain:data.dvc"], cwd=place.top / "origin.git", capture_output=True, text=True).stdout
    return now["outs"][0].get("nfiles") == files and pushed == (main / "data.dvc").read_text()


def locked(clone: Path) -> Any:
    return yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8"))


def added(place: Place, number: int) -> int:
    """A new document of the corpus; the number of its files."""
    text = (place.source / "documents/en-01-preflight.md").read_text(encoding="utf-8")
    lines = [f"{line} ({number})" if line and not line.startswith("#") else line for line in text.splitlines()]
    (place.source / f"documents/en-{number + 10}-more.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sum(path.is_file() for path in place.source.rglob("*"))


def compared(place: Place) -> bool:
    """Run the corpus in the clone that is left alone; whether its dvc.lock is that of the main clone."""
    reference = place.top / "reference"
    place.dvc(reference, "update", "--quiet", "data.dvc")
    place.ran(reference, sys.executable, "-m", "lingyu.runtime.warm", sys.executable, "-m", "dvc", "repro", "--quiet")
    return bool(locked(reference) == locked(place.clones["schedule"]))


def bench(top: Path, kills: int, seed: int, longest: float) -> int:
    place, chance, count, same = Place(top), random.Random(seed), 0, 0
    resumed = place.source.exists()
    if not resumed:
        place.made()
    number = first = len(list(place.source.glob("documents/*-more.md"))) - resumed
    with ExitStack() as stack:
        stack.callback(place.ended)
        while count < kills:
            number += 1
            files, runs, begun = added(place, number), 0, time.monotonic()  # the same again where it is there already
            while True:
                place.kept()
                if done(place, files):
                    break
                if not active(place):
                    submitted(place)
                    runs += 1
                if count < kills:
                    kind, moment = chance.choice(KINDS), chance.uniform(1, longest)
                    wait_until(lambda: not active(place), moment)
                    if not active(place):
                        continue
                    what = wait_until(partial(killed_while_active, place, kind, chance), 60) or "-"
                    if what == "-":
                        continue
                    count += 1
                    if what == "machine: the clone main":
                        (top / "lost").touch()
                    print(f"{count:3}  round {number}  after {time.monotonic() - begun:5.0f} s  {what}", flush=True)
                    # Either the run is ended with it, or it goes on with what is started again.
                    time.sleep(8)
                else:
                    wait_until(lambda: not active(place), 20)
            equal = compared(place)
            same += equal
            status = place.git(place.clones["schedule"], "status", "--porcelain").strip() or "clean"
            print(f"round {number}: {runs} runs, dvc.lock {'the same' if equal else 'DIFFERS'}, git status {status}", flush=True)
    rounds = number - first
    print(f"{count} kills, {same} of {rounds} rounds with the dvc.lock of a run that was left alone")
    return 0 if same == rounds else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description="Random kills of a retraining")
    parser.add_argument("folder", type=Path, help="a new folder, or one of a bench that was stopped, to go on with")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=90.0, help="seconds between two kills, at most")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return bench(given.folder.resolve(), given.kills, given.seed, given.longest)


if __name__ == "__main__":
    sys.exit(main())
