"""For `datasets` (and TRL): a folder of Parquet files with a dataset card, for `datasets.load_dataset(folder, name)`."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from lingyu.export.tables import Table, create_empty, is_masked, origin, rows_of, tables_of, with_reasoning
from lingyu.files import write_table
from lingyu.records import Dialogue, Document, Message, Preference, Question, Row

# Licence ids known to the hub; others are listed in the text of the card.
LICENCES = {"apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc0-1.0", "mit", "odc-by"}


class Turn(BaseModel):
    role: str
    content: str


class MarkedTurn(Turn):
    """loss: false for a reply that is only context, as ms-swift reads it, and axolotl by `message_field_training: loss`."""

    loss: bool


class Exported(BaseModel):
    """The provenance of a row; the subclasses add its texts."""

    id: str
    task: str
    method: str
    teacher: str
    review: str
    source: str
    place: str
    licence: str
    scope: str
    language: str


class Text(Exported):
    text: str


class Talk(Exported):
    messages: list[Turn]


class MarkedTalk(Exported):
    messages: list[MarkedTurn]


class Pair(Exported):
    prompt: list[Turn]
    chosen: list[Turn]
    rejected: list[Turn]


class Asked(Exported):
    prompt: list[Turn]
    answer: str
    wrong: list[str]


@dataclass
class Seen:
    """Properties of the rows, for the card."""

    licences: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


KINDS: dict[type[Row], type[Exported]] = {Document: Text, Dialogue: Talk, Preference: Pair, Question: Asked}
MASKED = "_masked"  # the name of a table of dialogues with replies that are not to be learnt


def export(mixed: Path, folder: Path, test: bool = False) -> dict[str, int]:
    """Write the folder; returns its row counts by table and part."""
    tables = [part for table in tables_of(mixed, test) for part in by_mask(mixed, table)]
    create_empty(folder)
    seen, counts = Seen(), dict[str, int]()
    for table in tables:
        kind = MarkedTalk if table.name.endswith(MASKED) else KINDS[table.row_type]
        counts[file_of(table)] = write_table(folder / f"{file_of(table)}.parquet", exported(mixed, table, kind, seen), kind)
    (folder / "README.md").write_text(card(tables, counts, seen), encoding="utf-8")
    return counts


def file_of(table: Table) -> str:
    return f"{table.name}/{table.part}"


def by_mask(mixed: Path, table: Table) -> list[Table]:
    """The table; dialogues with replies that are not to be learnt in one of their own, because TRL learns every reply of `messages`."""
    found = {is_masked(row) for row in rows_of(mixed, table)}
    return [replace(table, name=table.name + MASKED) if masked else table for masked in sorted(found)]


def exported(mixed: Path, table: Table, kind: type[Exported], seen: Seen) -> Iterator[Exported]:
    for row in rows_of(mixed, table):
        if is_masked(row) == (kind is MarkedTalk):
            seen.licences[row.licence] += 1
            seen.languages[row.language] += 1
            yield kind(**origin(row), **texts(row))


def texts(row: Row) -> dict[str, Any]:
    match row:
        case Document():
            return {"text": row.text}
        case Dialogue():
            messages = with_reasoning(row.messages)
            return {"messages": marked_turns(messages) if is_masked(row) else turns(messages)}
        case Preference():
            replies = {"chosen": row.chosen, "rejected": row.rejected}
            return {"prompt": turns(row.messages)} | {name: [Turn(role="assistant", content=text)] for name, text in replies.items()}
        case Question():
            return {"prompt": turns(row.messages), "answer": row.answer, "wrong": row.wrong}
    raise TypeError(f"{type(row).__name__} belongs to no table of mix")


def turns(messages: list[Message]) -> list[Turn]:
    return [Turn(role=message.role, content=message.content) for message in messages]


def marked_turns(messages: list[Message]) -> list[MarkedTurn]:
    return [
        MarkedTurn(role=message.role, content=message.content, loss=message.role == "assistant" and message.learnt) for message in messages
    ]


MARKS = (
    f"以 {MASKED} 结尾的表含有不参与损失计算的回答：其 `loss` 为 false，训练时须按该字段屏蔽。",
    f"Tables that end in {MASKED} have replies that are only context: their `loss` is false. Train on them only with a trainer that reads",
    "the field: ms-swift does, axolotl with `message_field_training: loss`; TRL would learn every reply.",
    "",
)


def card(tables: list[Table], counts: dict[str, int], seen: Seen) -> str:
    """README.md: its YAML header configures `datasets`, the rest is for people."""
    files = defaultdict(list)
    for table in tables:
        files[table.name].append({"split": table.part, "path": f"{file_of(table)}.parquet"})
    known = {licence.lower() for licence in seen.licences}
    head = {
        "license": known.pop() if len(known) == 1 and known <= LICENCES else "other",
        "language": sorted(seen.languages),
        "configs": [{"config_name": name, "data_files": entries} for name, entries in files.items()],
    }
    lines = [
        "---",
        yaml.safe_dump(head, allow_unicode=True, sort_keys=False).strip(),
        "---",
        "",
        "# 训练数据 Training data",
        "",
        "由 lingyu 根据机构自有文档生成并混合；每行都记录来源文件、位置、许可证和生成方法。"
        "Generated and mixed by lingyu from an organisation's own documents; each row records its source file, place, licence and method.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        *(f'{name} = load_dataset("path/to/this/folder", "{name}")' for name in files),
        "```",
        "",
        "| 表 table | 行数 rows |",
        "| --- | --- |",
        *(f"| {name} | {count} |" for name, count in counts.items()),
        "",
        "| 许可证 licence | 行数 rows |",
        "| --- | --- |",
        *(f"| {licence} | {count} |" for licence, count in sorted(seen.licences.items())),
        "",
        "`messages`、`prompt`、`chosen`、`rejected` 采用 OpenAI 消息格式；推理过程位于回答之前的 `<think>` 与 `</think>` 之间。",
        "id 以 #2、#3 结尾的行是按权重重复采样的行。Messages are in OpenAI format; the reasoning of a reply is between `<think>` and",
        "`</think>` before it. Rows whose id ends in #2, #3 are repeats according to the weights.",
        "",
        *(MARKS if any(table.name.endswith(MASKED) for table in tables) else ()),
    ]
    return "\n".join(lines)
