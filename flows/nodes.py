"""nodes: train one stage on several nodes with the workers of a Prefect work pool.

On each node, in the shared project folder, a worker serves the queue of that node:

    prefect work-pool create gpus --type process
    prefect worker start --pool gpus --work-queue node0 --limit 1    # on the first; node1, node2 … on the others

    python -m flows.nodes sft@lora --pool gpus --nodes 2 --rendezvous node1:29500    # address of the first node

DVC runs on node 0 only; the other nodes join the training that its stage starts (lingyu.launch).

Reads   dvc.yaml, params.yaml   whether the stage is stale, and the number of training processes
Writes  the outputs of the stage
"""

import argparse
import importlib
import logging
import math
import os
import time
from pathlib import Path
from typing import Any, cast

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.client.schemas.sorting import LogSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows import dag, start, without_traceback
from flows.commands import logged
from lingyu.stage import StageError

POLL_SECONDS = 2.0
START_TIMEOUT = 600.0  # how long the nodes wait for each other to start
STOP_TIMEOUT = 60.0  # how long a node may continue after another one failed: its training ends by itself, or hangs waiting for it


@flow
def node(stage: str, number: int, nodes: int, rendezvous: str) -> None:
    """The run of one node."""
    logging.getLogger("prefect.flow_runs").addFilter(without_traceback)
    name, _, item = stage.partition("@")
    words = ("dvc", "repro", "--single-item", stage) if number == 0 else (f"stages.{name}", *filter(None, [item]))
    logged(*words, LINGYU_NODES=str(nodes), LINGYU_NODE=str(number), LINGYU_RENDEZVOUS=rendezvous)


@flow
def train_on_nodes(stage: str, pool: str, nodes: int, rendezvous: str) -> None:
    """Submit a run to the queue of each node, and wait until all are finished."""
    if not needs_training(stage, nodes):
        get_run_logger().info("%s is up to date. 已是最新。", stage)
        return
    check_workers(pool, nodes)
    runs = [submitted(number, stage, pool, nodes, rendezvous) for number in range(nodes)]
    failed = [describe(number, run) for number, run in enumerate(finished(runs)) if not (run.state and run.state.is_completed())]
    if failed:
        raise StageError(
            f"{stage}: {' and '.join(failed)} of {nodes} nodes failed; see their logs above and in the Prefect runs. "
            "Run again: training resumes from its last complete checkpoint."
        )


def describe(number: int, run: FlowRun) -> str:
    return f"node {number}" if run.run_count else f"node {number} (no worker picked up the run from the queue node{number})"


def needs_training(stage: str, nodes: int) -> bool:
    """Whether the stage needs training. Raises StageError if it cannot run on these nodes."""
    if nodes < 2:
        raise StageError(f"nodes is {nodes}. On one machine use `dvc repro {stage}`.")
    every, changed = dag.steps(), dag.stale()
    leading = [step.name for step in dag.leading_to(stage, every)]
    if leading[-1] != stage:
        items = [step.name for step in every if step.stage == stage]
        raise StageError(f"{stage} has several items; choose one of {', '.join(items)}.")
    if waiting := [name for name in leading[:-1] if name in changed]:
        raise StageError(f"{stage} depends on stages that are not up to date: {', '.join(waiting)}. Run `dvc repro {waiting[-1]}` first.")
    name, _, item = stage.partition("@")
    processes = getattr(importlib.import_module(f"stages.{name}").Params.load(name, item or None), "processes", 1)
    if processes == 1 or processes % nodes:
        raise StageError(
            f"{stage} trains in {processes} processes, which cannot be distributed evenly over {nodes} nodes: see its `processes`."
        )
    return stage in changed


def check_workers(pool: str, nodes: int) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            raise StageError(f"no work pool named {pool!r}. Create it with `prefect work-pool create {pool} --type process`.") from None
        workers = client.read_workers_for_work_pool(pool)
    online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
    if online < nodes:
        raise StageError(
            f"only {online} of {nodes} nodes have a worker in the pool {pool}. On each node, in the project folder, run: "
            f"`prefect worker start --pool {pool} --work-queue node0 --limit 1`, with node1, node2 … on the others."
        )


def submitted(number: int, stage: str, pool: str, nodes: int, rendezvous: str) -> FlowRun:
    """Submit the run of a node to its queue."""
    here: Any = node.from_source(source=str(Path.cwd()), entrypoint="flows/nodes.py:node")
    here.to_deployment(name=f"node{number}", work_pool_name=pool, work_queue_name=f"node{number}").apply()
    values = {"stage": stage, "number": number, "nodes": nodes, "rendezvous": rendezvous}
    run: Any = run_deployment(f"node/node{number}", parameters=values, timeout=0)
    get_run_logger().info("node %d: run %s in the queue node%d of %s", number, run.name, number, pool)
    return cast(FlowRun, run)


def finished(runs: list[FlowRun]) -> list[FlowRun]:
    """The finished runs; their logs are forwarded meanwhile. If one fails or never starts, or this flow is stopped, all are stopped."""
    forwarded, end = [0] * len(runs), time.monotonic() + START_TIMEOUT
    with get_client(sync_client=True) as client:
        try:
            while True:
                now = [client.read_flow_run(run.id) for run in runs]
                states = [run.state for run in now if run.state]
                over = all(state.is_final() for state in states) or time.monotonic() > end + STOP_TIMEOUT
                if any(state.is_final() and not state.is_completed() for state in states):
                    end = min(end, time.monotonic() + STOP_TIMEOUT)
                elif not any(state.is_scheduled() or state.is_pending() for state in states):
                    end = math.inf  # all have started
                if time.monotonic() > end:
                    stop(client, runs)
                time.sleep(POLL_SECONDS)  # the last log lines arrive after the state
                for number, run in enumerate(runs):
                    forwarded[number] += forward_logs(client, f"node {number}", run, forwarded[number])
                if over:
                    return now
        except BaseException:
            stop(client, runs)
            raise


def forward_logs(client: SyncPrefectClient, name: str, run: FlowRun, forwarded: int) -> int:
    """Forward the log lines of a run after the first `forwarded`; returns the number of new lines."""
    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    lines = client.read_logs(mine, offset=forwarded, limit=200, sort=LogSort.TIMESTAMP_ASC)
    for line in lines:
        if line.name == "prefect.flow_runs":  # not the worker's own messages
            get_run_logger().log(line.level, "%s: %s", name, line.message)
    return len(lines)


def stop(client: SyncPrefectClient, runs: list[FlowRun]) -> None:
    """Have the workers cancel these runs, including those not yet started."""
    for run in runs:
        state = client.read_flow_run(run.id).state
        if not (state and state.is_final()):
            client.set_flow_run_state(run.id, State(type=StateType.CANCELLING))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.nodes", description="Train one stage on several nodes 多机训练一个阶段")
    parser.add_argument("stage", help="the stage as DVC names it, e.g. sft@lora")
    parser.add_argument("--pool", required=True, help="the Prefect work pool; its queues are node0, node1 …")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--rendezvous", required=True, metavar="HOST:PORT", help="address of node 0, reachable from the other nodes")
    given = vars(parser.parse_args())
    start("nodes", lambda: on_a_server(given))


def on_a_server(given: dict[str, Any]) -> None:
    if not os.environ.get("PREFECT_API_URL"):
        raise StageError(
            "the nodes need a Prefect server. Start one with `prefect server start --host 0.0.0.0` and set its address on every node: "
            "PREFECT_API_URL=http://HOST:4200/api"
        )
    train_on_nodes(**given)


if __name__ == "__main__":
    main()
