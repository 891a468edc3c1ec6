"""The queue as a workbook: what a reviewer finds in it, and what comes back."""

import zipfile
from datetime import datetime

import openpyxl
import pytest

from lingyu.files import write_jsonl
from lingyu.records import Dialogue, Message, Preference
from lingyu.review.decisions import DECISIONS, read_decisions
from lingyu.review.queue import Waiting
from lingyu.review.workbook import COLUMNS, write_workbook
from lingyu.stage import StageError

MADE = {"task": "fact", "references": ["f"], "method": "fact", "teacher": "rules", "prompt_hash": "", "review": ""}
ROW = {"source": "a.md", "place": "row 1", "licence": "CC0", "scope": "domain", "language": "zh", **MADE}


def test_a_reviewer_finds_the_choices_the_passage_and_where_to_write(tmp_path):
    pair = Preference(id="p1", messages=[Message(role="user", content="问")], chosen="好", rejected="坏", **ROW)

    sheet = opened(tmp_path, waiting("i1", passage="第一行\n第二行"), Waiting("preferences", pair)).worksheets[0]

    assert [cell.value.split()[0] for cell in sheet[1]] == list(COLUMNS)
    assert text(sheet, 2, "passage") == "第一行\n第二行"
    assert (text(sheet, 3, "answer"), text(sheet, 3, "other")) == ("好", "坏")
    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == "A1:P3"
    hidden = [name for letter, name in zip("ABCDEFGHIJKLMNOP", COLUMNS, strict=True) if sheet.column_dimensions[letter].hidden]
    assert hidden == ["reasoning", "earlier", "print"]
    assert {cell.alignment.wrap_text for row in sheet for cell in row} == {True}
    (choices,) = [rule for rule in sheet.data_validations.dataValidation if rule.type == "list"]
    assert (str(choices.sqref), choices.formula1) == ("D2:D3", '"approve 通过,edit 修改,swap 对调,reject 退回"')
    assert choices.showErrorMessage
    assert all(len(rule.prompt) <= 255 for rule in sheet.data_validations.dataValidation)  # Excel refuses to open a longer one


def test_what_was_written_into_it_comes_back(tmp_path):
    book = opened(tmp_path, waiting("i1", "=1+1"), waiting("i2"), waiting("i3"), waiting("i4", "a\x0bb"), waiting("i5"))
    sheet = book.worksheets[0]
    write(sheet, 2, decision="approve 通过", reviewer="李 工")
    write(sheet, 3, decision="edit", answer=5.0, note="数字")
    write(sheet, 4, decision="退回")
    write(sheet, 5, decision="approve")
    sheet.delete_rows(6)  # a row that somebody took out is not decided
    book.save(tmp_path / "done.xlsx")
    (tmp_path / "queue.xlsx").unlink()
    (tmp_path / "~$done.xlsx").write_bytes(b"left by a program that has the file open")

    found = read_decisions(tmp_path)

    assert [(one.id, one.decision, one.answer, one.reviewer, one.note, one.where) for one in found] == [
        ("i1", "approve", "=1+1", "李 工", "", "done.xlsx row 2"),
        ("i2", "edit", "5", "", "数字", "done.xlsx row 3"),
        ("i3", "reject", "答", "", "", "done.xlsx row 4"),
        ("i4", "approve", "a\N{REPLACEMENT CHARACTER}b", "", "", "done.xlsx row 5"),
    ]
    assert found[3].print == waiting("i4", "a\x0bb").texts()["print"]


def test_an_answer_that_became_a_date_is_told(tmp_path):
    book = opened(tmp_path, waiting("i1"))
    write(book.worksheets[0], 2, decision="edit", answer=datetime(2026, 1, 2))
    book.save(tmp_path / "queue.xlsx")

    with pytest.raises(StageError, match=r"queue\.xlsx row 2: .*answer.* date"):
        read_decisions(tmp_path)


def test_same_queue_same_bytes_and_no_time_in_it(tmp_path):
    for name in ("one.xlsx", "two.xlsx"):
        write_workbook(tmp_path / name, [waiting("i1")], DECISIONS)

    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.xlsx") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert archive.read("docProps/core.xml").count(b"1980-01-01") == 2


