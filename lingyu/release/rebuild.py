"""`lingyu rebuild`: make a release again from git and the DVC remote, in a folder of its own, and compare.

The clone is at the commit of the lineage and has a cache of its own, so nothing of the first run is taken: the corpus comes from the DVC
remote or its source, and every stage runs. On the same kind of processor, with the same libraries, the bytes are the same.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lingyu.files import hashes, read_json
from lingyu.release import lineage, manifest
from lingyu.release.staging import MANIFEST
from lingyu.stage import StageError

MADE = Path(lineage.RELEASE)
CONTINUED = ("out/split/frozen.json", "out/select/looks.json")


@dataclass(frozen=True)
class Rebuilt:
    """files, stages: what is not the same as in the release. metrics: (name, then, now). environment: what differs of the machine."""

    files: list[str]
    stages: list[str]
    count: int
    metrics: list[tuple[str, float, float]]
    environment: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not self.files


def rebuild(release: Path, source: str, into: Path) -> Rebuilt:
    """source: the git repository, a path or an address."""
    told = read_json(release / MANIFEST)
    commit = usable(told)
    cloned(source, commit, into)
    borrow_settings(Path(source), into)
    run(into, "pull", "data.dvc", "the corpus could not be brought")
    bring_state(into)
    run(into, "repro", "package", "the pipeline did not run through; what it made is there, and the next try goes on from it")
    return compared(told, into)


def usable(told: Mapping[str, Any]) -> str:
    """The commit to build from. Raises StageError where the lineage names none that made the release."""
    git = told.get("git", {})
    if not git.get("commit"):
        raise StageError("the release names no commit: it was made outside of git, and cannot be made again.")
    if git.get("changed_since"):
        raise StageError(
            f"the release was made with changes beside commit {git['commit'][:12]} that no commit has, so it cannot be made again. "
            "Commit first, then release."
        )
    return str(git["commit"])


def cloned(source: str, commit: str, into: Path) -> None:
    """A clone at the commit. A folder that an earlier try left is used again."""
    if not (into / ".git").is_dir():
        if into.exists() and any(into.iterdir()):
            raise StageError(f"{into} is not empty, and no clone. Choose another folder with --into.")
        command("git", "clone", "--quiet", "--no-checkout", source, str(into))
    try:
        command("git", "-C", str(into), "checkout", "--quiet", "--detach", commit)
    except StageError as error:
        raise StageError(
            f"{source} has no commit {commit[:12]}: push it, or name the repository that has it with --from.\n{error}"
        ) from None


def borrow_settings(source: Path, into: Path) -> None:
    """What a clone lacks to reach the DVC remote (config.local), but not the cache that the first run filled."""
    local = source / ".dvc" / "config.local"
    if local.is_file():
        shutil.copyfile(local, into / ".dvc" / "config.local")
    dvc(into, "config", "--local", "cache.dir", str((into / ".dvc" / "cache").absolute()))


def bring_state(into: Path) -> None:
    """What stages continue from, of the run that the commit's dvc.lock names. Where the remote has it no more, they start anew."""
    lock = into / "dvc.lock"
    if lock.exists() and dvc(into, "pull", *CONTINUED):
        print(f"The DVC remote lacks {' or '.join(CONTINUED)}: split and looks start anew. 远端缺少这些文件，从头开始。", flush=True)
        lock.unlink()


def run(into: Path, verb: str, target: str, failed: str) -> None:
    done = dvc(into, verb, target, warm=verb == "repro")
    if done:
        raise StageError(f"{failed}: {into}. `dvc {verb} {target}` ended with status {done}; its output is above.")


def dvc(into: Path, *words: str, warm: bool = False) -> int:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "DVC_ROOT"}}
    environment |= {"DVC_NO_ANALYTICS": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    before = ["-m", "lingyu.runtime.warm", sys.executable] if warm else []
    return subprocess.run([sys.executable, *before, "-m", "dvc", *words], cwd=into, env=environment, check=False).returncode


def command(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise StageError(f"{words[0]} is not installed, and a rebuild needs it.") from None
    if done.returncode:
        raise StageError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def compared(told: Mapping[str, Any], into: Path) -> Rebuilt:
    """The release against what the clone made."""
    made = hashes(into / MADE)
    files = [path for path, digest in told["files"].items() if made.get(path) != digest]
    lock = yaml.safe_load((into / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    now = {name: lineage.hashes_of(entry, "outs") for name, entry in lock.items()}
    stages = [name for name, outs in told["stages"].items() if now.get(name) != outs]
    again = read_json(into / MADE / MANIFEST)
    metrics = [
        (name, measure["value"], again["metrics"][name]["value"]) for name, measure in told["metrics"].items() if name in again["metrics"]
    ]
    return Rebuilt(files, stages, len(told["stages"]), metrics, environment(told))


def environment(told: Mapping[str, Any]) -> list[str]:
    """What this machine has other than the one that released: why bytes may differ."""
    here = {**lineage.machine(), **{f"library {name}": one for name, one in manifest.libraries().items()}}
    then = {**told.get("machine", {}), **{f"library {name}": one for name, one in told.get("libraries", {}).items()}}
    return [f"{name}: {value} → {here.get(name)}" for name, value in then.items() if here.get(name) != value]
