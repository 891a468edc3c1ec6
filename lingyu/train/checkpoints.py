"""Checkpoints: what each was made by, whether a training goes on from it, and when it is removed.

.lingyu/<stage>/<key>/ belongs to one training. It holds made_by.json, checkpoint-<step>/ and the token ids; once the training has
ended, outputs/ in their place. A run removes the checkpoints of its own training, after its outputs are whole, and no others.
"""

import ast
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any
from zipfile import is_zipfile

from pydantic import BaseModel

from lingyu.files import read_json, write_json
from lingyu.launch import CHECKPOINTS, CHOICES, is_first
from lingyu.stage import StageError

ROOT = Path(__file__).parents[2]
LIBRARIES = ["accelerate", "bitsandbytes", "datasets", "deepspeed", "liger-kernel", "numpy", "peft", "pyarrow", "safetensors"]
LIBRARIES += ["tokenizers", "torch", "transformers", "trl"]
KEEP = "LINGYU_KEEP_CHECKPOINTS"
RECORD, OUTPUTS, IN_USE = "made_by.json", "outputs", "in_use"
DRAWS = "draws.jsonl"  # what best_of has sampled: as dear as a checkpoint

Record = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """What is left of one training. made_by is empty for a folder that has no record, such as one of an earlier version."""

    folder: Path

    @property
    def stage(self) -> str:
        return self.folder.parent.name.replace("-", "@", 1)

    @cached_property
    def made_by(self) -> Record:
        try:
            return dict(read_json(self.folder / RECORD))
        except (OSError, ValueError):
            return {}

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*"), key=lambda folder: int(folder.name.removeprefix("checkpoint-")))

    @property
    def finished(self) -> bool:
        return (self.folder / OUTPUTS).is_dir()

    @property
    def step(self) -> int:
        """The last one with a checkpoint; its state is the file that is written last."""
        steps = [int(folder.name.removeprefix("checkpoint-")) for folder in self.checkpoints if (folder / "trainer_state.json").exists()]
        return max(steps, default=0)

    @property
    def progress(self) -> bool:
        """Whether there is something to go on from."""
        return not self.finished and (self.step > 0 or (self.folder / DRAWS).exists())

    @property
    def size(self) -> int:
        """Bytes that its removal would free: outputs may be links."""
        found = 0
        for file in self.folder.rglob("*"):
            state = file.lstat()
            if file.is_file() and state.st_nlink == 1:
                found += state.st_size
        return found

    @property
    def changed(self) -> float:
        """When something was last written, in seconds since the epoch."""
        return max(file.lstat().st_mtime for file in [self.folder, *self.folder.rglob("*")])

    def described(self) -> str:
        return f"{self.folder} (step {self.step}, {self.size / 2**20:,.1f} MB)"


def kept_in(work: Path) -> list[Kept]:
    return [Kept(folder) for folder in sorted(work.glob("*")) if folder.is_dir()]


def workplace(work: Path, params: BaseModel, inputs: Iterable[Path], stage: str) -> Path:
    """The folder of this training: the one that an earlier run of it began, or a new one. stage: the file of its module.

    Raises StageError where there is a checkpoint that differs in code or libraries alone, unless LINGYU_CHECKPOINTS says what to do.
    """
    if (choice := os.environ.get(CHECKPOINTS, "")) not in ("", *CHOICES):
        raise StageError(f"{CHECKPOINTS} must be {' or '.join(CHOICES)}, or unset (found {choice!r}).")
    now: Record = json.loads(json.dumps(record_of(params, inputs, Path(stage))))
    found = kept_in(work)
    same = [kept for kept in found if kept.made_by and not other_question(kept.made_by, now)]
    mine = next((kept for kept in same if not differences(kept.made_by, now)), None)
    rest = [kept for kept in found if kept.progress and kept not in same]
    if rest and is_first():
        print(told_of_others(rest, now), file=sys.stderr, flush=True)
    if mine is None and (ahead := [kept for kept in same if kept.progress]):
        mine = chosen(max(ahead, key=lambda kept: kept.step), now, choice)
    if mine is None:
        mine = begun(work, now, found)
    hold(mine.folder)
    return mine.folder


