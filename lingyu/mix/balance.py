"""What share of the training rows each kind has: weights, caps, repeats, and general rows replayed against forgetting."""

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
    """A row on its way into a training table. kind: the method that made it, or document, or statement."""

    row: Row
    kind: str
    tokens: int


def weighted(entries: Iterable[Entry], weight_of: Callable[[Entry], float], seed: int) -> Iterator[tuple[Entry, int]]:
    """Each entry with how many times it goes in: 2.5 is twice, and once more for every second one, chosen by hash."""
    for entry in entries:
        whole, rest = divmod(weight_of(entry), 1)
        yield entry, int(whole) + (number(seed, "weight", entry.row.id) < rest * 2**64)


def capped(entries: Sequence[Entry], caps_of: Callable[[Entry], dict[str, int]], seed: int) -> set[str]:
    """The ids of the entries that are over a cap, chosen by hash; parts of one document stay together as far as they can.

    caps_of: the names of what the entry counts for, with how many entries each may have.
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
    """By what to multiply each source, given its tokens, so that it is met with p ∝ tokens^(1/temperature) and the sum stays.

    None is repeated more than `most` times for it; what is missing then is not given to others.
    """
    raised = {name: count ** (1 / temperature) for name, count in tokens.items() if count}
    whole, sum_of_raised = sum(tokens.values()), sum(raised.values())
    return {name: min(most, whole * power / sum_of_raised / tokens[name]) for name, power in raised.items()}


def thinned(single: float, multi: float, share: float) -> tuple[float, float]:
    """What part of the single and of the multi-turn dialogues goes in, so that the latter have this share of the tokens."""
    if multi > share * (single + multi):
        return 1.0, single * share / (1 - share) / multi
    return multi * (1 - share) / share / single, 1.0


def is_multi_turn(row: Row) -> bool:
    return isinstance(row, Dialogue) and sum(message.role == "user" for message in row.messages) > 1


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
    for border in HALVES:
        places = [match.end() for match in re.finditer(border, text) if 0 < match.end() < len(text)]
        if places:
            middle = min(places, key=lambda place: abs(place - len(text) / 2))
            return [*pieces(text[:middle], fits), *pieces(text[middle:], fits)]
    return [text]


def turns(messages: Sequence[Message], fits: Callable[[list[Message]], bool]) -> list[list[Message]]:
    """The dialogue in parts that fit, each of whole exchanges, under what the system says; none where an exchange does not fit.

    A part begins with the person's turn and ends with the assistant's. What was said in the parts before is not in it.
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
