"""What share of the training rows each kind has: weights, repeats, and general rows replayed against forgetting."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf

from lingyu.records import Row
from lingyu.teach.choice import number

# Where a text may be parted, the best place first.
BORDERS = (r"\n\s*\n", r"\n", r"(?<=[。！？；.!?;])\s*", r"(?<=[，、,])\s*|\s+", r"")


@dataclass(frozen=True)
class Entry:
    """A row on its way into a training table. kind: the method that made it, or document, or statement."""

    row: Row
    kind: str
    tokens: int


def weighted(entries: Iterable[Entry], weights: dict[str, float], seed: int) -> Iterator[tuple[Entry, int]]:
    """Each entry with how many times it goes in: 2.5 is twice, and once more for every second one, chosen by hash."""
    for entry in entries:
        whole, rest = divmod(weights.get(entry.kind, 1.0), 1)
        yield entry, int(whole) + (number(seed, "weight", entry.row.id) < rest * 2**64)


def replayed(general: Iterable[Entry], domain_tokens: int, share: float, most: int, seed: int) -> Iterator[tuple[Entry, int]]:
    """Each general entry with how many times it goes in, so that general text has this share of all tokens.

    Nothing goes in more than `most` times; and without a domain row there is no share to keep, and all go in once.
    """
    entries = sorted(general, key=lambda entry: (number(seed, "replay", entry.row.id), entry.row.id))
    wanted = domain_tokens * share / (1 - share)
    times = dict.fromkeys((entry.row.id for entry in entries), 0)
    taken = 0
    if not domain_tokens:
        most, wanted = 1, inf
    for _ in range(most):
        for entry in entries:
            if taken < wanted:
                times[entry.row.id] += 1
                taken += entry.tokens
    yield from ((entry, times[entry.row.id]) for entry in entries)


def copies(entry: Entry, times: int) -> Iterator[Entry]:
    """The entry `times` times, each with an id of its own."""
    for turn in range(times):
        yield entry if turn == 0 else replace(entry, row=entry.row.model_copy(update={"id": f"{entry.row.id}#{turn + 1}"}))


def pieces(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text in parts that fit, parted near its middle, at the best border there is. Together they are the text."""
    if fits(text) or len(text) < 2:
        return [text]
    for border in BORDERS:
        places = [match.end() for match in re.finditer(border, text) if 0 < match.end() < len(text)]
        if places:
            middle = min(places, key=lambda place: abs(place - len(text) / 2))
            return [*pieces(text[:middle], fits), *pieces(text[middle:], fits)]
    return [text]
