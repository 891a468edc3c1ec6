"""The knowledge base: chunks, their retriever and its index, in one folder."""

from collections.abc import Sequence
from pathlib import Path

from lingyu.files import read_json, read_table, write_json, write_table
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.query import Rewrite, standalone
from lingyu.retrieve.questions import Examples
from lingyu.retrieve.retrievers import Choice
from lingyu.retrieve.retrievers import Hit as Hit

NO_EXAMPLES = Examples()


def build(chunks: list[Chunk], folder: Path, retriever: Choice, examples: Examples = NO_EXAMPLES) -> None:
    """Write chunks.parquet, retriever.json and the retriever's index."""
    write_table(folder / "chunks.parquet", chunks, Chunk)
    write_json(folder / "retriever.json", retriever.model_dump())
    retriever.build(chunks, folder, examples)


class Knowledge:
    """The chunks in a folder written by `build`, and search over them."""

    def __init__(self, folder: Path) -> None:
        self.chunks = list(read_table(folder / "chunks.parquet", Chunk))
        self.names = frozenset(chunk.title for chunk in self.chunks if chunk.kind == "fact")
        self.terms = frozenset(term for chunk in self.chunks for term in chunk.terms)
        self.retriever = Choice.model_validate(read_json(folder / "retriever.json")).load(folder, self.chunks)
        self.threshold = self.retriever.threshold
        self.search = self.retriever.search
        self.relevance = self.retriever.relevance

    def search_all(self, questions: Sequence[str], limit: int, kind: str | None = None) -> list[list[Hit]]:
        """The hits of many questions; a retriever that can, embeds them together."""
        together = getattr(self.retriever, "search_all", None)
        return together(questions, limit, kind) if together else [self.search(question, limit, kind) for question in questions]

    def answerable(self, hits: list[Hit]) -> bool:
        """Whether the passages found answer the question, as far as was calibrated."""
        return bool(hits) and hits[0].score >= self.threshold

    def question(self, turns: Sequence[str], rewrite: Rewrite | None = None) -> str:
        """The last question of a conversation as one that can be searched for. turns: the person's, the last one last."""
        return standalone(turns, self.names, rewrite)
