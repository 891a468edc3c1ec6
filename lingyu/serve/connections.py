"""What a slow client may hold up: uvicorn waits for ever for headers that do not arrive, and at its stop for a client that does not read.

BentoML chooses uvicorn's protocol by a name; `install` puts this one behind it, in the process that answers.
"""

import asyncio
from typing import Any

from uvicorn import config
from uvicorn.protocols.http.auto import AutoHTTPProtocol

SLOWEST_HEADERS = 10.0  # seconds
GRACE = 30  # seconds after SIGTERM in which replies may end; `bentoml serve --timeout-graceful-shutdown` sets another


class TimedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # one of two classes
    """Closes a connection whose request has not begun in time."""

    waiting: asyncio.TimerHandle | None = None

    def __init__(self, config: config.Config, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        if config.timeout_graceful_shutdown is None:
            config.timeout_graceful_shutdown = GRACE

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.await_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting:
            self.waiting.cancel()
        super().connection_lost(exc)

    def await_request(self) -> None:
        if self.waiting:
            self.waiting.cancel()
        self.waiting = self.loop.call_later(SLOWEST_HEADERS, self.give_up)

    def give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def install() -> None:
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{TimedProtocol.__name__}"
