"""The shares of the training mixture: weights, caps, repeats, and replay of general rows against forgetting."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from lingyu.generate.stable_choice import number
from lingyu.records import Dialogue, Message, Row
from lingyu.text.sentences import HALVES


@dataclass(frozen=True)
class Entry:
    """A row of a training table. kind: the method that generated it, or document, or statement."""

    row: Row
    kind: str
    tokens: int


def weighted(entries: Iterable[Entry], weight_of: Callable[[Entry], float], seed: int) -> Iterator[tuple[Entry, int]]:
    """Each entry with its number of repeats: 2.5 is two, plus one more for every second entry, chosen by hash."""
    for entry in entries:
        whole, rest = divmod(weight_of(entry), 1)
        yield entry, int(whole) + (number(seed, "weight", entry.row.id) < rest * 2**64)


def capped(entries: Sequence[Entry], caps_of: Callable[[Entry], dict[str, int]], seed: int) -> set[str]:
    """The ids of the entries over a cap, chosen by hash; parts of a document are kept together as far as possible.

    caps_of: the groups an entry counts towards, with the maximum number of entries of each.
    """
    taken, over = Counter[str](), set[str]()
    counted = [(entry, caps) for entry in entries if (caps := caps_of(entry))]
    for entry, caps in sorted(counted, key=lambda pair: number(seed, "cap", pair[0].row.id.partition("/")[0])):
        if any(taken[name] >= most for name, most in caps.items()):
            over.add(entry.row.id)
        else:
            taken.update(caps.keys())
    return over


def tempered(tokens: dict[str, float], temperature: float, most: float) -> dict[str, float]:
    """The factor of each source, given its tokens, for sampling with p ∝ tokens^(1/temperature) and an unchanged total.

    No factor is above `most`; the difference is not redistributed to other sources.
    """
    raised = {name: count ** (1 / temperature) for name, count in tokens.items() if count}
    whole, sum_of_raised = sum(tokens.values()), sum(raised.values())
    return {name: min(most, whole * power / sum_of_raised / tokens[name]) for name, power in raised.items()}


def thinned(single: float, multi: float, share: float) -> tuple[float, float]:
    """The fractions of single-turn and multi-turn dialogues to keep, so that the latter have this share of the tokens."""
    if multi > share * (single + multi):
        return 1.0, single * share / (1 - share) / multi
    return multi * (1 - share) / share / single, 1.0


def is_multi_turn(row: Row) -> bool:
    return isinstance(row, Dialogue) and sum(message.role == "user" for message in row.messages) > 1


def replayed(general: Iterable[Entry], domain_tokens: int, share: float, most: int, seed: int) -> Iterator[tuple[Entry, int]]:
    """Each general entry with its number of repeats, so that general text has this share of all tokens.

    No entry is repeated more than `most` times. Without domain rows, all entries are used once.
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
    """The entry `times` times, each with its own id."""
    for turn in range(times):
        yield entry if turn == 0 else replace(entry, row=entry.row.model_copy(update={"id": f"{entry.row.id}#{turn + 1}"}))


def pieces(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text in parts that fit, split near the middle at the best boundary. Joined, the parts are the text."""
    if fits(text) or len(text) < 2:
        return [text]
    for border in HALVES:
        places = [match.end() for match in re.finditer(border, text) if 0 < match.end() < len(text)]
        if places:
            middle = min(places, key=lambda place: abs(place - len(text) / 2))
            return [*pieces(text[:middle], fits), *pieces(text[middle:], fits)]
    return [text]


def turns(messages: Sequence[Message], fits: Callable[[list[Message]], bool]) -> list[list[Message]]:
    """The dialogue in parts that fit, each of whole exchanges with the system message; empty if an exchange does not fit.

    A part begins with a user turn and ends with an assistant turn. It does not contain the turns of earlier parts.
    """
    head = [message for message in messages if message.role == "system"]
    exchanges: list[list[Message]] = [[]]
    for message in messages[len(head) :]:
        if message.role == "user" and exchanges[-1] and exchanges[-1][-1].role == "assistant":
            exchanges.append([])
        exchanges[-1].append(message)
    parts: list[list[Message]] = []
    for exchange in exchanges:
        if not fits([*head, *exchange]):
            return []
        if parts and fits([*parts[-1], *exchange]):
            parts[-1] += exchange
        else:
            parts.append([*head, *exchange])
    return parts
