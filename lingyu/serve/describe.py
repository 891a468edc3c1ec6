"""What /openapi.json says of the routes: the requests by their pydantic models, since their bodies are read by hand."""

from typing import Any

from pydantic import BaseModel

from lingyu.serve.feedback import Feedback
from lingyu.serve.protocol import ChatRequest, CompletionRequest, EmbeddingRequest
from lingyu.serve.rewrite import RewriteRequest


def taking(kind: type[BaseModel], summary: str, example: dict[str, Any]) -> dict[str, Any]:
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    for name, field in schema["properties"].items():
        schema["properties"][name] = without_references(field)
    content = {"application/json": {"schema": schema, "example": example}}
    errors = {"4XX": {"description": "An error in OpenAI's form, its message in English and Chinese."}}
    return {"summary": summary, "responses": errors, "openapi_extra": {"requestBody": {"required": True, "content": content}}}


def without_references(field: Any) -> Any:
    """References point into components that FastAPI does not know: an object says enough here."""
    if isinstance(field, dict):
        return {"type": "object"} if "$ref" in field else {key: without_references(value) for key, value in field.items()}
    return [without_references(each) for each in field] if isinstance(field, list) else field


QUESTION = {"role": "user", "content": "起飞前检查什么？"}
CHAT = taking(ChatRequest, "Answer a conversation · 回答对话", {"model": "lingyu", "messages": [QUESTION], "mode": "professional"})
COMPLETION = taking(CompletionRequest, "Go on with a text · 续写文本", {"model": "lingyu", "prompt": "起飞前应当"})
EMBEDDING = taking(
    EmbeddingRequest, "Vectors of texts, by the embedder of the index · 文本向量", {"model": "lingyu", "input": "起飞前检查"}
)
VOTE = {"rating": "down", "messages": [QUESTION], "answer": "检查桨叶。", "correction": "检查桨叶和电池。"}
FEEDBACK = taking(Feedback, "Say whether an answer was right, and what would be · 评价并更正回答", VOTE)
REWRITE = taking(RewriteRequest, "Whether a message may hurt, and the same said without · 非暴力沟通改写", {"text": "你怎么又没做完？"})
MODELS: dict[str, Any] = {"summary": "The names that `model` takes · 可用的模型名"}
MODEL: dict[str, Any] = {"summary": "One of them · 其中之一"}
