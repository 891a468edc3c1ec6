"""retrain: update the corpus, bring the pipeline up to date, compare the new winner with the last release, and release it where asked.

DVC decides what is stale and how to run it; this flow decides when, where and how often to retry. A run that has nothing to do ends at
once; one that fails or is cancelled leaves the project folder as it was. Only one run at a time works in a folder.

Reads   dvc.yaml                the stages, their order, and where each should run (meta.runner)
        releases/released.json  the last release (flows/champion.py)
Writes  data.dvc, dvc.lock and the outputs of the stages; what-changed, metrics and verdict are Prefect artifacts
        a commit, a tag and a release, where asked
        .lingyu/retrain         the lock; what a failed run had made
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from httpx import HTTPError
from prefect import flow, get_run_logger, pause_flow_run, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State as RunState
from prefect.exceptions import CancelledRun
from prefect.input import RunInput
from prefect.states import Cancelled, Completed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field, PositiveFloat, PositiveInt

from flows import artifacts, champion, commands, dag, runners, start
from flows.artifacts import changes, metrics_table, publish
from flows.commands import retried
from flows.release import release as release_flow
from lingyu.files import read_json
from lingyu.retrain import commits, lock, new_data, tree, triggers, webhook
from lingyu.retrain.champion import KEPT, Decision
from lingyu.retrain.new_data import News, State
from lingyu.review.import_decisions import corpus_of
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
    feedback: triggers.Feedback = Field(triggers.Feedback(), description="Corrected answers that start a run.")
    drift: triggers.Drift = Field(triggers.Drift(), description="Served questions of another kind than those trained on.")
    webhook: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Address that verdicts, failures, waits for a person and drift are posted to as JSON; signed where "
        "LINGYU_WEBHOOK_SECRET is set.",
    )
    reports: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Address where .lingyu/retrain/reports is served, for the links on a run's page. `make schedule` serves it on this "
        "machine.",
    )


class Approval(RunInput):
    """What a person answers on the run's page, with "Resume"."""

    release: bool
    name: str
    remark: str = ""


@dataclass
class Found:
    """What a run has found out, for its page, its commit and the webhook."""

    looks: list[triggers.Look] = field(default_factory=list)
    news: News = field(default_factory=News)
    warnings: list[str] = field(default_factory=list)
    decision: Decision | None = None
    released: str = ""

    def advice(self) -> list[str]:
        return [look.advice for look in self.looks if look.advice]


def named() -> str:
    return f"retrain {time.strftime('%Y-%m-%d')}"


@flow(flow_run_name=named)
def retrain(
    target: str | None = None,
    pull: bool = False,
    push: bool = False,
    limit: int | None = None,
    commit: bool = False,
    release: bool = False,
    approve: bool = False,
) -> RunState[None] | None:
    """pull: `dvc pull` first. push: `dvc push` what was made, and the commit. commit: data.dvc and dvc.lock, on retrain.branch.
    release: the new winner, if it is better than the last release. approve: ask a person before the release."""
    params, found = Params.load("retrain"), Found()
    try:
        with alone():
            with as_before_unless_it_succeeds():
                decision = updated(params, found, target, pull, limit, commit)
                if decision is None:
                    if found.advice():
                        notify(params, found, "drift")
                    return Completed(name="Nothing new", message="\n".join([NOTHING, triggers.plain(found.looks), *found.advice()]))
                approval = asked(params, found) if release and approve and decision.promote else None
                if push:
                    dvc.with_options(name="push")(params, "push")
                made = commits.committed(params.branch, tracked(), message(found, decision, approval)) if commit else None
            tags = []
            if release and decision.promote and (approval is None or approval.release):
                release_flow()
                found.released = read_json(champion.RECORD)[-1]["version"]
                if commit:
                    tags = recorded(params.branch, found)
            if push and (made or tags):
                commits.pushed(params.branch, *tags)
            notify(params, found, "verdict")
    except lock.Busy as error:
        return Cancelled(name="Skipped", message=str(error))
    except CancelledRun:
        raise
    except Exception as error:
        notify(params, found, "failure", str(error))
        raise
    return None


def notify(params: Params, found: Found, event: str, reason: str = "") -> None:
    """Post what happened to the webhook, if there is one. What it does not take is a warning in the log."""
    if not params.webhook:
        return
    run, decision = runtime.flow_run, found.decision
    message = {
        "event": event,
        "run": run.name,
        "page": run.ui_url,
        "new": found.news.title(),
        "warnings": [*found.warnings, *found.advice()],
    }
    if event == "failure":
        message |= {"reason": reason}
    elif decision:
        message |= {"promote": decision.promote, "verdict": decision.why, "released": found.released}
    if fault := webhook.post(params.webhook, message, f"{run.id}-{event}"):
        get_run_logger().warning("The webhook %s did not take the %s: %s. 回调未送达。", params.webhook, event, fault)


