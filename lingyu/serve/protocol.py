"""OpenAI's chat and completion requests, as its own client and those of others send them, and two additional fields: mode and reasoning.

Three kinds of fields: those that are followed; those that change nothing here (`user`, `tools: []`, every null); those that cannot be
followed. Of the last, one that promises the form of the answer (sound, a tool call of a model that was never shown one) is refused; another
is named in the reply's `warnings`, or refused, too, by `package.unsupported_fields: refuse`. No field is silently ignored.
"""

import json
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lingyu.metadata import Filter


class Refused(Exception):
    """A rejected request, reported in the format of OpenAI's API, with the message in English and Chinese."""

    def __init__(self, status: int, code: str, en: str, zh: str, param: str | None = None) -> None:
        super().__init__(en)
        self.status, self.code, self.en, self.zh, self.param = status, code, en, zh, param

    def body(self) -> dict[str, Any]:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}
        kind = kinds.get(self.status, "invalid_request_error")
        return {"error": {"message": f"{self.en} / {self.zh}", "type": kind, "param": self.param, "code": self.code}}


class Lenient(BaseModel):
    """Types are exact; fields that are not known here are kept, to be named."""

    model_config = ConfigDict(extra="allow", strict=True)


class TextPart(Lenient):
    type: Literal["text"]
    text: str


class Call(Lenient):
    """arguments: JSON, as text."""

    name: str
    arguments: str = "{}"


class ToolCall(Lenient):
    id: str | None = None
    type: Literal["function"] = "function"
    function: Call


class ChatMessage(Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    reasoning_content: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)


class Function(Lenient):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


class FunctionTool(Lenient):
    type: Literal["function"]
    function: Function


class NamedFunction(Lenient):
    name: str


class NamedTool(Lenient):
    type: Literal["function"]
    function: NamedFunction


class Schema(Lenient):
    name: str | None = None
    # "schema" is a method of pydantic's models.
    of: dict[str, Any] | None = Field(None, alias="schema")


class ResponseFormat(Lenient):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema | None = None

    def schema_of(self) -> dict[str, Any] | None:
        """None where the reply may be any text."""
        if self.type == "text":
            return None
        return (self.type == "json_schema" and self.json_schema and self.json_schema.of) or {"type": "object"}


class StreamOptions(Lenient):
    include_usage: bool | None = None


class TemplateOptions(Lenient):
    enable_thinking: bool | None = None


Kind = TypeVar("Kind", bound=BaseModel)


def limit_of_tokens(value: Any) -> Any:
    """-1 is "no limit" for clients that speak to llama.cpp or Ollama."""
    return None if value == -1 and not isinstance(value, bool) else value


Item = TypeVar("Item")
Several = Annotated[list[Item], Field(min_length=1)]
Limit = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(limit_of_tokens)]


class Sampled(Lenient, ABC):
    """What chat and completion requests have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)  # 0: the likeliest token
    top_k: int | None = Field(default=None, ge=-1)  # 0 and -1: all
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    max_tokens: Limit = None
    # torch takes no larger seed.
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: str | list[Annotated[str, Field(min_length=1)]] | None = Field(default=None, max_length=64)
    n: int | None = Field(default=None, ge=1, le=8)

    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) and self.stop else list(self.stop or [])

    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def limit(self) -> int | None:
        return self.max_tokens

    @abstractmethod
    def told_logprobs(self) -> int | None:
        """How many of the likeliest tokens are told beside each; None: nothing."""


class FollowUps(BaseModel):
    """How many questions to go on with are wanted; asked: what was asked before, where earlier turns are not sent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    count: int = Field(3, ge=1, le=5)
    asked: list[Annotated[str, Field(max_length=20_000)]] = Field([], max_length=200)


