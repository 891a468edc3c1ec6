"""The HTTP side: OpenAI's two routes and the pages."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from lingyu.serve.assistant import Assistant
from lingyu.serve.guard import Guard, check_key, refusal
from lingyu.serve.pages import PAGES
from lingyu.serve.protocol import Refused, parsed
from lingyu.serve.record import Figures, Record
from lingyu.serve.reply import Piece

log = logging.getLogger("lingyu.serve")


def make_app(assistant: Callable[[], Assistant], web: Path) -> FastAPI:
    """assistant: called at each request, because BentoML creates it after the app. web: the folder of the pages."""
    app = FastAPI(title="lingyu", docs_url=None, redoc_url=None, openapi_url=None)
    figures = Figures()
    app.add_middleware(Guard)
    app.add_middleware(Record, figures=figures)

    @app.exception_handler(Refused)
    async def refuse(_: Request, refused: Refused) -> JSONResponse:
        figures.refused.labels(refused.code).inc()
        return refusal(refused)

    @app.exception_handler(HTTPException)
    async def no_such_route(request: Request, error: HTTPException) -> JSONResponse:
        what, code = f"{request.method} {request.url.path}", "method_not_allowed" if error.status_code == 405 else "not_found"
        refused = Refused(error.status_code, code, f"Unknown route: {what}.", f"路由不存在：{what}。")
        return JSONResponse(refused.body(), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def fail(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(broken().body(), 500)

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        check_key(request.headers.get("authorization", ""))
        served = assistant()
        about = {
            "object": "model",
            "created": 0,
            "owned_by": "lingyu",
            "context_length": served.engine.context,
            "history_turns": served.settings.history_turns,
            "modes": served.modes(),
        }
        return {"object": "list", "data": [{"id": name, **about} for name in served.names()]}

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        check_key(request.headers.get("authorization", ""))
        begun, served, asked = time.monotonic(), assistant(), parsed(await request.body())
        plan = await asyncio.to_thread(served.plan, asked)
        if served.engine.waiting > served.settings.max_waiting:
            raise Refused(429, "too_many_requests", "Too many requests are queued; please try again later.", "排队请求过多，请稍后重试。")
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": asked.model}
        reply = figures.counted(served.reply(plan), begun)
        if not asked.stream:
            return JSONResponse(await whole(reply, head, request))
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(reply, head, usage), media_type="text/event-stream", headers=headers)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        check_key(request.headers.get("authorization", ""))
        load = {"waiting": assistant().engine.waiting}
        return Response(await asyncio.to_thread(figures.text, load), media_type="text/plain; version=0.0.4")

    for path, folder in PAGES.items():
        app.add_api_route(path, page_of(web / folder / "index.html"), methods=["GET"])
        app.mount(f"/static/{folder}", StaticFiles(directory=web / folder))
    # BentoML answers what matches no route by itself, in a form of its own and past the log.
    app.router.routes.append(Mount("/", app=unmatched(list(app.router.routes))))
    return app


def unmatched(routes: list[BaseRoute]) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "route": None}
        known = any(route.matches(scope)[0] == Match.PARTIAL for route in routes)
        raise HTTPException(405 if known else 404)

    return refuse


def page_of(file: Path) -> Callable[[], Awaitable[FileResponse]]:
    async def page() -> FileResponse:
        return FileResponse(file)

    return page


def broken() -> Refused:
    return Refused(
        500, "internal_error", "Internal error while processing the request; see the service log.", "处理请求时发生内部错误，详见服务日志。"
    )


def usage_of(last: Piece) -> dict[str, int]:
    total = last.prompt_tokens + last.completion_tokens
    return {"prompt_tokens": last.prompt_tokens, "completion_tokens": last.completion_tokens, "total_tokens": total}


def grounds(piece: Piece) -> dict[str, Any]:
    """The fields that OpenAI's protocol does not have, of the last piece."""
    if piece.answer_source is None:
        return piece.extra
    checked = {"supported": piece.supported, "answer_source": piece.answer_source, "citations": piece.citations, "note": piece.note}
    return {**checked, **piece.extra}


async def whole(reply: AsyncGenerator[Piece, None], head: dict[str, Any], request: Request) -> dict[str, Any]:
    """The complete reply. Generation stops when the client disconnects."""
    text = {"content": "", "reasoning": ""}
    extra: dict[str, Any] = {}
    last = Piece()
    async with aclosing(reply) as pieces:
        async for last in pieces:
            if last.kind is not None:
                text[last.kind] += last.text
            if last.sources is not None:
                extra |= {"sources": last.sources, **last.extra}
            if await request.is_disconnected():
                break
    message: dict[str, Any] = {"role": "assistant", "content": text["content"]}
    if text["reasoning"]:
        message["reasoning_content"] = text["reasoning"]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": last.finish}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage_of(last), **extra, **grounds(last)}


async def stream(reply: AsyncGenerator[Piece, None], head: dict[str, Any], usage: bool) -> AsyncIterator[str]:
    """The reply as server-sent events. An error while streaming is sent as an event because the status line is already sent."""

    def event(delta: dict[str, Any], finish: str | None = None, **extra: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({**head, "object": "chat.completion.chunk", "choices": [choice], **extra})

    yield event({"role": "assistant", "content": ""})
    try:
        async with aclosing(reply) as pieces:
            async for piece in pieces:
                if piece.sources is not None:
                    yield event({}, sources=piece.sources, **piece.extra)
                elif piece.kind is not None:
                    yield event({"reasoning_content" if piece.kind == "reasoning" else "content": piece.text})
                if piece.finish is not None:
                    yield event({}, piece.finish, **grounds(piece))
                    if usage:
                        yield sse({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(piece)})
    except Exception:
        log.exception("a streamed reply failed")
        yield sse(broken().body())
    yield "data: [DONE]\n\n"


def sse(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
