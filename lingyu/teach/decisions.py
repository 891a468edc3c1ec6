"""What reviewers decide: the spreadsheet that goes out to them, and the files that come back."""

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lingyu.files import read_jsonl
from lingyu.records import Dialogue, Document, Made, Message, Preference, Question, Row
from lingyu.stage import StageError

DECISIONS = {"approve": "通过", "edit": "修改", "reject": "退回"}
# The first word of a heading names the column for the program, the rest tells a person.
COLUMNS = {
    "id": "id 编号",
    "table": "table 表",
    "task": "task 任务",
    "method": "method 方法",
    "source": "source 来源",
    "place": "place 位置",
    "question": "question 问题",
    "answer": "answer 回答（可修改 / may be edited）",
    "decision": "decision 决定（" + " / ".join(f"{word} {chinese}" for word, chinese in DECISIONS.items()) + "）",
}
WIDTHS = {"question": 60, "answer": 60, "decision": 16}
JSON_LINE = 'A line is an object, such as {"id": "…", "decision": "edit", "answer": "…"}.'
MOST_CHARACTERS = 32_767  # in a cell; openpyxl would cut the rest without a word
UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # what XML cannot carry
FIXED = datetime(1980, 1, 1)  # the first time that a zip file can state


@dataclass(frozen=True)
class Decision:
    id: str
    decision: str
    answer: str  # of an edit
    where: str  # file and row


def read_decisions(folder: Path) -> dict[str, Decision]:
    """All decisions of the .xlsx and .jsonl files of a folder, by row id. A row without a decision is not decided yet.

    Raises StageError with all faults: an unknown decision, an edit without an answer, two that contradict each other.
    """
    decisions: dict[str, Decision] = {}
    faults = []
    for path in sorted([*folder.glob("*.xlsx"), *folder.glob("*.jsonl")]):
        if path.name.startswith("~$"):  # left by a spreadsheet program that has the file open
            continue
        for number, values in rows_of(path):
            row_id, decision, answer = (
                "" if (value := values.get(name)) is None else str(value).strip() for name in ("id", "decision", "answer")
            )
            if decision:
                found = Decision(row_id, decision, answer if decision == "edit" else "", f"{path.name} row {number}")
                if fault := fault_of(found, decisions.setdefault(row_id, found)):
                    faults.append(f"{found.where}: {fault}")
    if faults:
        raise StageError("\n".join([f"the decisions in {folder} cannot be applied:", *(f"  {fault}" for fault in faults)]))
    return decisions


def fault_of(found: Decision, earlier: Decision) -> str | None:
    """What is wrong with a decision, given the first one for the same row."""
    if not found.id:
        return "a decision without an id; copy the id from the queue."
    if found.decision not in DECISIONS:
        return f"decision {found.decision!r} is none of {', '.join(DECISIONS)}."
    if found.decision == "edit" and not found.answer:
        return "edit without an answer; write the new answer beside it."
    if (found.decision, found.answer) != (earlier.decision, earlier.answer):
        return f"{found.decision} contradicts {earlier.decision} in {earlier.where} for id {found.id}; keep one of them."
    return None


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a decision file with the number that an editor shows for them."""
    if path.suffix == ".jsonl":
        try:
            lines = list(read_jsonl(path))
        except ValueError as error:
            raise StageError(f"{path} is not JSON lines: {error}. {JSON_LINE}") from error
        if wrong := [number for number, line in enumerate(lines, start=1) if not isinstance(line, dict)]:
            raise StageError(f"{path} is not JSON lines of decisions in row {', '.join(map(str, wrong))}. {JSON_LINE}")
        yield from enumerate(lines, start=1)
        return
    heads, *rows = cells_of_workbook(path) or [()]
    names = [str(head).split(maxsplit=1)[0] if head else "" for head in heads]
    if missing := {"id", "decision", "answer"} - set(names):
        raise StageError(
            f"{path} has no column {', '.join(sorted(missing))} in its first row (found: {', '.join(filter(None, names))}). "
            "Take the headings of out/review/queue.xlsx."
        )
    for number, row in enumerate(rows, start=2):
        yield number, dict(zip(names, row, strict=False))


def cells_of_workbook(path: Path) -> list[tuple[Any, ...]]:
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), data_only=True)
    except Exception as error:  # whatever a damaged archive makes openpyxl raise
        raise StageError(f"{path} cannot be read as a workbook ({error}). Save it again as .xlsx.") from error
    return list(book.worksheets[0].iter_rows(values_only=True))


def write_queue(path: Path, waiting: Iterable[tuple[str, Row]]) -> None:
    """The rows that wait for a decision as a workbook with the choices as drop-downs; same rows, same bytes."""
    import openpyxl
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None  # a new workbook has one
    sheet.title = "review 审核"
    sheet.append(list(COLUMNS.values()))
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    for index, name in enumerate(COLUMNS):
        sheet.column_dimensions[get_column_letter(index + 1)].width = WIDTHS.get(name, 14)
    for number, (table, row) in enumerate(waiting, start=2):
        for column, text in enumerate(cells_of(table, row), start=1):
            cell = sheet.cell(number, column, text)
            cell.data_type = "s"  # a text that begins with = is no formula
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    choices = DataValidation(type="list", formula1=f'"{",".join(DECISIONS)}"', allow_blank=True, showErrorMessage=True)
    choices.add(f"I2:I{max(2, sheet.max_row)}")
    sheet.add_data_validation(choices)
    book.properties.creator = "lingyu"
    book.properties.created = FIXED
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(saved(book))


def cells_of(table: str, row: Row) -> Sequence[str]:
    made = row if isinstance(row, Made) else None
    texts = [
        row.id,
        table,
        made.task if made else "",
        made.method if made else "",
        row.source,
        row.place,
        question_of(row),
        answer_of(row),
        "",
    ]
    if long := [text for text in texts if len(text) > MOST_CHARACTERS]:
        raise StageError(
            f"row {row.id} of {table} ({row.source}, {row.place}) has a text of {len(long[0])} characters, and a cell of a workbook holds "
            f"{MOST_CHARACTERS}. Let its method pass without review (params.yaml, section review), or shorten the record."
        )
    return [UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text) for text in texts]


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


def question_of(row: Row) -> str:
    messages: list[Message] = getattr(row, "messages", [])
    asked = messages[:-1] if isinstance(row, Dialogue) else messages
    return asked[0].content if len(asked) == 1 else "\n".join(f"{message.role}: {message.content}" for message in asked)


def answer_of(row: Row) -> str:
    match row:
        case Dialogue():
            return row.messages[-1].content
        case Preference():
            return row.chosen
        case Question():
            return row.answer
        case Document():
            return row.text
    raise TypeError(f"{type(row).__name__} is not a row that people review")


def edited(row: Row, answer: str) -> Row:
    """The row with another answer."""
    match row:
        case Dialogue():
            return row.model_copy(update={"messages": [*row.messages[:-1], row.messages[-1].model_copy(update={"content": answer})]})
        case Preference():
            return row.model_copy(update={"chosen": answer})
        case Question():
            return row.model_copy(update={"answer": answer})
        case Document():
            return row.model_copy(update={"text": answer})
    raise TypeError(f"{type(row).__name__} is not a row that people review")
