"""The HTTP side: OpenAI's routes, figures and the pages."""

import asyncio
import base64
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lingyu.serve import asked as questions
from lingyu.serve import describe, feedback, files, mcp, rewrite
from lingyu.serve.assistant import Assistant
from lingyu.serve.guard import Guard, check_key, origins, refusal
from lingyu.serve.limits import Limits, spend
from lingyu.serve.pages import PAGES
from lingyu.serve.people import Reader, reader_of
from lingyu.serve.protocol import ChatRequest, CompletionRequest, EmbeddingRequest, Refused, parsed, read, unsupported
from lingyu.serve.record import Figures, Record
from lingyu.serve.reply import Plan
from lingyu.serve.wire import Chat, Form, Replies, Sent, Text, broken, stream, whole

STREAMED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def make_app(assistant: Callable[[], Assistant], web: Path, report: Path | None = None) -> FastAPI:
    """assistant: called at each request, because BentoML creates it after the app. web: the folder of the pages. report: that of the
    evaluation report, which may be left out."""
    app = FastAPI(title="lingyu", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    figures, queue, store, kinds = Figures(), Queue(), feedback.opened(), questions.opened()
    reported = report is not None and (report / "index.html").exists()
    if origins():
        app.add_middleware(CORSMiddleware, allow_origins=origins(), allow_methods=["GET", "POST"], allow_headers=["*"])
    app.add_middleware(Limits)
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

    async def answered(request: Request, plans: list[Plan], sent: Sent, streams: bool) -> Response:
        served, begun = assistant(), time.monotonic()
        # A seed gives the same choices again, but not the same choice n times.
        several = [
            replace(plan, sampling=replace(plan.sampling, seed=None if plan.sampling.seed is None else plan.sampling.seed + number))
            for plan in plans
            for number in range(sent.each)
        ]
        place = queue.place(len(several), served.settings.max_waiting + served.engine.at_once)
        try:
            replies: Replies = [figures.counted(served.reply(plan), begun) for plan in several]
            if streams:
                response = Streamed(stream(replies, sent), media_type="text/event-stream", headers=STREAMED)
                response.place, place = place, queue.none
                return response
            return JSONResponse(await whole(replies, sent, request))
        finally:
            place.leave()

    def sent_as(form: Form, asked: Any) -> Sent:
        refuse = assistant().settings.unsupported_fields == "refuse"
        prefix = "chatcmpl" if isinstance(form, Chat) else "cmpl"
        head = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": asked.model}
        return Sent(form, head, asked.n or 1, asked.wants_usage(), unsupported(asked, refuse, assistant().knows_tools))

    @app.get("/v1/models", **describe.MODELS)
    async def models(request: Request) -> dict[str, Any]:
        check_key(request.headers.get("authorization", ""))
        more = {"feedback": store is not None, "report": reported}
        return {"object": "list", "data": [{**one, **more} for one in assistant().models()]}

    @app.get("/v1/models/{name:path}", **describe.MODEL)
    async def model(request: Request, name: str) -> dict[str, Any]:
        check_key(request.headers.get("authorization", ""))
        for one in assistant().models():
            if one["id"] == name:
                return one
        raise assistant().no_model(name)

    @app.post("/v1/chat/completions", **describe.CHAT)
    async def complete(request: Request) -> Response:
        check_key(request.headers.get("authorization", ""))
        asked = parsed(await request.body())
        sent = sent_as(Chat(), asked)
        reader = reader_of(request.headers.get("authorization", ""))
        plan = await asyncio.to_thread(assistant().plan, asked, reader)
        if kinds:
            last = next((message.text() for message in reversed(asked.messages) if message.role == "user"), "")
            await asyncio.to_thread(kinds.keep, last)
        return await answered(request, [plan], sent, bool(asked.stream))

    @app.post("/v1/completions", **describe.COMPLETION)
    async def go_on(request: Request) -> Response:
        check_key(request.headers.get("authorization", ""))
        asked = read(await request.body(), CompletionRequest)
        sent = sent_as(Text(), asked)
        plans = await asyncio.to_thread(lambda: [assistant().continuing(asked, prompt) for prompt in asked.prompts()])
        return await answered(request, plans, sent, bool(asked.stream))

    @app.post("/v1/embeddings", **describe.EMBEDDING)
    async def embed(request: Request) -> Response:
        check_key(request.headers.get("authorization", ""))
        asked = read(await request.body(), EmbeddingRequest)
        warnings = unsupported(asked, assistant().settings.unsupported_fields == "refuse")
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        rows = await asyncio.to_thread(assistant().embedded, texts, asked.dimensions)
        coded = asked.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": number, "embedding": base64.b64encode(row.tobytes()).decode() if coded else row.tolist()}
            for number, row in enumerate(rows)
        ]
        tokens = sum(map(len, texts))
        spend(tokens)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        more = {"warnings": warnings} if warnings else {}
        return JSONResponse({"object": "list", "model": asked.model, "data": data, "usage": usage, **more})

    @app.post("/v1/rewrite", **describe.REWRITE)
    async def say_otherwise(request: Request) -> dict[str, Any]:
        check_key(request.headers.get("authorization", ""))
        asked, served = read(await request.body(), rewrite.RewriteRequest), assistant()

        async def by_served(text: str) -> str:
            fields = {"model": asked.model or served.settings.model, "max_tokens": rewrite.TOKENS, "temperature": 0}
            chat = ChatRequest.model_validate({**fields, "messages": [{"role": "user", "content": rewrite.question_of(text)}]})
            plan = await asyncio.to_thread(served.plan, chat)
            reply = figures.counted(served.reply(plan), time.monotonic())
            return str((await whole([reply], Sent(Chat(), {}), request))["choices"][0]["message"]["content"])

        place = queue.place(1, served.settings.max_waiting + served.engine.at_once)
        try:
            return await rewrite.rewritten(asked.text, rewrite.endpoint() or by_served)
        finally:
            place.leave()

    @app.post("/v1/feedback", **describe.FEEDBACK)
    async def vote(request: Request) -> dict[str, Any]:
        check_key(request.headers.get("authorization", ""))
        if store is None:
            en, zh = f"This service keeps no feedback ({feedback.FOLDER}).", f"本服务未启用反馈（{feedback.FOLDER}）。"
            raise Refused(404, "no_feedback", en, zh)
        given = read(await request.body(), feedback.Feedback)
        await asyncio.to_thread(store.keep, given)
        figures.votes.labels(given.rating).inc()
        return {"object": "feedback", "kept": True}

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        check_key(request.headers.get("authorization", ""))
        # Reading the folder of the documents takes a file each.
        counts = await asyncio.to_thread(assistant().library.counts)
        load = {"running": min(queue.taken, assistant().engine.at_once), "queued": max(0, queue.taken - assistant().engine.at_once)}
        return Response(await asyncio.to_thread(figures.text, load, counts), media_type="text/plain; version=0.0.4")

    async def asked_by_tool(chat: ChatRequest, reader: Reader, request: Request) -> dict[str, Any]:
        plan = await asyncio.to_thread(assistant().plan, chat, reader)
        place = queue.place(1, assistant().settings.max_waiting + assistant().engine.at_once)
        try:
            return await whole([figures.counted(assistant().reply(plan), time.monotonic())], sent_as(Chat(), chat), request)
        finally:
            place.leave()

    app.include_router(files.router(assistant, figures))
    app.router.routes.append(Route(mcp.PATH, mcp.Endpoint(mcp.endpoint(assistant, asked_by_tool))))
    for path, folder in PAGES.items():
        app.add_api_route(path, page_of(web / folder / "index.html"), methods=["GET"], include_in_schema=False)
        app.mount(f"/static/{folder}", StaticFiles(directory=web / folder))
    if report and reported:
        app.add_api_route("/report", page_of(report / "index.html"), methods=["GET"], include_in_schema=False)
        app.mount("/static/report", StaticFiles(directory=report))
    app.openapi = describe.completed(app)  # type: ignore[method-assign]
    # BentoML answers what matches no route by itself, in a form of its own and past the log.
    app.router.routes.append(Mount("/", app=unmatched(list(app.router.routes))))
    return app


class Queue:
    """How many replies are being made or waited for; more than a limit are told to come again."""

    def __init__(self) -> None:
        self.taken, self.none = 0, Place(self, 0)

    def place(self, count: int, limit: int) -> "Place":
        if self.taken + count > limit:
            raise Refused(429, "too_many_requests", "Too many requests are queued; please try again later.", "排队请求过多，请稍后重试。")
        self.taken += count
        return Place(self, count)


class Place:
    def __init__(self, queue: Queue, count: int) -> None:
        self._queue, self._count = queue, count

    def leave(self) -> None:
        self._queue.taken -= self._count
        self._count = 0


class Streamed(StreamingResponse):
    """Leaves its place in the queue however it ends, even where the client is gone before the first event."""

    place: Place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.place.leave()


def unmatched(routes: list[BaseRoute]) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        known = any(route.matches(scope)[0] == Match.PARTIAL for route in routes)
        raise HTTPException(405 if known else 404)

    return refuse


def page_of(file: Path) -> Callable[[], Awaitable[FileResponse]]:
    async def page() -> FileResponse:
        return FileResponse(file)

    return page
