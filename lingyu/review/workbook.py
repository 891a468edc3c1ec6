"""The queue as a workbook that a domain expert works in, and what stands in one that comes back."""

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

# The first word of a heading names the column for the program, the rest tells a person. With the width in characters.
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
OFTEN_EMPTY = ("reasoning", "other", "earlier")  # hidden where no row has any
SHORTENED = ("passage", "earlier")  # beside the matter: their whole text stands elsewhere
NEEDED = {"id", "decision", "answer"}
MOST_CHARACTERS = 32_767  # in a cell; openpyxl would cut the rest without a word
MOST_ROWS = 1_048_576
LINE, MOST_LINES = 15.0, 22  # points a line; a higher row would not fit a screen
FIXED = datetime(1980, 1, 1)  # the first time that a zip file can state
HELP = {
    "decision": "approve 通过：回答正确。edit 修改：先改 answer 栏。swap 对调：另一回答更好（仅偏好对）。reject 退回：不采用。"
    "The answer is right; change the answer cell first; the other reply is better (pairs); leave the row out.",
    "answer": "改动后请在 decision 栏选 edit。After a change choose edit.",
    "note": "给整理数据的人看的话，可不填。For whoever keeps the data; may stay empty.",
    "reviewer": "可不填；填了会随该行保存。Optional; kept with the row.",
}


def write_workbook(path: Path, waiting: Sequence[Waiting], choices: dict[str, str]) -> None:
    """The rows that wait for a decision, with the choices as drop-downs; same rows, same bytes."""
    import openpyxl
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.properties import PageSetupProperties

    stop_at_what_does_not_fit(waiting)
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
    """What makes a cell of a column: texts stay texts, those that people write into are tinted."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Border, Font, PatternFill, Side

    wrapped, bold = Alignment(wrap_text=True, vertical="top"), Font(bold=True, color="FFFFFF")
    dark, tint = PatternFill("solid", fgColor="44546A"), PatternFill("solid", fgColor="FFF9E5")
    line = Border(bottom=Side("thin", color="D9D9D9"))

    def cell(name: str, text: str, head: bool = False) -> Any:
        made = WriteOnlyCell(sheet, text)
        made.data_type = "s"  # a text that begins with = is no formula
        made.alignment, made.border = wrapped, line
        made.number_format = "@"  # what people write stays as they write it: 1-2 is no date
        if head:
            made.font, made.fill = bold, dark
        elif name in FOR_PEOPLE:
            made.fill = tint
        return made

    return cell


def validations(choices: dict[str, str], last: int) -> Iterator[Any]:
    """The drop-downs, and the words that stand beside a cell while it is worked in."""
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    words = ",".join(f"{word} {chinese}" for word, chinese in choices.items())
    for name, told in HELP.items():
        rule = DataValidation(allow_blank=True, showInputMessage=True, promptTitle=name, prompt=told)
        if name == "decision":
            rule.type, rule.formula1, rule.showErrorMessage = "list", f'"{words}"', True
        rule.error = f"请从下拉列表选择。Choose one of: {', '.join(choices)}."
        letter = get_column_letter(list(COLUMNS).index(name) + 1)
        rule.add(f"{letter}2:{letter}{last}")
        yield rule


def stop_at_what_does_not_fit(waiting: Sequence[Waiting]) -> None:
    if len(waiting) >= MOST_ROWS:
        raise StageError(
            f"{len(waiting)} rows wait for a decision, and a sheet holds {MOST_ROWS}. Let fewer be reviewed (params.yaml, section review)."
        )
    faults = [
        f"  row {entry.row.id} of {entry.table} ({entry.row.source}, {entry.row.place}): its {name} has {len(text)} characters"
        for entry in waiting
        for name, text in entry.texts().items()
        if len(text) > MOST_CHARACTERS and name not in SHORTENED
    ]
    if faults:
        head = (
            f"a cell of a workbook holds {MOST_CHARACTERS} characters. Let these methods pass without review (params.yaml, section "
            "review), or shorten the records:"
        )
        raise StageError("\n".join([head, *faults]))


def cells_of(entry: Waiting) -> dict[str, str]:
    """What stands in the row's cells. A passage may be longer than a cell, and then says that it is."""
    texts = {**entry.texts(), "decision": "", "note": "", "reviewer": ""}
    for name in SHORTENED:
        if len(texts[name]) > MOST_CHARACTERS:
            texts[name] = f"（太长，只显示开头，全文见来源 too long, only its beginning is shown）\n{texts[name][: MOST_CHARACTERS - 100]}"
    return {name: UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", texts[name]) for name in COLUMNS}


def lines(text: str, width: int) -> int:
    """How many lines a text takes in a cell of so many characters; a Chinese one is as wide as two."""
    return sum(max(1, ceil(sum(2 if east_asian_width(char) in "WF" else 1 for char in line) / (width - 1))) for line in text.split("\n"))


def saved(book: Any) -> bytes:
    """The workbook as bytes that state no time of saving."""
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
    """The rows of the first sheet under its headings, with the number that a spreadsheet program shows for them."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), data_only=True)
    except Exception as error:  # whatever a damaged archive makes openpyxl raise
        raise StageError(f"{path} cannot be read as a workbook ({error}). Save it again as .xlsx.") from error
    heads, *rows = list(book.worksheets[0].iter_rows(values_only=True)) or [()]
    names = [str(head).split(maxsplit=1)[0] if head else "" for head in heads]
    if missing := NEEDED - set(names):
        raise StageError(
            f"{path} has no column {', '.join(sorted(missing))} in its first row (found: {', '.join(filter(None, names))}). "
            "Take the headings of out/review/queue.xlsx."
        )
    for number, row in enumerate(rows, start=2):
        yield f"row {number}", dict(zip(names, row, strict=False))
