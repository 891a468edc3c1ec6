"""lingyu.files: what passes between stages is read as it was written, and written alike."""

import pyarrow.parquet as pq
import pytest
from rows import common, dialogue, document, exam, fact, label, preference
from training import question

from lingyu import files
from lingyu.files import (
    read_batches,
    read_json,
    read_jsonl,
    read_table,
    read_tables,
    schema_of,
    short_hash,
    write_batches,
    write_json,
    write_jsonl,
    write_table,
    write_tables,
)
from lingyu.records import TABLES, Dialogue, Document, Label, Message

ROWS = [
    document(1, "第一条 飞行\n高度", section="总则 / 一般", language="zh"),
    fact(1, "drone", "weight", "249 g", "250 g"),
    fact(2, "drone", "colour"),
    dialogue(1, "问", "答"),
    preference(1, "问", "好", "坏"),
    label(1, "text", "低风险"),
    exam(1, "q", ["a", "b"], [0, 1]),
    question(1, "q", "a"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_row_is_read_as_it_was_written(tmp_path, row):
    write_table(tmp_path / "new" / "table.parquet", [row], type(row))

    assert list(read_table(tmp_path / "new" / "table.parquet", type(row))) == [row]


def test_reasoning_may_be_missing_or_there(tmp_path):
    row = dialogue(1, "q", "a")
    row.messages[-1] = Message(role="assistant", content="a", reasoning="because")

    write_table(tmp_path / "t.parquet", [row, dialogue(2, "q", "a")], Dialogue)

    assert [read.messages[-1].reasoning for read in read_table(tmp_path / "t.parquet", Dialogue)] == ["because", None]


@pytest.mark.parametrize("row_type", TABLES.values(), ids=TABLES)
def test_an_empty_table_has_its_columns_and_no_rows(tmp_path, row_type):
    assert write_table(tmp_path / "t.parquet", [], row_type) == 0

    assert list(read_table(tmp_path / "t.parquet", row_type)) == []
    assert pq.read_schema(tmp_path / "t.parquet").names == list(row_type.model_fields)


def test_more_rows_than_a_batch_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BATCH", 3)
    rows = [label(i, f"text {i}", "low") for i in range(8)]

    assert write_table(tmp_path / "t.parquet", iter(rows), Label) == 8

    assert list(read_table(tmp_path / "t.parquet", Label)) == rows
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 3


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in "ab":
        write_table(tmp_path / name, ROWS[:1], Document)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_table_of_a_folder_is_there_even_when_nothing_was_given(tmp_path):
    write_tables(tmp_path, {"documents": ROWS[:1]})

    assert read_tables(tmp_path) == {name: [] for name in TABLES} | {"documents": ROWS[:1]}


@pytest.mark.parametrize(("field", "kind"), [("right", "list<element: int64>"), ("scope", "string"), ("options", "list<element: string>")])
def test_a_field_has_the_arrow_type_of_its_python_type(field, kind):
    assert str(schema_of(TABLES["exams"]).field(field).type).replace("item", "element") == kind


def test_json_is_written_for_people(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"答": [1]})

    assert (tmp_path / "new" / "a.json").read_text(encoding="utf-8") == '{\n  "答": [\n    1\n  ]\n}\n'
    assert read_json(tmp_path / "new" / "a.json") == {"答": [1]}


def test_json_lines_keep_line_breaks_inside_a_row(tmp_path):
    rows = [{"text": "一\n二\u2028三"}, common(1)]

    write_jsonl(tmp_path / "a.jsonl", rows)

    assert list(read_jsonl(tmp_path / "a.jsonl")) == rows


def test_a_hash_tells_where_one_part_ends():
    assert short_hash("ab", "c") != short_hash("a", "bc")
    assert len(short_hash("ab")) == 16


@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_batches_of_any_size_are_written_as_their_rows_are(tmp_path, monkeypatch, size):
    monkeypatch.setattr(files, "BATCH", 4)
    rows = [document(number, f"text {number}") for number in range(9)]
    write_table(tmp_path / "rows.parquet", rows, Document)
    monkeypatch.setattr(files, "BATCH", size)
    batches = list(read_batches(tmp_path / "rows.parquet"))

    monkeypatch.setattr(files, "BATCH", 4)
    count = write_batches(tmp_path / "batches.parquet", batches, schema_of(Document))

    assert count == 9
    assert (tmp_path / "batches.parquet").read_bytes() == (tmp_path / "rows.parquet").read_bytes()


def test_no_batches_are_a_table_without_rows(tmp_path):
    write_batches(tmp_path / "none.parquet", [], schema_of(Document))

    assert list(read_table(tmp_path / "none.parquet", Document)) == []
