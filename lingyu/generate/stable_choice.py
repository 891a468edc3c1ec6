"""Choosing by hash: the same choice on every run and machine, and one that stays when other rows come or go."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import TypeVar

from lingyu.records import Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)


def number(*key: object) -> int:
    """A number of 64 bits made of the key."""
    return int.from_bytes(blake2b("\0".join(map(str, key)).encode(), digest_size=8).digest())


def pick(items: Sequence[T], *key: object) -> T:
    return items[number(*key) % len(items)]


def picks(count: int, below: int, *key: object) -> Iterator[int]:
    """`count` different numbers under `below`, all of them when there are no more; in an order that belongs to the key."""
    if 2 * count >= below:
        yield from sorted(range(below), key=lambda item: number(*key, item))[:count]
        return
    taken: set[int] = set()
    draw = 0
    while len(taken) < count:
        item = number(*key, draw) % below
        draw += 1
        if item not in taken:
            taken.add(item)
            yield item


def shuffled(rows: Iterable[R], *key: object) -> list[R]:
    """The rows in an order that belongs to the key and to each row's id. The first n of them are a sample that mostly
    stays when rows are added."""
    return sorted(rows, key=lambda row: (number(*key, row.id), row.id))
