"""The split stage: which part a row goes to, and that no row of one part gives away a row of another."""

import json

import pytest
from pydantic import ValidationError
from rows import dialogue, document, fact, label, preference

from lingyu.files import read_jsonl, read_tables, write_tables
from lingyu.records import TABLES, Message
from lingyu.split.groups import opening
from lingyu.split.guard import item_of
from lingyu.split.leak import Gate
from lingyu.stage import StageError
from lingyu.text.questions import question_key
from stages import ingest, split

HASH = {"dev": 0.2, "test": 0.3}
TABLES_BY = {table: {"by": "auto" if table == "documents" else "row", **HASH} for table in TABLES}
LEAKS = {"near": 0.8, "near_long": 0.5, "contained": 0.9, "min_contained": 10, "passage": 60}
PARTS = ("train", "dev", "test")
WORDS = "电池风力夜航围栏告警维护载荷气象空域人群记录培训演练运输巡检测绘植保消防航拍物流"


def params(seed=1, **by):
    return split.Params.model_validate({"seed": seed, "tables": TABLES_BY | by, "min_files": 4, "min_opening": 8, "leaks": LEAKS})


def run(tmp_path, way=None, **tables):
    """The tables of each part."""
    write_tables(tmp_path / "in", tables)
    split.run(way or params(), tmp_path / "in", tmp_path / "out")
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


def test_a_test_of_ones_own_is_in_the_test_whole_and_what_gives_it_away_is_dropped(tmp_path):
    others = [dialogue(n, sentence(n), f"答{n}") for n in range(40)]
    quiz = [dialogue(100 + n, sentence(100 + n), f"答{n}", source="quiz/own.csv") for n in range(10)]
    leak = dialogue(99, quiz[0].messages[0].content, "答0")

    parts = run(tmp_path, params().model_copy(update={"test_sources": ["quiz/*"]}), dialogues=[*others, leak, *quiz])

    asked = [row.id for row in parts["test"]["dialogues"]]
    assert {row.id for row in quiz} <= set(asked)
    assert not {row.id for row in quiz} & {row.id for part in ("train", "dev") for row in parts[part]["dialogues"]}
    assert leak.id not in {row.id for part in ("train", "dev") for row in parts[part]["dialogues"]}
    assert len(asked) < 30


def test_each_class_of_a_task_is_in_every_part(tmp_path):
    parts = run(tmp_path, labels=[label(n, sentence(n), ["低", "中", "高"][n % 3]) for n in range(9)])

    for part in ("dev", "test"):
        assert {row.label for row in parts[part]["labels"]} == {"低", "中", "高"}


@pytest.mark.parametrize(("files", "together"), [(8, True), (2, False)])
def test_documents_are_split_by_file_if_there_are_enough(tmp_path, files, together):
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
    for table, of in {"documents": lambda row: row.section, "dialogues": question_key, "preferences": question_key}.items():
        seen = [{of(row) for row in parts[part][table]} for part in PARTS]
        assert sum(map(len, seen)) == 10


def test_rows_keep_their_part_when_others_are_added(tmp_path):
    rows = [fact(n, f"实体{n}", "限高", "1") for n in range(100)]

    few = run(tmp_path, facts=rows[40:])
    many = run(tmp_path, facts=rows)

    for part in PARTS:
        assert {row.entity for row in few[part]["facts"]} <= {row.entity for row in many[part]["facts"]}


def test_documents_stay_split_as_before_until_the_corpus_is_replaced(tmp_path):
    few = [document(n, sentence(n), source=f"{n % 2}.md", section=f"第{n}节") for n in range(40)]
    more, other = ([document(m + n, sentence(m + n), source=f"{n % 6}.md", section=f"第{n}节") for n in range(60)] for m in (100, 200))

    def files_in_two_parts(documents):
        parts = run(tmp_path, documents=documents)
        files = [{row.source for row in parts[part]["documents"]} for part in PARTS]
        return files[0] & (files[1] | files[2])

    assert files_in_two_parts(few)  # too few files: split by section
    assert files_in_two_parts([*few, *more])  # the same corpus grown
    assert not files_in_two_parts(other)  # another one, with files enough


