"""Files of what another model answered: CSV, XLSX, JSON Lines or JSON, with an id (or the question) and a reply in each record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Fault, Reading, Record, Unreadable
from lingyu.ingest.readers.encoding import encoding_of
from lingyu.ingest.readers.formats import format_of
from lingyu.records import Question
from lingyu.stage import StageError

MOST = 100_000_000  # bytes
ID, QUESTION = ("id", "编号", "题号"), ("question", "prompt", "题目", "问题")
REPLY = ("reply", "answer", "response", "output", "prediction", "content", "回答", "答案", "输出")


def records_of(path: Path) -> Iterator[Record | Fault]:
    if not path.exists():
        raise StageError(f"{path} not found.")
    try:
        form = format_of(path, MOST)
        if form.gives != "records":
            raise StageError(f"{path} is a {form.name} document. Questions are read from CSV, XLSX, JSON Lines, JSON or Parquet.")
        encoding = encoding_of(path) if form.text else ""
        yield from form.reader()(path, Reading(encoding, MOST, MOST))
    except Unreadable as error:
        raise StageError(f"{path} cannot be read: {error.detail}") from None


@dataclass(frozen=True)
class Answers:
    """Another model's replies by item. lacking: items without one, which count as answered wrong; strange: ids that no item has."""

    replies: dict[str, str]
    lacking: list[str]
    strange: list[str]


def read_answers(path: Path, questions: Sequence[Question]) -> Answers:
    """The replies of a file, by the id of the item or else by its question. Raises StageError where two answer one item, or none is met."""
    by_text = {question.messages[-1].content.strip(): question.id for question in questions}
    known = {question.id for question in questions}
    replies: dict[str, str] = {}
    strange, twice = [], []
    for record in records_of(path):
        if isinstance(record, Fault):
            raise StageError(f"{path}, {record.place}: {record.detail}")
        id_ = (first(record.values, ID) or "").strip() or None
        asked = first(record.values, QUESTION)
        reply = first(record.values, REPLY)
        if reply is None or (id_ is None and asked is None):
            raise StageError(
                f"{path}, {record.place} has no {'reply' if reply is None else 'id'}: its fields are {', '.join(map(str, record.values))}. "
                'A line is {"id": …, "reply": …}; the ids are those of the items.'
            )
        key = id_ if id_ in known else by_text.get((asked or "").strip())
        if key is None:
            strange.append(str(id_ if id_ is not None else asked))
        elif key in replies:
            twice.append(key)
        else:
            replies[key] = reply
    if twice:
        raise StageError(f"{path} answers {len(twice)} items twice: {', '.join(twice[:5])}. Keep one answer of each.")
    if not replies:
        example = f" The first id there is {strange[0]!r}, and an item's is {questions[0].id!r}." if strange else ""
        raise StageError(f"{path} answers none of the {len(questions)} items.{example}")
    return Answers(replies, [question.id for question in questions if question.id not in replies], strange)


def first(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((str(values[name]) for name in names if values.get(name) is not None), None)
