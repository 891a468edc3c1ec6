"""XLSX: a record a row of every sheet that Excel shows, with values as it shows them and merged cells filled."""

import re
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Fault, Reading, Record, Unreadable
from lingyu.ingest.readers.number_formats import CHINESE, FIRST, SYSTEM, shown
from lingyu.ingest.readers.sheets import BLANK, Rows, column_names, records_under
from lingyu.ingest.readers.shown import LeftOut, lowered, raised

# Not available from openpyxl in read-only mode: merged cells, and hidden rows and columns.
LAYOUT = re.compile(
    rb'<(?:\w+:)?(?:mergeCell [^>]*?ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"'
    rb'|row (?=[^>]*?\bhidden="(?:1|true)")[^>]*?\br="(\d+)"'
    rb'|col (?=[^>]*?\bhidden="(?:1|true)")(?=[^>]*?\bmin="(\d+)")[^>]*?\bmax="(\d+)"'
    rb"|(f)[ >/]|(vertAlign|strike)[ />])"
)
ERRORS = {"#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"}
PIECE = 1 << 20
# Rows at the top that may contain titles and column names.
TOP = 6
# Maximum columns that a merged cell fills; some programs merge to the end of the sheet, column 16,384.
WIDEST = 256
GONE: list[Any] = []  # placeholder of a hidden row, so that row numbers stay correct

Range = tuple[int, int, int, int]  # first row, first column, last row, last column of merged cells, from 0


@dataclass
class Layout:
    """The layout of a sheet: merged cells, hidden rows and columns, from 0; and content other than plain values."""

    merged: list[Range] = field(default_factory=list)
    rows: set[int] = field(default_factory=set)
    columns: set[int] = field(default_factory=set)
    formulas: bool = False
    marked: bool = False  # has rich text with superscripts, subscripts or strikethrough


def records(path: Path, how: Reading) -> Iterator[Record | Fault]:
    from openpyxl import load_workbook

    warnings.filterwarnings("ignore", module="openpyxl")  # about unsupported styles and extensions; the values are complete
    left = LeftOut()
    try:
        layouts = layouts_of(path)
        rich = any(layout.marked for layout in layouts.values())
        with (
            closing(load_workbook(path, read_only=True, data_only=True, rich_text=rich)) as values,
            closing(load_workbook(path, read_only=True)) as formulas,
        ):
            computed = any(layout.formulas for layout in layouts.values())
            sheets: list[Any] = values.worksheets  # openpyxl has no types for read-only sheets
            for sheet in sheets:
                place = f"sheet {sheet.title}"
                rows: Rows = cells_of(sheet, cells := Cells(values, left, place, rich))
                if sheet.sheet_state != "visible":
                    for row in cells_of(sheet, cells):
                        left.add("hidden_text", " ".join(str(cell) for cell in row if cell not in BLANK), place)
                    continue
                if computed:
                    rows = with_values(rows, values_of(formulas[sheet.title]), place)
                layout = layouts.get(sheet._worksheet_path.lstrip("/")) or Layout()
                rows = with_merged(rows, layout.merged, place)
                if layout.rows or layout.columns:
                    rows = visible(rows, layout, left, place)
                if how.names:
                    said_rows = (row for row in rows if row is not GONE)
                    yield from records_under([*how.names], padded(said_rows, len(how.names)), f"{place}, row")
                else:
                    yield from of_sheet(rows, layout.merged, place)
    except Unreadable:
        raise
    except Exception as error:  # the library raises many types for damaged files
        raise Unreadable("unreadable", f"cannot be opened as XLSX ({type(error).__name__}: {error}); save it again") from error
    yield from left.faults()


