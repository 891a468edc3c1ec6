"""The retrieval set against an index: which of its questions find the passage that they must find."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from lingyu.ingest.expected import Expected, Passage
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.index import Knowledge

READ = 2  # professional mode reads so many times the passages that it shows


def checked(expected: Iterable[Expected], knowledge: Knowledge, passages: int, threshold: float) -> Iterator[dict[str, Any]]:
    """Of each question: whether its passage is among those that professional mode reads, its rank, and why not or what came first."""
    every = list(expected)
    for one, hits in zip(every, knowledge.search_all([each.question for each in every], READ * passages), strict=True):
        rank = next((number for number, hit in enumerate(hits, 1) if is_right(one, hit.chunk)), None)
        refused = not hits or hits[0].score < threshold
        found = {**one.model_dump(), "found": rank is not None and not refused, "rank": rank, "instead": "", "why": ""}
        if refused:
            found["why"] = "refused"
        elif rank is None:
            found["instead"] = f"{hits[0].chunk.source}, {hits[0].chunk.place}"
            found["why"] = "other passages" if any(is_right(one, chunk) for chunk in knowledge.chunks) else "not in the corpus"
        yield found


def is_right(expected: Passage, chunk: Chunk) -> bool:
    headings = {chunk.section, chunk.place, *chunk.section.split(" / "), *chunk.place.split(" / ")}
    return (
        chunk.source == expected.source
        and (not expected.section or expected.section in headings)
        and bare(expected.text) in bare(f"{chunk.title}{chunk.section}{chunk.text}")
    )


def bare(text: str) -> str:
    return re.sub(r"\s", "", text).casefold()
