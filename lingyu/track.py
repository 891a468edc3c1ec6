"""`lingyu track`: what a run gave, for an MLflow server: parameters, metrics, report, and the winner as a version of a registered model.

By MLflow's own client (extra `mlflow`). DVC remains the record of what made what; a run is found in MLflow by the hashes of dvc.lock and of
the winner, so that the same result is logged once.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from lingyu.files import hashes, read_json, sha256, short_hash
from lingyu.stage import PARAMS_FILE, StageError, read_params

URI = "MLFLOW_TRACKING_URI"
FILES = ("report.html", "winner.json", "leaderboard.csv", "dev.csv", "stages.csv")
LONGEST = 500  # characters of a value: MLflow refuses those over 6,000, and nobody reads them
BATCH = 100  # of parameters, the most that MLflow takes in a request; of metrics 1,000
NOT_IN_NAMES = re.compile(r"[^\w\-. /]")


class Result(TypedDict):
    winner: str
    params: dict[str, str]
    metrics: dict[str, float]
    files: list[Path]
    model: Path
    tags: dict[str, str]


def result_of(out: Path, lock: Path) -> Result:
    """What the last run gave. Raises StageError where select has not run, or found no winner."""
    chosen = out / "select" / "winner.json"
    if not chosen.exists():
        raise StageError(f"{chosen} not found: `dvc repro select` makes it.")
    verdict = read_json(chosen)
    if not verdict["checkpoint"]:
        raise StageError(f"{chosen} names no winner, so there is nothing to log. See {out / 'select' / 'report.html'}.")
    model = out / "select" / "model"
    tags = {
        "lingyu.winner": verdict["checkpoint"],
        "lingyu.model": short_hash(*(f"{name} {digest}" for name, digest in hashes(model).items())),
        "lingyu.dvc_lock": sha256(lock) if lock.exists() else "",
        "lingyu.primary": verdict["primary"],
        "mlflow.note.content": f"{verdict['why']['en']}\n\n{verdict['why']['zh']}",
    }
    files = [path for name in FILES if (path := out / "select" / name).exists()]
    files += [path for path in (PARAMS_FILE, lock) if path.exists()]
    return Result(
        winner=verdict["checkpoint"], params=dict(flat(read_params())), metrics=dict(metrics_of(out)), files=files, model=model, tags=tags
    )


def metrics_of(out: Path) -> Iterator[tuple[str, float]]:
    """test/METRIC of the winner, dev/CANDIDATE/METRIC of all, each with the ends of its interval; train/STAGE/… of trainings."""
    for name, measure in read_json(out / "select" / "metrics.json").items():
        yield from measured(f"test/{name}", measure)
    for path in sorted((out / "evaluate").glob("*/metrics.json")):
        for name, measure in read_json(path).items():
            yield from measured(f"dev/{path.parent.name}/{name}", measure)
    for path in sorted([*out.glob("pretrain/metrics.json"), *out.glob("sft/*/metrics.json"), *out.glob("align/*/metrics.json")]):
        for name, value in read_json(path).items():
            if isinstance(value, int | float):
                yield f"train/{path.parent.relative_to(out).as_posix()}/{name}", float(value)


def measured(name: str, measure: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    yield name, float(measure["value"])
    for end in ("low", "high"):
        yield f"{name}/{end}", float(measure[end])


def flat(values: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of params.yaml by their dotted place."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from flat(value, f"{place}.{key}" if place else str(key))
    else:
        text = str(values)
        yield NOT_IN_NAMES.sub("_", place), text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def track(out: Path, lock: Path, uri: str, experiment: str, register: str = "") -> tuple[str, bool]:
    """Log the last run; returns the id of its run in MLflow, and whether it is new. register: the name of a registered model."""
    result = result_of(out, lock)
    address = uri or os.environ.get(URI, "")
    if not address:
        raise StageError(f"where is MLflow? Name it by --to, as http://127.0.0.1:5000 or sqlite:///mlflow.db, or set {URI}.")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise StageError("mlflow is not installed: `uv pip install -r pyproject.toml --extra mlflow`.") from None
    try:
        return logged(MlflowClient(address, address), result, experiment, register)
    except MlflowException as error:
        raise StageError(f"MLflow at {without_password(address)} refused: {str(error).partition(chr(10))[0]}") from None


def logged(client: Any, result: Result, experiment: str, register: str) -> tuple[str, bool]:
    place = client.get_experiment_by_name(experiment)
    number = place.experiment_id if place else client.create_experiment(experiment)
    same = " and ".join(f"tags.`{name}` = '{result['tags'][name]}'" for name in ("lingyu.model", "lingyu.dvc_lock"))
    # An earlier try that was killed is no finished run, and is not taken for one.
    found = client.search_runs([number], f"{same} and attributes.status = 'FINISHED'", max_results=1)
    run = found[0].info.run_id if found else written(client, number, result)
    if register:
        version(client, run, result, register)
    return run, not found


def written(client: Any, experiment: str, result: Result) -> str:
    from mlflow.entities import Metric, Param
    from mlflow.utils.time import get_current_time_millis

    run = client.create_run(experiment, tags=result["tags"], run_name=result["winner"]).info.run_id
    params = [Param(name, value) for name, value in result["params"].items()]
    now = get_current_time_millis()
    metrics = [Metric(NOT_IN_NAMES.sub("_", name), value, now, 0) for name, value in result["metrics"].items()]
    for start in range(0, len(params), BATCH):
        client.log_batch(run, params=params[start : start + BATCH])
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[start : start + BATCH])
    for path in result["files"]:
        client.log_artifact(run, str(path))
    client.set_terminated(run)
    return str(run)


def version(client: Any, run: str, result: Result, name: str) -> None:
    """The winner as a version of a registered model, once a run. Its files are the run's artifacts, under model/."""
    from mlflow.exceptions import RestException

    if not [one for one in client.search_registered_models() if one.name == name]:
        client.create_registered_model(name)
    if [one for one in client.search_model_versions(f"name = '{name}'") if one.run_id == run]:
        return
    client.log_artifacts(run, str(result["model"]), "model")
    source = f"{client.get_run(run).info.artifact_uri}/model"
    tags = {key: value for key, value in result["tags"].items() if key.startswith("lingyu.")}
    try:
        client.create_model_version(name, source, run, tags=tags, description=result["tags"]["mlflow.note.content"])
    except RestException as error:
        raise StageError(f"MLflow did not register {name}: {str(error).partition(chr(10))[0]}") from None


def without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", address)
