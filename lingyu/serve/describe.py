"""What /openapi.json says of the routes: requests by the models that read them, and replies as they are sent."""

from collections.abc import Callable
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict

from lingyu.serve.feedback import Feedback
from lingyu.serve.protocol import ChatRequest, CompletionRequest, EmbeddingRequest, ToolCall
from lingyu.serve.rewrite import RewriteRequest

WHERE = "#/components/schemas/{model}"
components: dict[str, Any] = {}


class Sent(BaseModel):
    """Of a reply; more fields may come."""

    model_config = ConfigDict(extra="allow")


class Fault(Sent):
    """message: in English and Chinese."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorReply(Sent):
    error: Fault


class Usage(Sent):
    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int


class SentMessage(Sent):
    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(Sent):
    index: int
    message: SentMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class Source(Sent):
    title: str
    section: str
    source: str
    place: str
    licence: str
    text: str
    score: float


class Citation(Sent):
    source: int
    start: int
    end: int
    text: str


class ChatReply(Sent):
    """With sources and what follows them in the modes that look something up."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    sources: list[Source] | None = None
    citations: list[Citation] | None = None
    supported: bool | None = None
    answer_source: Literal["model", "quotation", "knowledge", "question", "none"] | None = None
    note: str | None = None
    query: str | None = None
    mode: str | None = None
    warnings: list[str] | None = None


class TextChoice(Sent):
    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]


class CompletionReply(Sent):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage
    warnings: list[str] | None = None


class Vector(Sent):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingReply(Sent):
    object: Literal["list"]
    model: str
    data: list[Vector]
    usage: Usage
    warnings: list[str] | None = None


class Model(Sent):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    history_turns: int
    modes: list[str]
    engine: str


class ModelList(Sent):
    object: Literal["list"]
    data: list[Model]


class FeedbackReply(Sent):
    object: Literal["feedback"]
    kept: Literal[True]


class RewriteReply(Sent):
    object: Literal["rewrite"]
    text: str
    risk: Literal["low", "medium", "high"] | None
    hurts: bool
    rewrite: str
    elements: dict[str, str]


def component(kind: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, str]:
    """A reference to the schema of a model, which is kept for `completed`."""
    schema = kind.model_json_schema(ref_template=WHERE, mode=mode)
    components.update(schema.pop("$defs", {}))
    components[kind.__name__] = schema
    return {"$ref": WHERE.format(model=kind.__name__)}


def giving(summary: str, reply: type[BaseModel], streams: bool = False, **more: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": component(reply, "serialization")}}
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    error = {
        "description": "An error in OpenAI's form",
        "content": {"application/json": {"schema": component(ErrorReply, "serialization")}},
    }
    responses = {200: {"description": "The reply", "content": content}, "4XX": error, "5XX": error}
    return {"summary": summary, "responses": responses, "response_model": None, **more}


def taking(kind: type[BaseModel], summary: str, example: dict[str, Any], reply: type[BaseModel], streams: bool = False) -> dict[str, Any]:
    content = {"application/json": {"schema": component(kind, "validation"), "example": example}}
    return giving(summary, reply, streams, openapi_extra={"requestBody": {"required": True, "content": content}})


def completed(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The description of an app with these schemas; made once, as FastAPI's own."""

    def described() -> dict[str, Any]:
        if not app.openapi_schema:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas = {**made.get("components", {}).get("schemas", {}), **components}
            keys = {"keys": {"type": "http", "scheme": "bearer", "description": "Where the service has API keys · 服务设置了密钥时"}}
            # FastAPI's own errors do not occur: parameters of paths are texts.
            for path in made["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            app.openapi_schema = made | {"components": {"schemas": schemas, "securitySchemes": keys}, "security": [{}, {"keys": []}]}
        return app.openapi_schema

    return described


QUESTION = {"role": "user", "content": "起飞前检查什么？"}
ASKED = {"model": "lingyu", "messages": [QUESTION], "mode": "professional"}
CHAT = taking(ChatRequest, "Answer a conversation · 回答对话", ASKED, ChatReply, streams=True)
TEXT = {"model": "lingyu", "prompt": "起飞前应当"}
COMPLETION = taking(CompletionRequest, "Go on with a text · 续写文本", TEXT, CompletionReply, streams=True)
TEXTS = {"model": "lingyu", "input": "起飞前检查"}
EMBEDDING = taking(EmbeddingRequest, "Vectors of texts, by the embedder of the index · 文本向量", TEXTS, EmbeddingReply)
VOTE = {"rating": "down", "messages": [QUESTION], "answer": "检查桨叶。", "correction": "检查桨叶和电池。"}
FEEDBACK = taking(Feedback, "Say whether an answer was right, and what would be · 评价并更正回答", VOTE, FeedbackReply)
HURTS = {"text": "你怎么又没做完？"}
REWRITE = taking(RewriteRequest, "Whether a message may hurt, and the same said without · 非暴力沟通改写", HURTS, RewriteReply)
MODELS = giving("The names that `model` takes · 可用的模型名", ModelList)
MODEL = giving("One of them · 其中之一", Model)
