"""From messages to an answer. What every mode shares is here: the prompt, generation, and the search for passages and facts."""

import asyncio
import json
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lingyu.files import read_json
from lingyu.model.chat import THINK, Chat, ToolTurn
from lingyu.records import Message
from lingyu.retrieve.cases import Case, Cases, to_ask
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.evidence import Evidence, evidence
from lingyu.retrieve.graph import Graph
from lingyu.retrieve.index import Hit, Knowledge
from lingyu.retrieve.known import Known
from lingyu.retrieve.prompt import is_chinese, with_passages
from lingyu.serve.choosing import Sampling, Token
from lingyu.serve.constrained import Form, Forms, NoForm
from lingyu.serve.engine import Engine
from lingyu.serve.follow_ups import with_follow_ups
from lingyu.serve.library import NO_FILTER, Library, View
from lingyu.serve.limits import spend
from lingyu.serve.modes import MODES
from lingyu.serve.people import EVERYBODY, Reader
from lingyu.serve.protocol import ChatMessage, ChatRequest, CompletionRequest, FunctionTool, Refused, Sampled, Search
from lingyu.serve.reply import Piece, Plan, source_of
from lingyu.serve.text import Decoder, Parts
from lingyu.serve.tools import BEGIN, calls_grammar, template_knows_tools, with_calls

# Sentences are looked for in so many times the passages that are shown: of 100 laymen's questions 3 more get the right one.
READ = 2
# Closeness to a question that an adapter is for, from which the router takes it: half as close as the closest passage.
LIKE = 0.5
# A passage whose best sentence is less close to the question than this, measured by the closest, is not shown.
RELEVANT = 0.5