def record_of(params: BaseModel, inputs: Iterable[Path], stage: Path) -> Record:
    """What the outputs of a training depend on; processes and threads are parameters."""
    files = [file for path in inputs for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
    return {
        "parameters": params.model_dump(mode="json"),
        "inputs": {file.as_posix(): digest_of(file) for file in files},
        **made_with(stage),
    }


def made_with(stage: Path) -> Record:
    return {"code": code_of(stage), "libraries": {"python": python_version(), **dict(installed())}}


def digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def installed() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def code_of(stage: Path) -> dict[str, list[str]]:
    """The project's modules that a stage imports, directly or not: a hash of each file, and one that leaves out comments and docstrings.

    Modules that only carry rows, messages and processes are left out, for they change no result: lingyu/*.py and lingyu/runtime.
    """
    hashes: dict[Path, list[str]] = {}
    seen, ahead = set[Path](), [stage.resolve()]
    while ahead:
        path = ahead.pop()
        if path in seen:
            continue
        seen.add(path)
        text = path.read_bytes()
        names, meaning = parsed(text)
        ahead += files_of(names)
        if path.parent not in (ROOT / "lingyu", ROOT / "lingyu" / "runtime") and path != Path(__file__).resolve():
            hashes[path] = [hashlib.sha256(text).hexdigest(), meaning]
    return {path.relative_to(ROOT).as_posix(): hashes[path] for path in sorted(hashes) if path.is_relative_to(ROOT)}


@cache
def parsed(text: bytes) -> tuple[frozenset[str], str]:
    """What a module imports anywhere, and a hash of its code without comments and docstrings."""
    tree, names = ast.parse(text), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return frozenset(names), hashlib.sha256(ast.dump(without_docstrings(tree)).encode()).hexdigest()


def files_of(names: Iterable[str]) -> Iterator[Path]:
    """The files of lingyu among the imported names."""
    for name in names:
        if name.startswith("lingyu."):
            place = ROOT / name.replace(".", "/")
            yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists())


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return tree


def other_question(before: Record, now: Record) -> list[str]:
    """What makes it another training: the parameters that differ, and the inputs."""
    old, new = flat(before["parameters"]), flat(now["parameters"])
    named = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return named + ([] if before["inputs"] == now["inputs"] else ["inputs"])


def flat(values: Any, within: str = "") -> dict[str, Any]:
    """Nested parameters by their dotted names."""
    if not isinstance(values, dict):
        return {within: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{within}.{key}" if within else key)
    return found


def differences(before: Record, now: Record) -> list[str]:
    """A line for each file of code and each library that is another one now."""
    lines = []
    for path in sorted(before["code"].keys() | now["code"].keys()):
        old, new = before["code"].get(path), now["code"].get(path)
        if old is None or new is None:
            lines.append(f"{path} is {'new' if old is None else 'no longer imported'}")
        elif not set(old) & set(new):
            lines.append(f"{path} changed")
    for name in sorted(before["libraries"].keys() | now["libraries"].keys()):
        old, new = (record["libraries"].get(name, "not installed") for record in (before, now))
        if old != new:
            lines.append(f"{name}: {old} then, {new} now")
    return lines


def told_of_others(rest: list[Kept], now: Record) -> str:
    """A line about unfinished trainings of other parameters or inputs."""
    each = []
    for kept in rest:
        other = ", ".join(other_question(kept.made_by, now)[:5]) if kept.made_by else "no record of what made it"
        each.append(f"{kept.described()}: {other}")
    stage = rest[0].stage
    return (
        f"{stage}  unfinished trainings with other parameters or inputs are kept: {'; '.join(each)}. "
        f"`python -m lingyu checkpoints --remove {stage}` removes them."
    )


def chosen(ahead: Kept, now: Record, choice: str) -> Kept | None:
    """The training to go on with though code or libraries changed; None to begin again. Raises StageError where nobody has chosen."""
    changed = differences(ahead.made_by, now)
    if choice == "restart":
        return None
    if choice == "resume":
        if is_first():
            earlier = ahead.made_by.get("continued", [])
            write_record(ahead.folder, {**now, "continued": [*earlier, {"step": ahead.step, "changed": changed}]})
        return ahead
    stage, item = (*ahead.stage.split("@"), "")[:2]
    command = " ".join(filter(None, ["python -m", f"stages.{stage}", item]))
    raise StageError(
        "\n".join(
            [
                f"the checkpoint in {ahead.described()} was made with other code or libraries:",
                *(f"  {line}" for line in changed),
                f"To go on from it: `{CHECKPOINTS}=resume make repro`, or `{command} --resume`; an unbroken run may give other weights.",
                f"To begin again: `{CHECKPOINTS}=restart make repro`, or `{command} --restart`. The checkpoint is kept until "
                f"`python -m lingyu checkpoints --remove {ahead.stage}`.",
                f"检查点由另一版代码或库生成：{CHECKPOINTS}=resume 从检查点继续，{CHECKPOINTS}=restart 重新训练（原检查点保留）。",
            ]
        )
    )


def begun(work: Path, now: Record, found: Iterable[Kept]) -> Kept:
    """A new folder. Those of earlier trainings that hold no checkpoint are removed: token ids, and outputs, which DVC has."""
    key = hashlib.sha256(json.dumps(now, sort_keys=True).encode()).hexdigest()[:16]
    names = (key if count == 1 else f"{key}-{count}" for count in itertools.count(1))  # a training that went on may have its key
    mine = next(kept for kept in (Kept(work / name) for name in names) if not kept.made_by or kept.made_by == now)
    mine.folder.mkdir(parents=True, exist_ok=True)
    if is_first():
        for kept in found:
            if kept.folder != mine.folder and not kept.checkpoints and not kept.progress:
                remove(kept)
        write_record(mine.folder, now)
    return Kept(mine.folder)


def write_record(folder: Path, record: Record) -> None:
    """At once: a checkpoint whose record is cut off belongs to nobody."""
    write_json(folder / f"{RECORD}.part", record)
    (folder / f"{RECORD}.part").replace(folder / RECORD)


held: list[int] = []  # the descriptor that says that this process uses a folder


def hold(folder: Path) -> None:
    """Say that this process uses the folder, until it ends, however it ends."""
    if is_first():
        release()
        held.append(os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT))
        fcntl.flock(held[0], fcntl.LOCK_SH)


