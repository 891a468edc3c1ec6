"""retrain: update the corpus, bring the pipeline up to date, and recommend whether to release the new winner.

DVC decides what is stale and how to run it; this flow decides when, where and how often to retry. A run that has nothing to do ends at
once; one that fails or is cancelled leaves the project folder as it was. Only one run at a time works in a folder.

Reads   dvc.yaml                            the stages, their order, and where each should run (meta.runner)
        out/package/release/manifest.json   the metrics of the new winner
        releases/released.json              those of the last release (flows/release.py)
Writes  data.dvc, dvc.lock and the outputs of the stages; changes, metrics, report and comparison are Prefect artifacts
        .lingyu/retrain                     the lock; what a failed run had made
"""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from flows import commands, dag, start
from flows.commands import logged
from flows.release import RECORD
from lingyu.errors import UNAVAILABLE
from lingyu.files import read_json
from lingyu.release import compare
from lingyu.release import manifest as about
from lingyu.retrain import lock, tree
from lingyu.stage import StageError, StageParams

MANIFEST = Path("out/package/release/manifest.json")
LOCK = Path(".lingyu/retrain/lock")


class Params(StageParams):
    limit: PositiveInt = Field(
        1, description="Stages at a time. DVC allows several that share no file, but on one machine they share its cores."
    )
    retries: NonNegativeInt = Field(
        3,
        description="Further tries of what may pass by itself: an endpoint, a hub or a DVC remote that does not answer, a stage that was "
        "killed, a file that another DVC command holds. A broken expectation or a wrong parameter is not tried again.",
    )
    retry_delay_seconds: NonNegativeFloat = Field(30, description="Before the first further try; doubled before each of the next.")