class Settings(BaseModel):
    """settings.json next to the model: the settings of package in params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    max_tokens: int
    temperature: float
    max_waiting: int
    history_turns: int
    context_prompt: Literal["none", "before"]
    at_once: int = 32
    unsupported_fields: Literal["warn", "refuse"] = "warn"
    skills: dict[str, str] = {}
    skill_names: dict[str, dict[str, str]] = {}
    consult_questions: int = 3
    search: Search = Search()
    adapters: dict[str, list[str]] = {}

    @classmethod
    def read(cls, content: Path) -> Self:
        return cls.model_validate(read_json(content / "settings.json"))


@dataclass(frozen=True)
class Found:
    """What a search found. query: what was searched for; evidence: sentences of the passages, by relevance; near: whether passages on
    the subject were found, though none of their sentences may be the answer; keywords: that were searched for, too."""

    query: str
    hits: list[Hit]
    evidence: list[Evidence]
    view: View
    near: bool = False
    keywords: Sequence[str] = ()

    def only(self, kept: Sequence[int]) -> Self:
        """With these of the passages, by number."""
        left = [replace(each, source=kept.index(each.source)) for each in self.evidence if each.source in kept]
        return replace(self, hits=[self.hits[number] for number in kept], evidence=left)

    def sources(self) -> list[dict[str, Any]]:
        return [source_of(hit, self.view) for hit in self.hits]


class Assistant:
    def __init__(self, content: Path, engine: Engine, adapters: dict[str, Engine] | None = None) -> None:
        """content: the folder with model/, knowledge/ and settings.json. adapters: engines of the same model with an adapter over it."""
        self.settings = Settings.read(content)
        self.engine = engine
        self.engines = {"": engine, **(adapters or {})}
        self.chat = Chat.read(content / "model")
        self.tokenizer = self.chat.tokenizer
        special = {token.content for token in self.tokenizer.get_added_tokens_decoder().values() if token.special}
        self.knows_tools = BEGIN not in special and template_knows_tools(self.chat.template)
        self.forms = Forms(self.tokenizer, engine.end_tokens)
        self.hidden = frozenset(
            id for id, token in self.tokenizer.get_added_tokens_decoder().items() if token.special and "think" not in token.content
        )
        self.cases = Cases(content / "knowledge")
        self.library = Library(Knowledge(content / "knowledge"), content / "knowledge", (case.source for case in self.cases.all))
        # Loading the word segmentation dictionary takes a second; do it before the first request.
        self.knowledge.search("预热", 1)
        found = read_json(content / "knowledge" / "settings.json")
        examples = content / "knowledge" / "examples.json"
        self.examples: list[dict[str, str]] = read_json(examples) if examples.is_file() else []
        self.passages, self.min_score = int(found["passages"]), float(found["min_score"])
        self.known = Known(content / "knowledge", self.knowledge.chunks)

    @property
    def knowledge(self) -> Knowledge:
        """Everything there is: to say what the service can do. What a request may see is its plan's view."""
        return self.library.shelf().whole

    @property
    def graph(self) -> Graph:
        return self.library.shelf().graph

    @property
    def terms(self) -> frozenset[str]:
        return self.library.shelf().terms

    def modes(self) -> list[str]:
        return [name for name, mode in MODES.items() if mode.available(self)]

    def plan(self, request: ChatRequest, reader: Reader = EVERYBODY) -> Plan:
        """Raises Refused if the model name is unknown or the last message alone is too long; earlier turns that do not fit are left out."""
        mode, skill, adapter = self.named(request)
        messages = [turn_of(message) for message in request.messages]
        if skill:
            messages.insert(0, Message(role="system", content=skill))
        tools = request.tools or [] if self.knows_tools and request.choice() != "none" else []
        wanted = request.limit() or self.settings.max_tokens
        # A client's limit is mostly a habit: it must not push earlier turns out of the context.
        room = min(wanted, self.settings.max_tokens, self.engine.context - 1)
        fitting, prompt = self.fitting(messages, request.thinks(), room, tools)
        form = self.form(request, mode, tools, prompt)
        sampling = replace(self.sampling(request, wanted, prompt), form=form)
        chinese = is_chinese(messages[-1].content)
        view = self.library.view(reader, request.filter or NO_FILTER)
        wished = request.search.model_dump(exclude_unset=True) if request.search else {}
        search = self.settings.search.model_copy(update=wished)
        return Plan(
            mode,
            messages,
            fitting,
            prompt,
            sampling,
            request.stops(),
            request.thinks(),
            chinese,
            view,
            bool(tools),
            request.follow_ups,
            search,
            adapter,
        )

    def form(self, request: ChatRequest, mode: str, tools: list[FunctionTool], prompt: list[int]) -> Form | None:
        """What the reply must look like. Raises Refused for what llguidance cannot follow, and where the words are not the model's own."""
        schema = request.response_format.schema_of() if request.response_format else None
        field = "response_format" if schema else "tools"
        if schema is None and not tools:
            return None
        if mode != "plain":
            raise Refused(
                400,
                "unsupported_parameter",
                f"{field}: only in mode plain, where the reply is the model's own; this is {mode}.",
                f"{field} 只用于 plain 模式（回答由模型直接给出），当前为 {mode} 模式。",
                field,
            )
        reasons = (request.thinks() and THINK in self.chat.template) or self.opens_reasoning(prompt)
        try:
            if schema is not None:
                return self.forms.of_schema(schema, reasons)
            return self.forms.of_grammar(calls_grammar(tools, request.choice(), request.parallel_tool_calls is not False), reasons)
        except NoForm as reason:
            en, zh = f"{field}: a reply cannot follow this schema: {reason}.", f"{field}：无法按该 schema 生成：{reason}。"
            raise Refused(400, "invalid_json_schema", en, zh, field) from reason

    def sampling(self, request: Sampled, wanted: int, prompt: list[int]) -> Sampling:
        """Raises Refused if logit_bias names no token of the vocabulary."""
        size = self.tokenizer.get_vocab_size()
        if wrong := [id for id in request.logit_bias or {} if not (id.isdecimal() and int(id) < size)]:
            raise Refused(
                400,
                "invalid_request",
                f"logit_bias: not token ids below {size}: {', '.join(wrong)[:80]}.",
                f"logit_bias：不是小于 {size} 的 token 编号：{', '.join(wrong)[:80]}。",
                "logit_bias",
            )
        return Sampling(
            max_tokens=min(wanted, self.engine.context - len(prompt)),
            temperature=self.settings.temperature if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=request.seed,
            top_k=max(request.top_k or 0, 0),
            min_p=request.min_p or 0.0,
            repetition_penalty=request.repetition_penalty or 1.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            presence_penalty=request.presence_penalty or 0.0,
            logit_bias={int(id): bias for id, bias in (request.logit_bias or {}).items()},
            logprobs=request.told_logprobs(),
        )

    def continuing(self, request: CompletionRequest, prompt: str | list[int]) -> Plan:
        """A text that the model goes on with, without chat template. Raises Refused if it is too long or has no such token."""
        if request.model != self.settings.model:
            raise self.no_model(request.model)
        ids = self.chat.encode(self.chat.literal(prompt)) if isinstance(prompt, str) else prompt
        size = self.tokenizer.get_vocab_size()
        if not ids or not all(0 <= id < size for id in ids):
            raise Refused(
                400,
                "invalid_request",
                f"prompt: needs a text or token ids below {size}.",
                f"prompt 须为文本或小于 {size} 的 token 编号。",
                "prompt",
            )
        if len(ids) >= self.engine.context:
            raise self.too_long(len(ids), "prompt")
        sampling = self.sampling(request, request.limit() or self.settings.max_tokens, ids)
        return Plan("plain", [], [], ids, sampling, request.stops(), False, False, self.library.view())

    def models(self) -> list[dict[str, Any]]:
        """As /v1/models lists them."""
        about = {
            "object": "model",
            "created": 0,
            "owned_by": "lingyu",
            "context_length": self.engine.context,
            "history_turns": self.settings.history_turns,
            "modes": self.modes(),
            "skills": [{"name": name, "zh": name, "en": name, **self.settings.skill_names.get(name, {})} for name in self.settings.skills],
            "engine": self.engine.name,
            "examples": self.examples,
            "filters": self.library.divisible,
        }
        return [{"id": name, **about} for name in self.names()]

    def embedded(self, texts: list[str], dimensions: int | None) -> NDArray[np.float32]:
        """The vectors of the texts as passages. Raises Refused where the index has no embedder, or vectors of another length."""
        embedder = getattr(self.knowledge.retriever, "embedder", None)
        if embedder is None:
            raise Refused(
                400,
                "no_embedder",
                "The knowledge base of this service finds passages by words and has no embedding model (index.retriever).",
                "本服务的知识库按词检索，没有向量模型（index.retriever）。",
            )
        rows: NDArray[np.float32] = embedder.passages(texts)
        if dimensions not in {None, rows.shape[1]}:
            raise Refused(
                400,
                "unsupported_parameter",
                f"dimensions: the vectors have {rows.shape[1]}.",
                f"dimensions：向量维数为 {rows.shape[1]}。",
                "dimensions",
            )
        return rows

    def named(self, request: ChatRequest) -> tuple[str, str, str]:
        """The mode, the system prompt of a skill or "", and an adapter or "". Each may stand behind a colon in the name of the model.

        Raises Refused if the service has no such model or mode.
        """
        model, _, behind = request.model.partition(":")
        if model == self.settings.model:
            skill, adapter = self.settings.skills.get(behind, ""), behind if behind in self.engines else ""
            if (mode := request.mode if skill or adapter else behind or request.mode) in self.modes():
                return mode, skill, adapter
        if model != self.settings.model or behind not in {*self.engines, *self.settings.skills}:
            raise self.no_model(request.model)
        raise not_found("mode", "模式", request.mode, self.modes())

    def no_model(self, name: str) -> Refused:
        return not_found("model", "模型", name, self.names())

    def names(self) -> list[str]:
        """The names of models that a request may give: the model, and behind it each mode, skill and adapter."""
        more = [*(mode for mode in self.modes() if mode != "plain"), *self.settings.skills, *filter(None, self.engines)]
        return [self.settings.model, *(f"{self.settings.model}:{name}" for name in more)]

    def fitting(
        self, messages: list[Message], thinks: bool, wanted: int, tools: Sequence[FunctionTool] = ()
    ) -> tuple[list[Message], list[int]]:
        """The messages with as many of the latest turns as leave room for the reply, and their prompt.

        Raises Refused if the last message alone does not fit.
        """
        turns = [number for number, message in enumerate(messages) if message.role == "user"]

        def since(turn: int) -> list[Message]:
            return [m for number, m in enumerate(messages) if number >= turns[turn] or (m.role == "system" and turn > 0) or turn == 0]

        def fits(turn: int) -> bool:
            return len(self.encode(since(turn), thinks, tools)) + wanted <= self.engine.context

        # Fewer turns are shorter: few prompts are encoded, however many turns were sent.
        first = bisect_left(range(len(turns) - 1), True, key=fits)
        kept = since(first)
        prompt = self.encode(kept, thinks, tools)
        if len(prompt) >= self.engine.context:
            raise self.too_long(len(prompt), "messages")
        return kept, prompt

    def too_long(self, count: int, param: str) -> Refused:
        return Refused(
            400,
            "context_length_exceeded",
            f"The context length is {self.engine.context} tokens; the message takes {count}. Shorten it.",
            f"上下文长度为 {self.engine.context} 个 token；消息占 {count} 个。请缩短消息。",
            param,
        )

    async def look_up(self, plan: Plan, more: str = "") -> Found:
        """The passages and sentences that bear on the question. more: what is searched for with it.

        The search runs in a thread: nobody else waits for it.
        """
        return await asyncio.to_thread(self._look_up, plan, more)

    def _look_up(self, plan: Plan, more: str) -> Found:
        query = self.query(plan)
        hits = plan.view.knowledge.search_with(query, more, READ * self.passages, self.min_score)
        knowledge, graph = plan.view.knowledge, plan.view.graph
        required = graph.required(query, knowledge.closeness) if hits else None
        ranked = evidence(query, [hit.chunk for hit in hits], self.terms, knowledge.relevance, graph, required)
        best = ranked[0].relevance if ranked else 0.0
        close = dict.fromkeys(each.source for each in ranked if each.relevance >= RELEVANT * best)
        kept = sorted(list(close)[: self.passages])
        return Found(query, hits, ranked, plan.view, bool(hits)).only(kept)

    async def look_up_facts(self, plan: Plan) -> tuple[str, list[Chunk]]:
        """What was looked up, and the facts found."""
        query = self.query(plan)
        return query, await asyncio.to_thread(self._look_up_facts, query, plan.view)

    @staticmethod
    def _look_up_facts(query: str, view: View) -> list[Chunk]:
        required = view.graph.required(query, view.knowledge.closeness)
        facts = view.graph.look_up(query, view.knowledge.relevance)
        return [fact for fact in facts if required is None or view.graph.has_one(required, "", fact.text)]

    def query(self, plan: Plan) -> str:
        """The last question as one that can be searched for: "那它的重量呢？" with what it refers to."""
        return plan.view.knowledge.question([message.content for message in plan.messages if message.role == "user"])

    async def adapter_for(self, plan: Plan) -> str:
        """The adapter whose questions are closest to this one, if they are close enough."""
        asked = [(name, question) for name, questions in self.settings.adapters.items() for question in questions if name in self.engines]
        if not asked:
            return ""
        scores = await asyncio.to_thread(plan.view.knowledge.relevance, self.query(plan), [question for _, question in asked])
        score, number = max((float(score), -number) for number, score in enumerate(scores))
        return asked[-number][0] if score >= LIKE else ""

    async def look_up_cases(self, plan: Plan, told: list[str], asked: list[str], limit: int) -> tuple[list[tuple[Case, float]], list[str]]:
        """The cases closest to what the person came with, their closeness, and what is still to ask."""
        return await asyncio.to_thread(self._look_up_cases, plan.view, told, asked, limit)

    def _look_up_cases(self, view: View, told: list[str], asked: list[str], limit: int) -> tuple[list[tuple[Case, float]], list[str]]:
        near = self.cases.nearest(told[0], view.knowledge.relevance, limit, view.allows)
        return near, to_ask([case for case, _ in near], asked, "\n".join(told), view.knowledge.relevance)

    def with_passages(self, plan: Plan, passages: Sequence[Chunk]) -> list[int]:
        """The prompt with as many of the passages before the question as fit, if the model was trained to read them."""
        if self.settings.context_prompt == "before":
            for number in range(len(passages), 0, -1):
                asked = Message(role="user", content=with_passages(plan.question, passages[:number]))
                prompt = self.encode([*plan.messages[:-1], asked], plan.thinks)
                if len(prompt) + plan.sampling.max_tokens <= self.engine.context:
                    return prompt
        return plan.prompt

    def encode(self, messages: list[Message], thinks: bool, tools: Sequence[FunctionTool] = ()) -> list[int]:
        return self.chat.encode(self.chat.prompt(messages, thinks, [tool.model_dump(exclude_none=True) for tool in tools]))

    def opens_reasoning(self, prompt: list[int]) -> bool:
        """Whether the chat template itself ends with the opening think tag, as those of R1 distillations do."""
        return str(self.tokenizer.decode(prompt[-4:], skip_special_tokens=False)).rstrip().endswith(THINK)

    def reply(self, plan: Plan) -> AsyncGenerator[Piece, None]:
        """The pieces of the reply in the mode of the request; the last has `finish`."""
        reply: AsyncGenerator[Piece, None] = MODES[plan.mode].reply(self, plan)
        if plan.follow_ups:
            reply = with_follow_ups(reply, plan, plan.follow_ups, self.known, READ * self.passages, self.min_score)
        return with_calls(reply) if plan.calls else reply

    async def generate(self, prompt: list[int], plan: Plan) -> AsyncGenerator[Piece, None]:
        """The model's own reply to a prompt."""
        decoder, parts = Decoder(self.tokenizer, self.hidden), Parts(plan.stops, self.opens_reasoning(prompt))
        count, ended, told = 0, False, Told(self.tokenizer)
        spend(len(prompt))
        async with aclosing(self.engines[plan.adapter].tokens(prompt, plan.sampling)) as tokens:
            async for token in tokens:
                count += 1
                spend(1)
                if ended := token.id in self.engine.end_tokens:
                    break
                told.add(token)
                for kind, text in parts.add(decoder.add(token.id)):
                    yield Piece(kind, text, logprobs=told.new())
                if parts.stopped:
                    break
        for kind, text in [*parts.add(decoder.rest()), *parts.rest()]:
            yield Piece(kind, text, logprobs=told.new())
        yield Piece(finish="stop" if ended or parts.stopped else "length", prompt_tokens=len(prompt), completion_tokens=count)


