"""A reranker reads the question together with each of the best passages: slower than comparing vectors, and better at it.

None by default. A cross-encoder that transformers loads from a folder, or an endpoint with /rerank, as vLLM, TEI, Jina and Cohere have it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from lingyu.retrieve.embedders.folder import FILES
from lingyu.retrieve.embedders.openai import posted


class Reranker(Protocol):
    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """The higher, the better the passage answers."""


class RerankerChoice(BaseModel):
    """A reranker, if any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["none", "folder", "endpoint"] = Field("none", description="folder: a cross-encoder; endpoint: one with /rerank.")
    path: str = Field("", description="folder: of the model, with safetensors.")
    base_url: str = Field("", pattern=r"^(https?://[^@\s]+)?$", description="endpoint: its address, usually ending in /v1.")
    model: str = Field("", description="endpoint: the model's name there.")
    key_from: str = Field("LINGYU_RERANKER_KEY", description="Environment variable with the endpoint's key; without one none is sent.")
    timeout_seconds: PositiveFloat = Field(60, description="For one request.")
    depth: PositiveInt = Field(20, description="Passages that it reads for a question.")
    max_tokens: PositiveInt = Field(512, description="folder: of a question and a passage; the rest is cut.")

    @model_validator(mode="after")
    def fits(self) -> Self:
        needed = {"folder": ("path",), "endpoint": ("base_url", "model")}.get(self.name, ())
        if missing := [key for key in needed if not getattr(self, key)]:
            raise ValueError(f"reranker {self.name} needs {' and '.join(missing)}")
        return self

    def keep(self, folder: Path) -> None:
        """Put the model where the service finds it."""
        if self.name != "folder":
            return
        files = sorted({file for pattern in FILES for file in Path(self.path).glob(pattern)})
        if not any(file.suffix == ".safetensors" for file in files):
            raise FileNotFoundError(f"{self.path} has no safetensors: reranker.path must be the folder of a cross-encoder")
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / file.name)

    def load(self, folder: Path) -> Reranker | None:
        if self.name == "none":
            return None
        return CrossEncoder(folder, self.max_tokens) if self.name == "folder" else Endpoint(self)


class CrossEncoder:
    def __init__(self, folder: Path, max_tokens: int) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True, dtype="float32").eval()
        self._max_tokens = max_tokens

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        import torch

        pairs = {"text": [question] * len(passages), "text_pair": list(passages)}
        read = self._tokenizer(**pairs, padding=True, truncation="only_second", max_length=self._max_tokens, return_tensors="pt")
        with torch.inference_mode():
            return [float(score) for score in self._model(**read).logits[:, -1]]


class Endpoint:
    def __init__(self, choice: RerankerChoice) -> None:
        self._choice = choice

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        body = {"model": self._choice.model, "query": question, "documents": list(passages)}
        found = posted(f"{self._choice.base_url.rstrip('/')}/rerank", body, self._choice).get("results", [])
        by_place = {int(one["index"]): float(one["relevance_score"]) for one in found}
        if by_place.keys() != set(range(len(passages))):
            raise ConnectionError(f"{self._choice.base_url} scored {len(by_place)} of {len(passages)} passages")
        return [by_place[place] for place in range(len(passages))]
