"""The knowledge base: chunks, their retriever and its index, in one folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingyu.files import read_json, read_table, write_json, write_table
from lingyu.retrieve.added import Added
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.query import Rewrite, standalone
from lingyu.retrieve.questions import Examples
from lingyu.retrieve.retrievers import Choice, Retriever
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
        chunks = list(read_table(folder / "chunks.parquet", Chunk))
        self._hold(chunks, Choice.model_validate(read_json(folder / "retriever.json")).load(folder, chunks))

    def _hold(self, chunks: list[Chunk], retriever: Retriever) -> None:
        self.chunks, self.retriever = chunks, retriever
        self.names = frozenset(chunk.title for chunk in chunks if chunk.kind == "fact")
        self.terms = frozenset(term for chunk in chunks for term in chunk.terms)
        self.threshold, self.search, self.relevance = retriever.threshold, retriever.search, retriever.relevance

    def over(self, added: Sequence[Added], seen: NDArray[np.bool_] | None = None) -> "Knowledge":
        """The same with further passages, and with those only that may be seen: nothing else is ranked, named or counted as a name."""
        if not hasattr(self.retriever, "over"):
            raise NotImplementedError(f"{type(self.retriever).__module__} cannot search a part of the passages, or more: it has no `over`")
        made: Knowledge = object.__new__(Knowledge)
        chunks = [*self.chunks, *(chunk for part in added for chunk in part.chunks)]
        visible = chunks if seen is None else [chunk for chunk, may in zip(chunks, seen.tolist(), strict=True) if may]
        made._hold(visible, self.retriever.over(added, seen))
        return made

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
