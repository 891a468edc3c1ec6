"""A DVC project of two stages and an imported corpus, for the tests of runs that are scheduled, cancelled, killed and repeated."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parent.parent
# A training as a flow sees it: a process with a child that is in a session of its own, and a checkpoint that it goes on from.
TRAIN = """
import os, pathlib, subprocess, sys, time
text = pathlib.Path("data/rules.txt").read_text()
checkpoint = pathlib.Path(".lingyu/checkpoint")
done = int(checkpoint.read_text()) if checkpoint.exists() else 0
print("begins at step", done)
if "slow" in text:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    pathlib.Path("processes").write_text(f"{os.getpid()} {child.pid}")
    for step in range(done, 1000):
        partial = checkpoint.with_name("partial")
        partial.write_text(str(step + 1))
        partial.replace(checkpoint)
        time.sleep(0.1)
pathlib.Path("out/model").write_text(text)
"""


def project(folder: Path, corpus: str = "a rule") -> Path:
    """clean → train, with the corpus in a folder beside the project."""
    source, top = folder / "source", folder / "project"
    source.mkdir()
    top.mkdir()
    (source / "rules.txt").write_text(corpus)
    for name in ("flows", "lingyu", "stages", "prefect.yaml"):
        (top / name).symlink_to(ROOT / name)
    (top / "train.py").write_text(TRAIN)
    (top / "params.yaml").write_text(yaml.safe_dump({"retrain": {"retries": 1, "retry_delay_seconds": 0}, "release": {}}))
    stages = {
        "clean": {"cmd": "mkdir -p out .lingyu && cp data/rules.txt out/clean", "deps": ["data"], "outs": ["out/clean"]},
        "train": {"cmd": f"{sys.executable} train.py", "deps": ["out/clean", "train.py"], "outs": ["out/model"]},
    }
    (top / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (top / ".gitignore").write_text("/.lingyu/\n/out/\n/data\n/processes\n/home/\n__pycache__/\n")
    git(top, "init", "--quiet", "--initial-branch", "main")
    git(top, "config", "user.name", "a")
    git(top, "config", "user.email", "a@example.org")
    dvc(top, "init", "--quiet")
    dvc(top, "import-url", "--quiet", str(source), "data")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "-m", "begin")
    return top


def git(top: Path, *words: str) -> str:
    return ran(top, "git", *words)


def dvc(top: Path, *words: str) -> str:
    return ran(top, sys.executable, "-m", "dvc", *words)


def ran(top: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=top, env=environment(top), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}"
    return done.stdout.strip()


def environment(top: Path, **more: str) -> dict[str, str]:
    (top / "home").mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {**kept, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(ROOT), "HOME": str(top / "home"), **more}


@contextmanager
def begun(top: Path, *words: str, **more: str):
    """A command in a process group of its own, its output in top/home/log; ended with the block."""
    with (top / "home" / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=top, env=environment(top, **more), stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def log(top: Path) -> str:
    return (top / "home" / "log").read_text(encoding="utf-8")


def wait_until(true, seconds: float = 120.0, each: float = 0.1):
    """What `true` returns as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(each)
    return found


def processes(top: Path) -> list[int]:
    """The training and its child, once it trains and has a checkpoint."""
    file, checkpoint = top / "processes", top / ".lingyu/checkpoint"
    return [int(number) for number in file.read_text().split()] if file.exists() and checkpoint.exists() else []


def gone(numbers: list[int]) -> bool:
    return not any(psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE for number in numbers)


def dvc_locks(top: Path) -> list:
    """The paths that DVC's own lock names."""
    file = top / ".dvc/tmp/rwlock"
    found = json.loads(file.read_text()) if file.exists() else {}
    return [*found.get("read", {}), *found.get("write", {})]


def tree(top: Path) -> dict[str, bytes]:
    """What git and DVC have in the folder."""
    files = [top / "data.dvc", top / "dvc.lock", *sorted((top / "out").glob("*")), *sorted((top / "data").glob("*"))]
    return {str(file.relative_to(top)): file.read_bytes() for file in files if file.is_file()}
