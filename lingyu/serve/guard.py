"""What every request passes before a route sees it: who may connect, how large a body may be, how long it may take to arrive.

Without API keys the service answers only this machine, and only under a name of this machine, so that a web page elsewhere cannot reach
it through a visitor's browser. With keys, or with LINGYU_OPEN=1, it answers everybody.
"""

import asyncio
import hmac
import os
import re
from hashlib import sha256
from ipaddress import ip_address

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lingyu.serve.documents import largest
from lingyu.serve.people import KEYS, OPEN, digest, listed, more_keys
from lingyu.serve.protocol import Refused

ORIGINS = "LINGYU_CORS_ORIGINS"  # of web pages that may ask from a browser, separated by commas; read when the service starts
UPLOADS = "/v1/files"
LARGEST_BODY = 1 << 20  # bytes
SLOWEST_BODY = 20.0  # seconds
THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware; its refusals have the form of OpenAI's errors."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            check_place(scope)
            check_kind(scope)
            arrived = await whole_body(scope, receive)
        except Refused as refused:
            await refusal(refused)(scope, receive, with_headers(send))
            return
        await self.app(scope, arrived, with_headers(send))


def refusal(refused: Refused) -> JSONResponse:
    close = {"Connection": "close"}  # what else of the body comes is not read
    headers = {401: {"WWW-Authenticate": "Bearer"}, 408: close, 413: close, 429: {"Retry-After": "2"}}
    return JSONResponse(refused.body(), refused.status, headers.get(refused.status))


def with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            new = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items() if name.lower().encode() not in there]
            message = {**message, "headers": [*message["headers"], *new]}
        await send(message)

    return sent


def header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def origins() -> list[str]:
    return [origin.strip() for origin in os.environ.get(ORIGINS, "").split(",") if origin.strip()]


def keys() -> list[str]:
    return [*listed(KEYS), *more_keys()]


def check_key(authorization: str) -> None:
    """If API keys are set in the environment, the request must carry one of them. Raises Refused."""
    known = keys()
    if not known:
        return
    scheme, _, given = authorization.partition(" ")
    hashed = sha256(given.strip().encode()).hexdigest()
    wanted = [digest(key) for key in known]
    if scheme.lower() != "bearer" or not any(hmac.compare_digest(hashed, one) for one in wanted):
        raise Refused(401, "invalid_api_key", "The API key is missing or invalid.", "API 密钥缺失或无效。")


def known_key(authorization: str, client: tuple[str, int] | None) -> str | None:
    """Whom a request is counted for: its key as a hash, or the address where there are no keys; None where the key is unknown."""
    if not keys():
        return client[0] if client else "-"
    try:
        check_key(authorization)
    except Refused:
        return None
    return sha256(authorization.partition(" ")[2].strip().encode()).hexdigest()


def check_place(scope: Scope) -> None:
    if keys() or os.environ.get(OPEN) == "1":
        return
    host = re.sub(r":\d+$", "", header(scope, b"host"))
    client = scope["client"][0] if scope.get("client") else "127.0.0.1"
    if host.lower() not in THIS_MACHINE or not is_this_machine(client):
        raise Refused(
            403,
            "not_open",
            f"Without API keys the service answers this machine only. Set {KEYS}, or {OPEN}=1 to answer everybody.",
            f"未设置 API 密钥时，服务只对本机开放。请设置 {KEYS}；确需对所有人开放时设置 {OPEN}=1。",
        )


def is_this_machine(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:  # a name, as in a test client, or a socket of the operating system
        return True


def check_kind(scope: Scope) -> None:
    """A form or plain text may be sent by any web page without asking; JSON may not."""
    kind = header(scope, b"content-type").partition(";")[0].strip().lower()
    if is_upload(scope):
        check_origin(scope)
    elif scope["method"] == "POST" and kind != "application/json":
        raise Refused(
            415,
            "unsupported_media_type",
            f"Content-Type must be application/json (found {kind!r}).",
            f"Content-Type 必须为 application/json（实际为 {kind!r}）。",
        )


def is_upload(scope: Scope) -> bool:
    kind = header(scope, b"content-type").partition(";")[0].strip().lower()
    return bool(scope["method"] == "POST" and scope["path"] == UPLOADS and kind == "multipart/form-data")


def check_origin(scope: Scope) -> None:
    """A browser says which page sends a form; other clients say nothing."""
    origin = header(scope, b"origin")
    if origin and origin not in origins() and origin.partition("://")[2].lower() != header(scope, b"host").lower():
        raise Refused(403, "wrong_origin", "Pages of other sites may not upload.", "不接受其他网站的页面上传文件。")


def measured(scope: Scope, receive: Receive) -> Receive:
    """An upload as it comes: it is written to the disk, and may take its time as long as something arrives."""
    most, arrived = largest() + LARGEST_BODY, 0
    length = header(scope, b"content-length")
    if length.isdecimal() and int(length) > most:
        raise too_large(most)

    async def received() -> Message:
        nonlocal arrived
        try:
            async with asyncio.timeout(SLOWEST_BODY):
                message = await receive()
        except TimeoutError:
            raise Refused(408, "request_timeout", "The upload has stopped.", "上传已中断。") from None
        arrived += len(message.get("body", b""))
        if arrived > most:
            raise too_large(most)
        return message

    return received


async def whole_body(scope: Scope, receive: Receive) -> Receive:
    """The body, read within its limits, for the routes to receive. Raises Refused; a client that left gets no reply."""
    if is_upload(scope):
        return measured(scope, receive)
    if not header(scope, b"content-length") and not header(scope, b"transfer-encoding"):
        return receive
    length = header(scope, b"content-length")
    if length.isdecimal() and int(length) > LARGEST_BODY:
        raise too_large()
    body, more = b"", True
    try:
        async with asyncio.timeout(SLOWEST_BODY):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > LARGEST_BODY:
                    raise too_large()
    except TimeoutError:
        raise Refused(
            408, "request_timeout", f"The body did not arrive within {SLOWEST_BODY:.0f} s.", f"请求体未在 {SLOWEST_BODY:.0f} 秒内到达。"
        ) from None
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def too_large(most: int = LARGEST_BODY) -> Refused:
    return Refused(413, "request_too_large", f"The body is larger than {most >> 10} KiB.", f"请求体超过 {most >> 10} KiB。")
