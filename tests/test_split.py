"""The split stage: which part a row goes to, and that no row of one part gives away a row of another."""

import json

import pytest
from pydantic import ValidationError
from rows import dialogue, document, fact, label, preference

from lingyu.corpus.leak import leaks
from lingyu.files import read_jsonl, read_tables, write_tables
from lingyu.records import TABLES
from stages import split

SHARES = {table: {"dev": 0.2, "test": 0.3} for table in TABLES}
PARAMS = split.Params(seed=1, shares=SHARES, min_files=4, near_duplicate=0.8)
PARTS = ("train", "dev", "test")
WORDS = "电池风力夜航围栏告警维护载荷气象空域人群记录培训演练运输巡检测绘植保消防航拍物流"


def run(tmp_path, **tables):
    """The tables of each part."""
    write_tables(tmp_path / "in", tables)
    split.run(PARAMS, tmp_path / "in", tmp_path / "out")
    return {part: read_tables(tmp_path / "out" / part) for part in PARTS}


def sentence(number):
    """Sentences of different words."""
    return "".join(WORDS[(number * 7 + step * (number % 5 + 1)) % len(WORDS)] for step in range(24)) + f"{number}。"


def test_every_row_goes_to_one_part_and_the_ledger_adds_up(tmp_path):
    tables = {
        "labels": [label(n, sentence(n), "高低"[n % 2]) for n in range(60)],
        "facts": [fact(n, f"实体{n}", "限高", "1") for n in range(60)],
    }

    parts = run(tmp_path, **tables)

    for table in ("labels", "facts"):
        assert sorted(row.id for part in PARTS for row in parts[part][table]) == sorted(row.id for row in tables[table])
        assert all(parts[part][table] for part in PARTS)
    total = json.loads((tmp_path / "out/ledger.json").read_text(encoding="utf-8"))["total"]
    assert (total["in"], total["out"]) == (120, 120)
    assert sum(total["changed"].values()) == 120


def test_each_class_of_a_task_is_in_every_part(tmp_path):
    parts = run(tmp_path, labels=[label(n, sentence(n), ["低", "中", "高"][n % 3]) for n in range(9)])

    for part in ("dev", "test"):
        assert {row.label for row in parts[part]["labels"]} == {"低", "中", "高"}


@pytest.mark.parametrize(("files", "together"), [(8, True), (2, False)])
def test_documents_are_parted_by_file_where_there_are_enough(tmp_path, files, together):
    rows = [document(n, sentence(n), source=f"{n % files}.md", section=f"第{n}节") for n in range(24)]

    parts = run(tmp_path, documents=rows)

    sources = [{row.source for row in parts[part]["documents"]} for part in PARTS]
    assert all(sources)
    assert (sum(map(len, sources)) == files) is together


def test_pieces_of_one_section_and_rows_of_one_question_stay_together(tmp_path):
    documents = [document(n, sentence(n), section=f"第{n // 3}节") for n in range(30)]
    dialogues = [dialogue(n, sentence(n // 3), f"答{n}") for n in range(30)]
    preferences = [preference(n, sentence(n // 3), f"甲{n}", "乙") for n in range(30)]

    parts = run(tmp_path, documents=documents, dialogues=dialogues, preferences=preferences)

    assert list(read_jsonl(tmp_path / "out/leaks.jsonl")) == []
    for table, of in {"documents": lambda row: row.section, "dialogues": split.question_key, "preferences": split.question_key}.items():
        seen = [{of(row) for row in parts[part][table]} for part in PARTS]
        assert sum(map(len, seen)) == 10


def test_rows_keep_their_part_when_others_are_added(tmp_path):
    rows = [fact(n, f"实体{n}", "限高", "1") for n in range(100)]

    few = run(tmp_path, facts=rows[40:])
    many = run(tmp_path, facts=rows)

    for part in PARTS:
        assert {row.entity for row in few[part]["facts"]} <= {row.entity for row in many[part]["facts"]}


def test_a_row_that_gives_away_a_held_out_one_is_dropped_with_its_evidence(tmp_path):
    labels = [label(n, f"值班员在{sentence(n)}", "低") for n in range(30)]
    copies = [label(100 + n, f"值班员在{sentence(n)}以后", "低") for n in range(30)]

    parts = run(tmp_path, labels=[*labels, *copies])

    found = list(read_jsonl(tmp_path / "out/leaks.jsonl"))
    assert {row["reason"] for row in found} == {"dev_leaks_test", "train_leaks_test", "train_leaks_dev"}
    assert all(row["kind"] == "near" and row["similarity"] >= 0.8 and row["text"] and row["held_text"] and row["row"] for row in found)
    assert sum(len(parts[part]["labels"]) for part in PARTS) + len(found) == 60
    texts = {part: [(row.id, row.text) for row in parts[part]["labels"]] for part in PARTS}
    assert all(texts.values())
    for given, held in split.PAIRS:
        assert list(leaks(texts[given], texts[held], 0.8)) == []


def test_a_question_in_one_table_is_given_away_by_another(tmp_path):
    questions = [sentence(n) for n in range(40)]
    dialogues = [dialogue(n, question, "答") for n, question in enumerate(questions)]
    preferences = [preference(n, question + "？", "甲", "乙", source="b.md") for n, question in enumerate(questions)]

    parts = run(tmp_path, dialogues=dialogues, preferences=preferences)

    asked = [{split.question_key(row) for table in ("dialogues", "preferences") for row in parts[part][table]} for part in PARTS]
    assert asked[0] & asked[1] == asked[0] & asked[2] == asked[1] & asked[2] == set()


def test_empty_tables_are_parted_into_empty_tables(tmp_path):
    parts = run(tmp_path)

    assert all(parts[part] == {table: [] for table in TABLES} for part in PARTS)


def test_shares_that_leave_nothing_to_train_are_an_error():
    with pytest.raises(ValidationError, match=r"dev 0.5 and test 0.5 leave nothing to train"):
        split.Params(seed=1, shares=SHARES | {"facts": {"dev": 0.5, "test": 0.5}}, min_files=4, near_duplicate=0.8)
