"""The queue as a workbook for domain experts, and reading a filled-in workbook."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from lingyu.review.queue import Waiting
from lingyu.review.review_item import UNSHOWABLE
from lingyu.stage import StageError

# The first word of a heading is the column's key, the rest is for people. With the width in characters.
COLUMNS = {
    "question": ("question 问题", 34),
    "passage": ("passage 依据的原文", 54),
    "answer": ("answer 回答 ✎", 46),
    "decision": ("decision 决定 ✎", 15),
    "note": ("note 备注 ✎", 22),
    "reviewer": ("reviewer 审核人 ✎", 13),
    "reasoning": ("reasoning 思考 ✎", 30),
    "other": ("other 较差的回答", 30),
    "earlier": ("earlier 之前的决定", 26),
    "source": ("source 来源", 22),
    "place": ("place 位置", 16),
    "task": ("task 任务", 11),
    "method": ("method 方法", 13),
    "table": ("table 表", 15),
    "id": ("id 编号", 19),
    "print": ("print 指纹", 19),
}
FOR_PEOPLE = ("answer", "decision", "note", "reviewer", "reasoning")
OFTEN_EMPTY = ("reasoning", "other", "earlier")  # hidden if empty in all rows
SHORTENED = ("passage", "earlier")  # context only: the full text is available elsewhere
NEEDED = {"id", "decision", "answer"}
MOST_CHARACTERS = 32_767  # in a cell; openpyxl would silently truncate the rest
MOST_ROWS = 1_048_576
LINE, MOST_LINES = 15.0, 22  # points per line; a higher row would not fit on a screen
FIXED = datetime(1980, 1, 1)  # the earliest time that a zip file can store
HELP = {
    "decision": "approve 通过：回答正确。edit 修改：先修改 answer 列。swap 对调：另一个回答更好（仅偏好对）。reject 退回：不采用。"
    "The answer is correct; edit the answer cell first; the other reply is better (pairs only); drop the row.",
    "answer": "修改后请在 decision 列选择 edit。After editing, choose edit in the decision column.",
    "note": "给数据维护者的备注，可留空。A note for the data maintainer; optional.",
    "reviewer": "可留空；填写后随该行保存。Optional; stored with the row.",
}


def write_workbook(path: Path, waiting: Sequence[Waiting], choices: dict[str, str]) -> None:
    """The rows that wait for a decision, with drop-down lists of the choices; same rows, same bytes."""
    import openpyxl
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.properties import PageSetupProperties

    check_limits(waiting)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("review 审核")
    sheet.freeze_panes = "B2"
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    full = {name for entry in waiting for name in OFTEN_EMPTY if entry.texts()[name]}
    for index, (name, (_, width)) in enumerate(COLUMNS.items(), start=1):
        sheet.column_dimensions[get_column_letter(index)].width = width
        sheet.column_dimensions[get_column_letter(index)].hidden = name == "print" or name in {*OFTEN_EMPTY} - full
    cell = styled(sheet)
    sheet.append([cell(name, heading, head=True) for name, (heading, _) in COLUMNS.items()])
    last = 1 + len(waiting)
    for number, entry in enumerate(waiting, start=2):
        texts = cells_of(entry)
        sheet.row_dimensions[number].height = 4 + LINE * min(MOST_LINES, max(lines(texts[name], COLUMNS[name][1]) for name in COLUMNS))
        sheet.append([cell(name, text) for name, text in texts.items()])
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(COLUMNS))}{last}"
    for validation in validations(choices, max(2, last)):
        sheet.data_validations.append(validation)
    book.properties.creator = "lingyu"
    book.properties.created = FIXED
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(saved(book))


def styled(sheet: Any) -> Any:
    """A function that creates the cells of a column: always as text; editable cells are tinted."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Border, Font, PatternFill, Side

    wrapped, bold = Alignment(wrap_text=True, vertical="top"), Font(bold=True, color="FFFFFF")
    dark, tint = PatternFill("solid", fgColor="44546A"), PatternFill("solid", fgColor="FFF9E5")
    line = Border(bottom=Side("thin", color="D9D9D9"))

    def cell(name: str, text: str, head: bool = False) -> Any:
        made = WriteOnlyCell(sheet, text)
        made.data_type = "s"  # a text that begins with = is not a formula
        made.alignment, made.border = wrapped, line
        made.number_format = "@"  # entered text is kept as is: 1-2 is not a date
        if head:
            made.font, made.fill = bold, dark
        elif name in FOR_PEOPLE:
            made.fill = tint
        return made

    return cell


