"""LLM client with a response cache and a budget.

Without an endpoint it only counts: what is recorded is answered, the rest by a made-up answer of the expected shape and
length. So the same methods tell beforehand about how much they will ask.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError

from lingyu.generate.llm import prompts
from lingyu.generate.llm.endpoint import Address, Endpoint, Refused
from lingyu.generate.llm.response_cache import Exchange, Record, hash_of
from lingyu.generate.llm.written import Written
from lingyu.records import Language
from lingyu.stage import StageError, StageParams
from lingyu.text.word_lists import own_lists

HAN = re.compile("[\u2e80-\u9fff\uff00-\uffef]")
THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)
HOPELESS = 8  # requests refused before any was answered: then it is not the requests


class Sampling(StageParams):
    """Of questions and answers; judges always sample at temperature 0."""

    temperature: float = Field(0.7, ge=0, le=2, description="Questions need variety, and answers are checked.")
    top_p: float = Field(0.95, gt=0, le=1, description="Share of the probability that is sampled from.")
    seed: NonNegativeInt = Field(20, description="Sent with each request.")
    max_tokens: PositiveInt = Field(2048, description="Tokens of an answer.")


class Price(StageParams):
    """Of a million tokens, as your account says; 0 for a server of your own."""

    currency: str = Field("CNY", description="As the messages show it.")
    asked: NonNegativeFloat = Field(0.0, description="Of the prompts.")
    answered: NonNegativeFloat = Field(0.0, description="Of the answers.")


class Budget(StageParams):
    """For all that a run rests on, whether this run or an earlier one paid it. Nothing is asked where the estimate is above it."""

    tokens: NonNegativeInt = Field(2_000_000, description="Tokens, of prompts and answers.")
    money: NonNegativeFloat = Field(20.0, description="In price.currency.")


class Model(Address):
    """A model behind any endpoint that implements OpenAI's chat protocol, and what it may cost."""

    model: str = Field("", description="Its name at the endpoint.")
    answers: Literal["json_schema", "json_object", "text"] = Field(
        "json_schema", description="How JSON is requested, as far as the endpoint supports it. text: only the prompt says it."
    )
    sampling: Sampling = Field(Sampling(), description="How answers are sampled.")
    body: dict[str, Any] = Field({}, description="Further fields of the request, as the endpoint calls them; null leaves one of ours out.")
    price: Price = Field(Price(), description="Of a million tokens.")
    budget: Budget = Field(Budget(), description="What a run may spend.")


class Settings(Model):
    """The teacher: a model behind any endpoint that implements OpenAI's chat protocol, or none."""

    kind: Literal["rules", "openai", "written"] = Field(
        "rules",
        description="rules: templates and extraction only; every answer is taken from a record and hence right. openai: also the methods "
        "of `asked`, by an endpoint (docs/generation.md). written: these methods, with answers that people wrote into `file`.",
    )
    file: str = Field("", description="Of kind written: the YAML file with the answers, from the root of the project.")
    revision: str = Field("", description="Of kind written: SHA-256 of the file, or its beginning. With it a changed file reruns generate.")


class Answer(BaseModel):
    """What a teacher is to answer: JSON of just this shape."""

    model_config = ConfigDict(extra="forbid")


A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class Given(Generic[A]):
    """An answer of the right shape, and the exchange it is from. recorded: it was really given, not made up for the estimate."""

    said: A
    prompt_hash: str
    recorded: bool


@dataclass(frozen=True)
class Asked:
    """What decides an answer, and the hash of it."""

    id: str
    prompt: str
    variant: int
    request: dict[str, Any]


class Unusable(Exception):
    """An answer that is none; the reason as the ledger shows it."""

    def __init__(self, reason: str, prompt_hash: str, said: str) -> None:
        super().__init__(reason)
        self.reason, self.prompt_hash, self.said = reason, prompt_hash, said


class Stopped(Exception):
    """Not asked any more, since the run ends."""


@dataclass
class Spent:
    """Tokens and money, of all that a run uses, recorded or new; and how many exchanges these are."""

    price: Price
    exchanges: int = 0
    asked: int = 0
    answered: int = 0

    def add(self, asked: int, answered: int, exchanges: int = 1) -> None:
        self.exchanges, self.asked, self.answered = self.exchanges + exchanges, self.asked + asked, self.answered + answered

    @property
    def tokens(self) -> int:
        return self.asked + self.answered

    @property
    def money(self) -> float:
        return (self.asked * self.price.asked + self.answered * self.price.answered) / 1e6

    def shown(self) -> str:
        return f"{self.tokens:,} tokens, {self.price.currency} {self.money:,.2f}"


