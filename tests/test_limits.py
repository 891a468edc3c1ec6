"""What one key may use a minute, whatever others use; what it is told."""

import asyncio
from pathlib import Path

import httpx
import pytest
from serving import ANSWERED

from lingyu.serve import limits
from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant
from lingyu.serve.engine import TransformersEngine

SPEED, SPEED_ANSWER = ANSWERED[0]
BODY = {"model": "tiny", "messages": [{"role": "user", "content": SPEED}]}


@pytest.fixture(scope="module")
def assistant(content):
    engine = TransformersEngine(content / "model")
    yield Assistant(content, engine)
    engine.close()


@pytest.fixture
def ask(assistant, monkeypatch):
    """Asks one after the other, each with a key; the clock stands."""
    monkeypatch.setattr(limits, "monotonic", lambda: now[0])
    monkeypatch.setenv("LINGYU_API_KEYS", "a,b")
    now = [1000.0]
    app = make_app(lambda: assistant, Path(__file__).parent.parent / "web" / "pages")

    def asked(*keys, later=0.0, **more):
        async def sent():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                url, body = "/v1/chat/completions", BODY | more
                return [await client.post(url, json=body, headers={"Authorization": f"Bearer {key}"}) for key in keys]

        now[0] += later
        return asyncio.run(sent())

    return asked


def test_requests_of_a_key_are_limited_and_come_back_with_time(ask, monkeypatch):
    monkeypatch.setenv("LINGYU_REQUESTS_PER_MINUTE", "2")

    first, second, third, other = ask("a", "a", "a", "b")

    assert [reply.status_code for reply in (first, second, third, other)] == [200, 200, 429, 200]
    assert third.json()["error"]["code"] == "rate_limit_exceeded"
    assert third.headers["retry-after"] == "31"
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in (first, second, third)] == ["1", "0", "0"]
    assert [reply.status_code for reply in ask("a", "a", later=31)] == [200, 429]


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_of_prompt_and_reply_are_counted_whole_and_streamed(ask, monkeypatch, stream):
    monkeypatch.setenv("LINGYU_TOKENS_PER_MINUTE", "60")
    used = ask("b")[0].json()["usage"]["total_tokens"]

    statuses = [reply.status_code for reply in ask("a", "a", "a", "a", stream=stream)]

    begun = -(-60 // used)
    assert statuses == [200] * begun + [429] * (4 - begun)
    assert ask("a", later=(begun * used - 60) + 2)[0].status_code == 200


def test_an_unknown_key_has_no_account_and_without_limits_nothing_is_told(ask, monkeypatch):
    assert "x-ratelimit-limit-requests" not in ask("a")[0].headers
    monkeypatch.setenv("LINGYU_REQUESTS_PER_MINUTE", "1")

    replies = ask("wrong", "wrong", "wrong")

    assert {reply.status_code for reply in replies} == {401}
    assert "x-ratelimit-limit-requests" not in replies[0].headers
