"""An endpoint that speaks OpenAI's chat protocol: concurrent requests, a rate limit, retries that wait as long as Retry-After says.

What went wrong for one request only is Refused, what no request can get past is a StageError. The key is in the header
of the requests and nowhere else; where an endpoint says it back, it is blotted out.
"""

import asyncio
import email.utils
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from lingyu.errors import Unavailable
from lingyu.stage import StageError, StageParams

if TYPE_CHECKING:
    from aiohttp import ClientSession

AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # what may pass by itself
ONE = {400, 413, 422}  # what the endpoint has against this request, and perhaps not against the next
SPENT = {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"}  # said with 429, and passes by no waiting
SHOWN = 300  # characters of what an endpoint says
LONGEST_PAUSE = 60.0  # seconds between two tries, where the endpoint does not say how long


class Address(StageParams):
    """Where the endpoint is, and what it can take. who, section: of whom messages speak, and where params.yaml has it."""

    who: ClassVar[str] = "teacher"
    section: ClassVar[str] = "generate.teacher"

    base_url: str = Field(
        "",
        pattern=r"^(https?://[^@\s]+)?$",
        description="Address of vLLM, of a cloud, or of this project's own service (with answers: text). It usually ends in /v1.",
    )
    key_from: str = Field(
        "LINGYU_TEACHER_KEY", description="Environment variable with the key. The key itself is written nowhere; without one none is sent."
    )
    concurrency: PositiveInt = Field(16, description="Requests at a time: what one GPU with vLLM takes well.")
    requests_a_minute: PositiveInt = Field(1200, description="As your account allows.")
    timeout_seconds: PositiveFloat = Field(180, description="For one answer. A long one of a model that reasons takes minutes.")
    retries: NonNegativeInt = Field(6, description="Tries after a failure. Pauses double from a second on: six wait half a minute in all.")
    max_wait_seconds: PositiveFloat = Field(
        120, description="Where the endpoint asks for a longer pause (Retry-After), the run stops; it continues where it was."
    )


class Refused(Exception):
    """The endpoint refuses this one request."""


@dataclass(frozen=True)
class Said:
    """An answer as the endpoint gave it. Counts are 0 where the endpoint does not count."""

    content: str
    reasoning: str
    finish: str
    model: str
    asked_tokens: int
    answered_tokens: int


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: _Usage | None = None


class Endpoint:
    """Requests to one address. Use it as made by `opened`."""

    def __init__(self, address: Address, key: str, session: "ClientSession") -> None:
        self._address, self._key, self._session = address, key, session
        self.slots = asyncio.Semaphore(address.concurrency)  # to be held while an answer is waited for
        self._next = 0.0  # when the next request may start
        self._url = f"{address.base_url.rstrip('/')}/chat/completions"
        self._halted = False

    def halt(self) -> None:
        """Try nothing again: the run ends, what is under way may finish."""
        self._halted = True

    async def answer(self, body: dict[str, Any]) -> Said:
        """What the endpoint answers, after as many tries as it takes. Raises Refused or StageError."""
        from aiohttp import ClientError

        problem, sent = "", json.dumps(body, ensure_ascii=False).encode()
        for attempt in range(self._address.retries + 1):
            await self._turn()
            if self._halted:
                break
            try:
                async with asyncio.timeout(self._address.timeout_seconds):
                    # A redirect would take the key elsewhere.
                    async with self._session.post(self._url, data=sent, allow_redirects=False) as response:
                        status, header, raw = response.status, response.headers.get("Retry-After"), await response.read()
            except TimeoutError:
                problem, seconds = f"no answer within {self._address.timeout_seconds:g} s", None
            except ClientError as error:
                problem, seconds = f"{type(error).__name__}: {self._shown(str(error))}", None
            else:
                if status == 200:
                    return self._read(raw)
                problem = self._problem(status, raw.decode(errors="replace"))
                seconds = self._seconds(header)
            if seconds is None:
                await asyncio.sleep(pause(attempt) if attempt < self._address.retries else 0)
            else:
                self._next = max(self._next, time.monotonic() + seconds)  # holds for all
        raise Unavailable(
            f"the {self._address.who} at {self._address.base_url} does not answer: {problem} ({attempt + 1} tries). "
            f"Check that it runs and can handle {self._address.section}.concurrency and requests_a_minute (params.yaml)."
        )

    async def _turn(self) -> None:
        """Wait for the time of the next request."""
        start = max(self._next, time.monotonic())
        self._next = start + 60 / self._address.requests_a_minute
        await asyncio.sleep(max(0.0, start - time.monotonic()))

    def _read(self, body: bytes) -> Said:
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError:
            raise StageError(
                f"{self._url} answers, but not as OpenAI's chat protocol does: {self._shown(body.decode(errors='replace'))!r}. "
                f"{self._address.section}.base_url usually ends in /v1 (params.yaml)."
            ) from None
        choice, usage = completion.choices[0], completion.usage or _Usage()
        message = choice.message
        return Said(
            content=self._blotted(message.content or message.refusal or ""),
            reasoning=self._blotted(message.reasoning_content or message.reasoning or ""),
            finish=choice.finish_reason or "",
            model=completion.model or "",
            asked_tokens=usage.prompt_tokens,
            answered_tokens=usage.completion_tokens,
        )

    def _problem(self, status: int, text: str) -> str:
        """What a response other than 200 says, if trying again may help; else Refused or a StageError."""
        where = self._address.base_url
        code, message = said_wrong(text)
        answer = f"{status} {self._shown(message)}".strip()
        if status in {401, 403}:
            how = "The key in" if self._key else "No key was sent: set"
            raise StageError(
                f"the {self._address.who} at {where} refuses access: {answer}. {how} the environment variable {self._address.key_from}."
            )
        if status == 402 or code in SPENT:
            raise StageError(f"the {self._address.who} at {where} requires payment: {answer}. What was answered is kept; then run again.")
        if status in ONE:
            raise Refused(answer)
        if status not in AGAIN:
            raise StageError(
                f"the {self._address.who} at {where} does not know this URL or model: {answer}. "
                f"See base_url and model (params.yaml, {self._address.section})."
            )
        return answer

    def _seconds(self, header: str | None) -> float | None:
        """The seconds that Retry-After asks for, None where there is none."""
        wait = retry_after(header)
        if wait is not None and wait > self._address.max_wait_seconds:
            raise Unavailable(
                f"the {self._address.who} at {self._address.base_url} wants {wait:.0f} s without requests, more than "
                f"{self._address.section}.max_wait_seconds "
                f"({self._address.max_wait_seconds:g}, params.yaml). What was answered is kept; run again later."
            )
        return wait

    def _shown(self, text: str) -> str:
        return self._blotted(" ".join(text.split()))[:SHOWN]

    def _blotted(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


@asynccontextmanager
async def opened(address: Address, key: str) -> AsyncIterator[Endpoint]:
    """An endpoint with its connections, closed at the end. A proxy is the one that the environment names, as for other programs."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    if not key.isascii() or not key.isprintable() or " " in key:
        raise StageError(f"the key in the environment variable {address.key_from} has blanks or characters that no key has. Set it again.")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    async with ClientSession(
        headers=headers,
        connector=TCPConnector(limit=address.concurrency),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(),  # Endpoint.answer has the clock
        proxy=proxy_to(address.base_url),
    ) as session:
        yield Endpoint(address, key, session)


def proxy_to(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for this address."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def pause(attempt: int) -> float:
    """Seconds before the next try: doubled each time, and never the same for all that wait."""
    return float(min(LONGEST_PAUSE, 2**attempt) * random.uniform(0.5, 1))


def retry_after(header: str | None) -> float | None:
    """Seconds, as a number or until a date; None where the header says neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def said_wrong(text: str) -> tuple[str, str]:
    """Code and message of an error in OpenAI's form; the text where it has another."""
    try:
        error = json.loads(text)["error"]
        return str(error.get("code", "")), str(error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", text
