"""What stops a request before any route: who asks, from where, how much, how slowly."""

import asyncio
import json
from hashlib import sha256

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from lingyu.serve import guard
from lingyu.serve.guard import Guard, check_key
from lingyu.serve.protocol import Refused
from lingyu.serve.record import Figures, Record


async def echo(request):
    return JSONResponse({"length": len(await request.body())})


APP = Guard(Starlette(routes=[Route("/", echo, methods=["GET", "POST"])]))
JSON = {"Content-Type": "application/json"}


def send(method="POST", client="127.0.0.1", host="localhost:3000", headers=JSON, content=b"{}"):
    async def sent():
        transport = httpx.ASGITransport(APP, client=(client, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.request(method, "/", headers={"Host": host, **headers}, content=content)

    return asyncio.run(sent())


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    monkeypatch.delenv(guard.KEYS, raising=False)
    monkeypatch.delenv(guard.OPEN, raising=False)


@pytest.mark.parametrize("host", ["localhost", "localhost:3000", "127.0.0.1:8", "[::1]:3000", "[::1]"])
def test_this_machine_is_answered_under_its_own_names(host):
    assert send(host=host).json() == {"length": 2}


@pytest.mark.parametrize(
    ("client", "host"), [("192.168.1.7", "localhost"), ("127.0.0.1", "evil.example"), ("127.0.0.1", "localhost.evil.example:80")]
)
@pytest.mark.parametrize(
    ("name", "value", "status"), [("", "", 403), (guard.OPEN, "1", 200), (guard.OPEN, "0", 403), (guard.KEYS, "k", 200)]
)
def test_others_are_answered_only_with_keys_or_by_a_named_setting(monkeypatch, client, host, name, value, status):
    if name:
        monkeypatch.setenv(name, value)

    reply = send(client=client, host=host)

    assert reply.status_code == status
    assert status == 200 or "LINGYU_API_KEYS" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "status"), [("application/json; charset=utf-8", 200), ("text/plain", 415), ("application/x-www-form-urlencoded", 415)]
)
def test_only_json_is_taken_since_any_page_can_send_the_rest(kind, status):
    assert send(headers={"Content-Type": kind}).status_code == status


def test_a_large_body_is_refused_whether_or_not_it_tells_its_length():
    async def parts():
        for _ in range(20):
            yield b" " * (guard.LARGEST_BODY // 10)

    assert send(content=b" " * guard.LARGEST_BODY).json() == {"length": guard.LARGEST_BODY}
    assert send(content=b" " * (guard.LARGEST_BODY + 1)).status_code == 413
    assert send(content=parts()).status_code == 413


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr(guard, "SLOWEST_BODY", 0.05)
    sent = []

    async def receive():
        await asyncio.sleep(1)

    async def kept(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "client": ("127.0.0.1", 1)}
    scope["headers"] = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"10")]
    asyncio.run(APP(scope, receive, kept))

    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "request_timeout"


def test_every_answer_has_the_headers_that_protect_a_page():
    for reply in (send("GET"), send(client="10.0.0.1")):
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_key_may_be_kept_as_its_hash(monkeypatch):
    monkeypatch.setenv(guard.KEYS, f"plain, sha256:{sha256(b'secret').hexdigest()}")

    for key in ("plain", "secret"):
        check_key(f"Bearer {key}")
    for key in ("other", f"sha256:{sha256(b'secret').hexdigest()}", sha256(b"secret").hexdigest()):
        with pytest.raises(Refused):
            check_key(f"Bearer {key}")


def test_a_fault_of_the_service_is_counted_as_one():
    figures, sent = Figures(), []

    async def broken(scope, receive, send):
        raise ValueError("lost")

    async def send(message):
        sent.append(message)

    with pytest.raises(ValueError, match="lost"):
        asyncio.run(Record(broken, figures)({"type": "http", "method": "GET", "path": "/"}, None, send))

    assert 'lingyu_requests_total{method="GET",route="other",status="500"} 1.0' in figures.text({}, {}).decode()
