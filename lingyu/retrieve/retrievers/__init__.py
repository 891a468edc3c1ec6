"""The retrievers: each builds an index of chunks and searches it. One module each, with Options, build and load, registered below."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lingyu.retrieve.chunks import Chunk

RETRIEVERS = {
    "bm25": "lingyu.retrieve.retrievers.bm25",
}


@dataclass(frozen=True)
class Hit:
    """A chunk and its score from 0 to 1: how much of the question it matches."""

    chunk: Chunk
    score: float


class Retriever(Protocol):
    def search(self, question: str, limit: int, kind: str | None = None) -> list[Hit]:
        """The best chunks for the question, best first; optionally of one kind only."""


class RetrieverOptions(BaseModel):
    """The options of a retriever."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(BaseModel):
    """A retriever and its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("bm25", description="How passages are found: bm25, by words.")
    options: dict[str, Any] = Field(
        {},
        description="Of the retriever. bm25 has k1 (1.5; how fast repeated words stop to count) and b (0.75; correction for length, of "
        "which passages of one length need little). These are its usual values.",
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

    def build(self, chunks: list[Chunk], folder: Path) -> None:
        """Write the index of the chunks to the folder: the same bytes for the same chunks."""
        self.module().build(chunks, folder, self.module().Options.model_validate(self.options))

    def load(self, folder: Path, chunks: list[Chunk]) -> Retriever:
        """Search over an index written by `build` for these chunks."""
        found: Retriever = self.module().load(folder, chunks)
        return found

    def module(self) -> ModuleType:
        return import_module(RETRIEVERS[self.name])
