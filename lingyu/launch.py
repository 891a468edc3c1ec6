"""Runs a stage in several processes, one per GPU, started by the stage itself.

On several nodes, each starts the stage with LINGYU_NODES (their number), LINGYU_NODE (its rank, from 0) and LINGYU_RENDEZVOUS
(host:port of node 0) in its environment, in a shared folder; only the first process of node 0 writes the outputs.
"""

import os
import socket
import sys
import threading
import time

from lingyu.errors import StageError

WORKER = "TORCHELASTIC_RUN_ID"
# What to do with a checkpoint that other code or libraries made: resume or restart; unset, the stage refuses (lingyu.train.checkpoints).
CHECKPOINTS = "LINGYU_CHECKPOINTS"
CHOICES = ("resume", "restart")


def take_choice() -> None:
    """--resume or --restart of the command, put where all processes of the stage find it."""
    if given := [choice for choice in CHOICES if f"--{choice}" in sys.argv[1:]]:
        sys.argv[1:] = [word for word in sys.argv[1:] if word.removeprefix("--") not in given]
        os.environ[CHECKPOINTS] = " ".join(given)


def launched(module: str, processes: int) -> int | None:
    """Run `python -m module argv…` in this many processes; their exit status, or None if this process should do the work itself."""
    if WORKER in os.environ:
        return None
    if processes == 1:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # otherwise transformers splits batches over all GPUs in one process
        return None
    nodes, node, endpoint = place()
    if processes % nodes:
        raise StageError(f"processes is {processes}, which cannot be distributed evenly over {nodes} nodes (LINGYU_NODES).")
    import logging

    import torch
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    here, cards = processes // nodes, torch.accelerator.device_count()
    if cards and here > cards:
        raise StageError(f"processes requires {here} GPUs on this machine, which has {cards}. Lower processes, or set LINGYU_NODES.")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the worker has already reported the error
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=here,
        run_id="lingyu",
        rdzv_backend="static",  # the dynamic one ranks nodes by host name, and scans all modules at every message
        rdzv_endpoint=endpoint,
        rdzv_configs={"rank": node},
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 1)
    except DistError as error:
        raise StageError(
            f"node {node} could not join the rendezvous at {endpoint}: {error}. Set LINGYU_RENDEZVOUS to the address of node 0 and a free "
            "port on it, and start all nodes within ten minutes."
        ) from error
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def place() -> tuple[int, int, str]:
    """The number of nodes, the rank of this node, and the rendezvous endpoint."""
    variables = {name: os.environ.get(f"LINGYU_{name}", "") for name in ("NODES", "NODE", "RENDEZVOUS")}
    if not any(variables.values()):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            return 1, 0, f"localhost:{free.getsockname()[1]}"
    nodes, node, (host, _, port) = variables["NODES"], variables["NODE"], variables["RENDEZVOUS"].rpartition(":")
    if not (nodes.isdecimal() and node.isdecimal() and int(node) < int(nodes) and host and port.isdecimal()):
        found = ", ".join(f"LINGYU_{name}={value!r}" for name, value in variables.items())
        raise StageError(
            f"found {found}: each of several nodes needs all three variables, for example LINGYU_NODES=2, LINGYU_NODE=0 on the first and 1 "
            "on the second, and LINGYU_RENDEZVOUS=node1:29500, the address of the first and a free port on it. For one node unset all."
        )
    return int(nodes), int(node), variables["RENDEZVOUS"]


def nodes() -> int:
    """The number of nodes that this process was told of."""
    told = os.environ.get("LINGYU_NODES", "")
    return int(told) if told.isdecimal() and int(told) else 1


def is_first() -> bool:
    """Whether this is the process that writes outputs and messages."""
    return os.environ.get("RANK", "0") == "0" or WORKER not in os.environ


def end_with_parent() -> None:
    """Stop a worker whose launcher was killed, so that it does not wait for the other workers or train in vain."""
    if WORKER in os.environ:
        threading.Thread(target=watch, args=[os.getppid()], daemon=True).start()


def watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)
