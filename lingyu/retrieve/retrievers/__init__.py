"""The retrievers: each builds an index of chunks and searches it. One module each, with Options, build and load, registered below."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.questions import Examples

if TYPE_CHECKING:
    from lingyu.retrieve.added import Added

RETRIEVERS = {
    "bm25": "lingyu.retrieve.retrievers.bm25",
    "dense": "lingyu.retrieve.retrievers.dense",
    "hybrid": "lingyu.retrieve.retrievers.hybrid",
}


@dataclass(frozen=True)
class Hit:
    """A chunk and its score. Of the best one: the probability that the passages answer the question; of the others, less by their
    distance from it."""

    chunk: Chunk
    score: float


class Retriever(Protocol):
    threshold: float
    """The score of the best hit from which the question can be answered, as calibrated by `build`."""

    def search(self, question: str, limit: int, kind: str | None = None) -> list[Hit]:
        """The best chunks for the question, best first; optionally of one kind only."""

    def relevance(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """How close each text is to the question, from 0 to about 1: as close as the closest passage of the index."""

    def over(self, added: "Sequence[Added]", seen: NDArray[np.bool_] | None = None) -> "Retriever":
        """The same search over further passages, too, and only over those that may be seen: for uploads and permissions."""


class RetrieverOptions(BaseModel):
    """The options of a retriever."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(BaseModel):
    """A retriever and its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "hybrid",
        description="How passages are found. hybrid: words, meaning and known questions together. bm25: words. dense: meaning.",
    )
    options: dict[str, Any] = Field(
        {},
        description="Of the retriever: docs/knowledge.md. hybrid has embedder ({name: auto}), reranker, meaning (0.6; weight of meaning "
        "against words), k1 and b; bm25 has k1 (1.5; how fast repeated words stop to count) and b (0.75; correction for length).",
    )

    @model_validator(mode="after")
    def fits(self) -> Self:
        if self.name not in RETRIEVERS:
            raise ValueError(f"name must be one of {', '.join(RETRIEVERS)} (found {self.name!r})")
        try:
            self.module().Options.model_validate(self.options)
        except ValidationError as error:
            faults = "; ".join(f"options.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ValueError(faults) from None
        return self

    def build(self, chunks: list[Chunk], folder: Path, examples: Examples) -> None:
        """Write the index of the chunks to the folder: the same bytes for the same chunks and examples."""
        self.module().build(chunks, folder, self.module().Options.model_validate(self.options), examples)

    def load(self, folder: Path, chunks: list[Chunk]) -> Retriever:
        """Search over an index written by `build` for these chunks."""
        found: Retriever = self.module().load(folder, chunks)
        return found

    def module(self) -> ModuleType:
        return import_module(RETRIEVERS[self.name])
