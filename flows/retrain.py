"""retrain: bring the pipeline up to date, and say whether its new winner should be released.

DVC knows what is stale and how to make it; this flow says when, where and how often to try. It releases nothing.

Reads   dvc.yaml                            the stages, their order, and where each wants to run (meta.runner)
        out/package/release/manifest.json   the metrics of the new winner
        releases/released.json              those of the last release (flows/release.py)
Writes  what the stages write; what changed, the metrics, the report and the comparison are artifacts in Prefect
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
LAST_LINES = 12  # of a failed stage, in the message; all of them are in the log of its task
# DVC says after every stage how to commit it. Not news in a log.
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
    tell("what-changed", changes([step.name for step in steps], changed))

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

    tell("metrics", metrics_table(steps))
    for report in (path for step in steps for path in step.outputs if path.name == "report.html" and path.exists()):
        create_link_artifact(key="report", link=report.resolve().as_uri(), link_text="Report 报告")
    refuse_failures({name: run.state for name, run in runs.items()})
    if "package" in runs:
        tell("comparison", comparison(MANIFEST, RECORD))
    if push:
        dvc.with_options(name="push")("push")


@task(cache_policy=NO_CACHE)
def reproduce(step: dag.Step, stale: bool, upstream: list[bool]) -> bool | State[bool]:
    """Bring one stage up to date; whether it was made anew. The run of a fresh one ends as 'Cached'."""
    if not stale and not any(upstream):
        return Completed(name="Cached", message="fresh", data=False)
    if step.runner != dag.HERE:
        get_run_logger().info("%s asks for the runner %r; run here", step.name, step.runner)
    if f"Stage '{step.name}' didn't change, skipping" in logged("dvc", "repro", "--single-item", step.name):
        return Completed(name="Cached", message="what it reads came out as before", data=False)
    return True


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10)
def dvc(*arguments: str) -> None:
    logged("dvc", *arguments)


def logged(*words: str, **environment: str) -> list[str]:
    """Run `python -m words`, what it prints in the log of the run; its lines. Raises StageError with the last of them when it fails."""
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
    """How often to try a stage again, after how long, and after what."""
    if wanted := params.retries.get(step.stage, params.retries.get(step.runner, 0)):
        return {"retries": wanted, "retry_delay_seconds": params.retry_delay_seconds}
    # Side by side a stage may find DVC's lock taken for longer than the seconds that DVC waits.
    return {"retries": 5 if limit > 1 else 0, "retry_delay_seconds": 5, "retry_condition_fn": lock_was_taken}


def lock_was_taken(_task: Any, _run: Any, state: State[Any]) -> bool:
    return any(words in (state.message or "") for words in ("Unable to acquire lock", "it is being blocked by"))


def check(params: Params, every: list[dag.Step]) -> None:
    """Raise where `retries` names what dvc.yaml does not have."""
    known = {step.stage for step in every} | {step.runner for step in every}
    if unknown := sorted(params.retries.keys() - known):
        raise StageError(
            f"retrain.retries of params.yaml names no stage and no runner: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."
        )


def refuse_failures(states: dict[str, State[Any]]) -> None:
    """Raise one StageError that names what failed, what was not run because of it, and what to do."""
    if failed := {name: state for name, state in states.items() if state.is_failed() or state.is_crashed()}:
        reasons = [str(state.result(raise_on_failure=False)) for state in failed.values()]
        waiting = [name for name, state in states.items() if state.is_pending()]
        held = [f"Not run, because they need it: {', '.join(waiting)}."] if waiting else []
        raise StageError(
            "\n".join([*reasons, *held, "All that was made is kept; put it right and run again: only what is missing is made."])
        )


def tell(key: str, markdown: str) -> None:
    """To the log for who watches, and kept as an artifact for who comes later."""
    get_run_logger().info("%s:\n%s", key, markdown)
    create_markdown_artifact(key=key, markdown=markdown)


def changes(names: list[str], changed: dict[str, list[Any]]) -> str:
    """A line for each stage that is stale by itself, with what changed."""
    rows = [f"| {name} | {', '.join(described(changed[name]))} |" for name in names if name in changed]
    if not rows:
        return "Nothing is stale. 一切都是最新的。"
    return "\n".join(["| stage 阶段 | what changed 变更 |", "| --- | --- |", *rows])


def described(reasons: list[Any]) -> Iterator[str]:
    for reason in reasons:
        if isinstance(reason, str):
            yield reason
        else:
            yield from (f"{path} {how}" for paths in reason.values() for path, how in flat(paths))


def flat(paths: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """DVC puts changed parameters under their file."""
    for path, how in paths.items():
        yield from flat(how) if isinstance(how, dict) else [(path, str(how))]


def metrics_table(steps: list[dag.Step]) -> str:
    """A table for each stage that measures, a column for each of its items. Ledgers, which count rows, are too long for one."""
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
    """The metrics with a name each, a.b for b in a; one with its interval stays whole."""
    for name, value in values.items():
        if isinstance(value, dict) and not has_interval(value):
            yield from named(value, f"{under}{name}.")
        else:
            yield under + name, value


def has_interval(value: dict[str, Any]) -> bool:
    return {"value", "low", "high", "count"} <= value.keys()


def cell(value: Any) -> str:
    if isinstance(value, dict):
        return compare.shown(value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def comparison(manifest: Path, released: Path) -> str:
    """The packaged winner beside the last release, metric by metric, and whether to release it."""
    entries = read_json(released) if released.exists() else []
    if not entries:
        return "Nothing was released yet: there is nothing to compare with. 尚未发布过，无从比较。 `python -m flows.release`"
    last, now = entries[-1], {**about.lineage(Path()), **read_json(manifest)}
    found = compare.verdicts(last, now)
    same_model = compare.weights(last) == compare.weights(now)
    return "\n\n".join([compare.advice(found, same_model), f"{last['version']}, {last['place']}", compare.table(found)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description="Bring the pipeline up to date 更新流水线")
    parser.add_argument("--target", help="a stage, or all items of one; what leads to it is brought up to date, default: all")
    parser.add_argument("--limit", type=int, help="stages side by side; default: params.yaml, retrain.limit")
    parser.add_argument("--pull", action="store_true", help="`dvc pull` first")
    parser.add_argument("--push", action="store_true", help="`dvc push` when all went well")
    parser.add_argument("--schedule", metavar="CRON", help='stay and run on this schedule, such as "0 3 * * 1"; needs a Prefect server')
    values = vars(parser.parse_args())
    schedule = values.pop("schedule")
    start("retrain", lambda: serve(schedule, values) if schedule else retrain(**values))


def serve(schedule: str, values: dict[str, Any]) -> None:
    """Stay, and run the flow on a schedule kept by a Prefect server; never two runs at once, as they share the folder."""
    if not os.environ.get("PREFECT_API_URL"):
        raise StageError(
            "a schedule needs a Prefect server that keeps it. Start one with `prefect server start` and say where it is: "
            "PREFECT_API_URL=http://127.0.0.1:4200/api python -m flows.retrain --schedule …"
        )
    from flows.retrain import retrain as served  # by its module's name, not as __main__, so that a run can import it

    served.serve(name="lingyu", cron=schedule, parameters=values, limit=1, entrypoint_type=EntrypointType.MODULE_PATH)


if __name__ == "__main__":
    main()
