"""The manifest of a release: from which commit, data, parameters and libraries it came, and the hash of each of its files.

Made again from the same commit it is the same file, so it says nothing of when and where.
"""

import hashlib
import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

# What does not change a model: the lock and the outputs, which follow from the rest, and what only people or tests read.
# Committing the lock after a run must not change the manifest, or the lock would never be up to date.
ASIDE = ("dvc.lock", "out", "docs", "tests", "bench", "flows", ".ci", ":(glob)*.md")
LIBRARIES = ("torch", "transformers", "tokenizers", "trl", "peft", "accelerate", "safetensors", "datasets", "dvc", "bentoml")


def commit(repository: Path) -> dict[str, Any]:
    """The last commit that touched what makes the model, and whether that was changed since. Without git both are null."""
    paths = [".", *(f":(exclude,{kind}){path}" for kind, path in map(magic, ASIDE))]
    last = git(repository, "log", "-1", "--format=%H", "--", *paths)
    changed = git(repository, "status", "--porcelain", "--", *paths)
    return {"commit": last or None, "changed_since": None if changed is None else bool(changed)}


def magic(path: str) -> tuple[str, str]:
    return ("glob", path.removeprefix(":(glob)")) if path.startswith(":(glob)") else ("top", path)


def git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def upstream(lock: Path, stages: Path, parameters: dict[str, Any], own: str) -> dict[str, dict[str, str]]:
    """The hash of every output of every other stage, as dvc.lock has it. What it holds of stages that are no more is left out."""
    if not lock.is_file():
        return {}
    defined = yaml.safe_load(stages.read_text(encoding="utf-8"))["stages"]
    found = {}
    for name, entry in sorted(yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}).items()):
        stage, _, key = name.partition("@")
        gone = stage not in defined or (key and key not in parameters.get(stage, {}).get("candidates", {}))
        if not gone and stage != own:
            found[name] = {out["path"]: out.get("md5", "") for out in entry.get("outs", [])}
    return found


def libraries() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of the folder, by its path there."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(values: Any) -> str:
    """Twelve hexadecimal digits that name these values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
