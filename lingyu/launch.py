"""A stage in several processes, one a GPU, started by the stage itself.

Over several nodes, each starts the stage with LINGYU_NODES (how many) and LINGYU_RENDEZVOUS (host:port of the first) in its
environment, on a folder that all of them see; only the first process of the first node writes the outputs.
"""

import os
import sys
import threading
import time

from lingyu.errors import StageError

WORKER = "TORCHELASTIC_RUN_ID"


def launched(module: str, processes: int) -> int | None:
    """Run `python -m module argv…` in so many processes; their exit status, or None where this process is to do the work itself."""
    if WORKER in os.environ:
        return None
    if processes == 1:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # else transformers would part batches over all of them in one process
        return None
    import logging

    import torch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    nodes = int(os.environ.get("LINGYU_NODES", "1"))
    if processes % nodes:
        raise StageError(f"processes is {processes}, which {nodes} nodes (LINGYU_NODES) cannot share evenly.")
    here, cards = processes // nodes, torch.cuda.device_count()
    if cards and here > cards:
        raise StageError(f"processes asks for {here} GPUs on this machine, which has {cards}. Lower processes, or set LINGYU_NODES.")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what went wrong, the worker has said itself
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=here,
        run_id="lingyu",
        rdzv_backend="c10d",
        rdzv_endpoint=os.environ.get("LINGYU_RENDEZVOUS", "localhost:0"),
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 1)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def is_first() -> bool:
    """Whether this process writes and speaks for all."""
    return os.environ.get("RANK", "0") == "0" or WORKER not in os.environ


def end_with_parent() -> None:
    """End a worker whose launcher was killed: it would wait for the others, who are gone, or train for nobody."""
    if WORKER in os.environ:
        threading.Thread(target=watch, args=[os.getppid()], daemon=True).start()


def watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
