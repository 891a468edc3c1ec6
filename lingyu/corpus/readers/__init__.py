"""Readers, one file a format family. Document formats give blocks, record formats give records; neither knows our rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Block:
    """A heading, paragraph or table of a document, and where it stands. level: 0 the title, 1 the first heading level …"""

    kind: Literal["heading", "paragraph", "table"]
    text: str
    place: str = ""
    level: int = 0


@dataclass(frozen=True)
class Record:
    """The named values of one record, and where it stands."""

    values: dict[str, Any]
    place: str


@dataclass(frozen=True)
class Fault:
    """A part of a file that could not be used: where, the reason's name, what a person should know, what was there."""

    place: str
    reason: str
    detail: str
    row: Any = None


class Unreadable(Exception):
    """A whole file that could not be used."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


# By ending: the module of the family and its function, imported when the first such file is met.
DOCUMENTS = {
    ".pdf": ("pdf", "blocks"),
    ".docx": ("word", "blocks"),
    ".md": ("text", "markdown"),
    ".markdown": ("text", "markdown"),
    ".txt": ("text", "plain"),
}
RECORDS = {
    ".csv": ("sheets", "separated"),
    ".tsv": ("sheets", "separated"),
    ".xlsx": ("sheets", "workbook"),
    ".json": ("structured", "records"),
    ".jsonl": ("structured", "lines"),
}

Blocks = Callable[[Path], Iterator[Block | Fault]]
Records = Callable[[Path], Iterator[Record | Fault]]


def blocks_of(path: Path) -> Iterator[Block | Fault]:
    module, function = DOCUMENTS[path.suffix.lower()]
    reader: Blocks = getattr(import_module(f"lingyu.corpus.readers.{module}"), function)
    return reader(path)


def records_of(path: Path) -> Iterator[Record | Fault]:
    module, function = RECORDS[path.suffix.lower()]
    reader: Records = getattr(import_module(f"lingyu.corpus.readers.{module}"), function)
    return reader(path)


def markdown_table(rows: list[list[str]]) -> str:
    """Rows as a Markdown table, the first row its head."""
    width = max(map(len, rows))
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])
