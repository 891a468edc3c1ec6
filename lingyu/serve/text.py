"""Streaming tokens to text: whole characters only, reasoning separated from the answer, ending at a stop word."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from lingyu.model.chat import THINK, THINK_END
from lingyu.text.sentences import sentences

if TYPE_CHECKING:
    from lingyu.serve.reply import Piece

Kind = Literal["reasoning", "content"]


class Decoder:
    """Decodes a stream of tokens. Incomplete characters are held back."""

    def __init__(self, tokenizer: Any, hidden: frozenset[int]) -> None:
        self._tokenizer, self._hidden = tokenizer, hidden
        self._ids: list[int] = []
        self._start = 0  # keep some previous tokens, because decoders treat the first token of a text differently
        self._read = 0

    def add(self, token: int) -> str:
        if token in self._hidden:
            return ""
        self._ids.append(token)
        return self._new(final=False)

    def rest(self) -> str:
        return self._new(final=True)

    def _new(self, final: bool) -> str:
        before = self._decode(self._ids[self._start : self._read])
        text = self._decode(self._ids[self._start :])
        if len(text) <= len(before) or (text.endswith("\ufffd") and not final):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))


class Parts:
    """Splits a reply into reasoning and content at the think tags, and ends the content at a stop word.

    A possible beginning of a tag or stop word is held back until more text arrives.
    """

    def __init__(self, stops: list[str], thinking: bool) -> None:
        self._stops, self._held = stops, ""
        self._state: Literal["start", "reasoning", "content"] = "reasoning" if thinking else "start"
        self._bare = True  # nothing of the current part has been yielded yet: leading blank lines are dropped
        self.stopped = False

    def add(self, text: str) -> Iterator[tuple[Kind, str]]:
        self._held += text
        if self._state == "start":
            seen = self._held.lstrip()
            if THINK.startswith(seen):
                return
            self._state = "reasoning" if seen.startswith(THINK) else "content"
            self._held = seen.removeprefix(THINK)
        if self._state == "reasoning":
            _, mark, tail = self._held.partition(THINK_END)
            if not mark:
                yield from self._give("reasoning", held_back(self._held, [THINK_END]))
                return
            yield from self._give("reasoning", len(mark) + len(tail))
            self._state, self._held, self._bare = "content", tail, True
        if self._bare:
            self._held = self._held.lstrip()
        ends = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:
            self.stopped = True
            self._held = self._held[: min(ends)]
        yield from self._give("content", 0 if ends else held_back(self._held, self._stops))

    def rest(self) -> Iterator[tuple[Kind, str]]:
        """The held-back text at the end of the stream."""
        if not self.stopped:
            yield from self._give("reasoning" if self._state == "reasoning" else "content", 0)

    def _give(self, kind: Kind, keep: int) -> Iterator[tuple[Kind, str]]:
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        text = text.lstrip() if self._bare else text
        # Trailing whitespace is held back and dropped if nothing follows.
        kept = text.rstrip()
        self._held, text = text[len(kept) :] + self._held, kept
        if text:
            self._bare = False
            yield kind, text


def held_back(text: str, marks: list[str]) -> int:
    """The number of characters at the end of the text that may begin one of the marks."""
    for size in range(min(len(text), max(map(len, marks), default=0)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0


async def whole_sentences(reply: AsyncGenerator["Piece", None]) -> AsyncGenerator["Piece", None]:
    """The same reply with its content in whole sentences: "1. " and blank lines stay with the sentence after them.

    Other pieces pass as they come.
    """
    from lingyu.serve.reply import Piece

    lead = held = ""
    async with aclosing(reply) as pieces:
        async for piece in pieces:
            if piece.kind == "content":
                *whole, held = sentences(held + piece.text) or [""]
                for sentence in whole:
                    lead += sentence
                    if any(map(str.isalpha, lead)):
                        yield Piece("content", lead)
                        lead = ""
                continue
            if piece.finish is not None and (lead + held).strip():
                yield Piece("content", lead + held)
                lead = held = ""
            yield piece
