"""Words, meaning and known questions, fused."""

from pathlib import Path

from pydantic import Field

from lingyu.retrieve import fusion
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.embedders import EmbedderChoice
from lingyu.retrieve.questions import Examples
from lingyu.retrieve.rerank import RerankerChoice
from lingyu.retrieve.retrievers import Retriever, bm25, dense


class Options(bm25.Options):
    embedder: EmbedderChoice = Field(EmbedderChoice(), description="What understands meaning.")
    meaning: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Weight of meaning against words. Of 700 consultations 0.3 to 0.7 find as much within a point, each alone less.",
    )
    reranker: RerankerChoice = Field(RerankerChoice(), description="What reads the best passages again, if anything.")


def build(chunks: list[Chunk], folder: Path, options: Options, examples: Examples) -> None:
    bm25.index(chunks, folder, options)
    vectors = dense.index(chunks, folder, options.embedder)
    fusion.build(chunks, folder, examples, bm25.BM25(folder, len(chunks)), vectors, options.meaning, options.reranker)


def load(folder: Path, chunks: list[Chunk]) -> Retriever:
    vectors = dense.Vectors(folder) if (folder / "vectors.npy").is_file() else None
    return fusion.Fused(chunks, folder, bm25.BM25(folder, len(chunks)), vectors)
