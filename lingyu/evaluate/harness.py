"""lm-evaluation-harness on a checkpoint: its own command, offline, and what it found beside what evaluate found for the same files.

It may be in another environment than lingyu: --python, or LINGYU_HARNESS_PYTHON, names that one's interpreter.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypedDict

from lingyu import statistics
from lingyu.files import hashes, read_json, write_json
from lingyu.model.load import device, is_model
from lingyu.stage import StageError

PYTHON = "LINGYU_HARNESS_PYTHON"
SHARES = ("acc", "acc_norm", "exact_match")  # a hit or a miss each: Wilson's interval fits, the harness's normal one leaves [0, 1]
BATCH = 16
END = 2000  # characters of what it said last


class Found(TypedDict):
    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    count: int
    shots: int


def run(
    model: Path,
    tasks: Sequence[str],
    include: Path | None = None,
    python: str = "",
    chat: bool = False,
    shots: int | None = None,
    limit: int | None = None,
    online: bool = False,
) -> dict[str, Any]:
    """What the harness says of a model's folder. include: a folder of task YAMLs of one's own. Raises StageError with its last words."""
    if not is_model(model):
        raise StageError(f"{model} is no folder with a model (config.json).")
    with tempfile.TemporaryDirectory() as place:
        command = [interpreter(python), "-m", "lm_eval", "run", "--model", "hf", "--tasks", *tasks]
        command += ["--model_args", *arguments(model, chat), "--device", "cuda:0" if device() == "cuda" else device()]
        command += ["--batch_size", str(BATCH), "--output_path", str(Path(place, "found.json"))]
        command += ["--apply_chat_template"] if chat else []
        command += ["--num_fewshot", str(shots)] if shots is not None else []
        command += ["--limit", str(limit)] if limit is not None else []
        command += ["--include_path", str(include)] if include else []
        said = subprocess.run(command, env=environment(online), capture_output=True, text=True)
        written = sorted(Path(place).glob("found*.json"))
        if said.returncode or not written:
            raise StageError(failure(f"{said.stdout}\n{said.stderr}", tasks, online))
        found = read_json(written[-1])
    return {
        "harness": found.get("lm_eval_version", ""),
        "transformers": found.get("transformers_version", ""),
        "chat_template": chat,
        "files": hashes(model),
        "results": list(results(found)),
    }


def interpreter(python: str) -> str:
    named = python or os.environ.get(PYTHON, "")
    if named:
        if not Path(named).exists():
            raise StageError(f"there is no Python at {named} (--python or {PYTHON}).")
        return named
    if find_spec("lm_eval") is None:
        raise StageError(
            "lm-evaluation-harness is not installed: `uv pip install -r pyproject.toml --extra harness`, or name the Python of another "
            f"environment that has it, by --python or {PYTHON}."
        )
    return sys.executable


def arguments(model: Path, chat: bool) -> list[str]:
    """As lingyu computes: fp32 on a CPU, else in the dtype of the files; replies without a thought, as questions are asked."""
    return [
        f"pretrained={model.absolute()}",
        f"dtype={'float32' if device() == 'cpu' else 'auto'}",
        *(["enable_thinking=False"] if chat else []),
    ]


def environment(online: bool) -> dict[str, str]:
    """Offline unless wanted otherwise: task data come from the files that a task names, or from the cache of datasets."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    return kept if online else {**kept, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def failure(said: str, tasks: Sequence[str], online: bool) -> str:
    end = said.strip()[-END:]
    hint = "" if online else " Data that are not on this machine are fetched with --online; then they are in the cache of datasets."
    return f"lm-evaluation-harness gave no result for {', '.join(tasks)}.{hint} It said last:\n{end}"


def results(found: Mapping[str, Any]) -> Iterator[Found]:
    """Each metric of each task, and of each group of tasks."""
    counts = {task: sizes["effective"] for task, sizes in found.get("n-samples", {}).items()}
    for task, values in {**found["results"], **found.get("groups", {})}.items():
        count = counts.get(task) or sum(counts.get(part, 0) for part in found.get("group_subtasks", {}).get(task, ()))
        for key, value in values.items():
            metric, comma, name = key.partition(",")
            error = values.get(f"{metric}_stderr,{name}")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            low = high = None
            if metric in SHARES and count:
                low, high = statistics.wilson_of(float(value), float(count))
            elif isinstance(error, int | float):
                low, high = value - statistics.Z * error, value + statistics.Z * error
            shown = metric if name == "none" else f"{metric} ({name})"
            yield Found(
                task=task,
                metric=shown,
                value=round(float(value), 6),
                low=None if low is None else round(low, 6),
                high=None if high is None else round(high, 6),
                count=count,
                shots=int(found.get("n-shot", {}).get(task) or 0),
            )


def ours(model: Path, evaluated: Path) -> tuple[str, dict[str, Any]] | None:
    """What evaluate found on dev for a checkpoint of the very same files: its name and metrics."""
    files = hashes(model)
    for about in sorted(evaluated.glob("*/checkpoint.json")):
        if read_json(about)["files"] == files and (about.parent / "metrics.json").exists():
            return about.parent.name, read_json(about.parent / "metrics.json")
    return None


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each result, in the form of `lingyu evaluate`."""
    for one in record["results"]:
        span = "" if one["low"] is None else f"  [{one['low']:.3f}, {one['high']:.3f}]"
        name = f"{one['task']}: {one['metric']}" + (f", {one['shots']} shots" if one["shots"] else "")
        yield f"  {name:44} {one['value']:8.3f}{span}  n = {one['count']}"


def save(record: Mapping[str, Any], path: Path) -> None:
    write_json(path, record)