def turn_of(message: ChatMessage) -> Message:
    role = "system" if message.role == "developer" else message.role
    calls = [{**call.model_dump(), "function": {**call.function.model_dump(), "arguments": json.loads(call.function.arguments)}}
             for call in message.tool_calls or []]  # fmt: skip
    return ToolTurn(role=role, content=message.text(), reasoning=message.reasoning_content, tool_calls=calls)


def not_found(field: str, zh: str, what: str, there: list[str]) -> Refused:
    return Refused(
        404,
        f"{field}_not_found",
        f"Unknown {field} {what!r}; this service has {', '.join(there)}.",
        f"{zh} {what!r} 不存在；本服务提供：{'、'.join(there)}。",
        field,
    )


class Told:
    """What is told of tokens whose logprobs were asked for, with the text that they belong to."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._held = tokenizer, list[dict[str, Any]]()

    def add(self, token: Token) -> None:
        if token.logprob is not None:
            top = [self._entry(id, logprob) for id, logprob in token.top]
            self._held.append({**self._entry(token.id, token.logprob), "top_logprobs": top})

    def new(self) -> list[dict[str, Any]]:
        held, self._held = self._held, []
        return held

    def _entry(self, id: int, logprob: float) -> dict[str, Any]:
        text = str(self._tokenizer.decode([id], skip_special_tokens=False))
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(text.encode())}
