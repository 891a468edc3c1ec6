"""retrain: update the corpus, bring the pipeline up to date, compare the new winner with the last release, and release it where asked.

DVC decides what is stale and how to run it; this flow decides when, where and how often to retry. A run that has nothing to do ends at
once; one that fails or is cancelled leaves the project folder as it was. Only one run at a time works in a folder.

Reads   dvc.yaml                the stages, their order, and where each should run (meta.runner)
        releases/released.json  the last release (flows/champion.py)
Writes  data.dvc, dvc.lock and the outputs of the stages; changes, metrics, report and comparison are Prefect artifacts
        a commit, a tag and a release, where asked
        .lingyu/retrain         the lock; what a failed run had made
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, pause_flow_run, runtime, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.input import RunInput
from prefect.states import Cancelled, Completed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field, PositiveFloat, PositiveInt

from flows import champion, commands, dag, runners, start
from flows.commands import retried
from flows.release import release as release_flow
from lingyu.files import read_json
from lingyu.release import compare
from lingyu.retrain import commits, lock, tree
from lingyu.retrain.champion import Decision
from lingyu.stage import StageError

LOCK = Path(".lingyu/retrain/lock")
POLL_SECONDS = 5


class Params(commands.Retries):
    limit: PositiveInt = Field(
        1, description="Stages at a time. DVC allows several that share no file, but on one machine they share its cores."
    )
    pools: dict[str, str] = Field(
        {},
        description="Runner (dvc.yaml, meta.runner) and the Prefect work pool that runs its stages in a clone of its own: {gpu: gpu}. "
        "Stages of other runners run here.",
    )
    branch: str = Field("retrain", min_length=1, description="Where a run that commits puts data.dvc and dvc.lock.")
    approval_hours: PositiveFloat = Field(72, description="How long a run waits for a person: over a weekend.")


class Approval(RunInput):
    """What a person answers on the run's page, with "Resume"."""

    release: bool
    name: str
    remark: str = ""


