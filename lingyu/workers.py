"""Runs work on many items in this process, in one process per core, or on a Ray cluster. Results are the same and in order."""

import importlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from lingyu.stage import StageError

T = TypeVar("T")
R = TypeVar("R")

Engine = Literal["local", "ray"]
AHEAD = 2  # items per worker: keeps all workers busy while the next result is awaited, and limits memory


class Workers:
    """The workers of an engine, started once there is more than one item and stopped with the context."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stack = ExitStack()
        self._begun: tuple[Callable[..., Any], Callable[[Any], Any], int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def mapped(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The result for each item, in order. A single item is processed in this process with any engine."""
        rest = iter(items)
        first = list(islice(rest, 2))
        if len(first) < 2:
            yield from map(work, first)
            return
        self._begun = self._begun or {"local": processes, "ray": cluster}[self._engine](self._stack)
        submit, result, workers = self._begun
        yield from in_order(partial(submit, work), result, chain(first, rest), workers)


def processes(stack: ExitStack) -> tuple[Callable[..., Any], Callable[[Any], Any], int]:
    """One process per core: how to submit work, how to get the result, and the number of workers."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Not forked: Arrow's threads do not survive a fork.
    pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")))
    return pool.submit, lambda job: job.result(), workers


def cluster(stack: ExitStack) -> tuple[Callable[..., Any], Callable[[Any], Any], int]:
    """The same on the cluster at RAY_ADDRESS, else on a local Ray. Nodes need the installed packages; the project's code is sent."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise StageError("engine: ray requires the package ray: pip install 'lingyu[ray]'. Or set engine: local.") from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "")
        host, _, port = address.rpartition("://")[2].partition(":")
        if port and not is_reachable(host, port):  # Ray itself retries for ten minutes
            raise StageError(f"no Ray cluster reachable at RAY_ADDRESS={address}. Start it, unset RAY_ADDRESS, or set engine: local.")
        ray.init(runtime_env={"py_modules": [str(Path(__file__).parent)]}, log_to_driver=False)
        stack.callback(ray.shutdown)
    task = ray.remote(lambda work, item: work(item))
    return task.remote, ray.get, max(1, int(ray.cluster_resources().get("CPU", 1)))


def is_reachable(host: str, port: str) -> bool:
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError):
        return False
    return True


def in_order(begin: Callable[[T], Any], result: Callable[[Any], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """The results in the order of items, with at most AHEAD items per worker in flight."""
    begun: deque[Any] = deque()
    for item in items:
        begun.append(begin(item))
        if len(begun) == AHEAD * workers:
            yield result(begun.popleft())
    while begun:
        yield result(begun.popleft())
