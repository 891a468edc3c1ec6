"""What the service says of itself: a line in the log for each request, and figures for Prometheus at /metrics.

Neither has anything that a client made up: a path is logged as it was sent, still encoded, and counted under its route.
"""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lingyu.serve.reply import Piece

log = logging.getLogger("bentoml.access")  # BentoML prints this one
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Figures:
    """The figures of one app; queued and running are read when somebody asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.load: dict[str, int] = {}
        self.documents: dict[tuple[str, str], tuple[int, int]] = {}
        on: Any = {"registry": self.registry}
        self.requests = Counter("lingyu_requests", "Requests answered.", ["route", "method", "status"], **on)
        self.seconds = Histogram("lingyu_request_seconds", "From request to the end of the reply.", ["route"], buckets=SECONDS, **on)
        self.refused = Counter("lingyu_refused", "Requests refused, by the code of the error.", ["code"], **on)
        self.first_token = Histogram("lingyu_first_token_seconds", "From request to the first text of a reply.", buckets=SECONDS, **on)
        self.retrieval = Histogram("lingyu_retrieval_seconds", "From request to the sources of a reply.", buckets=SECONDS, **on)
        self.prompt_tokens = Counter("lingyu_prompt_tokens", "Tokens of prompts.", **on)
        self.completion_tokens = Counter("lingyu_completion_tokens", "Tokens of replies.", **on)
        self.answers = Counter("lingyu_answers", "Replies by whose words they are.", ["source"], **on)
        self.uploads = Counter("lingyu_uploads", "Uploaded documents, by outcome: accepted, or the code of the error.", ["outcome"], **on)
        self.votes = Counter("lingyu_votes", "Feedback on replies.", ["rating"], **on)
        self.registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, value in self.load.items():
            yield GaugeMetricFamily(f"lingyu_{name}", f"Requests {name} now.", value=value)

        about = {"documents": "Documents of the knowledge base.", "passages": "Passages of these documents."}
        for place, (name, help) in enumerate(about.items()):
            found = GaugeMetricFamily(f"lingyu_{name}", help, labels=["origin", "state"])
            for labels, counts in self.documents.items():
                found.add_metric(labels, counts[place])
            yield found

    def text(self, load: dict[str, int], documents: dict[tuple[str, str], tuple[int, int]]) -> bytes:
        """documents: of each origin and state how many, and their passages."""
        self.load, self.documents = load, documents
        return generate_latest(self.registry)

    async def counted(self, reply: AsyncGenerator[Piece, None], begun: float) -> AsyncGenerator[Piece, None]:
        """The same reply; its times and tokens are counted on the way."""
        spoken = False
        async with aclosing(reply) as pieces:
            async for piece in pieces:
                if piece.sources is not None:
                    self.retrieval.observe(monotonic() - begun)
                if piece.kind is not None and not spoken:
                    spoken = True
                    self.first_token.observe(monotonic() - begun)
                if piece.finish is not None:
                    self.prompt_tokens.inc(piece.prompt_tokens)
                    self.completion_tokens.inc(piece.completion_tokens)
                    self.answers.labels(piece.answer_source or "model").inc()
                yield piece


class Record:
    """ASGI middleware round everything else."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self.app, self.figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = {**scope, "route": None}  # BentoML's router, round this app, has put its own
        begun, status = monotonic(), 499  # where no reply was begun: the client left

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:
            # Answered outside of this middleware, by the handler of unexpected errors.
            status = 500 if status == 499 else status
            raise
        finally:
            seconds = monotonic() - begun
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.figures.requests.labels(route_of(scope), method, status).inc()
            self.figures.seconds.labels(route_of(scope)).observe(seconds)
            client = scope["client"][0] if scope.get("client") else "-"
            log.info("%s %s %s %d %.3f s", client, method, sent_path(scope), status, seconds)


def route_of(scope: Scope) -> str:
    """One of the routes that the service has: never a path that somebody made up."""
    return str(getattr(scope.get("route"), "path", "")) or "other"


def sent_path(scope: Scope) -> str:
    """The path as it was sent, encoded, so that it cannot begin a line of its own; without the query, which may hold a key."""
    raw = scope.get("raw_path") or scope["path"].encode()
    return ascii(raw.decode("latin-1"))[1:-1][:200]
