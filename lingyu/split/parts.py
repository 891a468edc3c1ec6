"""Assigns items to train, dev or test.

A share is a range of hashes: the part of an item depends only on its content and the seed, and does not change when other
items are added, removed or moved. In return, the parts have their shares only on average. If that is not enough (a count is
required; or a group of at least three, such as a class or the sections of a file, would leave dev or test empty), the items
with the lowest hashes are taken. These are stored and passed as `frozen` in later runs, so that they keep their part.
"""

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from typing import Literal

Part = Literal["train", "dev", "test"]
Size = float | int  # a share from 0 up to below 1, or a count from 1

FEW = 3  # minimum items of a group to be present in every part


class TooFew(ValueError):
    """The counts leave no training data."""


def assign_parts(items: Iterable[tuple[int, str]], dev: Size, test: Size, frozen: dict[int, Part] | None = None) -> dict[int, Part]:
    """The part of each number in (number, group): about a share of every group, or a count over all groups; the rest is train."""
    groups: dict[str, set[int]] = {}
    for number, group in items:
        groups.setdefault(group, set()).add(number)
    chosen: dict[int, Part] = {}
    for numbers in groups.values():
        among = {number: (frozen or {}).get(number) or by_hash(number, dev, test) for number in sorted(numbers)}
        if len(among) >= FEW:
            for part, size in sizes(dev, test):
                nearest = next((number for number, has in among.items() if has == "train"), None)
                if isinstance(size, float) and size and part not in among.values() and nearest is not None:
                    among[nearest] = part
        chosen |= among
    for part, size in sizes(dev, test):
        if isinstance(size, int):
            missing = size - sum(has == part for has in chosen.values())
            free = sorted(number for number, has in chosen.items() if has == "train")
            if chosen and missing >= len(free):
                raise TooFew(f"{part} {size} of {len(chosen)} leaves no training data")
            chosen |= dict.fromkeys(islice(free, max(missing, 0)), part)
    return chosen


def exceptions(chosen: dict[int, Part], dev: Size, test: Size) -> dict[int, Part]:
    """The held-out items that their hash alone would not assign to that part."""
    return {number: part for number, part in chosen.items() if part != "train" and part != by_hash(number, dev, test)}


def sizes(dev: Size, test: Size) -> list[tuple[Part, Size]]:
    return [("test", test), ("dev", dev)]


def by_hash(number: int, dev: Size, test: Size) -> Part:
    place, first = number / 2**64, test if isinstance(test, float) else 0
    return "test" if place < first else "dev" if place < first + (dev if isinstance(dev, float) else 0) else "train"


def number_of(key: str, seed: int) -> int:
    """A 64-bit hash of key and seed."""
    return int.from_bytes(sha256(f"{seed}\0{key}".encode()).digest()[:8], "big")
