"""Replies in OpenAI's forms: of chat and of completions, whole and streamed, with one choice or several."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from lingyu.serve.protocol import Refused
from lingyu.serve.reply import Piece

log = logging.getLogger("bentoml.lingyu")


def broken() -> Refused:
    return Refused(
        500, "internal_error", "Internal error while processing the request; see the service log.", "处理请求时发生内部错误，详见服务日志。"
    )


@dataclass
class Choice:
    """What a reply has been so far."""

    content: str = ""
    reasoning: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    last: Piece = field(default_factory=Piece)

    def add(self, piece: Piece) -> None:
        self.last = piece
        if piece.kind == "content":
            self.content += piece.text
            self.logprobs += piece.logprobs
        elif piece.kind == "reasoning":
            self.reasoning += piece.text
        if piece.call is not None:
            self.calls.append({key: value for key, value in piece.call.items() if key != "index"})
        if piece.sources is not None:
            self.extra |= {"sources": piece.sources, **piece.extra}
        if piece.finish is not None:
            self.extra |= grounds(piece)


class Chat:
    """The form of /v1/chat/completions."""

    whole, chunk = "chat.completion", "chat.completion.chunk"

    def choice(self, index: int, made: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": made.content}
        if made.reasoning:
            message["reasoning_content"] = made.reasoning
        if made.calls:
            message |= {"content": made.content or None, "tool_calls": made.calls}
        return {"index": index, "message": message, "logprobs": self.logprobs(made.logprobs), "finish_reason": made.last.finish}

    def opening(self, index: int) -> dict[str, Any] | None:
        return {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}

    def part(self, index: int, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        if piece.call is not None:
            delta = {"tool_calls": [piece.call]}
        elif piece.kind is not None:
            delta = {"reasoning_content" if piece.kind == "reasoning" else "content": piece.text}
        listed = self.logprobs(piece.logprobs if piece.kind == "content" else [])
        return {"index": index, "delta": delta, "logprobs": listed, "finish_reason": piece.finish}

    @staticmethod
    def logprobs(logprobs: list[dict[str, Any]]) -> dict[str, Any] | None:
        return {"content": logprobs, "refusal": None} if logprobs else None


class Text:
    """The form of /v1/completions."""

    whole = chunk = "text_completion"

    def choice(self, index: int, made: Choice) -> dict[str, Any]:
        text = made.content or made.reasoning
        return {"index": index, "text": text, "logprobs": self.logprobs(made.logprobs), "finish_reason": made.last.finish}

    def opening(self, index: int) -> dict[str, Any] | None:
        return None

    def part(self, index: int, piece: Piece) -> dict[str, Any]:
        return {"index": index, "text": piece.text, "logprobs": self.logprobs(piece.logprobs), "finish_reason": piece.finish}

    @staticmethod
    def logprobs(logprobs: list[dict[str, Any]]) -> dict[str, Any] | None:
        if not logprobs:
            return None
        tokens = [entry["token"] for entry in logprobs]
        return {
            "tokens": tokens,
            "token_logprobs": [entry["logprob"] for entry in logprobs],
            "top_logprobs": [{top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in logprobs],
            "text_offset": [sum(map(len, tokens[:number])) for number in range(len(tokens))],
        }


Form = Chat | Text
Replies = list[AsyncGenerator[Piece, None]]


@dataclass(frozen=True)
class Sent:
    """How replies are sent. head: id, created and model; each: choices of one prompt; warnings: of fields without effect."""

    form: Form
    head: dict[str, Any]
    each: int = 1
    usage: bool = False
    warnings: list[str] = field(default_factory=list)

    def more(self) -> dict[str, Any]:
        return {"warnings": self.warnings} if self.warnings else {}

    def counted(self, lasts: list[Piece]) -> dict[str, int]:
        """A prompt is read once, however many choices follow it."""
        prompt = sum(last.prompt_tokens for last in lasts[:: self.each])
        made = sum(last.completion_tokens for last in lasts)
        return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


def grounds(piece: Piece) -> dict[str, Any]:
    """The fields that OpenAI's protocol does not have, of the last piece."""
    if piece.answer_source is None:
        return piece.extra
    checked = {"supported": piece.supported, "answer_source": piece.answer_source, "citations": piece.citations, "note": piece.note}
    return {**checked, **piece.extra}


async def whole(replies: Replies, sent: Sent, request: Request) -> dict[str, Any]:
    """The complete replies. Generation stops when the client disconnects."""
    made = [Choice() for _ in replies]
    async with aclosing(merged(replies)) as pieces:
        async for index, piece in pieces:
            made[index].add(piece)
            if await request.is_disconnected():
                break
    choices = [sent.form.choice(index, one) for index, one in enumerate(made)]
    usage = sent.counted([one.last for one in made])
    return {**sent.head, "object": sent.form.whole, "choices": choices, "usage": usage, **made[0].extra, **sent.more()}


async def stream(replies: Replies, sent: Sent) -> AsyncIterator[str]:
    """The replies as server-sent events. An error while streaming is sent as an event because the status line is already sent."""
    lasts = [Piece() for _ in replies]

    def event(choice: dict[str, Any], **extra: Any) -> str:
        return sse({**sent.head, "object": sent.form.chunk, "choices": [choice], **extra})

    for index in range(len(replies)):
        if opening := sent.form.opening(index):
            yield event(opening, **(sent.more() if index == 0 else {}))
    try:
        async with aclosing(merged(replies)) as pieces:
            async for index, piece in pieces:
                lasts[index] = piece
                extra: dict[str, Any] = {}
                if piece.sources is not None:
                    extra = {"sources": piece.sources, **piece.extra}
                if piece.finish is not None:
                    extra |= grounds(piece)
                yield event(sent.form.part(index, piece), **extra)
        if sent.usage:
            yield sse({**sent.head, "object": sent.form.chunk, "choices": [], "usage": sent.counted(lasts)})
    except Exception:
        log.exception("a streamed reply failed")
        yield sse(broken().body())
    yield "data: [DONE]\n\n"


def sse(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


async def merged(replies: Replies) -> AsyncGenerator[tuple[int, Piece], None]:
    """The pieces of several replies as they come, each with its number."""
    if len(replies) == 1:
        async with aclosing(replies[0]) as pieces:
            async for piece in pieces:
                yield 0, piece
        return
    queue = asyncio.Queue[tuple[int, Piece] | None | Exception]()

    async def pump(index: int, reply: AsyncGenerator[Piece, None]) -> None:
        try:
            async with aclosing(reply) as pieces:
                async for piece in pieces:
                    queue.put_nowait((index, piece))
            queue.put_nowait(None)
        except Exception as error:
            queue.put_nowait(error)

    tasks = [asyncio.create_task(pump(index, reply)) for index, reply in enumerate(replies)]
    try:
        left = len(replies)
        while left:
            got = await queue.get()
            if isinstance(got, Exception):
                raise got
            if got is None:
                left -= 1
            else:
                yield got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
