"""From messages to an answer: plain mode uses the model only, professional mode also its knowledge base.

Professional mode refuses to answer if the knowledge base has nothing on the question, returns the passages it found, and
states whether the answer is supported by them.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lingyu.files import read_json
from lingyu.model.chat import THINK, Chat
from lingyu.records import Message
from lingyu.retrieve.index import Hit, Knowledge
from lingyu.retrieve.prompt import NOTHING_FOUND, is_chinese, with_passages
from lingyu.retrieve.support import known_terms, supported
from lingyu.serve.engine import Engine, Sampling
from lingyu.serve.protocol import ChatRequest, Refused
from lingyu.serve.text import Decoder, Kind, Parts


class Settings(BaseModel):
    """settings.json next to the model: the settings of package in params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    max_tokens: int
    temperature: float
    max_waiting: int
    history_turns: int
    context_prompt: Literal["none", "before"]


@dataclass
class Piece:
    """A chunk of a streamed reply. Sources are in the first chunk, the other metadata in the last."""

    kind: Kind | None = None
    text: str = ""
    sources: list[dict[str, Any]] | None = None
    finish: Literal["stop", "length"] | None = None
    supported: bool | None = None
    note: str | None = None
    completion_tokens: int = 0


@dataclass
class Plan:
    """What is known before generation: the prompt, or an answer that needs no generation."""

    prompt: list[int]
    sampling: Sampling
    stops: list[str]
    hits: list[Hit] | None  # None in plain mode
    chinese: bool


class Assistant:
    def __init__(self, content: Path, engine: Engine) -> None:
        """content: the folder with model/, knowledge/ and settings.json."""
        self.settings = Settings.model_validate(read_json(content / "settings.json"))
        self.engine = engine
        self.chat = Chat.read(content / "model")
        self.tokenizer = self.chat.tokenizer
        self.hidden = frozenset(
            id for id, token in self.tokenizer.get_added_tokens_decoder().items() if token.special and "think" not in token.content
        )
        self.knowledge = Knowledge(content / "knowledge")
        self.terms = known_terms(self.knowledge.terms)
        # Loading the word segmentation dictionary takes a second; do it before the first request.
        self.knowledge.search("预热", 1)
        found = read_json(content / "knowledge" / "settings.json")
        self.passages, self.min_score = int(found["passages"]), float(found["min_score"])

    def plan(self, request: ChatRequest) -> Plan:
        """Raises Refused if the model name is unknown or the conversation is too long."""
        if request.model != self.settings.model:
            raise Refused(
                404,
                "model_not_found",
                f"Unknown model {request.model!r}; this service has {self.settings.model!r}.",
                f"模型 {request.model!r} 不存在；本服务提供的模型为 {self.settings.model!r}。",
                "model",
            )
        messages = [
            Message(role="system" if m.role == "developer" else m.role, content=m.text(), reasoning=m.reasoning_content)
            for m in request.messages
        ]
        question, hits = messages[-1].content, None
        prompt = self.encode(messages, request.thinks())
        if request.mode == "professional":
            hits = [hit for hit in self.knowledge.search(question, self.passages) if hit.score >= self.min_score]
            if self.settings.context_prompt == "before":
                hits, prompt = self.put_before(messages, hits, request.thinks(), request.limit() or self.settings.max_tokens)
        room = self.engine.context - len(prompt)
        wanted = request.limit() or min(self.settings.max_tokens, max(room, 1))
        if wanted > room:
            raise Refused(
                400,
                "context_length_exceeded",
                f"The context length is {self.engine.context} tokens; the messages take {len(prompt)} and the reply up to {wanted}. "
                "Shorten the conversation or reduce max_tokens.",
                f"上下文长度为 {self.engine.context} 个 token；消息占 {len(prompt)} 个，回复最多 {wanted} 个。"
                "请缩短对话或减小 max_tokens。",
                "messages",
            )
        temperature = self.settings.temperature if request.temperature is None else request.temperature
        sampling = Sampling(wanted, temperature, request.top_p or 1.0, request.seed)
        return Plan(prompt, sampling, request.stops(), hits, is_chinese(question))

    def put_before(self, messages: list[Message], hits: list[Hit], thinks: bool, wanted: int) -> tuple[list[Hit], list[int]]:
        """As many of the best passages as fit the context, and the prompt with them before the question."""
        for number in range(len(hits), 0, -1):
            asked = Message(role="user", content=with_passages(messages[-1].content, [hit.chunk for hit in hits[:number]]))
            prompt = self.encode([*messages[:-1], asked], thinks)
            if len(prompt) + wanted <= self.engine.context:
                return hits[:number], prompt
        return hits, self.encode(messages, thinks)

    def encode(self, messages: list[Message], thinks: bool) -> list[int]:
        return self.chat.encode(self.chat.prompt(messages, thinks))

    def opens_reasoning(self, prompt: list[int]) -> bool:
        """Whether the chat template itself ends with the opening think tag, as those of R1 distillations do."""
        return str(self.tokenizer.decode(prompt[-4:], skip_special_tokens=False)).rstrip().endswith(THINK)

    async def reply(self, plan: Plan) -> AsyncGenerator[Piece, None]:
        """The chunks of the reply; the last has `finish`."""
        if plan.hits is not None:
            yield Piece(sources=[source_of(hit) for hit in plan.hits])
            if not plan.hits:
                yield Piece("content", NOTHING_FOUND[plan.chinese])
                yield Piece(finish="stop", supported=False, note=NOT_GENERATED[plan.chinese])
                return
        decoder, parts = Decoder(self.tokenizer, self.hidden), Parts(plan.stops, self.opens_reasoning(plan.prompt))
        answer, count, ended = "", 0, False
        async with aclosing(self.engine.tokens(plan.prompt, plan.sampling)) as tokens:
            async for token in tokens:
                count += 1
                if ended := token in self.engine.end_tokens:
                    break
                for kind, text in parts.add(decoder.add(token)):
                    answer += text if kind == "content" else ""
                    yield Piece(kind, text)
                if parts.stopped:
                    break
        for kind, text in [*parts.add(decoder.rest()), *parts.rest()]:
            answer += text if kind == "content" else ""
            yield Piece(kind, text)
        last = Piece(finish="stop" if ended or parts.stopped else "length", completion_tokens=count)
        if plan.hits is not None:
            last.supported = supported(answer, [text_of(hit) for hit in plan.hits], self.terms)
            last.note = None if last.supported else remark(answer, plan.chinese)
        yield last


NOT_GENERATED = {
    True: "知识库中没有与问题足够相关的段落，因此未调用模型。",
    False: "The knowledge base has no passage relevant enough to the question, so the model was not called.",
}
NOT_SUPPORTED = {
    True: "回答未能完全在所列来源中得到核实，请以来源原文为准。",
    False: "The answer could not be fully verified in the sources shown; check it against them.",
}


def remark(answer: str, chinese: bool) -> str | None:
    """The note on an answer that no source supports; none if the answer is the refusal itself, which claims nothing."""
    return None if answer.strip() in NOTHING_FOUND.values() else NOT_SUPPORTED[chinese]


def text_of(hit: Hit) -> str:
    return f"{hit.chunk.title}\n{hit.chunk.section}\n{hit.chunk.text}"


def source_of(hit: Hit) -> dict[str, Any]:
    chunk = hit.chunk
    return {
        "title": chunk.title,
        "section": chunk.section,
        "source": chunk.source,
        "place": chunk.place,
        "licence": chunk.licence,
        "text": chunk.text,
        "score": round(hit.score, 4),
    }