def release() -> None:
    while held:
        os.close(held.pop())


def remove(kept: Kept) -> bool:
    """Remove all that is left of a training; False where a run is using it."""
    number = os.open(kept.folder / IN_USE, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(kept.folder)
    except BlockingIOError:
        return False
    finally:
        os.close(number)
    return True


def finish(place: Path, out: Path) -> None:
    """Keep the outputs in place of the checkpoints.

    DVC removes the outputs of a stage that it could not store before it runs the stage again: `restored` brings them back. Weights
    take no room until DVC has stored them: they are links to the files in out/, which safetensors replaces and never overwrites.
    """
    part, whole = place / f"{OUTPUTS}.part", place / OUTPUTS
    for left in (part, whole):
        shutil.rmtree(left, ignore_errors=True)
    for file in sorted(out.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            copy = part / file.relative_to(out)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                if file.suffix != ".safetensors":
                    raise OSError
                os.link(file, copy)
            except OSError:
                shutil.copyfile(file, copy)
    part.rename(whole)
    drop_checkpoints(Kept(place))
    release()


def drop_checkpoints(kept: Kept) -> None:
    """Remove what a finished training needs no more, unless the person wants to look at it."""
    for file in kept.folder.glob("*.arrow"):
        file.unlink()
    for folder in kept.checkpoints if not os.environ.get(KEEP) else ():
        shutil.rmtree(folder)


def restored(place: Path, out: Path) -> bool:
    """Whether this very training has ended before; its outputs are then in `out` again."""
    kept = Kept(place)
    if not kept.finished:
        return False
    if is_first():
        for entry in sorted((place / OUTPUTS).iterdir()):
            if (to := out / entry.name).is_dir():
                shutil.rmtree(to)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(entry, to) if entry.is_dir() else shutil.copyfile(entry, to)
        drop_checkpoints(kept)  # a kill may have come before that
        print(
            f"{kept.stage}  this training has ended before: its outputs are taken from {place / OUTPUTS}. "
            f"To train again, first `python -m lingyu checkpoints --remove {kept.stage}`.",
            file=sys.stderr,
            flush=True,
        )
    return True


def continued(place: Path) -> list[int]:
    """The steps at which the training went on with other code or libraries."""
    return [entry["step"] for entry in Kept(place).made_by.get("continued", [])]


def last_whole_checkpoint(work: Path, writers: int = 1) -> Path | None:
    """The newest checkpoint that is written whole; halves that a kill or a full disk left behind are removed."""
    whole = []
    for folder in Kept(work).checkpoints:
        if is_whole(folder, int(folder.name.removeprefix("checkpoint-")), writers):
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    return whole[-1] if whole else None


def is_whole(folder: Path, step: int, writers: int) -> bool:
    """Whether a checkpoint has all its files, and none that was cut off: a kill leaves it half written, or half removed."""
    from safetensors import SafetensorError, safe_open

    try:
        finished = read_json(folder / "trainer_state.json")["global_step"] == step
        for file in folder.glob("*.safetensors"):
            with safe_open(file, framework="numpy"):
                pass
    except (OSError, ValueError, KeyError, SafetensorError):
        return False
    states = [*folder.glob("*.pt"), *folder.glob("*.pth")]  # torch writes archives, whose index comes last
    if writers == 1:
        needed = [folder / name for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")]
        finished = finished and any(folder.glob("*.safetensors"))
    else:
        needed = [folder / f"rng_state_{rank}.pth" for rank in range(writers)]
    return finished and all(is_zipfile(file) for file in [*states, *needed])
