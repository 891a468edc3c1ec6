"""CSV and TSV: one record per row, with names in the first row. Also shared code for rows of any sheet."""

import csv
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Fault, Reading, Record, Unreadable
from lingyu.ingest.readers.encoding import Line, lines

Rows = Iterator[list[Any] | Fault]

BLANK: tuple[Any, ...] = ("", None)
# A quoted cell of more lines than this is an unclosed quote.
CELL_LINES = 200


def separated(path: Path, how: Reading) -> Iterator[Record | Fault]:
    """The separator is the most frequent of comma, tab, semicolon and bar in the header."""
    csv.field_size_limit(sys.maxsize)
    feed = Feed(lines(path, how))
    head = feed.first()
    separator = max("\t,;|" if path.suffix.lower() == ".tsv" else ",\t;|", key=head.count)
    rows = split_rows(feed, separator)
    yield from records_under([*how.names], rows, "row") if how.names else named(rows, "row")


class Feed:
    """Lines for csv.reader; remembers the lines since the last row so that they can be read again."""

    def __init__(self, source: Iterator[Line | Fault]) -> None:
        self._source, self._waiting = apart(source), deque[Line | Fault]()
        self.taken: list[Line] = []
        self.faults: list[Fault] = []
        self.full = False

    def first(self) -> str:
        """Peeks at the first non-blank line; a line that only declares the separator, as written by Excel, is dropped."""
        for line in self._source:
            if isinstance(line, Line) and line.text.lower().startswith("sep=") and len(line.text) == 5:
                continue
            self._waiting.append(line)
            if isinstance(line, Line) and line.text.strip():
                return line.text
        return ""

    def again(self, some: list[Line]) -> None:
        self._waiting.extendleft(reversed(some))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= CELL_LINES:
            self.full = True
            raise StopIteration
        while isinstance(line := self._waiting.popleft() if self._waiting else next(self._source), Fault):
            self.faults.append(line)
        self.taken.append(line)
        return line.text + "\n"


def apart(source: Iterator[Line | Fault]) -> Iterator[Line | Fault]:
    """The lines, also split at a lone \\r in files with \\n line endings."""
    for line in source:
        if isinstance(line, Line) and "\r" in line.text:
            yield from (Line(line.number, text) for text in line.text.split("\r"))
        else:
            yield line


def split_rows(feed: Feed, separator: str) -> Rows:
    """Rows of cells. An unclosed quote only affects its own line, not all that follow."""
    width = 0
    reader = csv.reader(feed, delimiter=separator)
    while True:
        feed.taken, ended = [], False
        try:
            row = next(reader)
        except StopIteration:
            yield from feed.faults
            return
        except csv.Error as error:
            row, ended = [], True
            yield Fault(f"line {feed.taken[0].number if feed.taken else '?'}", "unreadable", f"cannot be read as separated values: {error}")
        yield from feed.faults
        feed.faults = []
        if feed.full or ended:
            reader, feed.full = csv.reader(feed, delimiter=separator), False
        if ended:
            feed.again(feed.taken[1:])
            continue
        width = width or len(row)
        quotes = sum(line.text.count('"') for line in feed.taken)
        if len(feed.taken) > 1 and (len(row) != width or quotes % 2):
            first, *rest = feed.taken
            yield Fault(f"line {first.number}", "open_quote", "unclosed quotation mark", first.text[:1000])
            feed.again(rest)
            reader = csv.reader(feed, delimiter=separator)
        elif row:
            yield row


def named(rows: Rows, place: str) -> Iterator[Record | Fault]:
    """The records below the first non-blank row."""
    for row in rows:
        if isinstance(row, Fault):
            yield row
        elif any(value not in BLANK for value in row):
            yield from records_under(column_names(row), rows, place)


def records_under(names: list[str], rows: Rows, place: str) -> Iterator[Record | Fault]:
    """One record per row, numbered from 1 without blank rows and the header."""
    number = 0
    for row in rows:
        if isinstance(row, Fault):
            number += 1
            yield row
            continue
        values = list(row)
        while len(values) > len(names) and values[-1] in BLANK:
            values.pop()
        if not any(value not in BLANK for value in values):
            continue
        number += 1
        if len(values) == len(names):
            yield Record(dict(zip(names, values, strict=True)), f"{place} {number}")
        else:
            yield Fault(f"{place} {number}", "ragged_row", f"{len(values)} values under {len(names)} names", list(map(str, values)))


def column_names(head: list[Any]) -> list[str]:
    """The column names in the header, with a number for unnamed columns. Raises Unreadable if two are the same."""
    names = [str(name).strip() if name is not None else "" for name in head]
    while names and not names[-1]:
        names.pop()
    names = [name or f"column {number}" for number, name in enumerate(names, 1)]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise Unreadable("double_column", f"duplicate column name {', '.join(double)}; rename or remove one of the columns")
    return names
