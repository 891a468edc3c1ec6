"""What makes a stage start, run and end faster without changing what it computes: `with light_process():` around all of it, or
`with fast_process():` where it imports torch."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fast_process() -> Iterator[None]:
    """For a process that imports torch and ends when its work is done."""
    set_environment()
    keep_freed_memory()
    with rare_collection():
        try:
            yield
        finally:
            drop_compile_times()


@contextmanager
def light_process() -> Iterator[None]:
    """For a process that reads and writes tables and ends when its work is done."""
    leave_out_pandas()
    with rare_collection():
        yield


def leave_out_pandas() -> None:
    """pyarrow imports pandas at its first conversion of a list, only to know whether the list is one of pandas: .2 s of a stage that
    takes one. It asks once; later imports of pandas, and conversions to it, work as always."""
    import pyarrow

    sys.meta_path.insert(0, NoPandas)
    try:
        pyarrow.array([])
    finally:
        sys.meta_path.remove(NoPandas)


class NoPandas:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


@contextmanager
def rare_collection() -> Iterator[None]:
    collect_rarely()
    try:
        yield
    finally:
        gc.freeze()


def collect_rarely() -> None:
    """Python searches for cycles after every 700 new objects: a thousand times while torch and transformers are imported, a fifth of a
    stage's start; through all rows that a stage holds, a third of review's time; and once more at exit."""
    gc.set_threshold(50_000)


def set_environment() -> None:
    """Variables that libraries read when they are loaded, so before torch is imported. What the user has set stays."""
    # Idle OpenMP threads that spin take the core from whoever has work: on two shared cores a training step was five times slower.
    # Threads that sleep at once lose a fifth on quiet cores; a short spin first costs neither.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # Forked workers of a data loader would warn about the tokenizer's threads.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones; otherwise every step returns it and takes it anew, page by page."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, at its maximum; larger tensors still come and go
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


def drop_compile_times() -> None:
    """At exit torch's compiler, which transformers imports, builds a table of its times for a log that is off: .2 s of imports."""
    import atexit

    compiler = sys.modules.get("torch._dynamo.utils")
    if (at_exit := getattr(compiler, "dump_compile_times", None)) and "TORCH_LOGS" not in os.environ:
        atexit.unregister(at_exit)
