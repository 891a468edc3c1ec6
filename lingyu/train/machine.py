"""What this machine has for a training: memory, disk, and how fast it multiplies and reads."""

import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
PROBE = 0.2  # seconds for one of the two measurements
assumed: float | None = None  # bytes of a GPU that is planned for (`lingyu plan --gpu`), whether one is here or not
SQUARE, ARRAY = 1024, 1 << 24  # numbers a side of the product; numbers that are read and written


@dataclass(frozen=True)
class Room:
    """Bytes that are free for this process, what it has already taken included; None where the system does not tell."""

    memory: float | None
    disk: float


@dataclass(frozen=True)
class Speed:
    """A second: arithmetic of products, and bytes that other operators read and write. operator: seconds that one takes by itself."""

    products: float
    bytes: float
    operator: float


def on_gpu() -> bool:
    import torch

    return assumed is not None or bool(torch.cuda.is_available())


def room(folder: Path) -> Room:
    """folder: where checkpoints and outputs go; it, or one above it, exists."""
    there = next(place for place in [folder.absolute(), *folder.absolute().parents] if place.exists())
    return Room(assumed or (gpu_memory() if on_gpu() else own_memory()), shutil.disk_usage(there).free)


def gpu_memory() -> float:
    import torch

    return float(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())


def own_memory() -> float | None:
    """The least of what the machine and the control group of this process have left, and what this process holds."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        left = [float(lines["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):
        return None
    for most, used in LIMITS:
        try:
            left.append(float((CGROUP / most).read_text()) - float((CGROUP / used).read_text()))  # "max" is no number: no limit
        except (OSError, ValueError):
            continue
    return min(left) + resident()


def resident() -> float:
    """Bytes of memory that this process has now."""
    return float(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())


@lru_cache
def speed(product: str, threads: int) -> Speed:
    """Measured once a process, in half a second of its own at most. product: the dtype of products, as torch calls it."""
    import torch

    device, kind = "cuda" if torch.cuda.is_available() else "cpu", getattr(torch, product)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        size, numbers = (8 * SQUARE, 8 * ARRAY) if device == "cuda" else (SQUARE, ARRAY)
        one = torch.ones(size, size, device=device, dtype=kind)
        array = torch.ones(numbers, device=device)
        into, few = torch.empty_like(array), torch.ones(8, device=device)
        multiplied = fastest(lambda: one @ one, threads)
        read = fastest(lambda: torch.mul(array, 2.0, out=into), threads)
        operator = fastest(lambda: [few * 2.0 for _ in range(100)], 1) / 100
    finally:
        torch.set_num_threads(before)
    return Speed(2.0 * size**3 / multiplied, 2.0 * array.numel() * array.element_size() / read, operator)


def fastest(work: Callable[[], Any], threads: int) -> float:
    """Seconds of the fastest of some runs. On a CPU those of the processor: what waits for other processes is not this machine's speed."""
    best, end = float("inf"), time.perf_counter() + PROBE
    for number in range(50):
        began = now(threads)
        work()
        best = min(best, now(threads) - began) if number else best
        if number and time.perf_counter() > end:
            break
    return best


def now(threads: int) -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() / threads
