"""nodes: train one stage on several nodes at once, by the workers of a Prefect work pool.

On each node, in the project's folder, which all of them see, stands a worker that takes what is in the queue of its node:

    prefect work-pool create gpus --type process
    prefect worker start --pool gpus --work-queue node0 --limit 1    # on the first; node1, node2 … on the others

    python -m flows.nodes sft@lora --pool gpus --nodes 2 --rendezvous node1:29500    # where the first can be reached

DVC runs on node 0 alone; the others take part in the training that its stage begins (lingyu.launch).

Reads   dvc.yaml, params.yaml   whether the stage is stale, and how many processes it trains in
Writes  what the stage writes
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
from flows.retrain import logged
from lingyu.stage import StageError

EVERY = 2.0  # seconds between two looks at the runs
MEETING = 600.0  # how long the nodes wait for each other to begin
PATIENCE = 60.0  # how long a node may go on when another one failed: its training ends by itself, or waits for one that never comes


@flow
def node(stage: str, number: int, nodes: int, rendezvous: str) -> None:
    """What the worker of one node does."""
    logging.getLogger("prefect.flow_runs").addFilter(without_traceback)
    name, _, item = stage.partition("@")
    words = ("dvc", "repro", "--single-item", stage) if number == 0 else (f"stages.{name}", *filter(None, [item]))
    logged(*words, LINGYU_NODES=str(nodes), LINGYU_NODE=str(number), LINGYU_RENDEZVOUS=rendezvous)


@flow
def together(stage: str, pool: str, nodes: int, rendezvous: str) -> None:
    """Have a run in the queue of each node, and see all of them to their end."""
    if not due(stage, nodes):
        get_run_logger().info("%s is up to date. 已是最新。", stage)
        return
    check_workers(pool, nodes)
    runs = [begun(number, stage, pool, nodes, rendezvous) for number in range(nodes)]
    failed = [said_of(number, run) for number, run in enumerate(watched(runs)) if not (run.state and run.state.is_completed())]
    if failed:
        raise StageError(
            f"{stage}: {' and '.join(failed)} of {nodes} nodes did not come to the end. What each said stands above, and in the log of its "
            "run. Run again: training goes on from its last whole checkpoint."
        )


def said_of(number: int, run: FlowRun) -> str:
    return f"node {number}" if run.run_count else f"node {number} (no worker took it from the queue node{number})"


def due(stage: str, nodes: int) -> bool:
    """Whether there is anything to train. Raises StageError where the nodes could not do it."""
    if nodes < 2:
        raise StageError(f"nodes is {nodes}. On one machine `dvc repro {stage}` does it.")
    every, changed = dag.steps(), dag.stale()
    leading = [step.name for step in dag.leading_to(stage, every)]
    if leading[-1] != stage:
        items = [step.name for step in every if step.stage == stage]
        raise StageError(f"{stage} has several items, and one is trained at a time: {', '.join(items)}.")
    if waiting := [name for name in leading[:-1] if name in changed]:
        raise StageError(f"{stage} reads from what is not up to date: {', '.join(waiting)}. First `dvc repro {waiting[-1]}`.")
    name, _, item = stage.partition("@")
    processes = getattr(importlib.import_module(f"stages.{name}").Params.load(name, item or None), "processes", 1)
    if processes == 1 or processes % nodes:
        raise StageError(f"{stage} trains in {processes} processes, which {nodes} nodes cannot share evenly: see its `processes`.")
    return stage in changed


def check_workers(pool: str, nodes: int) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            raise StageError(f"there is no work pool {pool!r}. `prefect work-pool create {pool} --type process` makes it.") from None
        workers = client.read_workers_for_work_pool(pool)
    online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
    if online < nodes:
        raise StageError(
            f"{online} of {nodes} nodes have a worker in the pool {pool}. On each, in the project's folder: "
            f"`prefect worker start --pool {pool} --work-queue node0 --limit 1`, with node1, node2 … on the others."
        )


def begun(number: int, stage: str, pool: str, nodes: int, rendezvous: str) -> FlowRun:
    """The part of a node, in its queue."""
    here: Any = node.from_source(source=str(Path.cwd()), entrypoint="flows/nodes.py:node")
    here.to_deployment(name=f"node{number}", work_pool_name=pool, work_queue_name=f"node{number}").apply()
    values = {"stage": stage, "number": number, "nodes": nodes, "rendezvous": rendezvous}
    run: Any = run_deployment(f"node/node{number}", parameters=values, timeout=0)
    get_run_logger().info("node %d: run %s in the queue node%d of %s", number, run.name, number, pool)
    return cast(FlowRun, run)


def watched(runs: list[FlowRun]) -> list[FlowRun]:
    """The runs at their end, what they say told on the way. Where one fails, never begins, or this flow is stopped, all are stopped."""
    told, end = [0] * len(runs), time.monotonic() + MEETING
    with get_client(sync_client=True) as client:
        try:
            while True:
                now = [client.read_flow_run(run.id) for run in runs]
                states = [run.state for run in now if run.state]
                over = all(state.is_final() for state in states) or time.monotonic() > end + PATIENCE
                if any(state.is_final() and not state.is_completed() for state in states):
                    end = min(end, time.monotonic() + PATIENCE)
                elif not any(state.is_scheduled() or state.is_pending() for state in states):
                    end = math.inf  # all have begun
                if time.monotonic() > end:
                    stop(client, runs)
                time.sleep(EVERY)  # the last lines come after the state
                for number, run in enumerate(runs):
                    told[number] += tell(client, number, run, told[number])
                if over:
                    return now
        except BaseException:
            stop(client, runs)
            raise


def tell(client: SyncPrefectClient, number: int, run: FlowRun, told: int) -> int:
    """Pass on what a node said since it was last asked; how many lines."""
    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    lines = client.read_logs(mine, offset=told, limit=200, sort=LogSort.TIMESTAMP_ASC)
    for line in lines:
        if line.name == "prefect.flow_runs":  # not what the worker says of itself
            get_run_logger().log(line.level, "node %d: %s", number, line.message)
    return len(lines)


def stop(client: SyncPrefectClient, runs: list[FlowRun]) -> None:
    """Have the workers end what is left of these runs; one that has not begun never does."""
    for run in runs:
        state = client.read_flow_run(run.id).state
        if not (state and state.is_final()):
            client.set_flow_run_state(run.id, State(type=StateType.CANCELLING))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.nodes", description="Train one stage on several nodes 多机训练一个阶段")
    parser.add_argument("stage", help="as DVC names it: sft@lora")
    parser.add_argument("--pool", required=True, help="the Prefect work pool; its queues are node0, node1 …")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--rendezvous", required=True, metavar="HOST:PORT", help="where node 0 can be reached by the others")
    given = vars(parser.parse_args())
    start("nodes", lambda: on_a_server(given))


def on_a_server(given: dict[str, Any]) -> None:
    if not os.environ.get("PREFECT_API_URL"):
        raise StageError(
            "the nodes meet at a Prefect server. Start one with `prefect server start --host 0.0.0.0` and say on every node where it is: "
            "PREFECT_API_URL=http://HOST:4200/api"
        )
    together(**given)


if __name__ == "__main__":
    main()
