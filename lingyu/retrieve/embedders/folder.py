"""Any embedding model that transformers loads from a folder: BGE, E5, GTE, Qwen3-Embedding and their like."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from lingyu.retrieve.embedders import EmbedderOptions, Floats

FILES = ("*.json", "*.txt", "*.model", "*.safetensors")  # never weights as pickles, never code


class Options(EmbedderOptions):
    path: str = Field(description="The folder of the model, with safetensors.")
    pooling: Literal["mean", "first", "last"] = Field(
        "mean", description="Which hidden states are the embedding; the model's card says it. BGE has first (CLS), Qwen3-Embedding last."
    )
    question_prefix: str = Field("", description="Before a question, as the model's card says.")
    passage_prefix: str = Field("", description="Before a passage.")
    max_tokens: PositiveInt = Field(512, description="Of a text; the rest is cut.")
    batch: PositiveInt = Field(16, description="Texts embedded at a time.")


def keep(folder: Path, options: Options) -> None:
    source = Path(options.path)
    files = sorted({file for pattern in FILES for file in source.glob(pattern)})
    if not any(file.suffix == ".safetensors" for file in files):
        raise FileNotFoundError(f"{source} has no safetensors: embedder.options.path must be the folder of an embedding model")
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def load(folder: Path, options: Options) -> "Folder":
    return Folder(folder, options)


class Folder:
    def __init__(self, folder: Path, options: Options) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._options = options
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        # A side of its own: with the last token as embedding, padding must not take its place.
        self._tokenizer.padding_side = "left" if options.pooling == "last" else "right"
        self._model: Any = AutoModel.from_pretrained(folder, local_files_only=True, dtype="float32").eval()

    def questions(self, texts: Sequence[str]) -> Floats:
        return self._embed([self._options.question_prefix + text for text in texts])

    def passages(self, texts: Sequence[str]) -> Floats:
        return self._embed([self._options.passage_prefix + text for text in texts])

    def _embed(self, texts: list[str]) -> Floats:
        """Batches are of similar length, longest first."""
        found = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
        for start in range(0, len(order), self._options.batch):
            batch = order[start : start + self._options.batch]
            found[batch] = self._forward([texts[i] for i in batch])
        return found

    def _forward(self, texts: list[str]) -> Floats:
        import torch

        read = self._tokenizer(texts, padding=True, truncation=True, max_length=self._options.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            states, mask = self._model(**read).last_hidden_state, read["attention_mask"][..., None]
            if self._options.pooling == "mean":
                pooled = (states * mask).sum(1) / mask.sum(1)
            else:
                pooled = states[:, 0 if self._options.pooling == "first" else -1]
            found: Floats = torch.nn.functional.normalize(pooled, dim=1).numpy()
            return found