def test_an_answer_that_no_cell_can_hold_is_an_error_and_a_passage_says_that_it_is_cut(tmp_path):
    with pytest.raises(StageError, match=r"row i1 of instructions \(a\.md, row 1\): its answer has 40000 characters"):
        write_workbook(tmp_path / "queue.xlsx", [waiting("i1", "长" * 40_000)], DECISIONS)

    passage = text(opened(tmp_path, waiting("i1", passage="长" * 40_000)).worksheets[0], 2, "passage")
    assert passage.startswith("（内容过长")
    assert len(passage) < 32_767


def test_all_faults_of_the_decisions_are_told_at_once(tmp_path):
    rows = [
        {"id": "a", "decision": "yes"},
        {"id": "b", "decision": "edit"},
        {"id": "", "decision": "approve"},
        {"id": "c", "decision": "approve"},
        {"id": "c", "decision": "reject"},
        {"id": "d", "decision": ""},
        {"id": "e", "decision": "approve 退回"},
        {"id": "f", "decision": "approve", "print": "1"},
        {"id": "f", "decision": "reject", "print": "2"},
    ]
    write_jsonl(tmp_path / "d.jsonl", rows)

    with pytest.raises(StageError) as error:
        read_decisions(tmp_path)

    told = str(error.value).splitlines()
    assert len(told) == 6
    assert "d.jsonl row 1: decision 'yes' must be one of approve 通过, edit 修改, swap 对调, reject 退回." in told[1]
    assert "row 2: edit without an answer" in told[2]
    assert "row 3: the decision has no id" in told[3]
    assert "row 5: reject contradicts approve in d.jsonl row 4" in told[4]
    assert "row 7: decision 'approve 退回' must be one of" in told[5]


def test_files_as_editors_leave_them_are_read(tmp_path):
    (tmp_path / "d.JSONL").write_bytes(b'\xef\xbb\xbf{"id": 7, "decision": "Approve", "note": "a\xe2\x80\xa8b"}\r\n\r\n')
    for name in ("README.md", ".DS_Store", "~$queue.xlsx"):
        (tmp_path / name).touch()

    assert [(one.id, one.decision) for one in read_decisions(tmp_path)] == [("7", "approve")]


def test_a_file_that_no_decision_is_read_from_is_told_and_not_passed_over(tmp_path):
    (tmp_path / "queue.csv").touch()

    with pytest.raises(StageError, match=r"queue\.csv.*\.xlsx, \.jsonl"):
        read_decisions(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("d.jsonl", b"\n{}\nno json\n", r".* row 3 \(Expecting value"),
        ("d.jsonl", b'{"id": "\xff"}\n', r".* row 1 \('utf-8'"),
        ("d.jsonl", b'["id"]\n', ".* row 1"),
        ("d.xlsx", b"no archive", ".*workbook"),
        ("d.json", b"{", ".*JSON"),
        ("d.json", b'{"id": 1}', ".*Label Studio"),
        ("d.json", b'[{"id": 1, "decision": "approve"}]', ".*field row"),
    ],
)
def test_a_damaged_file_of_decisions_is_named(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(StageError, match=rf"{name} {told}"):
        read_decisions(tmp_path)


def test_a_workbook_without_the_columns_is_named(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["id", "note"])
    book.save(tmp_path / "d.xlsx")

    with pytest.raises(StageError, match=r"no column answer, decision in its first row \(found: id, note\)"):
        read_decisions(tmp_path)


def waiting(row_id, answer="答", passage=""):
    messages = [Message(role="user", content="问"), Message(role="assistant", content=answer)]
    return Waiting("instructions", Dialogue(id=row_id, messages=messages, **ROW), passage=passage)


def opened(folder, *rows):
    write_workbook(folder / "queue.xlsx", rows, DECISIONS)
    return openpyxl.load_workbook(folder / "queue.xlsx")


def text(sheet, row, name):
    return sheet.cell(row, list(COLUMNS).index(name) + 1).value


def write(sheet, row, **cells):
    for name, value in cells.items():
        sheet.cell(row, list(COLUMNS).index(name) + 1).value = value
