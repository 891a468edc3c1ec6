"""Where work on many items is done: in this process, in one process a core, or on a Ray cluster. The results are the same, in order."""

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
AHEAD = 2  # items a worker, so that none waits while the first of a row is awaited, and no more lie in memory


class Workers:
    """The workers of an engine, begun when there is work for more than one and ended with the context."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stack = ExitStack()
        self._begun: tuple[Callable[..., Any], Callable[[Any], Any], int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def mapped(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The work's result on each item, in the order of items. A single item is worked on here, whatever the engine."""
        rest = iter(items)
        first = list(islice(rest, 2))
        if len(first) < 2:
            yield from map(work, first)
            return
        self._begun = self._begun or {"local": processes, "ray": cluster}[self._engine](self._stack)
        submit, result, workers = self._begun
        yield from in_order(partial(submit, work), result, chain(first, rest), workers)


def processes(stack: ExitStack) -> tuple[Callable[..., Any], Callable[[Any], Any], int]:
    """A process a core: how to give it work, how to take the result, how many there are."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Not forked: Arrow's threads do not survive it.
    pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")))
    return pool.submit, lambda job: job.result(), workers


def cluster(stack: ExitStack) -> tuple[Callable[..., Any], Callable[[Any], Any], int]:
    """The same on the cluster that RAY_ADDRESS names, else on a Ray started here. Its nodes need our packages; our code is sent."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise StageError("engine: ray needs the package ray: pip install 'lingyu[ray]'; or write engine: local.") from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "")
        host, _, port = address.rpartition("://")[2].partition(":")
        if port and not answers(host, port):  # Ray itself asks for ten minutes
            raise StageError(f"no Ray cluster answers at RAY_ADDRESS={address}. Start it, unset RAY_ADDRESS, or write engine: local.")
        ray.init(runtime_env={"py_modules": [str(Path(__file__).parent)]}, log_to_driver=False)
        stack.callback(ray.shutdown)
    task = ray.remote(lambda work, item: work(item))
    return task.remote, ray.get, max(1, int(ray.cluster_resources().get("CPU", 1)))


def answers(host: str, port: str) -> bool:
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError):
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