class Cells:
    """What the cells of a sheet show, by the styles of their workbook."""

    def __init__(self, book: Any, left: LeftOut, place: str, rich: bool) -> None:
        self._book, self._left, self._place, self.rich = book, left, place, rich
        self._first = FIRST if book.epoch.year == 1899 else book.epoch
        self._styles: dict[int, tuple[str, bool, str]] = {}

    def style(self, number: int) -> tuple[str, bool, str]:
        """A style's number format, whether it strikes out, and whether it raises or lowers."""
        if number not in self._styles:
            from openpyxl.styles.numbers import BUILTIN_FORMATS, BUILTIN_FORMATS_MAX_SIZE

            style = self._book._cell_styles[number]
            known, font = style.numFmtId, self._book._fonts[style.fontId]
            own = self._book._number_formats[known - BUILTIN_FORMATS_MAX_SIZE] if known >= BUILTIN_FORMATS_MAX_SIZE else ""
            code = own or SYSTEM.get(known) or CHINESE.get(known) or BUILTIN_FORMATS.get(known) or "General"
            self._styles[number] = (code, bool(font.strike), font.vertAlign or "")
        return self._styles[number]

    def shown(self, value: Any, style: int) -> Any:
        code, struck, moved = self.style(style)
        if isinstance(value, list):  # of runs that look different
            value = self._runs(value)
        if struck:
            self._left.add("struck_text", str(value), self._place)
            return None
        if type(value) is not str or "@" in code:
            said = shown(value, code, self._first)
            if said == "" != value:
                self._left.add("hidden_text", str(value), self._place)
            value = said
        return value if not moved or not isinstance(value, str) else raised(value) if moved == "superscript" else lowered(value)

    def _runs(self, runs: list[Any]) -> str:
        said = ""
        for run in runs:
            font, text = (getattr(run, "font", None), getattr(run, "text", run))
            if font is not None and font.strike:
                self._left.add("struck_text", text, self._place)
            elif font is not None and font.vertAlign in ("superscript", "subscript"):
                said += raised(text) if font.vertAlign == "superscript" else lowered(text)
            else:
                said += text
        return said


def cells_of(sheet: Any, cells: Cells) -> Iterator[list[Any]]:
    """The rows by the parser beneath openpyxl's read-only sheets, whose own objects for each cell cost a tenth of the time."""
    from openpyxl.worksheet._reader import WorkSheetParser

    book = sheet.parent
    how = {"date_formats": book._date_formats, "timedelta_formats": book._timedelta_formats, "rich_text": cells.rich}
    with sheet._get_source() as source:
        count = 0
        for number, row in WorkSheetParser(source, sheet._shared_strings, True, book.epoch, **how).parse():
            for _ in range(count + 1, number):
                yield []
            count = number
            shown: list[Any] = [None] * max((cell["column"] for cell in row), default=0)
            for cell in row:
                if (value := cell["value"]) is not None:
                    style = cell["style_id"]
                    shown[cell["column"] - 1] = value if not style and type(value) is str else cells.shown(value, style)
            yield shown


def values_of(sheet: Any) -> Rows:
    sheet.reset_dimensions()
    return (list(row) for row in sheet.iter_rows(values_only=True))


def visible(rows: Rows, layout: Layout, left: LeftOut, place: str) -> Rows:
    """The rows without those that Excel hides, and without the cells of hidden columns."""
    for number, row in enumerate(rows):
        if number in layout.rows:
            if not isinstance(row, Fault):
                left.add("hidden_text", " ".join(str(cell) for cell in row if cell not in BLANK), place)
            yield GONE
        elif layout.columns and not isinstance(row, Fault):
            hidden = [cell for at, cell in enumerate(row) if at in layout.columns and cell not in BLANK]
            left.add("hidden_text", " ".join(map(str, hidden)), place)
            yield [cell for at, cell in enumerate(row) if at not in layout.columns]
        else:
            yield row


