"""The service of a built Bento, started with `bentoml serve` as an operator would, and asked over HTTP."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

STARTS = 180  # seconds until it must be ready
ANSWERS = 180  # seconds of one reply


class Client:
    """What checks ask of a service."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.model = self._get("/v1/models")["data"][0]["id"]

    def converse(
        self, turns: list[str], mode: str, skill: str = "", tokens: int | None = None, search: dict[str, bool] | None = None
    ) -> dict[str, Any]:
        """The last reply to these turns of a person. tokens: of a reply, at most."""
        messages: list[dict[str, str]] = []
        reply: dict[str, Any] = {}
        for turn in turns:
            messages.append({"role": "user", "content": turn})
            reply = self.chat(messages, mode, skill, tokens, search)
            messages.append({"role": "assistant", "content": reply["choices"][0]["message"]["content"] or ""})
        return reply

    def chat(
        self, messages: list[dict[str, str]], mode: str, skill: str = "", tokens: int | None = None, search: dict[str, bool] | None = None
    ) -> dict[str, Any]:
        more = {**({"max_tokens": tokens} if tokens else {}), **({"search": search} if search else {})}
        body = {"model": f"{self.model}:{skill}" if skill else self.model, "messages": messages, "mode": mode, **more}
        reply: dict[str, Any] = self._get("/v1/chat/completions", body)
        return reply

    def upload(self, name: str, text: str) -> str:
        """The id of a document in the knowledge base, once it has been read. Raises ValueError where it cannot be."""
        import httpx

        try:
            sent = httpx.post(f"{self.address}/v1/files", files={"file": (name, text.encode())}, timeout=ANSWERS).raise_for_status()
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
        file: dict[str, Any] = sent.json()
        until = time.monotonic() + ANSWERS
        while file["status"] == "uploaded" and time.monotonic() < until:
            time.sleep(0.2)
            file = self._get(f"/v1/files/{file['id']}")
        if file["status"] != "processed":
            raise ValueError(f"{name} was not read: {file['status']}")
        return str(file["id"])

    def page(self, file: str, place: str) -> bytes:
        """The picture of a page of a PDF. Raises OSError where there is none."""
        body = json.dumps({"place": place, "sentences": []}).encode()
        address = f"{self.address}/v1/files/{file}/page"
        with urlopen(Request(address, body, {"Content-Type": "application/json"}), timeout=ANSWERS) as response:
            found: bytes = response.read()
        return found

    def delete(self, file: str) -> None:
        with urlopen(Request(f"{self.address}/v1/files/{file}", method="DELETE"), timeout=ANSWERS):
            pass

    def rewrite(self, text: str) -> dict[str, Any]:
        found: dict[str, Any] = self._get("/v1/rewrite", {"text": text})
        return found

    def _get(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.address + path, data, {"Content-Type": "application/json"}), timeout=ANSWERS) as response:
            return json.load(response)


class Service(Client):
    """A service of its own, until it is stopped."""

    def __init__(self, bento: Path, work: Path, corpus: Path) -> None:
        """corpus: where the originals of its documents are. Raises OSError if it does not start; its log is work/serve.log."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self._log = f"http://127.0.0.1:{port}", work / "serve.log"
        work.mkdir(parents=True, exist_ok=True)
        home = work / "bentoml"
        home.mkdir(exist_ok=True)
        environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "LINGYU_CORPUS": str(corpus.resolve())}
        command = [sys.executable, "-m", "bentoml", "serve", str(bento.resolve()), "--host", "127.0.0.1", "--port", str(port)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=work)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        super().__init__(self.address)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _wait(self) -> None:
        until = time.monotonic() + STARTS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                with urlopen(f"{self.address}/readyz", timeout=5):
                    return
            except (URLError, OSError):
                time.sleep(0.2)
        raise OSError(f"the service does not start; see {self._log}")
