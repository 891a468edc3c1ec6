"""The page on which people compare answers: served to this machine only, names hidden, order and sides at random for each reviewer."""

import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from lingyu.generate.stable_choice import number
from lingyu.judge.sources import Pairing
from lingyu.judge.votes import Choice, Votes
from lingyu.serve.guard import Guard
from lingyu.stage import StageError

PAGE = Path(__file__).parents[2] / "web" / "compare"
Side = Literal["left", "right"]


class Who(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reviewer: str = Field(min_length=1, max_length=60, pattern=r"^\S(.*\S)?$")


class Said(Who):
    key: str
    choice: Literal["left", "right", "tie", "bad"]


def make_app(pairings: Sequence[Pairing], votes: Votes) -> FastAPI:
    app = FastAPI(title="lingyu compare", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])
    by_key = {pairing.key: pairing for pairing in pairings}

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.post("/next")
    def coming(who: Who) -> dict[str, Any]:
        return shown(who.reviewer, pairings, votes)

    @app.post("/vote")
    def vote(said: Said) -> dict[str, Any]:
        pairing = by_key.get(said.key)
        if pairing is None:
            raise HTTPException(404, "no such pair")
        left = left_of(said.reviewer, pairing)
        choices: dict[str, Choice] = {"left": left, "right": "other" if left == "one" else "one", "tie": "tie", "bad": "bad"}
        votes.cast(said.reviewer, pairing, choices[said.choice])
        return shown(said.reviewer, pairings, votes)

    @app.post("/undo")
    def undo(who: Who) -> dict[str, Any]:
        given = [key for key in votes.by_reviewer.get(who.reviewer, {}) if key in by_key]
        if given:
            votes.cast(who.reviewer, by_key[given[-1]], None)
        return shown(who.reviewer, pairings, votes)

    app.mount("/static", StaticFiles(directory=PAGE))
    return app


def shown(reviewer: str, pairings: Sequence[Pairing], votes: Votes) -> dict[str, Any]:
    """The next pair for a reviewer, without the names; none where all are done."""
    given = votes.by_reviewer.get(reviewer, {})
    left = [pairing for pairing in pairings if pairing.key not in given]
    state = {"done": len(pairings) - len(left), "total": len(pairings)}
    if not left:
        return state
    pairing = min(left, key=lambda pairing: number("order", reviewer, pairing.key))
    replies: Mapping[str, str] = dict(zip(("one", "other"), pairing.replies, strict=True))
    first = left_of(reviewer, pairing)
    return {
        **state,
        "key": pairing.key,
        "question": pairing.item.question,
        "history": [{"role": message.role, "text": message.content} for message in pairing.item.history],
        "left": replies[first].strip(),
        "right": replies["other" if first == "one" else "one"].strip(),
        "answer": pairing.item.answer,
        "passage": pairing.item.passage,
    }


def left_of(reviewer: str, pairing: Pairing) -> Literal["one", "other"]:
    return "one" if number("side", reviewer, pairing.key) % 2 else "other"


class Serving:
    """The page in a thread, on a port of this machine: 0 for any that is free."""

    def __init__(self, app: FastAPI, port: int) -> None:
        import uvicorn

        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen()  # who opens the address before uvicorn is ready waits, and is not refused
        except OSError as error:
            self._socket.close()
            raise StageError(f"port {port} of this machine cannot be used ({error.strerror}). Name another with --port.") from None
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> "Serving":
        self._thread.start()
        return self

    def wait(self) -> None:
        self._thread.join()

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
