"""What every shape needs: the values of a record as text, what its rows share, and how one says that it does not fit."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lingyu.files import short_hash
from lingyu.ingest.sections import Origin
from lingyu.records import Language, Row
from lingyu.text.normalise import language_of

Values = dict[str, Any]
Made = Iterator[tuple[str, Row]]  # the table and the row

# The other names of a field. A column whose name differs only in case and in - or space for _ is the same.
QUESTION = ("question", "query", "ask", "prompt", "instruction", "questions", "问题", "提问")
ANSWER = ("answer", "response", "output", "completion", "answers", "回答", "答案", "答复")
REASONING = ("reasoning", "reasoning_content", "think", "thinking", "complex_cot", "推理", "思考")
TEXT = ("text", "content", "sentence", "文本", "正文", "内容")
TITLE = ("title", "标题")


class Misfit(Exception):
    """A record that gives no row: the reason's name, and what a person should know."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Common:
    """What all rows of a record share. roles: who speaks under a name of the file's own (params.yaml, values.role)."""

    origin: Origin
    place: str
    language: Language | None  # as the record says; else told from the text
    roles: dict[str, str] = field(default_factory=dict)

    def row(self, text: str) -> dict[str, Any]:
        return {
            "source": self.origin.source,
            "place": self.place,
            "licence": self.origin.licence,
            "scope": self.origin.scope,
            "language": self.language or language_of(text),
        }

    def given(self, table: str, text: str, task: str, number: int = 1) -> dict[str, Any]:
        """The fields of a dialogue or preference that came with the corpus."""
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
    """The first of these names that is there, "" where none is."""
    return next((name for name in names if name in values), "")


def text_of(values: Values, *names: str, required: bool = True) -> str:
    """The first of these fields that is there, as text. A required one may be blank (clean judges that) but not ill-typed."""
    if name := named(values, names):
        return text(values[name], name)
    if required:
        raise Misfit("incomplete", f"none of {', '.join(names)}")
    return ""


def text(value: Any, name: str) -> str:
    """A value as text; the parts of a message in the OpenAI form as one text."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
        return "\n".join(text(part.get("text"), name) for part in value)
    if isinstance(value, dict | list):
        raise Misfit("ill_typed", f"{name} is not text but {type(value).__name__}")
    return "" if value is None else str(value)


def texts(value: Any, name: str) -> list[str]:
    """A value that may be one text or a list of them, lists in lists too."""
    if not isinstance(value, list):
        return [text(value, name)]
    return [inner for item in value for inner in texts(item, name)]


def distinct(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))
