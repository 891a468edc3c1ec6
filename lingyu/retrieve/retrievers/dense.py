"""Meaning: the cosine of a question's embedding and each passage's, all compared, so that the order is exact and the bytes are the same."""

from pathlib import Path

import numpy as np
from pydantic import Field

from lingyu.retrieve import fusion
from lingyu.retrieve.chunks import Chunk, plain
from lingyu.retrieve.embedders import EmbedderChoice, Floats
from lingyu.retrieve.questions import Examples
from lingyu.retrieve.retrievers import Retriever, RetrieverOptions

BATCH = 2048  # passages embedded at a time


class Options(RetrieverOptions):
    embedder: EmbedderChoice = Field(EmbedderChoice(name="e5"), description="What understands meaning.")


def build(chunks: list[Chunk], folder: Path, options: Options, examples: Examples) -> None:
    fusion.build(chunks, folder, examples, None, index(chunks, folder, options.embedder), 1.0)


def load(folder: Path, chunks: list[Chunk]) -> Retriever:
    return fusion.Fused(chunks, folder, None, Vectors(folder))


def index(chunks: list[Chunk], folder: Path, embedder: EmbedderChoice) -> "Vectors | None":
    """Write the vectors of the chunks and what embeds questions; nothing where there is no embedder."""
    embedder = embedder.settled()
    (folder / "embedder.json").write_text(embedder.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if embedder.name == "none":
        return None
    embedder.keep(folder / "embedder")
    model = embedder.load(folder / "embedder")
    assert model is not None
    texts = [embedded_text(chunk) for chunk in chunks]
    parts = [model.passages(texts[start : start + BATCH]).astype(np.float16) for start in range(0, len(texts), BATCH)]
    np.save(folder / "vectors.npy", np.concatenate(parts) if parts else np.zeros((0, 1), np.float16), allow_pickle=False)
    return Vectors(folder)


def embedded_text(chunk: Chunk) -> str:
    """A passage under its last heading. The title, the same for all passages of a document, would only make them more alike."""
    heading, text = chunk.section.rpartition(" / ")[2], plain(chunk.text)
    return text if chunk.kind == "fact" or text.startswith(heading) else f"{heading}\n{text}"


class Vectors:
    """The passages' vectors, [passages, size], and the embedder."""

    def __init__(self, folder: Path) -> None:
        self.rows: Floats = np.load(folder / "vectors.npy").astype(np.float32)
        choice = EmbedderChoice.model_validate_json((folder / "embedder.json").read_text(encoding="utf-8"))
        model = choice.load(folder / "embedder")
        assert model is not None
        self.embedder = model
