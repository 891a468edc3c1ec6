"""What one client may do to the service that all share: the real process under requests that are meant to stop it."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import psutil
import pytest
from serving import ANSWERED, served

pytestmark = pytest.mark.slow
SPEED, SPEED_ANSWER = ANSWERED[0]
KEY = {"Authorization": "Bearer right"}
BODY = {"model": "tiny", "messages": [{"role": "user", "content": SPEED}]}
HALF_OPEN = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer right\r\n"
    b"Content-Type: application/json\r\nContent-Length: 200\r\n\r\n{"
)  # fmt: skip


@pytest.fixture(scope="module")
def service(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    with served(content, folder, LINGYU_API_KEYS="right") as address:
        yield address, folder / "serve.log"


def ask(address, **more):
    return httpx.post(f"{address}/v1/chat/completions", json=BODY | more, headers=KEY, timeout=30)


def until_it_answers(address):
    for _ in range(300):
        with suppress(httpx.TransportError):
            if ask(address).is_success:
                return
        time.sleep(0.2)


def all_that_comes(connection):
    """Until the service closes the connection."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


def worker(address):
    """The process that answers: of the service at this address, the child that holds the model."""
    port = address.rpartition(":")[2]
    (service,) = [child for child in psutil.Process().children() if child.cmdline()[-1:] == [port]]
    return max(service.children(recursive=True), key=lambda process: process.memory_info().rss)


def test_bodies_that_never_arrive_hold_nobody_up_and_are_given_up(service):
    address, _ = service
    host, port = address.removeprefix("http://").split(":")
    with ExitStack() as opened:
        half = [opened.enter_context(socket.create_connection((host, int(port)))) for _ in range(300)]
        for one in half:
            one.sendall(HALF_OPEN)
        time.sleep(0.5)

        assert ask(address).json()["choices"][0]["message"]["content"] == SPEED_ANSWER

        for one in half:
            one.settimeout(40)
        assert all(all_that_comes(one).startswith(b"HTTP/1.1 408") for one in half)


def test_headers_that_never_arrive_are_given_up_and_a_new_request_on_an_old_connection_is_not(service):
    address, _ = service
    host, port = address.removeprefix("http://").split(":")
    with ExitStack() as opened, httpx.Client(headers=KEY) as kept:
        half = [opened.enter_context(socket.create_connection((host, int(port)))) for _ in range(200)]
        for one in half:
            one.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        for _ in range(4):
            assert kept.get(f"{address}/v1/models").is_success
            time.sleep(3)
        for one in half:
            one.settimeout(20)

        assert not any(map(all_that_comes, half))


def test_made_up_paths_leave_the_figures_small_and_the_log_whole(service):
    address, log = service
    before = worker(address).memory_info().rss
    with httpx.Client(headers=KEY) as client:
        for number in range(1000):
            unknown = client.get(f"{address}/nowhere/{number}")
        client.request("MADE" * 5, f"{address}/nowhere")
        client.get(f"{address}/a%0a2026-11-30T00:00:00+0000%20[ERROR]%20forged%1b[31m")
        figures = client.get(f"{address}/metrics").text

    assert unknown.json()["error"]["code"] == "not_found"
    assert len(figures) < 40_000
    assert 'lingyu_requests_total{method="GET",route="other",status="404"}' in figures
    assert 'method="other"' in figures
    assert worker(address).memory_info().rss - before < 50 << 20
    lines = log.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 1000
    assert not any(line.startswith("2026-11-30T00:00:00+0000") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_figures_need_the_key_where_keys_are_set(service):
    address, _ = service
    ask(address)

    figures = httpx.get(f"{address}/metrics", headers=KEY).text

    assert httpx.get(f"{address}/metrics").status_code == 401
    for name in ("requests_total", "first_token_seconds_count", "completion_tokens_total", "answers_total", "queued"):
        assert f"lingyu_{name}" in figures


def test_odd_values_are_answered_or_refused_never_a_fault(service):
    address, _ = service
    values = {"temperature": [1e-300, 0, 2, -1, "1", True], "max_tokens": [True, 0, 1, 10**12, 1.5], "seed": [-1, 2**63, 1.0]}
    values |= {"top_p": [0, 1e-300, 1, 2], "stop": ["", [], [""], "\ud800"[:0], ["a"] * 65], "messages": [[], None, "x", [[]], [{}]]}
    statuses = {(name, str(value)): ask(address, **{name: value}).status_code for name, all_of in values.items() for value in all_of}

    assert set(statuses.values()) <= {200, 400}
    assert statuses["temperature", "1e-300"] == 200
    assert statuses["max_tokens", "True"] == 400


def test_each_of_many_gets_the_own_answer_while_others_leave(service):
    address, _ = service

    def one(number):
        question, answer = ANSWERED[number % len(ANSWERED)]
        body = BODY | {"messages": [{"role": "user", "content": question}], "stream": number % 2 == 0}
        if number % 5 == 4:
            body |= {"stream": True, "temperature": 2, "max_tokens": 200}
        with httpx.Client(headers=KEY, timeout=60) as client, client.stream("POST", f"{address}/v1/chat/completions", json=body) as reply:
            if reply.status_code == 429 or number % 5 == 4:
                next(reply.iter_bytes())
                return reply.status_code  # leaves in the middle
            text = reply.read().decode()
        if body["stream"]:
            chunks = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]
            return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == answer
        return json.loads(text)["choices"][0]["message"]["content"] == answer

    with ThreadPoolExecutor(24) as threads:
        results = list(threads.map(one, range(120)))

    assert set(results) <= {True, 200, 429}
    assert results.count(True) > 50
    assert "lingyu_running 0.0" in httpx.get(f"{address}/metrics", headers=KEY).text


def test_a_lost_worker_ends_its_streams_at_once_and_comes_back(service):
    address, _ = service
    with (
        httpx.Client(headers=KEY, timeout=30) as client,
        client.stream(
            "POST", f"{address}/v1/chat/completions", json=BODY | {"stream": True, "temperature": 2, "max_tokens": 200}
        ) as stream,
    ):
        chunks = stream.iter_bytes()
        next(chunks)
        worker(address).kill()
        killed = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in chunks:
                pass
        assert time.monotonic() - killed < 5
    until_it_answers(address)

    assert time.monotonic() - killed < 60
    with ThreadPoolExecutor(4) as threads:
        assert {reply.status_code for reply in threads.map(lambda _: ask(address), range(4))} == {200}


def test_a_stop_lets_replies_end_and_waits_for_nobody_for_ever(content, tmp_path):
    body = BODY | {"stream": True, "temperature": 2, "max_tokens": 200}
    with served(content, tmp_path, LINGYU_API_KEYS="right") as address, httpx.Client(headers=KEY, timeout=30) as client:
        host, port = address.removeprefix("http://").split(":")
        with (
            client.stream("POST", f"{address}/v1/chat/completions", json=body) as stream,
            socket.create_connection((host, int(port))) as half,
        ):
            half.sendall(HALF_OPEN)
            lines, answering = stream.iter_lines(), worker(address)
            next(lines)
            answering.terminate()
            told = list(lines)
            answering.wait(40)
        until_it_answers(address)  # BentoML may lose a signal to end while it starts a worker again
        assert told[-2] == "data: [DONE]"
