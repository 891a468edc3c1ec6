"""runners: stages on another machine, in a clone of its own that shares only the git remote and the DVC remote with this one.

On the runner, in its clone, which belongs to it alone:

    PREFECT_API_URL=http://HOST:4200/api python -m flows.runners gpu    # gpu: the work pool, as retrain.pools names it

`retrain` pushes what the stages read, and a commit with data.dvc and dvc.lock as they are, to a branch of this run. The runner brings the
stages up to date, pushes their outputs, and commits its dvc.lock to that branch; `retrain` goes on from there, and removes the branch.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows import commands, dag, start
from flows.commands import Retries, retried
from flows.nodes import forward_logs, stop
from flows.schedule import kept, once
from lingyu.retrain import commits, lock
from lingyu.stage import StageError

LOCK, DVC_LOCK = Path(".lingyu/retrain/lock"), Path("dvc.lock")
POLL_SECONDS = 2.0
GPU = "gpu"  # meta.runner of the stages that want one


def given(params: Retries, job: dag.Job, names: list[str], files: list[Path]) -> None:
    """Have a worker of the job's pool run these stages of it, and take over dvc.lock and their outputs."""
    remote, log = commits.remote(), get_run_logger()
    if not remote:
        raise StageError("a runner gets its stages by git, but this clone has no git remote. `git remote add origin URL`.")
    sources = sources_of(names, {step.name: step for step in job.steps})
    if sources:
        retried(params, "dvc", "push", *sources)
    branch = f"lingyu/{runtime.flow_run.id}-{job.steps[0].name.replace('@', '-')}"
    commit = commits.snapshot(files, f"For {job.pool}: {', '.join(names)}")
    commits.git("push", "--quiet", "--force", remote, f"{commit}:refs/heads/{branch}")
    try:
        for attempt in range(params.retries + 1):
            run = finished(submitted(job, names, branch), job.pool)
            state = cast(State[Any], run.state)
            if state.is_completed():
                break
            if not state.is_crashed() or attempt == params.retries:
                raise StageError(f"{job.name}: the run {run.name} of the pool {job.pool} ended as {state.name}: {state.message}")
            log.warning("%s: the runner was lost. It goes on with the next worker of the pool %s.", job.name, job.pool)
        commits.git("fetch", "--quiet", remote, branch)
        DVC_LOCK.write_text(commits.git("show", f"FETCH_HEAD:{DVC_LOCK}") + "\n", encoding="utf-8")
    finally:
        commits.git("push", "--quiet", remote, "--delete", branch)
    retried(params, "dvc", "pull", *names)


def sources_of(names: list[str], steps: dict[str, dag.Step]) -> list[str]:
    """The stages that these read from, other than themselves."""
    sources = dict.fromkeys(name for each in names for name in steps[each].upstream if name not in names)
    if imports := [name for name in sources if name.endswith(".dvc")]:
        raise StageError(
            f"{', '.join(names)}: a runner has no {', '.join(imports)}, whose source may be on this machine alone (dvc.yaml, meta)."
        )
    return list(sources)


def submitted(job: dag.Job, names: list[str], branch: str) -> FlowRun:
    pool, what = job.pool, {"names": names, "branch": branch}
    try:
        run: Any = run_deployment(f"stages/{pool}", parameters=what, timeout=0, as_subflow=False, flow_run_name=job.name)
    except ObjectNotFound:
        raise StageError(f"the pool {pool} has no runner. On the runner, in its clone: `python -m flows.runners {pool}`.") from None
    get_run_logger().info("%s: run %s in the pool %s", ", ".join(names), run.name, pool)
    return cast(FlowRun, run)


def finished(run: FlowRun, pool: str) -> FlowRun:
    """The finished run, its log forwarded meanwhile. A run whose worker is offline is taken for crashed. Cancelled with this run."""
    forwarded = 0
    with get_client(sync_client=True) as client:
        try:
            while True:
                now = client.read_flow_run(run.id)
                commands.wait(POLL_SECONDS)  # the last log lines arrive after the state
                forwarded += forward_logs(client, pool, now, forwarded)
                if now.state and now.state.is_final():
                    return now
                if now.state and now.state.is_running() and not online(client, pool):
                    client.set_flow_run_state(run.id, State(type=StateType.CRASHED, message="its worker is offline"), force=True)
        except BaseException:
            stop(client, [run])
            raise