class Search(BaseModel):
    """What a model adds to the search of professional mode (lingyu/serve/search.py)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keywords: bool = Field(False, description="A model writes search words, which are searched for with the question.")
    second: bool = Field(False, description="The model answers, question and answer are searched for together, and it answers again.")
    judge: bool = Field(False, description="A model says of each passage whether it helps to answer; those that do not are left out.")


class ChatRequest(Sampled):
    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: Limit = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    tools: list[FunctionTool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None

    mode: str = "plain"  # lingyu.serve.modes
    reasoning: bool | None = None
    chat_template_kwargs: TemplateOptions | None = None
    filter: Annotated[Filter | None, Field(strict=False)] = None
    follow_ups: FollowUps | None = None
    search: Search | None = None

    def thinks(self) -> bool:
        if self.reasoning is not None:
            return self.reasoning
        if self.chat_template_kwargs is not None and self.chat_template_kwargs.enable_thinking is not None:
            return self.chat_template_kwargs.enable_thinking
        return self.reasoning_effort not in {None, "none", "minimal"}

    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def told_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def choice(self) -> str:
        """Of tools: none, auto, required or the name of one."""
        if not self.tools:
            return "none"
        return self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else self.tool_choice or "auto"


class CompletionRequest(Sampled):
    prompt: str | Several[str] | Several[int] | Several[list[int]]
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: Literal[False] | None = None

    def told_logprobs(self) -> int | None:
        return self.logprobs

    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [part for part in self.prompt if isinstance(part, int)]
        return [ids] if ids else [part for part in self.prompt if not isinstance(part, int)]


class EmbeddingRequest(Lenient):
    model: str
    input: str | Several[str]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


# Values of fields beyond those above that ask for nothing. Any: whatever is sent asks for nothing.
ANY = object()
HARMLESS: dict[str, Any] = {
    "functions": [[]],
    "function_call": ["none", "auto"],
    "modalities": [["text"]],
    "user": ANY,
    "metadata": ANY,
    "store": [False],
    "service_tier": ["auto", "default"],
    "safety_identifier": ANY,
    "prompt_cache_key": ANY,
    "prompt_cache_retention": ANY,
    "prompt_cache_options": ANY,
    "prediction": ANY,  # makes an answer faster, not another
    "best_of": [1],
    "suffix": [""],
}
OF_MESSAGES: dict[str, Any] = {"refusal": [""], "annotations": ANY, "function_call": [{}], "id": ANY}
# Without these the answer has not the form that the client counts on.
FORM = {"modalities", "audio", "tool_choice", "function_call", "tool_calls", "role", "suffix", "best_of", "dimensions"}


def parsed(body: bytes) -> ChatRequest:
    """The request. Raises Refused with every invalid field and its value."""
    request = read(body, ChatRequest)
    check_turns(request)
    return request


def read(body: bytes, kind: type[Kind]) -> Kind:
    """The same for any kind of request."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        faults = list(dict.fromkeys(fault_of(fault) for fault in error.errors()))
        listed = "; ".join(f"{key}: {what}" for key, what in faults)
        raise Refused(400, "invalid_request", f"Invalid request: {listed}.", f"请求无效：{listed}。", faults[0][0]) from None


def check_turns(request: ChatRequest) -> None:
    last = request.messages[-1]
    if last.role not in {"user", "tool"}:
        raise invalid(
            "messages",
            f"The role of the last message must be user or tool; found {last.role}.",
            f"最后一条消息的 role 必须是 user 或 tool，实际为 {last.role}。",
        )
    if all(message.role != "user" for message in request.messages):
        raise invalid("messages", "messages: one must be of the user.", "messages：须有一条 user 消息。")
    for number, message in enumerate(request.messages):
        where = f"messages.{number}.content"
        if message.content is None and message.role != "assistant":
            raise invalid(where, f"Invalid request: {where} is null.", f"请求无效：{where} 为 null。")
        for call in message.tool_calls or []:
            check_arguments(call, f"messages.{number}.tool_calls")
    there = [tool.function.name for tool in request.tools or []]
    # A tuple: a named tool cannot be hashed.
    if request.choice() not in {"none", "auto", "required", *there} or (not there and request.tool_choice not in (None, "none", "auto")):
        raise invalid(
            "tool_choice", f"tool_choice names none of the tools: {', '.join(there)}.", f"tool_choice 不在 tools 中：{'、'.join(there)}。"
        )
    if len(set(there)) < len(there):
        raise invalid("tools", "tools: two have the same name.", "tools 中有重名。")


def check_arguments(call: ToolCall, where: str) -> None:
    try:
        json.loads(call.function.arguments)
    except ValueError:
        raise invalid(where, f"{where}: arguments are no JSON.", f"{where}：arguments 不是 JSON。") from None


def invalid(param: str, en: str, zh: str) -> Refused:
    return Refused(400, "invalid_request", en, zh, param)


def fault_of(fault: Any) -> tuple[str, str]:
    key = ".".join(str(part) for part in fault["loc"]) or "body"
    found = fault.get("input")
    value = f" (found {str(found)[:80]!r})" if isinstance(found, str | int | float | bool) and fault["type"] != "json_invalid" else ""
    return key, f"{fault['msg']}{value}"


def unsupported(request: Lenient, refuse: bool, tools: bool = False) -> list[str]:
    """The fields that ask for what the service does not have, as warnings in both languages. tools: whether it has those.

    Raises Refused for one that promises a form of the answer, and for any if `refuse`.
    """
    found = [name for name, value in (request.model_extra or {}).items() if asks(value, HARMLESS.get(name, []))]
    if isinstance(request, ChatRequest):
        for number, message in enumerate(request.messages):
            extra = (message.model_extra or {}).items()
            found += [f"messages.{number}.{name}" for name, value in extra if asks(value, OF_MESSAGES.get(name, []))]
        found += [] if tools else asks_for_tools(request)
        if request.chat_template_kwargs:
            found += [f"chat_template_kwargs.{name}" for name in request.chat_template_kwargs.model_extra or {}]
    for name in found:
        if refuse or name.rpartition(".")[2] in FORM:
            raise Refused(400, "unsupported_parameter", f"Unsupported parameter: {name}.", f"不支持的参数：{name}。", name)
    return [f"{name} has no effect here. / 本服务不支持 {name}，已忽略。" for name in found]


def asks_for_tools(request: ChatRequest) -> list[str]:
    found = ["tool_choice"] if request.choice() not in {"none", "auto"} else ["tools"] if request.choice() == "auto" else []
    for number, message in enumerate(request.messages):
        found += [f"messages.{number}.role"] if message.role == "tool" else []
        found += [f"messages.{number}.tool_calls"] if message.tool_calls else []
    return found


def asks(value: Any, harmless: Any) -> bool:
    return value is not None and harmless is not ANY and value not in harmless