@flow
def retrain(
    target: str | None = None,
    pull: bool = False,
    push: bool = False,
    limit: int | None = None,
    commit: bool = False,
    release: bool = False,
    approve: bool = False,
) -> State[None] | None:
    """pull: `dvc pull` first. push: `dvc push` what was made, and the commit. commit: data.dvc and dvc.lock, on retrain.branch.
    release: the new winner, if it is better than the last release. approve: ask a person before the release."""
    params = Params.load("retrain")
    try:
        with alone():
            with as_before_unless_it_succeeds():
                decision = updated(params, target, pull, limit, commit)
                if decision is None:
                    return Completed(name="Nothing new", message=NOTHING)
                approval = asked(params) if release and approve and decision.promote else None
                if push:
                    dvc.with_options(name="push")(params, "push")
                made = commits.committed(params.branch, tracked(), message(decision, approval)) if commit else None
            tags = []
            if release and decision.promote and (approval is None or approval.release):
                release_flow()
                if commit:
                    tags = recorded(params.branch)
            if push and (made or tags):
                commits.pushed(params.branch, *tags)
    except lock.Busy as error:
        return Cancelled(name="Skipped", message=str(error))
    return None


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder; whatever ends the run before its end also ends its commands."""
    with lock.held(LOCK, f"retrain {runtime.flow_run.name}") as held, commands.of_a_run(held):
        yield


@contextmanager
def as_before_unless_it_succeeds() -> Iterator[None]:
    if tree.put_back(dag.checkout):
        get_run_logger().warning("The last run was killed; data.dvc and dvc.lock are again as before it. 已恢复到上次运行之前的状态。")
    try:
        with tree.kept(tracked(), dag.checkout):
            yield
    except StageError as error:
        raise StageError(f"{error}\n{left()}") from None


def tracked() -> list[Path]:
    return [*map(Path, dag.imported()), Path("dvc.lock")]


def left() -> str:
    """What a failed run leaves, and where."""
    made = f" What it had made of data.dvc and dvc.lock is in {tree.HALF_MADE}." if tree.HALF_MADE.exists() else ""
    return (
        f"The project folder is as before the run.{made} Finished stages are in DVC's cache and checkpoints in .lingyu: the next run takes "
        "them from there. 项目目录已恢复；已完成的阶段在 DVC 缓存中，下次运行会直接使用。"
    )


def updated(params: Params, target: str | None, pull: bool, limit: int | None, commit: bool) -> Decision | None:
    """Update the corpus and run what is stale; whether to release the new winner. None if there was nothing to do."""
    if commit:
        commits.check(params.branch, tracked())
    if pull:
        dvc.with_options(name="pull")(params, "pull")
    for source in dag.imported():
        dvc.with_options(name=f"update {source}")(params, "update", source)

    every, changed = dag.steps(), dag.stale()
    steps = dag.leading_to(target, every) if target else every
    if not any(step.name in changed for step in steps):
        get_run_logger().info(NOTHING)
        return None
    publish("what-changed", changes([step.name for step in steps], changed))

    states = run(params, steps, changed, limit or params.limit)

    publish("metrics", metrics_table(steps))
    for report in (path for step in steps for path in step.outputs if path.name == "report.html" and path.exists()):
        create_link_artifact(key="report", link=report.resolve().as_uri(), link_text="Report 报告")
    refuse_failures(states)
    decision = (
        champion.decision()
        if any(step.name == "package" for step in steps)
        else Decision(False, "The package was not part of this run. 本次未更新发布包。")
    )
    publish("comparison", f"**{decision.why}**\n\n{decision.table}")
    return decision


def asked(params: Params) -> Approval:
    """What a person decides. The run waits meanwhile, and ends as a failure when nobody answers; the next one asks again."""
    hours = params.approval_hours
    get_run_logger().info(
        "Waiting up to %g h for a person: open this run's page and choose Resume. 等待人工批准：在本次运行的页面上点 Resume。", hours
    )
    answer: Approval = pause_flow_run(wait_for_input=Approval, timeout=round(hours * 3600), poll_interval=POLL_SECONDS)
    publish("approval", f"**{'approved 已批准' if answer.release else 'refused 未批准'}**, {answer.name}: {answer.remark or '–'}")
    return answer


def message(decision: Decision, approval: Approval | None) -> str:
    """The message of the commit."""
    lines = ["Retrain: data and models of the last run", "", decision.why]
    if approval:
        lines += ["", f"Release {'approved' if approval.release else 'refused'} by {approval.name}. {approval.remark}".rstrip()]
    return "\n".join(lines)


def recorded(branch: str) -> list[str]:
    """Commit the record of the release, and give the commit a tag; the tag."""
    version = read_json(champion.RECORD)[-1]["version"]
    commits.committed(branch, [champion.RECORD], f"Release {version}")
    commits.tagged(f"release-{version}", f"Release {version}")
    return [f"release-{version}"]


ENDED = "The run was cancelled; a training goes on from its last checkpoint in the next run."
NOTHING = "Nothing new: data and stages are up to date. 没有新内容：数据和所有阶段均为最新。"


def run(params: Params, steps: list[dag.Step], changed: dict[str, list[Any]], limit: int) -> dict[str, State[Any]]:
    """Run what is stale in order; the final state of each stage, or of the stages that a runner gets together."""
    jobs = dag.jobs(steps, params.pools)
    job_of = {step.name: job.name for job in jobs for step in job.steps}
    runs: dict[str, Any] = {}
    runner: ThreadPoolTaskRunner[Any]
    with ThreadPoolTaskRunner(max_workers=limit) as runner:
        try:
            for job in jobs:
                once: Any = (elsewhere if job.pool else reproduce).with_options(name=job.name, task_run_name=job.name)
                needed = dict.fromkeys(job_of[name] for step in job.steps for name in step.upstream)
                upstream = [runs[name] for name in needed if name != job.name]
                runs[job.name] = runner.submit(once, {"params": params, "job": job, "changed": [*changed], "upstream": upstream})
            for each in runs.values():
                each.wait()
        except BaseException:
            commands.end()  # before the threads of the stages are waited for
            raise
    return {name: each.state for name, each in runs.items()}


@task(cache_policy=NO_CACHE)
def reproduce(params: Params, job: dag.Job, changed: list[str], upstream: list[list[str]]) -> list[str] | State[list[str]]:
    """Bring one stage up to date; returns its name if its outputs may be new. The run of an unchanged stage ends as 'Cached'."""
    (step,) = job.steps
    if not job.stale(changed, upstream):
        return Completed(name="Cached", message="fresh", data=[])
    if step.runner != dag.HERE:
        get_run_logger().info("%s requests the runner %r, which retrain.pools does not name; running here", step.name, step.runner)
    try:
        said = retried(params, "dvc", "repro", "--single-item", step.name)
    except commands.Ended:
        return Cancelled(message=ENDED)
    if f"Stage '{step.name}' didn't change, skipping" in said:
        return Completed(name="Cached", message="its dependencies did not change", data=[])
    if f"Stage '{step.name}' is cached - skipping run, checking out outputs" in said:
        return Completed(name="Restored", message="from an earlier run with the same dependencies", data=[step.name])
    return [step.name]


@task(cache_policy=NO_CACHE)
def elsewhere(params: Params, job: dag.Job, changed: list[str], upstream: list[list[str]]) -> list[str] | State[list[str]]:
    """Have a runner bring these stages up to date; returns the names of those whose outputs may be new."""
    stale = job.stale(changed, upstream)
    if not stale:
        return Completed(name="Cached", message="fresh", data=[])
    try:
        runners.given(params, job, stale, tracked())
    except commands.Ended:
        return Cancelled(message=ENDED)
    return stale


@task(cache_policy=NO_CACHE)
def dvc(params: Params, *arguments: str) -> None:
    retried(params, "dvc", *arguments)


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description="Bring the pipeline up to date 更新流水线")
    parser.add_argument("--target", help="a stage, or all items of one; it and its upstream stages are brought up to date (default: all)")
    parser.add_argument("--limit", type=int, help="number of stages to run in parallel (default: params.yaml, retrain.limit)")
    parser.add_argument("--pull", action="store_true", help="run `dvc pull` first")
    parser.add_argument("--push", action="store_true", help="`dvc push` what was made, and push the commit where there is a remote")
    parser.add_argument("--commit", action="store_true", help="commit data.dvc and dvc.lock on a branch (params.yaml, retrain.branch)")
    parser.add_argument("--release", action="store_true", help="release the new winner if it is better than the last release")
    parser.add_argument("--approve", action="store_true", help="ask a person before the release; requires a Prefect server")
    values = vars(parser.parse_args())
    start("retrain", lambda: by_hand(values))


def by_hand(values: dict[str, Any]) -> None:
    if values["approve"] and not os.environ.get("PREFECT_API_URL"):
        raise StageError("--approve needs a Prefect server, on whose page a person answers: set PREFECT_API_URL, or use `make schedule`.")
    retrain(**values)


if __name__ == "__main__":
    main()
