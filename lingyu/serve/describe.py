"""What /openapi.json says of the routes: requests by the models that read them, and replies as they are sent."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from lingyu.metadata import Metadata
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
    file: str


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
    keywords: list[str] | None = None
    mode: str | None = None
    adapter: str | None = None
    follow_ups: list[str] | None = None
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


class Skill(BaseModel):
    name: str
    zh: str
    en: str


class Model(Sent):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    history_turns: int
    modes: list[str]
    skills: list[Skill]
    engine: str


class ModelList(Sent):
    object: Literal["list"]
    data: list[Model]


class FeedbackReply(Sent):
    object: Literal["feedback"]
    kept: Literal[True]


class FileObject(Sent):
    """passages: what can be searched; rejected: what could not be used, and why; origin: index where it came with the package."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    source: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    metadata: Metadata
    passages: int
    origin: Literal["upload", "index"]
    hidden: bool
    status_details: str | None = None
    rejected: list[dict[str, str]] = []
    progress: dict[str, Any] | None = None


class FileList(Sent):
    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Described(BaseModel):
    model_config = ConfigDict(extra="forbid")

    metadata: dict[str, Any]


class PageRequest(BaseModel):
    """place: of a source; sentences: those to be marked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    place: str = Field(max_length=2000)
    sentences: list[Annotated[str, Field(max_length=4000)]] = Field([], max_length=20)


class FileDeleted(Sent):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


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
        content["text/event-stream"] = {}  # OpenAPI 3.1 cannot say what a stream of events is; tools take a schema for that of one
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
FILES = giving("The documents of the knowledge base · 知识库文档", FileList)
FILE = giving("One document, and how far its reading is · 文档详情", FileObject)
PARTS = {name: {"type": "string"} for name in ("purpose", "metadata", "replace")} | {"file": {"type": "string", "format": "binary"}}
FORM = {"multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": PARTS}}}
UPLOAD = giving(
    "Upload a document; metadata is JSON · 上传文档", FileObject, openapi_extra={"requestBody": {"required": True, "content": FORM}}
)
SAID = {"metadata": {"department": "运行", "groups": ["crew"]}}
DESCRIBE = taking(Described, "Other metadata for an upload · 修改元数据", SAID, FileObject)
PLACE = {"place": "page 12, 第六章 附则 / 第六十二条", "sentences": ["微型无人驾驶航空器，是指……"]}
PAGE = taking(PageRequest, "A page of a PDF as a picture, sentences marked · PDF 页面图片，标出引文", PLACE, FileObject)
PAGE["responses"] = {200: {"content": {"image/png": {}}}, "4XX": FILE["responses"]["4XX"]}
DELETE = giving("Delete an upload, hide a packaged document · 删除或隐藏文档", FileDeleted)
RESTORE = giving("Show a hidden document again · 恢复已隐藏的文档", FileObject)
ORIGINAL: dict[str, Any] = {
    "summary": "The original file · 原文件",
    "responses": {200: {"content": {"application/octet-stream": {}}}, "4XX": FILE["responses"]["4XX"]},
}
MODELS = giving("The names that `model` takes · 可用的模型名", ModelList)
MODEL = giving("One of them · 其中之一", Model)