@flow
def retrain(target: str | None = None, pull: bool = False, push: bool = False, limit: int | None = None) -> State[None] | None:
    try:
        with alone():
            return updated(Params.load("retrain"), target, pull, push, limit)
    except lock.Busy as error:
        return Cancelled(name="Skipped", message=str(error))


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder; whatever ends the run before its end also ends its commands, and puts the folder back as it was."""
    with lock.held(LOCK, f"retrain {runtime.flow_run.name}") as held, commands.of_a_run(held):
        if tree.put_back(checkout):
            get_run_logger().warning("The last run was killed; data.dvc and dvc.lock are again as before it. 已恢复到上次运行之前的状态。")
        try:
            with tree.kept([*map(Path, dag.imported()), Path("dvc.lock")], checkout):
                yield
        except StageError as error:
            raise StageError(f"{error}\n{left()}") from None


def checkout() -> None:
    """Have data/ and out/ as data.dvc and dvc.lock say. Not a command of the run, which is being cancelled perhaps."""
    dag.checkout()


def left() -> str:
    """What a failed run leaves, and where."""
    made = f" What it had made of data.dvc and dvc.lock is in {tree.HALF_MADE}." if tree.HALF_MADE.exists() else ""
    return (
        f"The project folder is as before the run.{made} Finished stages are in DVC's cache and checkpoints in .lingyu: the next run takes "
        "them from there. 项目目录已恢复；已完成的阶段在 DVC 缓存中，下次运行会直接使用。"
    )


def updated(params: Params, target: str | None, pull: bool, push: bool, limit: int | None) -> State[None] | None:
    limit = limit or params.limit
    if pull:
        dvc.with_options(name="pull")(params, "pull")
    for source in dag.imported():
        dvc.with_options(name=f"update {source}")(params, "update", source)

    every, changed = dag.steps(), dag.stale()
    steps = dag.leading_to(target, every) if target else every
    if not any(step.name in changed for step in steps):
        get_run_logger().info(NOTHING)
        return Completed(name="Nothing new", message=NOTHING)
    publish("what-changed", changes([step.name for step in steps], changed))

    states = run(params, steps, changed, limit)

    publish("metrics", metrics_table(steps))
    for report in (path for step in steps for path in step.outputs if path.name == "report.html" and path.exists()):
        create_link_artifact(key="report", link=report.resolve().as_uri(), link_text="Report 报告")
    refuse_failures(states)
    if "package" in states:
        publish("comparison", comparison(MANIFEST, RECORD))
    if push:
        dvc.with_options(name="push")(params, "push")
    return None


NOTHING = "Nothing new: data and stages are up to date. 没有新内容：数据和所有阶段均为最新。"


def run(params: Params, steps: list[dag.Step], changed: dict[str, list[Any]], limit: int) -> dict[str, State[Any]]:
    """Run what is stale in order; the final state of each stage."""
    runs: dict[str, Any] = {}
    runner: ThreadPoolTaskRunner[Any]
    with ThreadPoolTaskRunner(max_workers=limit) as runner:
        try:
            for step in steps:
                once: Any = reproduce.with_options(name=step.name, task_run_name=step.name)
                upstream = [runs[name] for name in step.upstream]
                runs[step.name] = runner.submit(once, {"params": params, "step": step, "stale": step.name in changed, "upstream": upstream})
            for each in runs.values():
                each.wait()
        except BaseException:
            commands.end()  # before the threads of the stages are waited for
            raise
    return {name: each.state for name, each in runs.items()}


@task(cache_policy=NO_CACHE)
def reproduce(params: Params, step: dag.Step, stale: bool, upstream: list[bool]) -> bool | State[bool]:
    """Bring one stage up to date; returns whether its outputs may be new. The run of an unchanged stage ends as 'Cached'."""
    if not stale and not any(upstream):
        return Completed(name="Cached", message="fresh", data=False)
    if step.runner != dag.HERE:
        get_run_logger().info("%s requests the runner %r; running here", step.name, step.runner)
    try:
        said = retried(params, "dvc", "repro", "--single-item", step.name)
    except commands.Ended:
        return Cancelled(message="The run was cancelled; a training goes on from its last checkpoint in the next run.")
    if f"Stage '{step.name}' didn't change, skipping" in said:
        return Completed(name="Cached", message="its dependencies did not change", data=False)
    if f"Stage '{step.name}' is cached - skipping run, checking out outputs" in said:
        return Completed(name="Restored", message="from an earlier run with the same dependencies", data=True)
    return True


@task(cache_policy=NO_CACHE)
def dvc(params: Params, *arguments: str) -> None:
    retried(params, "dvc", *arguments)


def retried(params: Params, *words: str) -> list[str]:
    """The output of the command, after as many tries as it takes where its error may pass by itself."""
    for attempt in range(params.retries):
        try:
            return logged(*words)
        except StageError as error:
            if not may_pass(words, str(error)):
                raise
            seconds = params.retry_delay_seconds * 2**attempt
            get_run_logger().warning("%s\nNext try in %g s (%d of %d).", error, seconds, attempt + 1, params.retries)
            commands.wait(seconds)
    return logged(*words)


def may_pass(words: tuple[str, ...], message: str) -> bool:
    """Whether the failure of a command may pass by itself, by what DVC says of it."""
    return bool(re.search(STAGE if "repro" in words else REMOTE, message) or re.search(LOCKED, message))


STAGE = rf"exited with ({UNAVAILABLE}|-\d+|1[34]\d)\b"  # it says so (lingyu.errors), or a signal killed it
REMOTE = (
    r"(?i)connection|timed? ?out|temporar|unreachable|name resolution|\b(429|50[0234])\b"  # what DVC's remotes say, or data.dvc's source
)
LOCKED = r"Unable to acquire lock|it is being blocked by"  # another DVC command is at work


def refuse_failures(states: dict[str, State[Any]]) -> None:
    """Raises one StageError with what failed, what was not run because of it, and what to do."""
    if failed := {name: state for name, state in states.items() if state.is_failed() or state.is_crashed()}:
        reasons = [str(state.result(raise_on_failure=False)) for state in failed.values()]
        waiting = [name for name, state in states.items() if state.is_pending()]
        held = [f"Not run because they depend on it: {', '.join(waiting)}."] if waiting else []
        raise StageError("\n".join([*reasons, *held, "Fix the problem and run again."]))


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
    values = vars(parser.parse_args())
    start("retrain", lambda: retrain(**values))


if __name__ == "__main__":
    main()
