"""Meaning: the cosine of a question's embedding and each passage's, all compared, so that the order is exact and the bytes are the same.

Of many passages all are compared by their principal components first, a quarter of the numbers, and the most promising exactly.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lingyu.retrieve import fusion
from lingyu.retrieve.chunks import Chunk, plain
from lingyu.retrieve.embedders import EmbedderChoice, Floats
from lingyu.retrieve.questions import Examples
from lingyu.retrieve.retrievers import Retriever, RetrieverOptions

BATCH = 2048  # passages embedded at a time
MANY = 20_000  # passages above which not all are compared exactly: below it takes 3 ms of one core, and the order stays exact
COMPONENTS = 96
FITTED = 20_000  # passages that the components are found with


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
    outline(folder)
    return Vectors(folder)


def outline(folder: Path) -> None:
    """Write the principal components of the vectors beside them, if there are many."""
    rows = np.load(folder / "vectors.npy", mmap_mode="r")
    if len(rows) <= MANY:
        return
    some = rows[:: -(-len(rows) // FITTED)].astype(np.float64)
    middle = some.mean(0)
    _, axes = np.linalg.eigh(np.cov(some - middle, rowvar=False))
    axes = axes[:, ::-1][:, :COMPONENTS].astype(np.float32)
    parts = [(rows[start : start + BATCH] - middle).astype(np.float32) @ axes for start in range(0, len(rows), BATCH)]
    np.save(folder / "outline.npy", np.concatenate(parts), allow_pickle=False)
    np.save(folder / "axes.npy", np.vstack([middle.astype(np.float32), axes.T]), allow_pickle=False)


def embedded_text(chunk: Chunk) -> str:
    """A passage under its last heading. The title, the same for all passages of a document, would only make them more alike."""
    heading, text = chunk.section.rpartition(" / ")[2], plain(chunk.text)
    return text if chunk.kind == "fact" or text.startswith(heading) else f"{heading}\n{text}"


class Vectors:
    """The passages' vectors, [passages, size], and the embedder. nearly: whether `cosines` are those of principal components."""

    def __init__(self, folder: Path) -> None:
        self.nearly = (folder / "outline.npy").is_file()
        self._stored = np.load(folder / "vectors.npy", mmap_mode="r")
        if self.nearly:
            self._outline: Floats = np.load(folder / "outline.npy", mmap_mode="r")
            self._middle, *axes = np.load(folder / "axes.npy")
            self._axes: Floats = np.stack(axes)
        else:
            self._all: Floats = self._stored.astype(np.float32)
        choice = EmbedderChoice.model_validate_json((folder / "embedder.json").read_text(encoding="utf-8"))
        model = choice.load(folder / "embedder")
        assert model is not None
        self.embedder = model

    @property
    def rows(self) -> Floats:
        """The vectors; of many passages they are read anew each time."""
        return self._stored.astype(np.float32) if self.nearly else self._all

    def cosines(self, vector: Floats) -> Floats:
        if not self.nearly:
            return self._all @ vector
        found: Floats = self._outline @ (self._axes @ vector) + self._middle @ vector
        return found

    def exact(self, places: NDArray[np.int64], vector: Floats) -> Floats:
        found: Floats = self._stored[places].astype(np.float32) @ vector
        return found
