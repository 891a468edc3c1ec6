"""/mcp: the knowledge base for assistants of others, over the Model Context Protocol (streamable HTTP, without sessions).

Two tools, `search` and `ask`, with the keys, groups and filters of /v1/chat/completions.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastapi import Request
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from lingyu.metadata import Filter, faults_of
from lingyu.serve.assistant import Assistant
from lingyu.serve.guard import check_key, header, refusal
from lingyu.serve.people import Reader, reader_of
from lingyu.serve.protocol import ChatRequest, Refused
from lingyu.serve.reply import source_of

if TYPE_CHECKING:
    from mcp.server import MCPServer

PATH = "/mcp"
MOST = 20  # passages of one search

Ask = Callable[[ChatRequest, Reader, Request], Awaitable[dict[str, Any]]]


class Endpoint:
    """An ASGI app as a route: of a function starlette would expect a response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def endpoint(assistant: Callable[[], Assistant], ask: Ask) -> ASGIApp:
    """ask: answers a chat request as /v1/chat/completions does."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # Each request stands alone: a server of its own knows whose it is, and nothing has to be started beside BentoML.
        await asyncio.to_thread(import_module, "mcp.server")  # a second, once: not on the event loop
        from mcp.server.transport_security import TransportSecuritySettings

        authorization = header(scope, b"authorization")
        try:
            check_key(authorization)
            reader = reader_of(authorization)
        except Refused as refused:
            await refusal(refused)(scope, receive, send)
            return
        server = server_for(assistant(), reader, lambda chat: ask(chat, reader, Request(scope, receive)))
        # Which host and origin may ask is the matter of Guard.
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(json_response=True, stateless_http=True, transport_security=security)
        async with server.session_manager.run():
            await server.session_manager.handle_request(scope, receive, send)

    return answer


def server_for(served: Assistant, reader: Reader, ask: Callable[[ChatRequest], Awaitable[dict[str, Any]]]) -> "MCPServer[Any]":
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    server = MCPServer(
        served.settings.model, instructions="The documents of this organisation, and a model tuned to them. 本机构的资料与领域模型。"
    )

    @server.tool(
        description="Passages of the documents for a question, closest first. filter: kind, department, in_force_on, files. 检索资料"
    )
    async def search(question: str, limit: int = 5, filter: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            view = await asyncio.to_thread(served.library.view, reader, Filter.model_validate(filter or {}))
        except ValidationError as error:
            raise ToolError(f"filter: {faults_of(error)}") from None
        hits = await asyncio.to_thread(view.knowledge.search, question[:2000], max(1, min(limit, MOST)))
        enough = bool(hits) and hits[0].score >= served.min_score
        return {"passages": [source_of(hit, view) for hit in hits], "answerable": enough}

    @server.tool(name="ask", description="An answer from the documents, each sentence checked, with its sources. 依据资料回答，并附来源")
    async def answer(question: str, mode: str = "professional", filter: dict[str, Any] | None = None) -> dict[str, Any]:
        fields = {"model": served.settings.model, "mode": mode, "filter": filter, "messages": [{"role": "user", "content": question}]}
        try:
            reply = await ask(ChatRequest.model_validate(fields))
        except ValidationError as error:
            raise ToolError(faults_of(error)) from None
        except Refused as refused:
            raise ToolError(f"{refused.en} / {refused.zh}") from None
        told: dict[str, Any] = {name: reply[name] for name in ("sources", "citations", "answer_source", "note") if name in reply}
        return {"answer": reply["choices"][0]["message"]["content"], **told}

    return server
