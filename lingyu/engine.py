"""Where work on many items is done: in this process, in one process a core, or on a Ray cluster. The results are the same, in order."""

import importlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from lingyu.stage import StageError

T = TypeVar("T")
R = TypeVar("R")

Engine = Literal["local", "ray"]
AHEAD = 2  # items a worker, so that none waits while the first of a row is awaited, and no more lie in memory


def mapped(engine: Engine, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The work's result on each item, in the order of items. A single item is worked on here, whatever the engine."""
    rest = iter(items)
    first = list(islice(rest, 2))
    if len(first) < 2:
        return map(work, first)
    return {"local": by_processes, "ray": by_ray}[engine](work, chain(first, rest))


def by_processes(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from in_order(lambda item: pool.submit(work, item), lambda job: job.result(), items, workers)


def by_ray(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """On the cluster that RAY_ADDRESS names, else on a Ray started here. Nodes need this project's packages; its code is sent."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise StageError("engine: ray needs the package ray: pip install 'lingyu[ray]'; or write engine: local.") from None
    here = not ray.is_initialized()
    if here:
        address = os.environ.get("RAY_ADDRESS", "")
        host, _, port = address.rpartition("://")[2].partition(":")
        if port and not answers(host, int(port)):  # Ray itself asks for ten minutes
            raise StageError(f"no Ray cluster answers at RAY_ADDRESS={address}. Start it, unset RAY_ADDRESS, or write engine: local.")
        ray.init(runtime_env={"py_modules": [str(Path(__file__).parent)]}, log_to_driver=False)
    try:
        task = ray.remote(lambda item: work(item))
        yield from in_order(task.remote, ray.get, items, max(1, int(ray.cluster_resources().get("CPU", 1))))
    finally:
        if here:
            ray.shutdown()


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError:
        return False
    return True


def in_order(begin: Callable[[T], Any], result: Callable[[Any], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """The results in the order of items, with at most AHEAD items a worker begun and not yet handed on."""
    begun: deque[Any] = deque()
    for item in items:
        begun.append(begin(item))
        if len(begun) == AHEAD * workers:
            yield result(begun.popleft())
    while begun:
        yield result(begun.popleft())