class Teacher:
    """LLM client with a response cache and a budget: answers from the cache, else from the endpoint; without one it counts what is missing.

    on_answer: called at every new answer."""

    def __init__(
        self,
        settings: Model,
        record: Record,
        endpoint: Endpoint | Written | None = None,
        on_answer: Callable[[Spent], None] = lambda _: None,
    ) -> None:
        self._settings, self._record, self._endpoint, self._on_answer = settings, record, endpoint, on_answer
        self.model = settings.model or getattr(settings, "kind", "")
        self.spent, self.missing = Spent(settings.price), Spent(settings.price)  # missing: what is not recorded, as estimated
        self.refusals: list[str] = []
        self.fault: StageError | None = None
        self._used: set[str] = set()
        self._under_way: dict[str, asyncio.Future[Exchange]] = {}
        self._reserved = Spent(settings.price)
        self._room = asyncio.Condition()
        self._new = 0
        self._longest = settings.sampling.max_tokens  # of an answer; some endpoints count thoughts on top of it

    async def ask(
        self, prompt: str, language: Language, like: A, fields: dict[str, str], *, variant: int = 0, judge: bool = False
    ) -> Given[A]:
        """The answer in the shape of `like`; Unusable where it has another. judge: not sampled, but the likeliest answer."""
        return await self.put(prompt, prompts.messages(prompt, language, fields), like, variant=variant, judge=judge)

    async def put(self, prompt: str, messages: list[dict[str, str]], like: A, *, variant: int = 0, judge: bool = False) -> Given[A]:
        """The same for a prompt that is filled already; `prompt` is what the record calls it."""
        request = request_of(self._settings, messages, response_format(self._settings.answers, type(like)), variant=variant, judge=judge)
        id_ = hash_of(request, variant)
        exchange = self._record.get(id_)
        if exchange is None:
            if self._endpoint is None:
                self._count(id_, self.missing, tokens_of(request["messages"]), tokens_of(like.model_dump_json()))
                return Given(like, id_, recorded=False)
            exchange = await self._asked(self._endpoint, Asked(id_, prompt, variant, request))
        self._count(id_, self.spent, exchange.asked_tokens, exchange.answered_tokens)
        return Given(parsed(exchange, like), id_, recorded=True)

    def stop(self, fault: StageError) -> StageError:
        """Ask nothing more. What is under way may finish, and is recorded; the first fault is the one to tell."""
        self.fault = self.fault or fault
        if self._endpoint:
            self._endpoint.halt()
        return self.fault

    async def _asked(self, endpoint: Endpoint | Written, asked: Asked) -> Exchange:
        """The exchange, new; one that is under way already is waited for."""
        if asked.id in self._under_way:
            return await asyncio.shield(self._under_way[asked.id])
        waiting = self._under_way[asked.id] = asyncio.get_running_loop().create_future()
        waiting.add_done_callback(lambda future: future.cancelled() or future.exception())  # perhaps nobody else has waited
        try:
            exchange = await self._new_exchange(endpoint, asked)
        except BaseException as error:
            waiting.set_exception(Stopped() if isinstance(error, asyncio.CancelledError) else error)
            raise
        finally:
            del self._under_way[asked.id]
        waiting.set_result(exchange)
        return exchange

    async def _new_exchange(self, endpoint: Endpoint | Written, asked: Asked) -> Exchange:
        expected = tokens_of(asked.request["messages"])
        async with endpoint.slots, self._reserving(expected):
            try:
                said = await endpoint.answer(asked.request)
            except Refused as error:
                self.refusals.append(str(error))
                if not self._new and len(self.refusals) >= HOPELESS:
                    raise self.stop(all_refused(self.refusals, self._settings)) from None
                raise Unusable("refused_by_the_endpoint", asked.id, str(error)) from None
            except StageError as error:
                raise self.stop(error) from None
            exchange = Exchange(
                id=asked.id,
                prompt=asked.prompt,
                variant=asked.variant,
                request=asked.request,
                content=said.content,
                reasoning=said.reasoning,
                finish=said.finish,
                model=said.model,
                asked_tokens=said.asked_tokens or expected,
                answered_tokens=said.answered_tokens or tokens_of(said.reasoning + said.content),
            )
            self._record.add(exchange)
            self._new += 1
            self._longest = max(self._longest, exchange.answered_tokens)
            self._count(asked.id, self.spent, exchange.asked_tokens, exchange.answered_tokens)
        self._on_answer(self.spent)
        return exchange

    @asynccontextmanager
    async def _reserving(self, expected: int) -> AsyncIterator[None]:
        """Room in the budget for a question and the longest answer; what others do not use up is waited for."""
        longest = self._longest
        async with self._room:
            while not self._fits(expected, longest):
                if not self._reserved.exchanges:
                    raise self.stop(self._over_budget())
                await self._room.wait()
            if self.fault:
                raise Stopped
            self._reserved.add(expected, longest)
        try:
            yield
        finally:
            self._reserved.add(-expected, -longest, exchanges=-1)
            async with self._room:
                self._room.notify_all()

    def _fits(self, asked: int, answered: int) -> bool:
        would = Spent(self._settings.price)
        for part in (self.spent, self._reserved):
            would.add(part.asked, part.answered)
        would.add(asked, answered)
        return self.fault is not None or within(would, self._settings.budget)

    def _count(self, id_: str, to: Spent, asked: int, answered: int) -> None:
        if id_ not in self._used:
            self._used.add(id_)
            to.add(asked, answered)

    def _over_budget(self) -> StageError:
        budget = self._settings.budget
        return StageError(
            f"the budget for the {self._settings.who} is used up: {self.spent.shown()} of {budget.tokens:,} tokens, "
            f"{self._settings.price.currency} {budget.money:,.2f} ({self.spent.exchanges} answers), and the next answer may not fit. "
            f"Raise {self._settings.section}.budget, or ask less (params.yaml)."
        )


