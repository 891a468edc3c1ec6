"""A server on loopback that answers POST requests of JSON."""

import http.server
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def posted_to(answer: Callable[..., Any]) -> Iterator[str]:
    """Its address, ending in /v1. answer: from the body, and the header Authorization if it takes that, to what is sent back; if it
    divides by zero, the status is 500 and the text says the key back."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            given = [body, self.headers["Authorization"]][: len(inspect.signature(answer).parameters)]
            try:
                sent, status = json.dumps(answer(*given)).encode(), 200
            except ZeroDivisionError:
                sent, status = f"broken {self.headers['Authorization']}".encode(), 500
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
