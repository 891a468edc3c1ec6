"""The supported part of OpenAI's chat protocol, and two additional fields: mode and reasoning.

Unsupported fields that would change the answer are rejected by name; no field of a request is silently ignored.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Refused(Exception):
    """A rejected request, reported in the format of OpenAI's API, with the message in English and Chinese."""

    def __init__(self, status: int, code: str, en: str, zh: str, param: str | None = None) -> None:
        super().__init__(en)
        self.status, self.code, self.en, self.zh, self.param = status, code, en, zh, param

    def body(self) -> dict[str, Any]:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}
        kind = kinds.get(self.status, "invalid_request_error")
        return {"error": {"message": f"{self.en} / {self.zh}", "type": kind, "param": self.param, "code": self.code}}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Strict):
    type: Literal["text"]
    text: str


class ChatMessage(Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    reasoning_content: str | None = None
    name: str | None = None

    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(Strict):
    include_usage: bool = False


class TemplateOptions(Strict):
    enable_thinking: bool = False


class ResponseFormat(Strict):
    type: Literal["text"]


class ChatRequest(Strict):
    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    # torch takes no larger seed.
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: str | list[Annotated[str, Field(min_length=1)]] | None = Field(default=None, max_length=64)

    mode: str = "plain"  # lingyu.serve.modes
    reasoning: bool | None = None
    chat_template_kwargs: TemplateOptions | None = None

    # Sent by many clients by default: only the value that has no effect is accepted.
    n: Literal[1] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logprobs: Literal[False] | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: Literal[False] | None = None

    def thinks(self) -> bool:
        if self.reasoning is not None:
            return self.reasoning
        return self.chat_template_kwargs is not None and self.chat_template_kwargs.enable_thinking

    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) and self.stop else list(self.stop or [])

    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


def parsed(body: bytes) -> ChatRequest:
    """The request. Raises Refused with every invalid field and its value."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        faults = list(dict.fromkeys(fault_of(fault) for fault in error.errors()))
        listed = "; ".join(f"{key}: {what}" for key, what in faults)
        raise Refused(400, "invalid_request", f"Invalid request: {listed}.", f"请求无效：{listed}。", faults[0][0]) from None
    if request.messages[-1].role != "user":
        found = request.messages[-1].role
        raise Refused(
            400,
            "invalid_request",
            f"The role of the last message must be user; found {found}.",
            f"最后一条消息的 role 必须是 user，实际为 {found}。",
            "messages",
        )
    return request


def fault_of(fault: Any) -> tuple[str, str]:
    key = ".".join(str(part) for part in fault["loc"]) or "body"
    if fault["type"] == "extra_forbidden":
        return key, "unsupported field (不支持此字段)"
    found = fault.get("input")
    value = f" (found {str(found)[:80]!r})" if isinstance(found, str | int | float | bool) and fault["type"] != "json_invalid" else ""
    return key, f"{fault['msg']}{value}"
