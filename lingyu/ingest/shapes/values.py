"""Shared by all shapes: record values as text, the common fields of rows, and the error for records that do not fit."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lingyu.files import short_hash
from lingyu.ingest.sections import Origin
from lingyu.records import Language, Row
from lingyu.text.normalise import language_of

Values = dict[str, Any]
Made = Iterator[tuple[str, Row]]  # the table and the row

# Alternative names of a field. Case, and - or space for _, are ignored.
QUESTION = ("question", "query", "ask", "prompt", "instruction", "questions", "问题", "提问")
ANSWER = ("answer", "response", "output", "completion", "answers", "回答", "答案", "答复")
RUBRICS = ("rubric", "rubrics", "评分标准", "评分细则", "评分规则")  # what a judge scores an answer by
INPUT = ("input", "输入", "context")  # what an instruction is about
REASONING = ("reasoning", "reasoning_content", "think", "thinking", "complex_cot", "推理", "思考")
TEXT = ("text", "content", "sentence", "文本", "正文", "内容")
TITLE = ("title", "标题")
DATES = (
    "date", "datetime", "timestamp", "created", "created_at", "created_time", "create_time", "created_utc", "published",
    "published_at", "publish_date", "publish_time", "pub_date", "posted_at", "time",
    "日期", "时间", "发布日期", "发布时间", "创建时间", "创建日期", "提问时间", "咨询时间", "来电时间", "来访时间",
    "受理时间", "登记时间", "登记日期",
)  # fmt: skip


class Misfit(Exception):
    """A record that produces no row: the name of the reason, and details."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Common:
    """The common fields of the rows of a record. roles: the file's own speaker names (params.yaml, values.role)."""

    origin: Origin
    place: str
    language: Language | None  # from the record, otherwise detected from the text
    roles: dict[str, str] = field(default_factory=dict)
    day: str = ""  # "2024-05-06", where the record has a date: by it split may part the rows
    notes: Counter[str] = field(default_factory=Counter)  # what was changed or left out of the record, for a person to know

    def row(self, text: str) -> dict[str, Any]:
        return {
            "source": self.origin.source,
            "place": f"{self.place}, {self.day}" if self.day else self.place,
            "licence": self.origin.licence,
            "scope": self.origin.scope,
            "language": self.language or language_of(text),
        }

    def given(self, table: str, text: str, task: str, number: int = 1) -> dict[str, Any]:
        """The fields of a dialogue or preference that is part of the corpus."""
        return self.row(text) | {
            "id": self.id(table, number),
            "task": self.origin.task or task,
            "references": [],
            "method": "given",
            "teacher": "",
            "prompt_hash": "",
            "review": "",
        }

    def id(self, table: str, number: int = 1) -> str:
        return short_hash(table, self.origin.source, self.place, str(number))


def named(values: Values, names: tuple[str, ...]) -> str:
    """The first of these names that has a value, else the first that is present; "" if none is."""
    first = ""
    for name in names:
        if name in values:
            if values[name] is not None:
                return name
            first = first or name
    return first


def text_of(values: Values, *names: str, required: bool = True) -> str:
    """The first of these fields that is present, as text. A required one may be blank (clean handles that) but not ill-typed."""
    if name := named(values, names):
        return text(values[name], name)
    if required:
        raise Misfit("incomplete", f"missing field: one of {', '.join(names)}")
    return ""


def text(value: Any, name: str) -> str:
    """A value as text; the parts of a message in OpenAI format are joined."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
        return "\n".join(text(part.get("text"), name) for part in value)
    if isinstance(value, list) and (other := [str(part["type"]) for part in value if isinstance(part, dict) and part.get("type")]):
        raise Misfit("not_text", f"{name} has parts that are no text: {', '.join(distinct([kind for kind in other if kind != 'text']))}")
    if isinstance(value, dict | list):
        raise Misfit("ill_typed", f"{name} must be text; found {type(value).__name__}")
    return "" if value is None else str(value)


def texts(value: Any, name: str) -> list[str]:
    """A value that may be one text or a (nested) list of texts."""
    if not isinstance(value, list):
        return [text(value, name)]
    return [inner for item in value for inner in texts(item, name)]


def distinct(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))
