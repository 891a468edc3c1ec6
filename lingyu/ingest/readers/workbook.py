"""XLSX: a record a row of every sheet, with the values that formulas had when it was saved, and merged cells filled."""

import re
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Fault, Reading, Record, Unreadable
from lingyu.ingest.readers.sheets import BLANK, Rows, column_names, records_under

MERGED = re.compile(rb'<(?:\w+:)?mergeCell [^>]*?ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
FORMULA = re.compile(rb"<(?:\w+:)?f[ >/]")
ERRORS = {"#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"}
PIECE = 1 << 20
# Rows at the top in which titles and the names of the columns are looked for.
TOP = 6
# Columns that a merged cell is spread over; some programs merge to the sheet's end, column 16,384.
WIDEST = 256

Range = tuple[int, int, int, int]  # first row, first column, last row, last column of merged cells, from 0


def records(path: Path, how: Reading) -> Iterator[Record | Fault]:
    from openpyxl import load_workbook

    warnings.filterwarnings("ignore", module="openpyxl")  # styles and extensions that it leaves out; the values are all there
    try:
        with (
            closing(load_workbook(path, read_only=True, data_only=True)) as values,
            closing(load_workbook(path, read_only=True)) as formulas,
        ):
            computed = found_in_sheets(path, FORMULA)
            sheets: list[Any] = values.worksheets  # openpyxl's types know nothing of those that are only read
            for sheet in sheets:
                place = f"sheet {sheet.title}"
                rows = cells_of(sheet)
                if computed:
                    rows = with_values(rows, cells_of(formulas[sheet.title]), place)
                merged = merged_cells(path, sheet._worksheet_path)
                if how.names:
                    yield from records_under([*how.names], padded(with_merged(rows, merged, place), len(how.names)), f"{place}, row")
                else:
                    yield from of_sheet(rows, merged, place)
    except Unreadable:
        raise
    except Exception as error:  # whatever a broken file provokes in the library, the file is what is broken
        raise Unreadable("unreadable", f"not an XLSX that can be opened ({type(error).__name__}: {error}); save it anew") from error


def cells_of(sheet: Any) -> Rows:
    sheet.reset_dimensions()  # some programs write a wrong size, and openpyxl would stop at it
    return (list(row) for row in sheet.iter_rows(values_only=True))


def found_in_sheets(path: Path, pattern: re.Pattern[bytes]) -> bool:
    with zipfile.ZipFile(path) as parts:
        return any(next(matches(parts, name, pattern), None) for name in parts.namelist() if name.startswith("xl/worksheets/"))


def matches(parts: zipfile.ZipFile, name: str, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """What the pattern finds in a part, a piece in memory at a time."""
    with parts.open(name) as file:
        held = b""
        while piece := file.read(PIECE):
            held += piece
            end = 0
            for found in pattern.finditer(held):
                end = found.end()
                yield found
            held = held[max(end, len(held) - 200) :]


def merged_cells(path: Path, part: str) -> list[Range]:
    from openpyxl.utils import column_index_from_string as column

    with zipfile.ZipFile(path) as parts:
        found = [match.groups() for match in matches(parts, part.lstrip("/"), MERGED)]
    return sorted(
        (int(top) - 1, column(left.decode()) - 1, int(bottom) - 1, column(right.decode()) - 1) for left, top, right, bottom in found
    )


def with_values(rows: Rows, formulas: Rows, sheet: str) -> Rows:
    """The rows, but a fault for one with a formula whose value was not saved or is an error."""
    pairs: Iterator[tuple[Any, Any]] = zip_longest(rows, formulas, fillvalue=[])
    for number, (row, beside) in enumerate(pairs, 1):
        wrong = [
            (getattr(cell, "text", cell), value)
            for cell, value in zip_longest(beside, row)
            if (type(cell).__name__.endswith("Formula") or str(cell).startswith("=")) and (value is None or value in ERRORS)
        ]
        if wrong:
            formula, value = wrong[0]
            why = f"gives {value}" if value else "has no saved value; open the file in Excel or WPS and save it"
            yield Fault(f"{sheet}, line {number}", "formula", f"the formula {formula} {why}", [str(cell) for cell in row])
        else:
            yield row


def with_merged(rows: Rows, merged: list[Range], sheet: str) -> Rows:
    """The rows with what a merged cell says in each of its cells, but a fault for one that is all one cell: a title, no record."""
    waiting, open_ranges = deque(merged), list[tuple[Range, Any]]()
    for number, row in enumerate(rows):
        if isinstance(row, Fault):
            yield row
            continue
        while waiting and waiting[0][0] <= number:
            ranged = waiting.popleft()
            if ranged[0] == number:
                open_ranges.append((ranged, row[ranged[1]] if ranged[1] < len(row) else None))
        open_ranges = [(ranged, value) for ranged, value in open_ranges if ranged[2] >= number]
        across = any(right > left and value not in BLANK for (_, left, _, right), value in open_ranges)
        if across and said(row) <= 1:
            yield Fault(f"{sheet}, line {number + 1}", "title_row", "one cell across the columns: a title, no record", first_said(row))
            continue
        for (_, left, _, right), value in open_ranges:
            right = min(right, left + WIDEST)
            row += [None] * (right + 1 - len(row)) if value not in BLANK else []
            row[left : right + 1] = [value if cell in BLANK else cell for cell in row[left : right + 1]]
        yield row


def of_sheet(rows: Rows, merged: list[Range], sheet: str) -> Iterator[Record | Fault]:
    """A sheet's records, below its titles and the names of its columns, which may stand in two rows."""
    numbered = enumerate(with_merged(rows, merged, sheet))
    top = [*islice(((number, row) for number, row in numbered if isinstance(row, Fault) or said(row)), TOP)]
    widest = max((said(row) for _, row in top), default=0)
    while top and (isinstance(top[0][1], Fault) or said(top[0][1]) < 2 <= widest):
        row = top.pop(0)[1]
        if isinstance(row, Fault):
            yield row
        else:
            yield Fault(sheet, "title_row", "a title above the names of the columns, no record", first_said(row))
    if not top:
        return
    first = top[0][0]
    height = max([bottom - above + 1 + (bottom == above) for above, _, bottom, _ in merged if above == first], default=1)
    under = [row for number, row in top if first <= number < first + height and not isinstance(row, Fault)]
    names = column_names(names_of(under))
    yield from records_under(names, padded((row for _, row in chain(top[len(under) :], numbered)), len(names)), f"{sheet}, row")


def padded(rows: Rows, width: int) -> Rows:
    """The rows at least this wide: a sheet keeps no blank cells at a row's end."""
    return (row if isinstance(row, Fault) else row + [None] * (width - len(row)) for row in rows)


def names_of(rows: list[list[Any]]) -> list[Any]:
    """The names of columns whose head takes several rows: the lowest, with those above it where it would stand twice."""
    columns = [[cell for cell in column if cell not in BLANK] for column in zip_longest(*rows)]
    lowest = [column[-1] if column else None for column in columns]
    return [
        name if lowest.count(name) == 1 else "/".join(dict.fromkeys(map(str, column))) for name, column in zip(lowest, columns, strict=True)
    ]


def said(row: list[Any] | Fault) -> int:
    """How many cells say something."""
    return 0 if isinstance(row, Fault) else sum(cell not in BLANK for cell in row)


def first_said(row: list[Any]) -> str:
    return next((str(cell) for cell in row if cell not in BLANK), "")
