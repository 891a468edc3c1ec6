"""The validate stage: what blocks, what warns, what the page and the metrics say, and that they are the same on every run."""

import json
import re
from pathlib import Path

import pytest
from rows import dialogue, document, exam, fact, label, preference

from lingyu.expect.run import offline
from lingyu.expect.suites import columns_of, suite_of
from lingyu.files import write_tables
from lingyu.records import TABLES
from lingyu.stage import StageError
from stages import validate

SUITES = Path(__file__).parent.parent / "lingyu/expect"
PARAMS = validate.Params(examples=2, only_warn=[])
GOOD = {
    "documents": [document(1, "电池温度低于零度时不得起飞。")],
    "facts": [fact(1, "林场", "限高", "120米")],
    "dialogues": [dialogue(1, "能飞吗？", "不能。")],
    "labels": [label(1, "飞机落水。", "高"), label(2, "桨叶裂纹。", "低")],
    "exams": [exam(1, "限高？", ["30米", "120米"], [1])],
    "preferences": [preference(1, "限高？", "120米", "150米")],
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The outputs of two runs on the same rows: four tables that are good, two with what must be warned of."""
    folder = tmp_path_factory.mktemp("validate")
    poor = [dialogue(2, "无", "根据第X条，不能。"), document(2, "⺠⽤航空器不得夜航<b>。")]
    tables = GOOD | {"dialogues": [*GOOD["dialogues"], poor[0]], "documents": [*GOOD["documents"], poor[1]]}
    write_tables(folder / "in", tables)
    for run in ("one", "two"):
        validate.run(PARAMS, folder / "in", SUITES, folder / run)
    return folder


def test_metrics_count_by_table(checked):
    metrics = json.loads((checked / "one/metrics.json").read_text(encoding="utf-8"))

    assert list(metrics) == list(TABLES)
    assert metrics["documents"] == {"rows": 2, "expectations": 8, "met": 7, "broken": 0, "warned": 1}
    assert metrics["dialogues"] == {"rows": 2, "expectations": 9, "met": 7, "broken": 0, "warned": 2}
    assert all(metrics[table]["met"] == metrics[table]["expectations"] for table in ("facts", "labels", "exams", "preferences"))


def test_two_runs_give_the_same_bytes(checked):
    one, two = (sorted((checked / run).rglob("*")) for run in ("one", "two"))

    assert [path.name for path in one] == [path.name for path in two]
    files = [path for path in one if path.is_file()]
    assert len(files) == len(TABLES) + 3
    assert all(path.read_bytes() == (checked / "two" / path.relative_to(checked / "one")).read_bytes() for path in files)


def test_the_pages_open_offline_and_show_where_what_does_not_hold(checked):
    pages = {path.name: path.read_text(encoding="utf-8") for path in (checked / "one/report").glob("*.html")}

    assert set(pages) == {"index.html", *(f"{table}.html" for table in TABLES)}
    assert not any(re.search(r"(src|href)=\S*//|url\(.?http|<script", page) for page in pages.values())
    assert "a.md, 2: ⺠⽤航空器不得夜航&lt;b&gt;。" in pages["index.html"]
    assert "根据第X条" in pages["dialogues.html"]


def test_a_broken_blocking_expectation_names_column_count_and_examples(tmp_path):
    write_tables(tmp_path / "in", {"labels": [label(1, "飞机落水。", "高"), label(2, "桨叶裂纹。", ""), label(3, "电量低。", "")]})

    with pytest.raises(StageError, match=r"labels.label, column label: 2 of 3 rows\. [\s\S]*a.md, 2\n[\s\S]*only_warn"):
        validate.run(PARAMS, tmp_path / "in", SUITES, tmp_path / "out")

    assert json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))["labels"]["broken"] == 1
    validate.run(PARAMS.model_copy(update={"only_warn": ["labels.label"]}), tmp_path / "in", SUITES, tmp_path / "out")
    assert json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))["labels"]["broken"] == 0


def test_no_rows_at_all_say_where_to_look(tmp_path):
    write_tables(tmp_path / "in", {})

    with pytest.raises(StageError, match=r"rejected\.jsonl"):
        validate.run(PARAMS, tmp_path / "in", SUITES, tmp_path / "out")


def test_an_unknown_name_in_only_warn_is_an_error(tmp_path):
    write_tables(tmp_path / "in", {"labels": GOOD["labels"]})

    with pytest.raises(StageError, match=r"no expectation named labels.x. Known: labels.classes, labels.label"):
        validate.run(PARAMS.model_copy(update={"only_warn": ["labels.x"]}), tmp_path / "in", SUITES, tmp_path / "out")


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ("- expect: [", "is not YAML"),
        ("- column: text\n", r"0.name: Field required\n.*0.expect: Field required\n.*0.blocking: Field required\n.*0.why"),
        ("- {name: n, expect: expect_wonders, blocking: true, why: {en: x, zh: x}}", "knows no 'expect_wonders'"),
        (2 * "- {name: n, expect: e, blocking: true, why: {en: x, zh: x}}\n", "n: more than one expectation"),
        (
            "- {name: n, expect: expect_column_values_to_be_unique, column: txt, blocking: true, why: {en: x, zh: x}}",
            "n cannot be asked",
        ),
        (
            "- {name: n, expect: expect_column_values_to_be_unique, column: text, mostly: 3, blocking: true, why: {en: x, zh: x}}",
            "cannot be asked",
        ),
    ],
)
def test_a_faulty_suite_is_told_with_its_file(tmp_path, suite, message):
    write_tables(tmp_path / "in", {"labels": GOOD["labels"]})
    (tmp_path / "labels.yaml").write_text(suite, encoding="utf-8")

    with pytest.raises(StageError, match=rf"labels.yaml[\s\S]*{message}"):
        validate.run(PARAMS, tmp_path / "in", tmp_path, tmp_path / "out")


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_a_suite_that_asks_for_columns_it_has(table):
    suite = suite_of(SUITES / f"{table}.yaml")

    assert len(suite) > 4
    columns = columns_of(GOOD[table][0])
    assert [one.name for one in suite if not {*filter(None, [one.column]), *one.column_list} <= {*columns}] == []


def test_a_page_loses_what_differs_or_would_be_fetched():
    page = '<head><script src="x">a\nb</script><link href="https://x"></head><img src="http://x"> <a href="https://x">y</a>'
    page += " 20261121T095658.550978Z dc0eefc2-138b-4eb0-8021-c55ba7c0d0c8"

    assert offline(page) == '<head><link rel="stylesheet" href="report.css">\n</head> <a>y</a>  id0'