def rename(what: str) -> None:
    """Name the run after what it does, on its page and in the lock. A name is no reason to fail."""
    name = f"{named()}: {what}"[:200]
    with suppress(HTTPError), get_client(sync_client=True) as client:
        client.set_flow_run_name(runtime.flow_run.id, name)
        lock.rename(LOCK, name)


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder; whatever ends the run before its end also ends its commands."""
    with lock.held(LOCK, runtime.flow_run.name) as held, commands.of_a_run(held):
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


def updated(params: Params, found: Found, target: str | None, pull: bool, limit: int | None, commit: bool) -> Decision | None:
    """Update the corpus and run what is stale; whether to release the new winner. None if there was nothing to do."""
    if commit:
        commits.check(params.branch, tracked())
    before = State.now(imports())
    if pull:
        dvc.with_options(name="pull")(params, "pull")
    look(params, found)
    for source in dag.imported():
        dvc.with_options(name=f"update {source}")(params, "update", source)

    every, changed = dag.steps(), dag.stale()
    steps = dag.leading_to(target, every) if target else every
    found.news = new_data.compared(before, State.now(imports()))
    found.looks.insert(0, triggers.Look("corpus 语料", found.news.title() or "unchanged", bool(found.news.files)))
    stale = [step.name for step in steps if step.name in changed]
    found.looks.insert(1, triggers.Look("stages 阶段", f"{len(stale)} stale by themselves", bool(stale)))
    if not stale:
        rename("nothing new")
        get_run_logger().info("%s\n%s", NOTHING, triggers.plain(found.looks))
        return None
    others = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
    rename(found.news.title() or f"changed: {', '.join(stale[:3])}{others}")
    looked = f"{triggers.markdown(found.looks)}\n\n{changes([step.name for step in steps], changed)}\n\n{found.news.markdown()}"
    publish("what-changed", looked, "Why this run began 本次运行的原因")

    states = run(params, steps, changed, limit or params.limit)

    found.news = new_data.compared(before, State.now(imports()))
    found.warnings = [*found.news.warnings(), *artifacts.warnings_of_validate()]
    publish("metrics", metrics_table(steps), "Figures of every stage 各阶段的指标")
    refuse_failures(states)
    found.decision = decision = (
        champion.decision()
        if any(step.name == "package" for step in steps)
        else Decision(False, "The package was not part of this run. 本次未更新发布包。")
    )
    publish("verdict", page(params, found, decision), decision.why)
    return decision


def imports() -> list[Path]:
    return [Path(name) for name in dag.imported()]


def look(params: Params, found: Found) -> None:
    """The triggers besides the corpus and the stages, where they are switched on."""
    if params.drift.folder:
        found.looks.append(triggers.drifted(params.drift))
    if params.feedback.folder:
        at_once = any(look.fires for look in found.looks)
        found.looks.append(triggers.taken(params.feedback, corpus_of(Path("data.dvc")), at_once))


def page(params: Params, found: Found, decision: Decision) -> str:
    """What an operator sees first."""
    warnings = [*found.warnings, *found.advice()]
    sections = [
        ("Warnings 警告", "\n".join(f"- {warning}" for warning in warnings)),
        ("Champion and challenger 冠军与挑战者", decision.table),
        ("New in the corpus 语料变化", found.news.markdown()),
        ("Leaderboard 排行榜", artifacts.leaderboard()),
        ("Rows 数据行", artifacts.rows()),
        ("Triggers 触发条件", triggers.markdown(found.looks)),
        ("Reports 报告", artifacts.reports(str(runtime.flow_run.id)[:8], artifacts.served_at(params.reports))),
    ]
    return artifacts.summary(decision.why, sections)


def asked(params: Params, found: Found) -> Approval:
    """What a person decides. The run waits meanwhile, and ends as a failure when nobody answers; the next one asks again."""
    hours = params.approval_hours
    get_run_logger().info(
        "Waiting up to %g h for a person: open this run's page and choose Resume. 等待人工批准：在本次运行的页面上点 Resume。", hours
    )
    notify(params, found, "approval")
    answer: Approval = pause_flow_run(wait_for_input=Approval, timeout=round(hours * 3600), poll_interval=POLL_SECONDS)
    said = f"**{'approved 已批准' if answer.release else 'refused 未批准'}**, {answer.name}: {answer.remark or '–'}"
    publish("approval", said, said)
    return answer


def message(found: Found, decision: Decision, approval: Approval | None) -> str:
    """The message of the commit."""
    parts = [f"Retrain: {found.news.title() or 'data and models of the last run'}", decision.why, found.news.plain()]
    if approval:
        parts.append(f"Release {'approved' if approval.release else 'refused'} by {approval.name}. {approval.remark}".rstrip())
    return "\n\n".join(filter(None, parts))


def recorded(branch: str, found: Found) -> list[str]:
    """Commit the record of the release, and give the commit a tag; the tag."""
    version = found.released
    commits.committed(branch, [champion.RECORD, champion.RECORD.parent / KEPT], f"Release {version}")
    commits.tagged(f"release-{version}", "\n\n".join(filter(None, [f"Release {version}", found.news.plain()])))
    return [f"release-{version}"]


ENDED = "The run was cancelled; a training goes on from its last checkpoint in the next run."
NOTHING = "Nothing new: data and stages are up to date. 没有新内容：数据和所有阶段均为最新。"


def run(params: Params, steps: list[dag.Step], changed: dict[str, list[Any]], limit: int) -> dict[str, RunState[Any]]:
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
def reproduce(params: Params, job: dag.Job, changed: list[str], upstream: list[list[str]]) -> list[str] | RunState[list[str]]:
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
def elsewhere(params: Params, job: dag.Job, changed: list[str], upstream: list[list[str]]) -> list[str] | RunState[list[str]]:
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


def refuse_failures(states: dict[str, RunState[Any]]) -> None:
    """Raises one StageError with what failed, what was not run because of it, and what to do."""
    if failed := {name: state for name, state in states.items() if state.is_failed() or state.is_crashed()}:
        reasons = [str(state.result(raise_on_failure=False)) for state in failed.values()]
        waiting = [name for name, state in states.items() if state.is_pending()]
        held = [f"Not run because they depend on it: {', '.join(waiting)}."] if waiting else []
        raise StageError("\n".join([*reasons, *held, "Fix the problem and run again."]))


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
