"""Which part an item belongs to: train, dev or test.

An item's part follows from its own content and the seed alone: the same item keeps its part whatever is added, removed
or moved around it. The price is that the parts have their shares only on average. One exception: where a group of at
least three items (a class, a file's sections) would leave dev or test empty, the item nearest to it is taken; that one may
move when the group grows.
"""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

Part = Literal["train", "dev", "test"]


def parted(items: Iterable[tuple[str, str]], seed: int, dev: float, test: float) -> dict[str, Part]:
    """The part of each key among (key, group): about `test` and `dev` of every group, the rest in train."""
    groups: dict[str, set[str]] = defaultdict(set)
    for key, group in items:
        groups[group].add(key)
    parts: dict[str, Part] = {}
    for keys in groups.values():
        ranked = sorted(keys, key=lambda key: (share(key, seed), key))
        chosen: dict[str, Part] = {key: part_of(key, seed, dev, test) for key in ranked}
        if len(ranked) >= 3:
            wanted: list[tuple[Part, float]] = [("test", test), ("dev", dev)]
            for part, size in wanted:
                nearest = next((key for key in ranked if chosen[key] == "train"), None)
                if size and part not in chosen.values() and nearest is not None:
                    chosen[nearest] = part
        parts |= chosen
    return parts


def part_of(key: str, seed: int, dev: float, test: float) -> Part:
    place = share(key, seed)
    return "test" if place < test else "dev" if place < test + dev else "train"


def share(key: str, seed: int) -> float:
    """A number from 0 to 1 that the key and the seed decide."""
    return int.from_bytes(sha256(f"{seed}\0{key}".encode()).digest()[:8], "big") / 2**64
