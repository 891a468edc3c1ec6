"""The webhook against a real server: what arrives, that it is signed, sent again where it may pass, and never fails a run."""

import base64
import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lingyu.retrain import webhook

EVENT = {"event": "verdict", "promote": True, "verdict": "建议发布"}
KEY = b"a key of thirty-two bytes or more"


@contextmanager
def receiver(*statuses: int):
    """Answers with one status after the other, the last one for ever; 0 hangs up. Gives its address and what arrived."""
    arrived, left = [], list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            arrived.append(
                ({name.lower(): value for name, value in self.headers.items()}, self.rfile.read(int(self.headers["Content-Length"])))
            )
            status = left.pop(0) if len(left) > 1 else left[0]
            if status:
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", arrived
        finally:
            server.shutdown()
            thread.join()


def test_an_event_arrives_as_json_with_a_signature_that_the_receiver_can_check(monkeypatch):
    monkeypatch.setenv(webhook.SECRET, f"whsec_{base64.b64encode(KEY).decode()}")
    with receiver(204) as (url, arrived):
        assert webhook.post(url, EVENT, "run-1-verdict") is None

    ((headers, body),) = arrived
    assert json.loads(body) == EVENT
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-id"] == "run-1-verdict"
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()}"


@pytest.mark.parametrize(
    ("statuses", "tries", "fault"),
    [
        ([503, 0, 429, 200], 4, None),
        ([500], 4, "it answers 500"),
        ([404], 1, "it answers 404"),
        ([301], 1, "it answers 301"),
    ],
)
def test_it_is_sent_again_where_it_may_pass(statuses, tries, fault):
    waits = []
    with receiver(*statuses) as (url, arrived):
        found = webhook.post(url, EVENT, "one", waits.append)

    assert len(arrived) == tries
    assert waits == list(webhook.WAITS[: tries - 1])
    assert len({headers["webhook-id"] for headers, _ in arrived}) == 1
    assert found is None if fault is None else found.startswith(fault)


def test_an_address_where_nobody_listens_and_a_secret_that_is_none_are_told_and_raise_nothing(monkeypatch):
    assert "refused" in webhook.post("http://127.0.0.1:9/hook", EVENT, "one", lambda _: None)

    monkeypatch.setenv(webhook.SECRET, "no base64!")
    assert "openssl rand -base64 32" in webhook.post("http://127.0.0.1:9/hook", EVENT, "one", lambda _: None)
