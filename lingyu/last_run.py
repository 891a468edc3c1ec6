"""The output of the last run, for a stage that continues from it.

DVC deletes the outputs of a stage before running it. With `persist` the output would be kept, but DVC has no run cache for such a
stage. While the stage runs, dvc.lock still names the last output, which is in DVC's cache: also after `git switch`, in the folder
of an experiment, and in a clone after `dvc pull`.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from lingyu.stage import StageError


def left(output: Path) -> Path | None:
    """The path of the last `output`; None if there was none. Raises StageError if only a DVC remote may have it."""
    md5 = locked(output)
    found = at_hand(output)
    if found or not md5:
        return found
    if config()["remote"]:
        raise StageError(
            f"this stage continues from the {output} of the last run (md5 {md5} in dvc.lock), which is not in DVC's cache. "
            f"Fetch it: dvc pull {output}. To start without it, delete dvc.lock."
        )
    print(
        f"{output} of the last run (md5 {md5} in dvc.lock) is not in DVC's cache, and no DVC remote is set: starting without it.\n"
        f"DVC 缓存中没有上次运行的 {output}（dvc.lock 中的 md5 为 {md5}），也没有配置 DVC 远程存储，因此从头开始。",
        file=sys.stderr,
    )
    return None


def at_hand(output: Path) -> Path | None:
    """The last `output` in the workspace or in DVC's cache."""
    if output.exists():
        return output
    md5 = locked(output)
    if not md5:
        return None
    cache = Path(config()["cache"].get("dir") or Path(".dvc", "cache"))
    kept = cache / "files" / "md5" / md5[:2] / md5[2:]
    return kept if kept.exists() else None


def locked(output: Path) -> str | None:
    """The md5 of the output in dvc.lock; None if it is missing or empty."""
    lock = Path("dvc.lock")
    if not lock.exists():
        return None
    read = yaml.load(lock.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    outs = (out for stage in read.get("stages", {}).values() for out in stage.get("outs", []))
    return next((out["md5"] for out in outs if out["path"] == output.as_posix() and out.get("size")), None)


def config() -> Any:
    """DVC's configuration: of the system, the user, the project and this clone."""
    from dvc.config import Config

    return Config(".dvc")
