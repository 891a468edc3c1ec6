"""The leak gate: which training texts give away a held-out one, with the evidence for a person to judge."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from lingyu.corpus.normalise import key, normal
from lingyu.corpus.similar import Similar

SHORT = 128  # characters; in a text shorter than this a number or code says what it is about


@dataclass(frozen=True)
class Leak:
    """A training text beside the held-out text that it gives away most."""

    id: str
    text: str
    held_id: str
    held_text: str
    kind: Literal["verbatim", "form", "near"]  # the same; but for width, case, punctuation, spaces; a near-duplicate
    similarity: float


def leaks(train: Iterable[tuple[str, str]], held: Iterable[tuple[str, str]], threshold: float) -> Iterator[Leak]:
    """A leak for each (id, text) of `train` that is a (near-)duplicate of one of `held`, in the order of `train`.

    threshold: the Jaccard similarity of character n-grams from which two texts are near-duplicates. Short texts with
    other numbers or codes in them are not: "how long does battery B2 last" is not what was asked of battery B7.
    """
    texts, similar, same = dict(held), Similar(threshold), dict[str, str]()
    for held_id, text in texts.items():
        similar.add(held_id, text)
        same.setdefault(key(text), held_id)
    for id_, text in train:
        if not key(text):
            continue
        if found := same.get(key(text)):
            yield Leak(id_, text, found, texts[found], "verbatim" if text == texts[found] else "form", 1.0)
            continue
        for held_id, score in similar.matches(text):
            if max(len(text), len(texts[held_id])) >= SHORT or codes(text) == codes(texts[held_id]):
                yield Leak(id_, text, held_id, texts[held_id], "near", round(score, 4))
                break


def codes(text: str) -> set[str]:
    """The numbers and the codes (a word with a digit in it) of a text."""
    return {word for word in re.findall(r"[a-z0-9]+(?:[.\-][a-z0-9]+)*", normal(text).casefold()) if any(map(str.isdigit, word))}
