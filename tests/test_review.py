"""review: what decisions do to rows, and how they travel in a workbook."""

import json
import zipfile
from pathlib import Path

import openpyxl
import pytest

from lingyu.files import read_jsonl, read_table, write_jsonl, write_table
from lingyu.records import Dialogue, Document, Message, Preference, Question
from lingyu.stage import StageError
from lingyu.teach import MADE
from lingyu.teach.by_method import METHODS
from lingyu.teach.decisions import read_decisions
from stages import review

ORIGIN = {"source": "a.md", "place": "row 1", "licence": "CC0", "scope": "domain", "language": "zh"}


@pytest.mark.parametrize(
    ("decision", "policy", "reason"),
    [
        (None, "auto", None),
        (None, "required", review.WAITS),
        (None, "sample", review.WAITS),
        ("approve", "required", None),
        ("edit", "required", None),
        ("reject", "required", review.REJECTED),
        ("reject", "auto", review.REJECTED),
    ],
)
def test_what_holds_a_row_back(tmp_path, decision, policy, reason):
    write_jsonl(tmp_path / "d.jsonl", [{"id": "i1", "decision": decision, "answer": "新"}] if decision else [])
    found = read_decisions(tmp_path).get("i1")

    assert review.reason_to_hold_back(instruction("i1"), found, params(policy, share=1.0)) == reason


def test_a_share_is_drawn_for_review():
    drawn = [review.reason_to_hold_back(instruction(f"i{number}"), None, params("sample", share=0.2)) for number in range(200)]

    assert 20 <= drawn.count(review.WAITS) <= 60


@pytest.mark.parametrize(
    ("change", "told"), [({"fct": "auto"}, "no method is named fct; known: given, "), ({"fact": None}, "a line is missing for fact")]
)
def test_policies_name_every_method_and_no_other(change, told):
    policies = {**dict.fromkeys(METHODS, "auto"), **change}

    with pytest.raises(ValueError, match=told):
        review.Params.model_validate({"seed": 1, "policies": {k: v for k, v in policies.items() if v}, "sample_share": 0.5})


def test_decisions_reach_the_rows_and_the_ledger(tmp_path, capsys):
    write_made(tmp_path / "made", instructions=[instruction("i1"), instruction("i2"), instruction("i3")])
    decisions = [
        {"id": "i1", "decision": "edit", "answer": "改过"},
        {"id": "i2", "decision": "reject"},
        {"id": "gone", "decision": "approve"},
    ]
    write_jsonl(tmp_path / "data" / "reviews" / "first.jsonl", decisions)

    review.run(params("auto"), tmp_path / "made", tmp_path / "data", out=tmp_path / "out")

    approved = list(read_table(tmp_path / "out" / "approved" / "instructions.parquet", Dialogue))
    assert [(row.id, row.messages[-1].content, row.review) for row in approved] == [("i1", "改过", "edited"), ("i3", "答", "auto")]
    dropped = [(row["table"], row["reason"], row["id"]) for row in read_jsonl(tmp_path / "out" / "dropped.jsonl")]
    assert dropped == [("instructions", review.REJECTED, "i2"), ("decisions", review.UNKNOWN, "gone")]
    assert "first.jsonl row 3" in capsys.readouterr().err
    total = json.loads((tmp_path / "out" / "ledger.json").read_text(encoding="utf-8"))["total"]
    assert (total["in"], total["out"], total["dropped"]) == (6, 4, {review.REJECTED: 1, review.UNKNOWN: 1})
    assert total["changed"] == {"auto": 1, "edited": 1}


@pytest.mark.parametrize(
    ("table", "row", "field"),
    [
        ("preferences", lambda: preference("p1"), "chosen"),
        ("questions", lambda: question("q1"), "answer"),
        ("statements", lambda: statement("s1"), "text"),
    ],
)
def test_an_edit_changes_the_better_answer_of_any_row(tmp_path, table, row, field):
    write_made(tmp_path / "made", **{table: [row()]})
    write_jsonl(tmp_path / "data" / "reviews" / "d.jsonl", [{"id": row().id, "decision": "edit", "answer": "改过"}])

    review.run(params("auto"), tmp_path / "made", tmp_path / "data", out=tmp_path / "out")

    (found,) = read_table(tmp_path / "out" / "approved" / f"{table}.parquet", MADE[table])
    assert getattr(found, field) == "改过"


