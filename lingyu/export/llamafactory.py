"""For LLaMA-Factory: its alpaca, sharegpt and preference formats, and dataset_info.json.

Each file is one JSON array. With JSON lines the loader infers the columns from the first ten megabytes, and fails on a later
row with a `history` if it was empty so far.

Its formats have no mark for a reply that is not to be learnt: it learns every reply of a dialogue, or (`mask_history`, for all
datasets at once) only the last. Dialogues with such a reply are therefore left out by name.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lingyu.export.tables import Table, create_empty, is_masked, origin, rows_of, tables_of, with_reasoning
from lingyu.files import write_json, write_jsonl
from lingyu.records import Dialogue, Document, Message, Preference, Question, Row

Fields = dict[str, Any]
ROLES = {"user": "human", "assistant": "gpt", "system": "system"}
SUFFIXES = {"train": "", "validation": "_dev", "test": "_test"}


def export(mixed: Path, folder: Path, test: bool = False) -> dict[str, int]:
    """Write the folder; returns the row counts by dataset name, and of left_out.jsonl if rows do not fit the formats."""
    tables = tables_of(mixed, test)
    create_empty(folder)
    described: Fields = {}
    counts: dict[str, int] = {}
    left: list[Fields] = []
    for table in tables:
        for form, (fields_of, description) in FORMS[table.row_type].items():
            name = f"lingyu_{table.name}{form}{SUFFIXES[table.part]}"
            count = write_array(folder / f"{name}.json", (fields_of(row) | origin(row) for row in rows_of(mixed, table) if not unfit(row)))
            if count:
                described[name] = {"file_name": f"{name}.json", **description}
                counts[name] = count
            else:
                (folder / f"{name}.json").unlink()
        left += left_out(mixed, table)
    write_json(folder / "dataset_info.json", described)
    if left:
        write_jsonl(folder / "left_out.jsonl", left)
        counts["left_out"] = len(left)
    return counts


def left_out(mixed: Path, table: Table) -> Iterator[Fields]:
    for row in rows_of(mixed, table):
        if reason := unfit(row):
            yield {"table": table.path, "reason": reason, **row.model_dump(), **origin(row)}


def unfit(row: Row) -> str:
    """Why the formats cannot express a row; "" if they can."""
    if not isinstance(row, Dialogue | Preference | Question):
        return ""
    if not alternates(row):
        return "its turns do not alternate between user and assistant"
    return "a reply of it is not to be learnt, which the formats cannot express" if is_masked(row) else ""


def alternates(row: Dialogue | Preference | Question) -> bool:
    """Whether user and assistant alternate, after at most one system message; LLaMA-Factory skips other rows with a warning."""
    turns = [message.role for message in row.messages]
    turns = turns[1:] if turns[:1] == ["system"] else turns
    last = ["assistant"] if isinstance(row, Dialogue) else []
    return turns == ["user", *["assistant", "user"] * ((len(turns) - len(last) - 1) // 2), *last]


def alpaca_prompt(messages: list[Message]) -> Fields:
    """The last question with its history."""
    system = messages[0].content if messages[0].role == "system" else ""
    *before, asked = [message.content for message in messages if message.role != "system"]
    history = [list(pair) for pair in zip(before[::2], before[1::2], strict=True)]
    return {"instruction": asked, "input": "", "system": system, "history": history}


def alpaca(row: Dialogue) -> Fields:
    *asked, reply = with_reasoning(row.messages)
    return alpaca_prompt(asked) | {"output": reply.content}


def alpaca_pair(row: Preference) -> Fields:
    return alpaca_prompt(row.messages) | {"chosen": row.chosen, "rejected": row.rejected}


def alpaca_question(row: Question) -> Fields:
    return alpaca_prompt(row.messages) | {"output": row.answer}


def sharegpt(row: Dialogue) -> Fields:
    return sharegpt_prompt(with_reasoning(row.messages))


def sharegpt_pair(row: Preference) -> Fields:
    replies = {"chosen": row.chosen, "rejected": row.rejected}
    return sharegpt_prompt(row.messages) | {name: {"from": "gpt", "value": text} for name, text in replies.items()}


def sharegpt_prompt(messages: list[Message]) -> Fields:
    system = messages[0].content if messages[0].role == "system" else ""
    turns = [{"from": ROLES[message.role], "value": message.content} for message in messages if message.role != "system"]
    return {"conversations": turns, "system": system}


def text(row: Document) -> Fields:
    return {"text": row.text}


PROMPT = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
# For each row type its formats: the suffix of the name, the function that makes a row, and the entry in dataset_info.json.
FORMS: dict[type[Row], dict[str, tuple[Callable[[Any], Fields], Fields]]] = {
    Document: {"": (text, {"columns": {"prompt": "text"}})},
    Dialogue: {
        "": (alpaca, {"columns": {**PROMPT, "response": "output"}}),
        "_sharegpt": (sharegpt, {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}}),
    },
    Preference: {
        "": (alpaca_pair, {"ranking": True, "columns": {**PROMPT, "chosen": "chosen", "rejected": "rejected"}}),
        "_sharegpt": (
            sharegpt_pair,
            {
                "formatting": "sharegpt",
                "ranking": True,
                "columns": {"messages": "conversations", "system": "system", "chosen": "chosen", "rejected": "rejected"},
            },
        ),
    },
    Question: {"": (alpaca_question, {"columns": {**PROMPT, "response": "output"}})},
}


def write_array(path: Path, rows: Iterable[Fields]) -> int:
    """Write a JSON array, one row per line and in memory at a time; returns the row count."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, row in enumerate(rows, start=1):
            file.write(f"{',' if count > 1 else ''}\n{json.dumps(row, ensure_ascii=False)}")
        file.write("\n]\n")
    return count
