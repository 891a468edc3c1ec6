"""Requests and tokens a minute for each key, or for each address where there are no keys.

LINGYU_REQUESTS_PER_MINUTE and LINGYU_TOKENS_PER_MINUTE set them; without them nothing is limited. What was used comes back evenly over the
minute. Tokens are known only as they are made: a reply that was begun ends, and the next waits until its key is out of debt.
"""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lingyu.serve.guard import header, known_key
from lingyu.serve.protocol import Refused

KINDS = {"requests": "LINGYU_REQUESTS_PER_MINUTE", "tokens": "LINGYU_TOKENS_PER_MINUTE"}
KEPT = 10_000  # accounts; an address that has its whole allowance again needs none


@dataclass
class Account:
    """What one key may still use."""

    limits: Mapping[str, int]
    left: dict[str, float] = field(default_factory=dict)
    at: float = field(default_factory=lambda: monotonic())

    def refill(self) -> None:
        now = monotonic()
        for kind, limit in self.limits.items():
            self.left[kind] = min(limit, self.left.get(kind, limit) + (now - self.at) * limit / 60)
        self.at = now

    def wait(self, kind: str, wanted: float) -> float:
        """Seconds until there is this much."""
        return max(0.0, (wanted - self.left[kind]) * 60 / self.limits[kind])

    def full(self) -> bool:
        self.refill()
        return all(self.left[kind] >= limit for kind, limit in self.limits.items())

    def headers(self) -> dict[str, str]:
        """As OpenAI tells them."""
        told: dict[str, str] = {}
        for kind, limit in self.limits.items():
            told[f"x-ratelimit-limit-{kind}"] = str(limit)
            told[f"x-ratelimit-remaining-{kind}"] = str(max(0, int(self.left[kind])))
            told[f"x-ratelimit-reset-{kind}"] = f"{self.wait(kind, limit):.3f}s"
        return told


current: ContextVar[Account | None] = ContextVar("account", default=None)


def spend(tokens: int) -> None:
    """Tokens of the request that is being answered."""
    if (account := current.get()) and "tokens" in account.limits:
        account.refill()
        account.left["tokens"] -= tokens


class Limits:
    """ASGI middleware, inside Guard."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.accounts = app, dict[str, Account]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = self.account(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if account is None:
            await self.app(scope, receive, send)
            return
        account.refill()
        waits = {kind: account.wait(kind, 1) for kind in account.limits}
        if any(waits.values()):
            kind = max(waits, key=lambda one: waits[one])
            refused = too_many(kind, account.limits[kind])
            told = {"Retry-After": str(int(waits[kind]) + 1), **account.headers()}
            await JSONResponse(refused.body(), refused.status, told)(scope, receive, send)
            return
        if "requests" in account.limits:
            account.left["requests"] -= 1

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = [(name.encode(), value.encode()) for name, value in account.headers().items()]
                message = {**message, "headers": [*message["headers"], *told]}
            await send(message)

        current.set(account)
        await self.app(scope, receive, sent)

    def account(self, scope: Scope) -> Account | None:
        """None where nothing is limited, or the key is not known: the route refuses it."""
        limits = {kind: limit for kind, name in KINDS.items() if (limit := limit_of(name))}
        who = known_key(header(scope, b"authorization"), scope.get("client")) if limits else None
        if who is None:
            return None
        if len(self.accounts) >= KEPT:
            self.accounts = {one: account for one, account in self.accounts.items() if not account.full()}
        account = self.accounts.setdefault(who, Account(limits))
        account.limits = limits
        return account


def limit_of(name: str) -> int:
    """0 where there is none."""
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdecimal() else 0


def too_many(kind: str, limit: int) -> Refused:
    en, zh = f"This key may use {limit} {kind} a minute.", f"此密钥每分钟限 {limit} {'次请求' if kind == 'requests' else '个 token'}。"
    return Refused(429, "rate_limit_exceeded", en, zh)
