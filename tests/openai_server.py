"""A real HTTP server on loopback that speaks OpenAI's chat protocol, and answers as a good, a bad or a broken teacher would.

What it answers is made of the prompt by rule, so that the same question has the same answer. `python tests/openai_server.py
SECONDS` takes so long for each answer; it prints its address, and at the end of its standard input how many requests it had,
and in how many seconds.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What goes back. wait: seconds before it; hang up: the connection ends without a word."""

    content: Any = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    finish: str = "stop"
    answered: int = 20  # tokens, as counted
    raw: str | None = None
    hang_up: bool = False


Script = Callable[[dict[str, Any], int], Reply]


class Teacher(ThreadingHTTPServer):
    """The server, and what it was asked. script: the reply to a body, which is the n-th."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, script: Script, key: str, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.key, self.latency = script, key, latency
        self.asked: list[str] = []  # bodies
        self.times: list[float] = []
        self.last = 0.0  # when the last reply had gone
        self.under_way, self.most_at_once = 0, 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Teacher

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            number = len(server.asked)
            server.asked.append(json.dumps(body, ensure_ascii=False, sort_keys=True))
            server.times.append(time.monotonic())
            server.under_way += 1
            server.most_at_once = max(server.most_at_once, server.under_way)
        try:
            reply = self.reply(body, number)
            time.sleep(server.latency + reply.wait)
        finally:
            with server.lock:
                server.under_way -= 1
        if reply.hang_up:
            self.close_connection = True
            return
        text = reply.raw if reply.raw is not None else json.dumps(self.completion(body, reply))
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text.encode())), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()
        server.last = time.monotonic()

    def reply(self, body: dict[str, Any], number: int) -> Reply:
        if self.path != "/v1/chat/completions":
            return Reply("no such page", 404)
        sent = self.headers.get("Authorization", "")
        if self.server.key and sent != f"Bearer {self.server.key}":
            return Reply(f"wrong key: {sent}", 401)
        return self.server.script(body, number)

    def completion(self, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
        if reply.status != 200:
            return {"error": {"message": reply.content, "code": str(reply.status)}}
        content = reply.content if isinstance(reply.content, str) else json.dumps(reply.content, ensure_ascii=False)
        message = {"role": "assistant", "content": content}
        usage = {"usage": {"prompt_tokens": 100, "completion_tokens": reply.answered}} if reply.answered else {}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish}
        return {"id": "x", "created": time.time(), "model": f"{body['model']}-1", "choices": [choice], **usage}

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving(script: Script | None = None, key: str = "", latency: float = 0.0) -> Iterator[Teacher]:
    server = Teacher(script or good, key, latency)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def good(body: dict[str, Any], _: int = 0) -> Reply:
    return Reply(good_answer(body))


def good_answer(body: dict[str, Any]) -> dict[str, Any]:
    """An honest answer to a prompt of lingyu/generate/llm/prompts, told by the schema asked for."""
    return ANSWERS[asked_for(body)](body["messages"][1]["content"], body)


def asked_for(body: dict[str, Any]) -> str:
    return body["response_format"]["json_schema"]["name"]


def between(text: str, before: str, after: str) -> str:
    found = re.search(f"(?:{before})(.*?)(?:{after})", text, re.DOTALL)
    return found[1].strip() if found else ""


def sentences(text: str) -> list[str]:
    """Without headings."""
    return [
        sentence.strip()
        for sentence in re.split(r"(?<=[。！？])|(?<=[.!?]) |\n", text)
        if len(sentence.strip()) > 5 and " / " not in sentence
    ]


def passage(text: str) -> str:
    return between(text, "<(?:passage|guide|material)>", "</(?:passage|guide|material)>")


def count(text: str, usual: int = 2) -> int:
    found = re.search(r"(?:请提出|请写|Write) (\d+)|到 (\d+) 轮|2 to (\d+)", text)
    return int(next(filter(None, found.groups()))) if found else usual


def ask_of(sentence: str, tail: str) -> str:
    return f"{sentence.rstrip('。.！!？?')}{tail}"


def questions(text: str, _: Any) -> dict[str, Any]:
    return {"questions": [ask_of(sentence, "，是吗？") for sentence in sentences(passage(text))[-count(text) :]]}


def grounded(text: str, _: Any) -> dict[str, Any]:
    asked = between(text, "问题：|Question: ", "\n")
    told = next((sentence for sentence in sentences(passage(text)) if sentence.rstrip("。.！!？?") in asked), "")
    return {"answerable": bool(told), "evidence": told, "answer": told}


def items(text: str, _: Any) -> dict[str, Any]:
    records = sentences(between(text, "记录：\n|Records:\n", "\n\n"))
    kinds = re.findall(r"^\d+\. (.+)$", text, re.MULTILINE)
    pairs = [(records[number % len(records)], kind) for number, kind in enumerate(kinds)]
    return {"items": [{"question": f"{ask_of(record, '')}（{kind}）？", "answer": record} for record, kind in pairs]}


def instructions(text: str, _: Any) -> dict[str, Any]:
    return {"instructions": [ask_of(sentence, "，请说明。") for sentence in sentences(passage(text))[-count(text) :]]}


def turns(text: str, _: Any) -> dict[str, Any]:
    told = sentences(passage(text) or between(text, "原来的回答：\n|The answer:\n", "\n\n"))
    return {"turns": [{"user": ask_of(one, "，对吗？"), "assistant": one} for one in told[-count(text) :]]}


def opinion(text: str, _: Any) -> dict[str, Any]:
    return {"applies": True, "opinion": between(text, "条文：\n|Provisions:\n", "\n\n").replace("\n", "，")}


def inquiry(text: str, _: Any) -> dict[str, Any]:
    asked = between(text, "完整的问题：\n|The full question:\n", "\n\n")
    return {"opening": asked[:12], "missing": "时间", "question": f"请问{asked[:6]}是什么时候的事？"}


def reply(text: str, body: dict[str, Any]) -> dict[str, Any]:
    """The material again; without any, an answer that is the worse the larger the seed."""
    return {"answer": passage(text) or sentences(text)[0] + "不清楚。" * (body["seed"] % 10)}


def scores(text: str, _: Any) -> dict[str, Any]:
    answers = re.split(r"(?:回答|Answer) \d+[：:]\n", between(text, "待评的回答：\n|Answers to judge:\n", "\n\n给|\n\nGive"))[1:]
    return {"scores": [max(1, 9 - 2 * answer.count("不清楚")) for answer in answers]}


def rewriting(text: str, _: Any) -> dict[str, Any]:
    message = between(text, "消息：\n|Message:\n", "\n\n")
    return {"risk": "high"} | dict.fromkeys(("observation", "feeling", "need", "request", "rewrite"), message)


ANSWERS: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    "Questions": questions,
    "Grounded": grounded,
    "Verdict": lambda *_: {"unsupported": "", "supported": True},
    "Items": items,
    "Instructions": instructions,
    "Turns": turns,
    "Opinion": opinion,
    "Inquiry": inquiry,
    "Reply": reply,
    "Scores": scores,
    "Rewriting": rewriting,
}


if __name__ == "__main__":
    with serving(latency=float(sys.argv[1])) as started:
        print(started.url, flush=True)
        sys.stdin.read()
        print(len(started.asked), started.last - started.times[0], flush=True)