def test_a_row_that_gives_away_a_held_out_one_is_dropped_with_its_evidence(tmp_path):
    labels = [label(n, f"值班员在{sentence(n)}", "低") for n in range(30)]
    copies = [label(100 + n, f"值班员在{sentence(n)}以后", "低") for n in range(30)]

    parts = run(tmp_path, labels=[*labels, *copies])

    found = list(read_jsonl(tmp_path / "out/leaks.jsonl"))
    assert {row["reason"] for row in found} == {"dev_leaks_test", "train_leaks_test", "train_leaks_dev"}
    assert all(row["kind"] in ("near", "contained") and row["similarity"] >= 0.8 and row["text"] and row["held_text"] for row in found)
    assert all(row["source"] == row["held_source"] == "a.md" and row["place"] != row["held_place"] for row in found)
    assert [row["id"] for row in read_jsonl(tmp_path / "out/dropped.jsonl")] == [row["id"] for row in found]
    assert sum(len(parts[part]["labels"]) for part in PARTS) + len(found) == 60
    texts = {part: [item_of(row) for row in parts[part]["labels"]] for part in PARTS}
    assert all(texts.values())
    for given, held in (("dev", "test"), ("train", "test"), ("train", "dev")):
        assert list(Gate(texts[held], params().leaks).leaks(texts[given])) == []


def test_a_question_in_one_table_is_given_away_by_another(tmp_path):
    questions = [sentence(n) for n in range(40)]
    dialogues = [dialogue(n, question, "答") for n, question in enumerate(questions)]
    preferences = [preference(n, question + "？", "甲", "乙", source="b.md") for n, question in enumerate(questions)]

    parts = run(tmp_path, dialogues=dialogues, preferences=preferences)

    asked = [{question_key(row) for table in ("dialogues", "preferences") for row in parts[part][table]} for part in PARTS]
    assert asked[0] & asked[1] == asked[0] & asked[2] == asked[1] & asked[2] == set()


def test_empty_tables_are_split_into_empty_tables(tmp_path):
    parts = run(tmp_path)

    assert all(parts[part] == {table: [] for table in TABLES} for part in PARTS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": "row", "dev": 0.5, "test": 0.5}, "dev 0.5 and test 0.5"),
        ({"by": "row", "dev": 0.1, "test": 1.5}, "test 1.5 .*share.*count"),
        ({"by": "row", "dev": 0.1, "test": "2024-01-01"}, "test 2024-01-01 .*by: time"),
        ({"by": "time", "dev": 0.1, "test": 0.2}, "by: time.*found 0.1, 0.2"),
        ({"by": "time", "dev": "2024-02-01", "test": "2024-01-01"}, "dev first; found 2024-02-01, 2024-01-01"),
        ({"by": "dialogue", **HASH}, "'row', 'source' or 'time'"),
    ],
)
def test_an_invalid_split_is_an_error(wrong, message):
    with pytest.raises(ValidationError, match=message):
        params(facts=wrong)


def test_counts_beyond_the_rows_are_an_error_that_names_the_table(tmp_path):
    with pytest.raises(StageError, match=r"labels: test 9 of 5.*split\.tables\.labels"):
        run(tmp_path, params(labels={"by": "row", "dev": 1, "test": 9}), labels=[label(n, sentence(n), "低") for n in range(5)])


def test_an_exact_count_is_held_out(tmp_path):
    parts = run(tmp_path, params(facts={"by": "row", "dev": 7, "test": 11}), facts=[fact(n, f"实体{n}", "限高", "1") for n in range(60)])

    assert [len(parts[part]["facts"]) for part in PARTS] == [42, 7, 11]


def test_a_dialogue_and_its_continuation_stay_together(tmp_path):
    rows = []
    for n in range(40):
        opening = dialogue(2 * n, sentence(n), "好。")
        more = [
            *opening.messages,
            Message(role="user", content=f"再问一句：{sentence(n + 100)}"),
            Message(role="assistant", content="好。"),
        ]
        rows += [opening, dialogue(2 * n + 1, "", "").model_copy(update={"messages": more})]

    parts = run(tmp_path, params(dialogues={"by": "dialogue", **HASH}), dialogues=rows)

    opened = [{row.messages[0].content for row in parts[part]["dialogues"]} for part in PARTS]
    assert all(opened)
    assert sum(map(len, opened)) == 40
    assert sum(len(parts[part]["dialogues"]) for part in PARTS) == 80