def test_the_queue_comes_back_as_decisions(tmp_path):
    write_made(tmp_path / "made", instructions=[instruction("i1", answer="=1+1"), instruction("i2"), instruction("i3", answer="a\x0bb")])
    review.run(params("required"), tmp_path / "made", tmp_path / "data", out=tmp_path / "out")
    book = openpyxl.load_workbook(tmp_path / "out" / "queue.xlsx")
    sheet = book.worksheets[0]
    assert sheet.cell(2, 8).value == "=1+1"
    assert sheet.cell(2, 8).data_type == "s"
    assert sheet.cell(4, 8).value == "a\N{REPLACEMENT CHARACTER}b"
    assert sheet.data_validations.dataValidation[0].formula1 == '"approve,edit,reject"'

    sheet.cell(2, 9).value = "approve"
    sheet.cell(3, 8).value, sheet.cell(3, 9).value = "改过", "edit"
    (tmp_path / "data" / "reviews").mkdir(parents=True)
    book.save(tmp_path / "data" / "reviews" / "done.xlsx")
    review.run(params("required"), tmp_path / "made", tmp_path / "data", out=tmp_path / "again")

    approved = list(read_table(tmp_path / "again" / "approved" / "instructions.parquet", Dialogue))
    assert [(row.messages[-1].content, row.review) for row in approved] == [("=1+1", "approved"), ("改过", "edited")]
    assert [row["id"] for row in read_jsonl(tmp_path / "again" / "dropped.jsonl")] == ["i3"]


def test_same_queue_same_bytes_and_no_time_in_it(tmp_path):
    write_made(tmp_path / "made", instructions=[instruction("i1")])

    for name in ("one", "two"):
        review.run(params("required"), tmp_path / "made", tmp_path / "data", out=tmp_path / name)

    assert (tmp_path / "one" / "queue.xlsx").read_bytes() == (tmp_path / "two" / "queue.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "one" / "queue.xlsx") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert archive.read("docProps/core.xml").count(b"1980-01-01") == 2


def test_a_text_that_no_cell_can_hold_is_an_error_and_not_cut(tmp_path):
    write_made(tmp_path / "made", instructions=[instruction("i1", answer="长" * 40_000)])

    with pytest.raises(StageError, match=r"row i1 of instructions .* 40000 characters, and a cell of a workbook holds 32767"):
        review.run(params("required"), tmp_path / "made", tmp_path / "data", out=tmp_path / "out")


def test_all_faults_of_the_decisions_are_told_at_once(tmp_path):
    rows = [
        {"id": "a", "decision": "yes"},
        {"id": "b", "decision": "edit"},
        {"id": "", "decision": "approve"},
        {"id": "c", "decision": "approve"},
        {"id": "c", "decision": "reject"},
        {"id": "d", "decision": ""},
    ]
    write_jsonl(tmp_path / "d.jsonl", rows)

    with pytest.raises(StageError) as error:
        read_decisions(tmp_path)

    told = str(error.value).splitlines()
    assert len(told) == 5
    assert "d.jsonl row 1: decision 'yes' is none of approve, edit, reject." in told[1]
    assert "row 2: edit without an answer" in told[2]
    assert "row 3: a decision without an id" in told[3]
    assert "row 5: reject contradicts approve in d.jsonl row 4" in told[4]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("d.jsonl", b"no json", "is not JSON lines"),
        ("d.jsonl", b'["id"]\n', "is not JSON lines"),
        ("d.xlsx", b"no archive", "cannot be read as a workbook"),
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


def params(policy, share=0.5):
    return review.Params.model_validate({"seed": 1, "policies": dict.fromkeys(METHODS, policy), "sample_share": share})


def provenance():
    return {"task": "fact", "references": ["f"], "method": "fact", "teacher": "rules", "prompt_hash": "", "review": ""}


def instruction(row_id, answer="答"):
    messages = [Message(role="user", content="问"), Message(role="assistant", content=answer)]
    return Dialogue(id=row_id, messages=messages, **provenance(), **ORIGIN)


def preference(row_id):
    return Preference(id=row_id, messages=[Message(role="user", content="问")], chosen="好", rejected="坏", **provenance(), **ORIGIN)


def question(row_id):
    messages = [Message(role="user", content="问")]
    return Question(id=row_id, messages=messages, answer="答", wrong=[], known="", **provenance(), **ORIGIN)


def statement(row_id):
    return Document(id=row_id, title="", section="", text="句", **ORIGIN)


def write_made(folder: Path, **tables):
    for name, row_type in MADE.items():
        write_table(folder / f"{name}.parquet", tables.get(name, []), row_type)
