"""The knowledge base: chunks, their retriever and its index, in one folder."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingyu.files import read_json, read_table, write_json, write_table
from lingyu.retrieve.added import Added
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.embedders import Floats
from lingyu.retrieve.query import Rewrite, standalone
from lingyu.retrieve.questions import Examples
from lingyu.retrieve.retrievers import Choice, Retriever
from lingyu.retrieve.retrievers import Hit as Hit

NO_EXAMPLES = Examples()
TOGETHER = 50  # hits of each of two searches that are put into one order
FLAT = 10  # reciprocal rank fusion: the higher, the less the first ranks count


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

    def search_with(self, question: str, more: str, limit: int, least: float = 0.0) -> list[Hit]:
        """The hits of the question, and of the question with a text that may be close to its answer, in one order.

        least: the score that the best hit of the question alone must have, or nothing is found.
        """
        own = self.search(question, max(limit, TOGETHER) if more.strip() else limit)
        if not own or own[0].score < least or not more.strip():
            return own if own and own[0].score >= least else []
        scores = {hit.chunk.id: hit.score for hit in own}
        ranks: dict[str, float] = defaultdict(float)
        chunks = dict[str, Chunk]()
        for hits in (own, self.search(f"{question}\n{more}", max(limit, TOGETHER))):
            for rank, hit in enumerate(hits):
                chunks[hit.chunk.id] = hit.chunk
                ranks[hit.chunk.id] += 1 / (FLAT + rank)
        best = sorted(ranks, key=lambda id: -ranks[id])[:limit]
        return [Hit(chunks[id], scores.get(id, own[-1].score)) for id in best]

    def closeness(self, question: str) -> Floats | None:
        """The closeness in meaning of the question to each of the chunks; None without an embedder."""
        found: Floats | None = getattr(self.retriever, "closeness", lambda _: None)(question)
        return found

    def answerable(self, hits: list[Hit]) -> bool:
        """Whether the passages found answer the question, as far as was calibrated."""
        return bool(hits) and hits[0].score >= self.threshold

    def question(self, turns: Sequence[str], rewrite: Rewrite | None = None) -> str:
        """The last question of a conversation as one that can be searched for. turns: the person's, the last one last."""
        return standalone(turns, self.names, rewrite)