def test_a_greeting_does_not_make_one_dialogue_of_all():
    hello = [dialogue(n, "你好", "你好。") for n in range(2)]
    long = [row.model_copy(update={"messages": [*row.messages, Message(role="user", content=sentence(n))]}) for n, row in enumerate(hello)]

    assert len({opening(row, 8) for row in [*hello, *long]}) == 3


def test_questions_on_one_paragraph_stay_together_and_a_second_reference_is_a_leak(tmp_path):
    rows = [dialogue(n, sentence(n), "答").model_copy(update={"references": [f"第{n // 3}条"]}) for n in range(60)]
    bridges = [dialogue(100 + n, sentence(100 + n), "答").model_copy(update={"references": [f"丙{n}", f"第{n}条"]}) for n in range(18)]

    parts = run(tmp_path, params(dialogues={"by": "paragraph", **HASH}), dialogues=[*rows, *bridges])

    cited = [{one for row in parts[part]["dialogues"] for one in row.references} for part in PARTS]
    assert all(cited)
    assert cited[0] & cited[1] == cited[0] & cited[2] == cited[1] & cited[2] == set()
    found = list(read_jsonl(tmp_path / "out/leaks.jsonl"))
    assert found
    assert {row["kind"] for row in found} == {"paragraph"}


def test_by_time_what_is_newer_is_held_out_and_what_has_no_date_is_left_out(tmp_path):
    rows = [document(n, sentence(n), source=f"news/{2020 + n % 6}年3月.md") for n in range(24)]
    undated = document(99, sentence(99), source="news/old.md")

    parts = run(tmp_path, params(documents={"by": "time", "dev": "2024-01-01", "test": "2025-01-01"}), documents=[*rows, undated])

    years = {part: {row.source[5:9] for row in parts[part]["documents"]} for part in PARTS}
    assert years == {"train": {"2020", "2021", "2022", "2023"}, "dev": {"2024"}, "test": {"2025"}}
    assert [(row["id"], row["reason"]) for row in read_jsonl(tmp_path / "out/dropped.jsonl")] == [(undated.id, "no_date")]


def test_what_has_no_date_may_be_trained_on(tmp_path):
    rows = [document(n, sentence(n), source=f"news/{2020 + n % 6}年3月.md") for n in range(24)]
    by_time = {"by": "time", "dev": "2024-01-01", "test": "2025-01-01", "undated": "train"}

    parts = run(tmp_path, params(documents=by_time), documents=[*rows, document(99, sentence(99), source="news/old.md")])

    assert "news/old.md" in {row.source for row in parts["train"]["documents"]}
    assert list(read_jsonl(tmp_path / "out/dropped.jsonl")) == []


@pytest.mark.parametrize(
    ("source", "place", "day"),
    [
        ("民用航空法(2021-04-29).md", "第一条", "2021-04-29"),
        ("2023/report.csv", "row 7", "2023-01-01"),
        ("2019.csv", "row 20250101, 2024年5月6日", "2024-05-06"),
        ("logs/20240506.jsonl", "line 3", "2024-05-06"),
        ("logs/20249906.jsonl", "line 3", None),
        ("a-2019.md", "page 3", "2019-01-01"),
        ("a.md", "row 12021", None),
    ],
)
def test_the_day_of_a_row_stands_in_its_place_or_the_name_of_its_file(source, place, day):
    assert split.date_of(label(0, "x", "低").model_copy(update={"source": source, "place": place})) == day


WAYS = [
    *(("documents", {"by": by, **size}) for by in ("auto", "source", "section") for size in (HASH, {"dev": 2, "test": 3})),
    ("documents", {"by": "time", "dev": "2021-01-01", "test": "2022-01-01"}),
    *(("dialogues", {"by": by, **size}) for by in ("row", "source", "dialogue", "paragraph") for size in (HASH, {"dev": 2, "test": 3})),
    ("labels", {"by": "row", **HASH}),
    ("labels", {"by": "row", "dev": 0.01, "test": 0.01}),
    ("labels", {"by": "row", "dev": 4, "test": 9}),
    ("facts", {"by": "row", "dev": 0.2, "test": 9}),
]


