"""The project with a small corpus and models of a few thousand weights, so that real DVC runs the whole DAG in a minute."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from parameters import TINY

ROOT = Path(__file__).parent.parent
CODE = (
    "answers",
    "lingyu",
    "stages",
    "flows",
    "web",
    "service.py",
    "bentofile.yaml",
    "dvc.yaml",
    "data.dvc",
    ".gitignore",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
)
# Of each file of the sample so many lines; the first of a CSV is its head.
CORPUS = {
    "documents/zh-01-preflight.md": None,
    "documents/zh-02-battery.md": None,
    "documents/zh-03-weather.md": None,
    "documents/en-01-preflight.md": None,
    "general/prose.zh.md": 60,
    "general/qa.jsonl": 40,
    "incidents/reports.csv": 120,
    "knowledge/graph.jsonl": 60,
    "preference/pairs.jsonl": 60,
    "reasoning/questions.jsonl": 40,
}
TRAINING = {"threads": 1, "num_train_epochs": 1, "evaluations": 1}
PARAMS = {
    "base": {
        "shape": {
            "vocab_size": 600,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "intermediate_size": 64,
        },
        "training": TRAINING,
    },
    "extend": {"measured": 2000},
    "pretrain": TRAINING,
    "sft": {"common": TRAINING},
    "reward": TRAINING,
    "align": {"common": TRAINING},
    "evaluate": {"common": {"threads": 1, "resamples": 20, "max_new_tokens": {"recall": 8, "cite": 8, "reason": 8, "other": 8, "fact": 8}}},
    "select": {"resamples": 20, "max_general_rise": 10.0},
    "generate": {"test": {"taught": 20, "documents": 20, "classify": 10, "given": 10}},
    "index": {"check_items": 20},
}


def project(folder: Path) -> Path:
    """A git and DVC project with the code of this one, small."""
    for name in CODE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, folder / name)
    for name, lines in CORPUS.items():
        text = (ROOT / "samples/drone" / name).read_text(encoding="utf-8")
        (folder / "samples/drone" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "samples/drone" / name).write_text("".join(text.splitlines(keepends=True)[:lines]), encoding="utf-8")
    change_params(folder, lambda _: overlaid(yaml.safe_load(TINY), PARAMS))
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@example.org")
    dvc(folder, "update", "-q", "data.dvc")
    commit(folder, "begin")
    return folder


def overlaid(values: dict, more: dict) -> dict:
    return {**values, **{key: overlaid(values.get(key) or {}, value) if isinstance(value, dict) else value for key, value in more.items()}}


def change_params(folder: Path, change) -> None:
    path = folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(yaml.safe_dump(change(values), allow_unicode=True, sort_keys=False), encoding="utf-8")


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


def git(folder: Path, *words: str) -> str:
    return ran(folder, "git", "-c", "commit.gpgsign=false", *words)


def dvc(folder: Path, *words: str) -> str:
    return ran(folder, sys.executable, "-m", "dvc", *words)


def repro(folder: Path, *words: str) -> list[str]:
    """`dvc repro`, imports paid once; the stages that ran."""
    told = ran(folder, sys.executable, "-m", "lingyu.runtime.warm", sys.executable, "-m", "dvc", "repro", *words)
    return [line.split("'")[1] for line in told.splitlines() if line.startswith("Running stage '")]


def ran(folder: Path, *words: str) -> str:
    """What the command prints. What it says of an error is in the message of the test."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}"
    return done.stdout
