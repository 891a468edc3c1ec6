"""Readers, one module per format family. Document formats yield blocks, record formats yield records."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Block:
    """A heading, paragraph or table of a document, and its place. level: 0 for the title, 1 for the first heading level …"""

    kind: Literal["heading", "paragraph", "table"]
    text: str
    place: str = ""
    level: int = 0


@dataclass(frozen=True)
class Record:
    """The named values of one record, and its place."""

    values: dict[str, Any]
    place: str


@dataclass(frozen=True)
class Fault:
    """A part of a file that could not be used: its place, the name of the reason, details, and the content."""

    place: str
    reason: str
    detail: str
    row: Any = None


class Unreadable(Exception):
    """A whole file that could not be used."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Reading:
    """How to read a file: the encoding of text, and the maximum bytes of a record and of a document.

    names: the column names of a table without a header row, otherwise empty. ocr: whether to read scanned pages.
    """

    encoding: str
    max_record: int
    max_document: int
    names: tuple[str, ...] = ()
    ocr: bool = False


Blocks = Callable[[Path, Reading], Iterator[Block | Fault]]
Records = Callable[[Path, Reading], Iterator[Record | Fault]]


@dataclass(frozen=True)
class Format:
    """A format that is read: its endings, its module and function, imported when the first such file is met."""

    name: str
    endings: tuple[str, ...]
    gives: Literal["blocks", "records"]
    module: str
    function: str
    text: bool  # plain text in some encoding

    def reader(self) -> Any:
        return getattr(import_module(f"lingyu.ingest.readers.{self.module}"), self.function)


FORMATS = {
    form.name: form
    for form in (
        Format("PDF", (".pdf",), "blocks", "pdf", "blocks", False),
        Format("DOCX", (".docx",), "blocks", "word", "blocks", False),
        Format("PPTX", (".pptx",), "blocks", "slides", "blocks", False),
        Format("HTML", (".html", ".htm"), "blocks", "web", "blocks", True),
        Format("Markdown", (".md", ".markdown"), "blocks", "text", "markdown", True),
        Format("TXT", (".txt",), "blocks", "text", "plain", True),
        Format("CSV", (".csv", ".tsv"), "records", "sheets", "separated", True),
        Format("XLSX", (".xlsx",), "records", "workbook", "records", False),
        Format("JSON", (".json", ".jsonl", ".ndjson"), "records", "structured", "records", True),
        Format("Parquet", (".parquet",), "records", "parquet", "records", False),
    )
}
ENDINGS = {ending: form.name for form in FORMATS.values() for ending in form.endings}


def markdown_table(rows: list[list[str]]) -> str:
    """Rows as a Markdown table with the first row as header."""
    width = max(map(len, rows))
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def megabytes(count: int) -> str:
    return f"{count / 1_000_000:.4g} MB"