@pytest.mark.parametrize(("table", "way"), WAYS)
def test_nothing_once_in_test_is_ever_learnt_however_the_corpus_grows(tmp_path, table, way):
    make = {
        "documents": lambda n, **more: document(n, sentence(n), section=f"第{n}节", **more),
        "dialogues": lambda n, **more: dialogue(n, sentence(n), "答", **more),
        "labels": lambda n, **more: label(n, sentence(n), "低中高"[n % 3], **more),
        "facts": lambda n, **more: fact(n, f"实体{n}", "限高", "1", **more),
    }[table]
    # Files, and then more that sort before and after them; some say again under another name what was there.
    grown = [
        [(n, f"m{2016 + n % 8}.md") for n in range(30)],
        [(n, f"f{2019 + n % 4}.md") for n in range(30, 60)],
        [*((n, "a2019.md") for n in range(0, 60, 4)), *((n, f"z{2020 + n % 3}.md") for n in range(60, 120))],
        [(n, f"b{n % 7}-2020.md") for n in range(120, 180)],
    ]
    rows, tested, sizes = {}, set(), []
    for more in grown:
        for n, source in more:
            rows[n] = source  # as clean does: of two rows that say the same one is left, here under its newer name
        parts = run(tmp_path, params(**{table: way}), **{table: [make(n, source=source) for n, source in sorted(rows.items())]})

        said = {part: {split.text_of_row(row) for row in parts[part][table]} for part in PARTS}
        assert tested & said["train"] == set()
        tested |= said["test"]
        sizes.append(len(said["test"]))

    assert all(sizes)
    assert sizes == sorted(sizes)


def test_another_seed_forgets_what_was_held_out(tmp_path):
    rows = [label(n, sentence(n), "低") for n in range(40)]
    run(tmp_path, params(1, labels={"by": "row", "dev": 5, "test": 5}), labels=rows)

    again = run(tmp_path, params(2, labels={"by": "row", "dev": 5, "test": 5}), labels=rows)
    fresh = run(tmp_path / "fresh", params(2, labels={"by": "row", "dev": 5, "test": 5}), labels=rows)

    assert again == fresh


def test_a_second_run_on_the_same_rows_writes_the_same_bytes(tmp_path):
    tables = {
        "labels": [label(n, sentence(n), "低中高"[n % 3]) for n in range(60)],
        "documents": [document(n, sentence(n)) for n in range(30)],
    }
    run(tmp_path, **tables)
    files = [path for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()]
    before = {path: path.read_bytes() for path in files}

    run(tmp_path, **tables)

    assert len(files) == 22
    assert {path: path.read_bytes() for path in files} == before


def test_rows_with_a_date_column_are_parted_by_it(tmp_path):
    (tmp_path / "data").mkdir()
    rows = [
        ("桨叶裂了怎么办", "停飞", "2023/12/31"),
        ("航灯不亮怎么办", "换灯", "2024年6月1日"),
        ("电池鼓包怎么办", "报废", "2025-03-01 08:00"),
    ]
    table = "\n".join(["question,answer,日期", *map(",".join, rows), "没有日期怎么办,不用,\n"])
    (tmp_path / "data/a.csv").write_text(table, encoding="utf-8")
    sources = [{"pattern": "*", "licence": "MIT", "scope": "domain"}]
    ingest.run(ingest.Params.model_validate({"sources": sources}), tmp_path / "data", tmp_path / "ingest")

    by_time = {"by": "time", "dev": "2024-01-01", "test": "2025-01-01"}
    split.run(params(dialogues=by_time), tmp_path / "ingest/tables", tmp_path / "out")

    assert [len(read_tables(tmp_path / "out" / part)["dialogues"]) for part in PARTS] == [1, 1, 1]
    assert [row["reason"] for row in read_jsonl(tmp_path / "out/dropped.jsonl")] == ["no_date"]
