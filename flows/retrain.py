"""retrain: bring the pipeline up to date, and recommend whether to release the new winner.

DVC decides what is stale and how to run it; this flow decides when, where and how often to retry. It releases nothing.

Reads   dvc.yaml                            the stages, their order, and where each should run (meta.runner)
        out/package/release/manifest.json   the metrics of the new winner
        releases/released.json              those of the last release (flows/release.py)
Writes  the outputs of the stages; changes, metrics, report and comparison are Prefect artifacts
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.types.entrypoint import EntrypointType
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from flows import dag, start
from flows.release import RECORD
from lingyu.files import read_json
from lingyu.release import compare
from lingyu.release import manifest as about
from lingyu.stage import StageError, StageParams

MANIFEST = Path("out/package/release/manifest.json")
LAST_LINES = 12  # of a failed stage, in the message; the full output is in the log of its task
# DVC prints after every stage how to commit it; not useful in a log.
HINTS = ("To track the changes with git", "git add ", "To enable auto staging", "dvc config core.autostage", "Use `dvc push`")


class Params(StageParams):
    limit: PositiveInt = Field(
        1, description="Stages at a time. DVC allows several that share no file, but on one machine they share its cores."
    )
    retries: dict[str, NonNegativeInt] = Field(
        {"gpu": 1, "base": 2, "generate": 2},
        description="Tries after a failure, by a stage's runner (dvc.yaml, meta.runner) or by its name: GPU nodes are taken away, "
        "endpoints and hubs do not answer. The other stages are deterministic and would only fail twice.",
    )
    retry_delay_seconds: NonNegativeFloat = Field(30, description="Long enough for a node or an endpoint to come back.")


@flow
def retrain(target: str | None = None, pull: bool = False, push: bool = False, limit: int | None = None) -> None:
    params = Params.load("retrain")
    limit = limit or params.limit
    if pull:
        dvc.with_options(name="pull")("pull")
    for source in dag.imported():
        dvc.with_options(name=f"update {source}")("update", source)

    every, changed = dag.steps(), dag.stale()
    check(params, every)
    steps = dag.leading_to(target, every) if target else every
    publish("what-changed", changes([step.name for step in steps], changed))

    runs: dict[str, Any] = {}
    runner: ThreadPoolTaskRunner[Any]
    with ThreadPoolTaskRunner(max_workers=limit) as runner:
        for step in steps:
            once: Any = reproduce.with_options(
                name=step.name,
                task_run_name=step.name,
                **retrying(params, step, limit),
            )
            upstream = [runs[name] for name in step.upstream]
            runs[step.name] = runner.submit(once, {"step": step, "stale": step.name in changed, "upstream": upstream})
        for run in runs.values():
            run.wait()

    publish("metrics", metrics_table(steps))
    for report in (path for step in steps for path in step.outputs if path.name == "report.html" and path.exists()):
        create_link_artifact(key="report", link=report.resolve().as_uri(), link_text="Report 报告")
    refuse_failures({name: run.state for name, run in runs.items()})
    if "package" in runs:
        publish("comparison", comparison(MANIFEST, RECORD))
    if push:
        dvc.with_options(name="push")("push")


@task(cache_policy=NO_CACHE)
def reproduce(step: dag.Step, stale: bool, upstream: list[bool]) -> bool | State[bool]:
    """Bring one stage up to date; returns whether it was rerun. The run of an unchanged stage ends as 'Cached'."""
    if not stale and not any(upstream):
        return Completed(name="Cached", message="fresh", data=False)
    if step.runner != dag.HERE:
        get_run_logger().info("%s requests the runner %r; running here", step.name, step.runner)
    if f"Stage '{step.name}' didn't change, skipping" in logged("dvc", "repro", "--single-item", step.name):
        return Completed(name="Cached", message="its dependencies did not change", data=False)
    return True


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10)
def dvc(*arguments: str) -> None:
    logged("dvc", *arguments)


def logged(*words: str, **environment: str) -> list[str]:
    """Run `python -m words` and log its output; returns the lines. Raises StageError with the last lines if it fails."""
    log, lines = get_run_logger(), []
    with dag.running(*words, **environment) as process:
        assert process.stdout is not None
        for line in dag.lines(process.stdout):
            if not line.lstrip().startswith(HINTS):
                log.info("%s", line)
            lines.append(line)
    if process.returncode:
        raise StageError("\n  ".join([f"`{' '.join(words)}` failed:", *lines[-LAST_LINES:]]))
    return lines


def retrying(params: Params, step: dag.Step, limit: int) -> dict[str, Any]:
    """How often to retry a stage, after what delay, and after which errors."""
    if wanted := params.retries.get(step.stage, params.retries.get(step.runner, 0)):
        return {"retries": wanted, "retry_delay_seconds": params.retry_delay_seconds}
    # With parallel stages, DVC's lock may be held longer than DVC waits for it.
    return {"retries": 5 if limit > 1 else 0, "retry_delay_seconds": 5, "retry_condition_fn": lock_was_taken}


def lock_was_taken(_task: Any, _run: Any, state: State[Any]) -> bool:
    return any(words in (state.message or "") for words in ("Unable to acquire lock", "it is being blocked by"))


def check(params: Params, every: list[dag.Step]) -> None:
    """Raises StageError if `retries` names an unknown stage or runner."""
    known = {step.stage for step in every} | {step.runner for step in every}
    if unknown := sorted(params.retries.keys() - known):
        raise StageError(f"params.yaml, retrain.retries: unknown stage or runner {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")


def refuse_failures(states: dict[str, State[Any]]) -> None:
    """Raises one StageError with what failed, what was not run because of it, and what to do."""
    if failed := {name: state for name, state in states.items() if state.is_failed() or state.is_crashed()}:
        reasons = [str(state.result(raise_on_failure=False)) for state in failed.values()]
        waiting = [name for name, state in states.items() if state.is_pending()]
        held = [f"Not run because they depend on it: {', '.join(waiting)}."] if waiting else []
        raise StageError(
            "\n".join([*reasons, *held, "Finished stages are kept; fix the problem and run again: only missing stages are run."])
        )


def publish(key: str, markdown: str) -> None:
    """Write to the log, and store as an artifact."""
    get_run_logger().info("%s:\n%s", key, markdown)
    create_markdown_artifact(key=key, markdown=markdown)


def changes(names: list[str], changed: dict[str, list[Any]]) -> str:
    """A line for each stage that is stale by itself, with what changed."""
    rows = [f"| {name} | {', '.join(described(changed[name]))} |" for name in names if name in changed]
    if not rows:
        return "Everything is up to date. 所有阶段均为最新。"
    return "\n".join(["| stage 阶段 | what changed 变更 |", "| --- | --- |", *rows])


def described(reasons: list[Any]) -> Iterator[str]:
    for reason in reasons:
        if isinstance(reason, str):
            yield reason
        else:
            yield from (f"{path} {how}" for paths in reason.values() for path, how in flat(paths))


def flat(paths: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """DVC nests changed parameters under their file."""
    for path, how in paths.items():
        yield from flat(how) if isinstance(how, dict) else [(path, str(how))]


def metrics_table(steps: list[dag.Step]) -> str:
    """A table for each stage with metrics, a column for each of its items. Ledgers, which count rows, are too long for this."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for step in steps:
        for path in step.metrics:
            if path.exists() and path.name != "ledger.json":
                groups.setdefault(step.stage, {})[step.name.partition("@")[2] or "value"] = dict(named(read_json(path)))
    tables = []
    for stage, columns in groups.items():
        rows = dict.fromkeys(name for values in columns.values() for name in values)
        head = [f"**{stage}**\n", f"| metric 指标 | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
        tables.append(
            "\n".join([*head, *(f"| {row} | {' | '.join(cell(values.get(row)) for values in columns.values())} |" for row in rows)])
        )
    return "\n\n".join(tables) or "No stage has metrics. 没有指标。"


def named(values: dict[str, Any], under: str = "") -> Iterator[tuple[str, Any]]:
    """The metrics under flat names, a.b for b in a; a metric with its interval stays one entry."""
    for name, value in values.items():
        if isinstance(value, dict) and not has_interval(value):
            yield from named(value, f"{under}{name}.")
        else:
            yield under + name, value


def has_interval(value: dict[str, Any]) -> bool:
    return {"value", "low", "high", "count"} <= value.keys()


def cell(value: Any) -> str:
    if isinstance(value, dict):
        return compare.with_interval(value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def comparison(manifest: Path, released: Path) -> str:
    """The packaged winner compared with the last release, metric by metric, and whether to release it."""
    entries = read_json(released) if released.exists() else []
    if not entries:
        return "No release to compare with yet; release with `python -m flows.release`. 尚无已发布的模型可供比较，可用该命令发布。"
    last, now = entries[-1], {**about.lineage(Path()), **read_json(manifest)}
    found = compare.verdicts(last, now)
    same_model = compare.weights(last) == compare.weights(now)
    return "\n\n".join([compare.advice(found, same_model), f"{last['version']}, {last['place']}", compare.table(found)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description="Bring the pipeline up to date 更新流水线")
    parser.add_argument("--target", help="a stage, or all items of one; it and its upstream stages are brought up to date (default: all)")
    parser.add_argument("--limit", type=int, help="number of stages to run in parallel (default: params.yaml, retrain.limit)")
    parser.add_argument("--pull", action="store_true", help="run `dvc pull` first")
    parser.add_argument("--push", action="store_true", help="run `dvc push` after a successful run")
    parser.add_argument("--schedule", metavar="CRON", help='keep running on this schedule, such as "0 3 * * 1"; requires a Prefect server')
    values = vars(parser.parse_args())
    schedule = values.pop("schedule")
    start("retrain", lambda: serve(schedule, values) if schedule else retrain(**values))


def serve(schedule: str, values: dict[str, Any]) -> None:
    """Keep running the flow on a schedule held by a Prefect server, one run at a time because runs share the folder."""
    if not os.environ.get("PREFECT_API_URL"):
        raise StageError(
            "a schedule requires a Prefect server. Start one with `prefect server start`, then run: "
            "PREFECT_API_URL=http://127.0.0.1:4200/api python -m flows.retrain --schedule …"
        )
    from flows.retrain import retrain as served  # imported under its module name, not as __main__, so that a run can import it

    served.serve(name="lingyu", cron=schedule, parameters=values, limit=1, entrypoint_type=EntrypointType.MODULE_PATH)


if __name__ == "__main__":
    main()
