"""The real service for a long time under 32 streams that ask, leave, cancel, upload and send nonsense.

    nice python -m bench.soak --minutes 60
    python -m bench.soak --bento somewhere/bento --minutes 15 --streams 32

Each stream asks for values of its own: questions whose answer was taken down while nobody else asked, and JSON that must be one constant,
another in each request. It fails where an answer is another's or none, where the service has an error, or where the memory of the process
that answers grows from the second quarter to the last by more than GROWTH.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

GROWTH = 0.05
QUESTIONS = ["苍鹰五号的最长续航是多少？", "云雀一号的抗风能力是多少？", "What is the reserve charge of Osprey?", "起飞前应当检查什么？"]
NONSENSE: list[tuple[bytes, int]] = [
    (b"{", 400),
    (b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', 404),
    (b'{"model": "MODEL", "messages": []}', 400),
    (b'{"model": "MODEL", "messages": [{"role": "user", "content": "x"}], "temperature": "hot"}', 400),
    (b'{"model": "MODEL", "messages": [{"role": "user", "content": "' + "飞".encode() * 3000 + b'"}]}', 400),
    (b" " * (2 << 20), 413),
]


@contextmanager
def served(bento: Path, content: Path | None, folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "true", "LINGYU_DOCUMENTS": str(folder / "documents")}
    settings |= {"LINGYU_CONTENT": str(content)} if content else {}
    command = [sys.executable, "-m", "bentoml", "serve", "." if content else str(bento), "--host", "127.0.0.1", "--port", port]
    with (folder / "serve.log").open("w") as log:
        service = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(900):
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).is_success:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", service
    finally:
        service.terminate()
        service.wait(90)


class Soak:
    def __init__(self, client: Any, model: str) -> None:
        self.client, self.model = client, model
        self.counts, self.faults, self.firsts = Counter[str](), list[str](), list[float]()
        self.right: dict[tuple[str, str], str] = {}

    async def asked(self, **body: Any) -> tuple[int, str]:
        """Status and text of a reply, whole or streamed."""
        body = {"model": self.model, "temperature": 0, **body}
        begun, text = time.monotonic(), ""
        async with self.client.stream("POST", "/v1/chat/completions", json=body) as reply:
            if reply.status_code != 200:
                return reply.status_code, (await reply.aread()).decode()
            if not body.get("stream"):
                return 200, str(json.loads(await reply.aread())["choices"][0]["message"]["content"])
            ended = False
            async for line in reply.aiter_lines():
                if line == "data: [DONE]":
                    ended = True
                elif line.startswith("data: "):
                    event = json.loads(line.removeprefix("data: "))
                    if "error" in event:
                        return 500, line
                    piece = event["choices"][0]["delta"].get("content") or "" if event["choices"] else ""
                    if piece and not text:
                        self.firsts.append(time.monotonic() - begun)
                    text += piece
            return (200, text) if ended else (500, f"cut: {text}")

    def check(self, kind: str, fits: bool, what: str) -> None:
        self.counts[kind] += 1
        if not fits:
            self.faults.append(f"{kind}: {what[:300]}")

    async def ask(self, chance: random.Random, stream: int) -> None:
        question, mode = QUESTIONS[stream % len(QUESTIONS)], chance.choice(["plain", "professional"])
        status, text = await self.asked(messages=[{"role": "user", "content": question}], mode=mode, stream=chance.random() < 0.6)
        self.check("own answer", status == 200 and text == self.right[question, mode], f"{question} {mode}: {status} {text}")

    async def constant(self, chance: random.Random, stream: int) -> None:
        own = f"{stream}-{chance.randrange(10**6)}"
        form = {"type": "json_schema", "json_schema": {"name": "own", "schema": {"const": {"own": own}}}}
        streams = chance.random() < 0.5
        status, text = await self.asked(messages=[{"role": "user", "content": "x"}], response_format=form, stream=streams, max_tokens=80)
        self.check("own constant", status == 200 and json.loads(text) == {"own": own}, f"{own}: {status} {text}")

    async def leave(self, chance: random.Random, stream: int) -> None:
        """In the middle of a stream."""
        messages = [{"role": "user", "content": QUESTIONS[stream % len(QUESTIONS)]}]
        body = {"model": self.model, "messages": messages, "stream": True, "temperature": 2, "max_tokens": 150}
        async with self.client.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = reply.aiter_lines()
            for _ in range(chance.randrange(1, 12)):
                if await anext(lines, None) is None:
                    break
            self.check("left", reply.status_code == 200, str(reply.status_code))

    async def cancel(self, chance: random.Random, stream: int) -> None:
        """Before the reply."""
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(0.001, 0.3)):
                await self.asked(messages=[{"role": "user", "content": "x"}], temperature=2, max_tokens=150)
        self.counts["cancelled"] += 1

    async def nonsense(self, chance: random.Random, stream: int) -> None:
        body, wanted = chance.choice(NONSENSE)
        body = body.replace(b"MODEL", self.model.encode())
        reply = await self.client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
        self.check("nonsense", reply.status_code == wanted, f"{wanted} wanted: {reply.status_code} {reply.text}")

    async def upload(self, chance: random.Random, stream: int) -> None:
        name = f"soak-{stream}.md"
        text = f"# 浸泡 {stream}\n\n第{stream}号机的编号是{chance.randrange(10**6)}。\n"
        reply = await self.client.post("/v1/files", files={"file": (name, text.encode(), "text/markdown")}, data={"purpose": "assistants"})
        self.check("upload", reply.status_code in {200, 201, 202, 404, 405, 409, 415, 429}, f"{reply.status_code} {reply.text}")

    async def stream(self, number: int, until: float) -> None:
        import httpx

        chance = random.Random(number)
        acts = [self.ask] * 8 + [self.constant] * 4 + [self.leave] * 3 + [self.cancel] * 2 + [self.nonsense] * 2 + [self.upload]
        while time.monotonic() < until:
            act = chance.choice(acts)
            try:
                await act(chance, number)
            except httpx.HTTPError as error:
                self.check(act.__name__, False, repr(error))


async def soak(address: str, worker: Any, minutes: float, streams: int) -> tuple[Soak, list[int]]:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=streams)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as client:
        model = (await client.get("/v1/models")).json()["data"][0]["id"]
        made = Soak(client, model)
        for question in QUESTIONS:
            for mode in ("plain", "professional"):
                made.right[question, mode] = (await made.asked(messages=[{"role": "user", "content": question}], mode=mode))[1]
        until, sizes = time.monotonic() + 60 * minutes, list[int]()
        running = asyncio.gather(*(made.stream(number, until) for number in range(streams)))
        while not running.done():
            sizes.append(worker.memory_info().rss)
            await asyncio.wait([running], timeout=5)
        await running
        figures = (await client.get("/metrics")).text
        made.check("nobody left behind", "lingyu_running 0.0" in figures and "lingyu_queued 0.0" in figures, figures[:2000])
        return made, sizes


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bento", type=Path, default=Path("out/package/bento"))
    options.add_argument("--content", type=Path, help="serve the code of this folder with the content of that one, instead of a Bento")
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--streams", type=int, default=32)
    chosen = options.parse_args()
    import psutil

    with tempfile.TemporaryDirectory() as place, served(chosen.bento.resolve(), chosen.content, Path(place)) as (address, service):
        worker = max(psutil.Process(service.pid).children(recursive=True), key=lambda process: process.memory_info().rss)
        made, sizes = asyncio.run(soak(address, worker, chosen.minutes, chosen.streams))
        log = Path(place, "serve.log").read_text(encoding="utf-8")
        spent = sum(worker.cpu_times()[:2])
    quarter = max(1, len(sizes) // 4)
    early, late = median(sizes[quarter : 2 * quarter] or sizes), median(sizes[-quarter:])
    firsts = sorted(made.firsts)
    print(f"{chosen.minutes:g} minutes, {chosen.streams} streams, load {os.getloadavg()[2]:.1f}, {spent:.0f} s of processor of the service")
    print(", ".join(f"{kind} {count}" for kind, count in sorted(made.counts.items())))
    print(f"memory: {early / 2**20:.0f} MB in the second quarter, {late / 2**20:.0f} MB in the last ({late / early - 1:+.1%})")
    if firsts:
        print(f"first token: median {median(firsts):.2f} s, p95 {firsts[int(0.95 * (len(firsts) - 1))]:.2f} s")
    faults = [*made.faults, *(["Traceback in the log"] if "Traceback" in log else [])]
    for fault in faults[:20]:
        print(f"FAULT {fault}")
    if faults or late > early * (1 + GROWTH):
        raise SystemExit(f"{len(faults)} faults, memory {late / early - 1:+.1%}")


if __name__ == "__main__":
    main()
