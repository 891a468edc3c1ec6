"""A model's reply, sentence by sentence, as far as the evidence supports it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from lingyu.retrieve.evidence import Evidence, proof
from lingyu.serve.reply import Piece
from lingyu.serve.text import whole_sentences


class Checked:
    """citations: of the sentences shown; unsupported: whether one was withheld, which ends the reply; last: the model's last piece."""

    def __init__(self, question: str, evidence: Sequence[Evidence], terms: frozenset[str]) -> None:
        self._question, self._evidence, self._terms = question, evidence, terms
        self.citations: list[dict[str, Any]] = []
        self.unsupported = False
        self.last = Piece(finish="stop")

    async def shown(self, reply: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        """The reasoning as it comes, and the sentences that are supported, each with the number of its source."""
        async with aclosing(whole_sentences(reply)) as pieces:
            async for piece in pieces:
                self.last = piece
                if piece.kind == "reasoning":
                    yield piece
                elif piece.kind == "content":
                    found = proof(piece.text, self._question, self._evidence, self._terms)
                    if found is None:
                        self.unsupported = True
                        return
                    yield Piece("content", marked(piece.text, found.source + 1))
                    self.citations.append(citation(found))

    def end(self, **fields: Any) -> Piece:
        """The last piece of the reply."""
        return replace(self.last, kind=None, text="", finish=self.last.finish or "stop", citations=self.citations, **fields)


def marked(sentence: str, number: int) -> str:
    """The sentence with the number of its source, before the space that follows it."""
    text = sentence.rstrip()
    return f"{text} [{number}]{sentence[len(text) :]}"


def citation(found: Evidence) -> dict[str, Any]:
    """start, end: the characters of the cited sentence in the text of the source."""
    return {"source": found.source + 1, "start": found.start, "end": found.end, "text": found.text}