def online(client: SyncPrefectClient, pool: str) -> bool:
    return any(worker.status == WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool))


@flow
def stages(names: list[str], branch: str) -> None:
    """On the runner: bring these stages up to date in this clone, and push outputs and dvc.lock."""
    params, remote = Retries.model_validate(own()), commits.remote()
    with lock.held(LOCK, f"stages {runtime.flow_run.name}") as held, commands.of_a_run(held):
        commits.git("fetch", "--quiet", remote, branch)
        commits.git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        steps = {step.name: step for step in dag.steps()}
        if any(steps[name].runner == GPU for name in names) and (fault := without_gpu()):
            get_run_logger().warning("%s: %s", ", ".join(names), fault)
        if sources := sources_of(names, steps):
            retried(params, "dvc", "pull", *sources)
        for name in names:
            stage.with_options(name=name, task_run_name=name)(params, name)
        retried(params, "dvc", "push", *names)
        commit = commits.snapshot([DVC_LOCK], f"Made by {runtime.flow_run.name}: {', '.join(names)}")
        commits.git("push", "--quiet", remote, f"{commit}:refs/heads/{branch}")


def without_gpu() -> str:
    """Why torch has no GPU on this runner; "" if it has one."""
    code = "import torch; print(torch.__version__, torch.version.cuda or torch.version.hip or '-', torch.accelerator.is_available())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.split()
    if len(said) != 3:
        return "torch cannot be imported on this runner. `make setup` in its clone. 本节点无法导入 torch。"
    version, build, available = said
    if available == "True":
        return ""
    why = "is built for the processor alone" if build == "-" else f"(for {build}) finds no GPU: `nvidia-smi`"
    return f"torch {version} of this runner {why}; the stages run on the processor. 本节点的 torch 无法使用 GPU，将使用 CPU 运行。"


def own() -> dict[str, Any]:
    """The retries of retrain, without its other parameters."""
    from lingyu.stage import read_params

    return {key: value for key, value in (read_params().get("retrain") or {}).items() if key in Retries.model_fields}


@task(cache_policy=NO_CACHE)
def stage(params: Retries, name: str) -> None:
    retried(params, "dvc", "repro", "--single-item", name)


def serve(pool: str) -> None:
    """Keep a worker of the pool in this clone."""
    if not os.environ.get("PREFECT_API_URL"):
        raise StageError("a runner needs the Prefect server of `retrain`: PREFECT_API_URL=http://HOST:4200/api")
    if not commits.remote():
        raise StageError("a runner gets its stages by git, but this clone has no git remote. `git remote add origin URL`.")
    from flows.runners import stages as served  # by its module name, not as __main__, so that a run can import it

    with ExitStack() as stack:
        once("work-pool", "create", pool, "--type", "process", "--overwrite")
        here: Any = served.from_source(source=str(Path.cwd()), entrypoint="flows/runners.py:stages")
        here.to_deployment(name=pool, work_pool_name=pool).apply()
        if name := lock.abandoned(LOCK):
            crashed(name.removeprefix("stages "))
        worker = kept(stack, "worker", "start", "--pool", pool, "--type", "process", "--limit", "1")
        print(f"runners: a worker of the pool {pool} in {Path.cwd()}. Ctrl-C ends it. 按 Ctrl-C 结束。", flush=True)
        while worker.poll() is None:
            time.sleep(1)
    raise StageError("the worker ended; see its messages above. worker 已退出，见上文。")


def crashed(name: str) -> None:
    """Tell the server that this run is gone, so that `retrain` gives its stages to a runner again."""
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name]))):
            if run.state and run.state.is_running():  # not one that waits, of the same name
                client.set_flow_run_state(run.id, State(type=StateType.CRASHED, message="its machine was restarted"), force=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.runners", description="Run stages of other machines in this clone 作为运行节点")
    parser.add_argument("pool", help="the Prefect work pool, as params.yaml names it (retrain.pools)")
    given_pool = parser.parse_args().pool
    start("runners", lambda: serve(given_pool))


if __name__ == "__main__":
    main()