def request_of(
    settings: Model, messages: list[dict[str, str]], form: dict[str, Any] | None, *, variant: int, judge: bool
) -> dict[str, Any]:
    """What is sent: all that decides the answer, and nothing else."""
    sampling = settings.sampling
    body = {
        "model": settings.model,
        "messages": messages,
        "temperature": 0.0 if judge else sampling.temperature,
        "top_p": 1.0 if judge else sampling.top_p,
        "seed": sampling.seed + variant,
        "max_tokens": sampling.max_tokens,
        "response_format": form,
        **settings.body,
    }
    return {name: value for name, value in body.items() if value is not None}


def within(spent: Spent, budget: Budget) -> bool:
    return spent.tokens <= budget.tokens and spent.money <= budget.money


def all_refused(refusals: list[str], settings: Model) -> StageError:
    return StageError(
        f"the {settings.who} refused the first {len(refusals)} requests, and answered none: {refusals[0]}. "
        f"See model, answers, sampling and body (params.yaml, {settings.section}): a field that an endpoint does not know can be left "
        "out by `body: {field: null}`."
    )


@cache
def response_format(answers: str, shape: type[Answer]) -> dict[str, Any] | None:
    if answers == "json_schema":
        return {"type": "json_schema", "json_schema": {"name": shape.__name__, "strict": True, "schema": shape.model_json_schema()}}
    return {"type": "json_object"} if answers == "json_object" else None


def parsed(exchange: Exchange, like: A) -> A:
    """The answer as JSON of this shape; thoughts before it and a code fence around it are ignored. Raises Unusable otherwise."""
    text = THOUGHT.sub("", exchange.content).strip()
    if fenced := FENCE.fullmatch(text):
        text = fenced[1]
    try:
        return type(like).model_validate_json(text, strict=True)
    except ValidationError:
        raise Unusable(reason_for(exchange.finish, text), exchange.id, exchange.content) from None


def reason_for(finish: str, text: str) -> str:
    """What is wrong with an answer that is not the JSON asked for."""
    if finish in {"length", "content_filter"}:
        return {"length": "cut_at_max_tokens", "content_filter": "filtered_by_the_endpoint"}[finish]
    if not text:
        return "empty_answer"
    return "refusal" if refuses(text) else "not_the_json_asked_for"


def refuses(text: str) -> bool:
    return any(own_lists()[name].is_in(text) for name in ("refusal", "other_model"))


def tokens_of(said: str | list[dict[str, str]]) -> int:
    """About how many tokens, rather more: one a Chinese character, one for four others, some for each message."""
    if isinstance(said, list):
        return sum(tokens_of(message["content"]) + 4 for message in said)
    han = len(HAN.findall(said))
    return han + (len(said) - han + 3) // 4
