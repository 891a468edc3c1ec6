"""The lineage in the manifest of a release: its commit, data, parameters and library versions.

It is reproducible from the commit, so it contains no time or host. What changes with the commit alone is not part of `out/package`,
otherwise two clones with the same models would have different dvc.lock files; a release adds it (`lineage`).
"""

import hashlib
import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

# Paths that do not change the model: dvc.lock, which follows from the rest, and files for people or tests only.
ASIDE = ("dvc.lock", "docs", "tests", "bench", "flows", ".ci", ":(glob)*.md")
LIBRARIES = ("torch", "transformers", "tokenizers", "trl", "peft", "accelerate", "safetensors", "datasets", "dvc", "bentoml")
FLOWS = {"retrain", "release"}  # sections that do not affect the content of a package


def lineage(top: Path) -> dict[str, Any]:
    """The commit, the hashes of all upstream outputs, and the parameters. top: the project folder."""
    parameters = yaml.safe_load((top / "params.yaml").read_text(encoding="utf-8"))
    return {
        "git": commit(top),
        "stages": upstream(top / "dvc.lock", top / "dvc.yaml", parameters, own="package"),
        "parameters": {section: values for section, values in parameters.items() if section not in FLOWS},
    }


def commit(repository: Path) -> dict[str, Any]:
    """The last commit that can change the model, and whether such files were changed since. Both are null without git."""
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
    """The output hashes of all other stages, from dvc.lock, without stages that no longer exist."""
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
    """The versions without the build tag (+cpu), which can differ between machines with the same versions."""
    return {name: version(name).partition("+")[0] for name in LIBRARIES}


def digest(values: Any) -> str:
    """A hash of the values in twelve hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
