"""CSV, TSV and XLSX: a record a row, the first row gives the names."""

import csv
import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.corpus.readers import Fault, Record, Unreadable
from lingyu.corpus.readers.encoding import decoded


def separated(path: Path) -> Iterator[Record | Fault]:
    """The separator is the one of tab, comma and semicolon that the head holds most often."""
    csv.field_size_limit(sys.maxsize)
    text = decoded(path.read_bytes())[0].removeprefix("\ufeff")
    head = text.split("\n", 1)[0]
    separator = max("\t,;" if path.suffix.lower() == ".tsv" else ",\t;", key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        yield from named(rows, "row")
    except csv.Error as error:
        yield Fault(f"line {rows.line_num}", "unreadable", f"not separated values from here on: {error}")


def workbook(path: Path) -> Iterator[Record | Fault]:
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that openpyxl leaves out; the values are all there
            book = load_workbook(path, read_only=True, data_only=True)
            sheets = [(sheet.title, [list(row) for row in sheet.iter_rows(values_only=True)]) for sheet in book.worksheets]
            book.close()
    except Exception as error:  # whatever a broken file provokes in the library, the file is what is broken
        raise Unreadable("unreadable", f"not an XLSX that can be opened ({type(error).__name__}: {error}); save it anew") from error
    for title, rows in sheets:
        width = max(map(len, rows), default=0)
        yield from named(iter([row + [None] * (width - len(row)) for row in rows]), f"sheet {title}, row")


def named(rows: Iterator[list[Any]], place: str) -> Iterator[Record | Fault]:
    """Rows below the first that is not blank, numbered as a person counts them, the head not among them."""
    filled = (row for row in rows if any(value not in ("", None) for value in row))
    names = [str(name).strip() if name is not None else "" for name in next(filled, [])]
    while names and not names[-1]:
        names.pop()
    for number, row in enumerate(filled, 1):
        values = list(row)
        while len(values) > len(names) and values[-1] in ("", None):
            values.pop()
        if len(values) == len(names):
            yield Record(dict(zip(names, values, strict=True)), f"{place} {number}")
        else:
            yield Fault(f"{place} {number}", "ragged_row", f"{len(values)} values under {len(names)} names", list(map(str, values)))