def matches(parts: zipfile.ZipFile, name: str, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """Matches of the pattern in a part, with one piece in memory at a time."""
    with parts.open(name) as file:
        held = b""
        while piece := file.read(PIECE):
            held += piece
            end = 0
            for found in pattern.finditer(held):
                end = found.end()
                yield found
            held = held[max(end, len(held) - 400) :]


def layouts_of(path: Path) -> dict[str, Layout]:
    """The layout of each sheet and of the shared strings, by part name."""
    with zipfile.ZipFile(path) as parts:
        held = [name for name in parts.namelist() if name.endswith(".xml") and ("sheet" in name or name == "xl/sharedStrings.xml")]
        return {name: layout_of(matches(parts, name, LAYOUT)) for name in held}


def layout_of(found: Iterator[re.Match[bytes]]) -> Layout:
    from openpyxl.utils import column_index_from_string as column

    layout = Layout()
    for match in found:
        left, top, right, bottom, row, first, last, formula, marked = match.groups()
        if formula:
            layout.formulas = True
        elif marked:
            layout.marked = True
        elif row:
            layout.rows.add(int(row) - 1)
        elif first:
            layout.columns.update(range(int(first) - 1, min(int(last), WIDEST)))
        else:
            layout.merged.append((int(top) - 1, column(left.decode()) - 1, int(bottom) - 1, column(right.decode()) - 1))
    layout.merged.sort()
    return layout


def with_values(rows: Rows, formulas: Rows, sheet: str) -> Rows:
    """The rows, with a Fault for a row with a formula whose value was not saved or is an error."""
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
    """The rows with merged cells filled, and a Fault for a row that is a single merged cell: a title."""
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
        if across and filled_cells(row) <= 1:
            yield Fault(f"{sheet}, line {number + 1}", "title_row", "a title: one cell merged across the columns", first_value(row))
            continue
        for (_, left, _, right), value in open_ranges:
            right = min(right, left + WIDEST)
            row += [None] * (right + 1 - len(row)) if value not in BLANK else []
            row[left : right + 1] = [value if cell in BLANK else cell for cell in row[left : right + 1]]
        yield row


def of_sheet(rows: Rows, merged: list[Range], sheet: str) -> Iterator[Record | Fault]:
    """The records of a sheet, below its titles and column names, which may take two rows."""
    numbered = ((number, row) for number, row in enumerate(rows) if row is not GONE)
    top = [*islice(((number, row) for number, row in numbered if isinstance(row, Fault) or filled_cells(row)), TOP)]
    widest = max((filled_cells(row) for _, row in top), default=0)
    while top and (isinstance(top[0][1], Fault) or filled_cells(top[0][1]) < 2 <= widest):
        row = top.pop(0)[1]
        if isinstance(row, Fault):
            yield row
        else:
            yield Fault(sheet, "title_row", "a title above the column names", first_value(row))
    if not top:
        return
    first = top[0][0]
    last = last_of_head(merged, first)
    under = [row for number, row in top if first <= number <= last and not isinstance(row, Fault)]
    names = column_names(names_of(under))
    yield from records_under(names, padded((row for _, row in chain(top[len(under) :], numbered)), len(names)), f"{sheet}, row")


def padded(rows: Rows, width: int) -> Rows:
    """The rows padded to this width: a sheet stores no trailing blank cells."""
    return (row if isinstance(row, Fault) else row + [None] * (width - len(row)) for row in rows)


def last_of_head(merged: list[Range], first: int) -> int:
    """The last header row: below a cell merged across columns are the names of these columns, for at most two more rows."""
    last = first
    for row in range(first, first + TOP):
        if row > last:
            break
        last = max([last, *(bottom + (right > left) * (bottom - above < 1) for above, left, bottom, right in merged if above == row)])
    return min(last, first + TOP - 1)


def names_of(rows: list[list[Any]]) -> list[Any]:
    """The names of columns whose head takes several rows, a group's before those within it: 载重/空载."""
    columns = [[cell for cell in column if cell not in BLANK] for column in zip_longest(*rows)]
    return ["/".join(dict.fromkeys(" ".join(str(cell).split()) for cell in column)) if column else None for column in columns]


def filled_cells(row: list[Any] | Fault) -> int:
    """The number of non-blank cells."""
    return 0 if isinstance(row, Fault) else sum(cell not in BLANK for cell in row)


def first_value(row: list[Any]) -> str:
    return next((str(cell) for cell in row if cell not in BLANK), "")