def validations(choices: dict[str, str], last: int) -> Iterator[Any]:
    """The drop-down lists, and the help shown next to the selected cell."""
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    words = ",".join(f"{word} {chinese}" for word, chinese in choices.items())
    for name, text in HELP.items():
        rule = DataValidation(allow_blank=True, showInputMessage=True, promptTitle=name, prompt=text)
        if name == "decision":
            rule.type, rule.formula1, rule.showErrorMessage = "list", f'"{words}"', True
        rule.error = f"请从下拉列表选择。Choose one of: {', '.join(choices)}."
        letter = get_column_letter(list(COLUMNS).index(name) + 1)
        rule.add(f"{letter}2:{letter}{last}")
        yield rule


def check_limits(waiting: Sequence[Waiting]) -> None:
    if len(waiting) >= MOST_ROWS:
        raise StageError(
            f"{len(waiting)} rows wait for a decision, but a sheet holds {MOST_ROWS} rows. Review fewer rows (params.yaml, section review)."
        )
    faults = [
        f"  row {entry.row.id} of {entry.table} ({entry.row.source}, {entry.row.place}): its {name} has {len(text)} characters"
        for entry in waiting
        for name, text in entry.texts().items()
        if len(text) > MOST_CHARACTERS and name not in SHORTENED
    ]
    if faults:
        head = (
            f"a workbook cell holds at most {MOST_CHARACTERS} characters. Set these methods to pass without review (params.yaml, section "
            "review), or shorten the records:"
        )
        raise StageError("\n".join([head, *faults]))


def cells_of(entry: Waiting) -> dict[str, str]:
    """The texts of the row's cells. A passage that is too long for a cell is shortened, with a note."""
    texts = {**entry.texts(), "decision": "", "note": "", "reviewer": ""}
    for name in SHORTENED:
        if len(texts[name]) > MOST_CHARACTERS:
            texts[name] = (
                f"（内容过长，仅显示开头，全文见来源 too long, only the beginning is shown）\n{texts[name][: MOST_CHARACTERS - 100]}"
            )
    return {name: UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", texts[name]) for name in COLUMNS}


def lines(text: str, width: int) -> int:
    """The number of lines of a text in a cell of this width; Chinese characters are two wide."""
    return sum(max(1, ceil(sum(2 if east_asian_width(char) in "WF" else 1 for char in line) / (width - 1))) for line in text.split("\n"))


def saved(book: Any) -> bytes:
    """The workbook as bytes without a save time."""
    from openpyxl.xml.functions import tostring

    first, second = io.BytesIO(), io.BytesIO()
    book.save(first)
    book.properties.modified = FIXED
    with zipfile.ZipFile(first) as source, zipfile.ZipFile(second, "w") as target:
        for name in source.namelist():
            content = tostring(book.properties.to_tree()) if name == "docProps/core.xml" else source.read(name)
            target.writestr(zipfile.ZipInfo(name, FIXED.timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return second.getvalue()


def rows_of_workbook(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of the first sheet by heading, with their row numbers in a spreadsheet program."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), data_only=True)
    except Exception as error:  # openpyxl raises many types for damaged archives
        raise StageError(f"{path} cannot be read as a workbook ({error}). Save it again as .xlsx.") from error
    heads, *rows = list(book.worksheets[0].iter_rows(values_only=True)) or [()]
    names = [str(head).split(maxsplit=1)[0] if head else "" for head in heads]
    if missing := NEEDED - set(names):
        raise StageError(
            f"{path} has no column {', '.join(sorted(missing))} in its first row (found: {', '.join(filter(None, names))}). "
            "Use the headings of out/review/queue.xlsx."
        )
    for number, row in enumerate(rows, start=2):
        yield f"row {number}", dict(zip(names, row, strict=False))
