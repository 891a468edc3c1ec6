"""The validate stage: what blocks, what warns, what the page and the metrics say, and that they are the same on every run."""

import json
import re
from pathlib import Path

import pytest
from rows import dialogue, document, exam, fact, label, preference

from lingyu.files import write_tables
from lingyu.records import TABLES
from lingyu.stage import StageError
from lingyu.text.language import same_language
from lingyu.text.word_lists import Words, lists_of
from lingyu.validate.columns import columns
from lingyu.validate.run import Checker
from lingyu.validate.suites import Expectation, suite_of
from stages import validate

SUITES = Path(__file__).parent.parent / "lingyu/validate"
WORDS = Path(__file__).parent.parent / "lingyu/text/word_lists.yaml"
PARAMS = validate.Params(examples=2, only_warn=[])
GOOD = {
    "documents": [document(1, "电池温度低于零度时不得起飞。")],
    "facts": [fact(1, "林场", "限高", "120米")],
    "dialogues": [dialogue(1, "能飞吗？", "不能。")],
    "labels": [label(f"{name}{number}", f"{name}第{number}次。", name) for name in ("落水", "裂纹") for number in range(10)],
    "exams": [exam(1, "限高？", ["30米", "120米"], [1])],
    "preferences": [preference(1, "限高？", "120米", "150米")],
}
LIST = "、".join(f"第{n}项先看{chr(0x4E00 + 37 * n)}{chr(0x5E00 + 53 * n)}，再看{chr(0x6E00 + 29 * n)}" for n in range(20))
LONG = "本条例所称的航空器是指没有机载驾驶员而自备动力系统的航空器，" * 3


def check(folder, tables, params=PARAMS, suites=SUITES, words=WORDS):
    """What the metrics say of these rows."""
    write_tables(folder / "in", tables)
    validate.run(params, folder / "in", suites, words, folder / "out")
    return json.loads((folder / "out/metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The outputs of two runs on the same rows: four tables that are good, two with what must be warned of."""
    folder = tmp_path_factory.mktemp("validate")
    poor = [dialogue(2, "无", "根据第X条，不能。"), document(2, "⺠⽤航空器不得夜航<b>。")]
    tables = GOOD | {"dialogues": [*GOOD["dialogues"], poor[0]], "documents": [*GOOD["documents"], poor[1]]}
    write_tables(folder / "in", tables)
    for run in ("one", "two"):
        validate.run(PARAMS, folder / "in", SUITES, WORDS, folder / run)
    return folder


def test_metrics_count_by_table_and_expectation(checked):
    metrics = json.loads((checked / "one/metrics.json").read_text(encoding="utf-8"))

    assert list(metrics) == list(TABLES)
    documents, failing = metrics["documents"], metrics["documents"].pop("failing")
    assert documents == {"rows": 2, "files": 1, "expectations": len(failing), "met": len(failing) - 1, "broken": 0, "warned": 1}
    assert {name: rows for name, rows in failing.items() if rows} == {"radicals": 1}
    assert {name: rows for name, rows in metrics["dialogues"]["failing"].items() if rows} == {
        "asks_something": 1,
        "placeholder": 1,
        "says_more_than_a_word": 1,
    }
    assert all(metrics[table]["met"] == metrics[table]["expectations"] > 4 for table in ("facts", "labels", "exams", "preferences"))


def test_two_runs_give_the_same_bytes(checked):
    one, two = (sorted((checked / run).rglob("*")) for run in ("one", "two"))

    assert [path.name for path in one] == [path.name for path in two]
    files = [path for path in one if path.is_file()]
    assert len(files) == 4
    assert all(path.read_bytes() == (checked / "two" / path.relative_to(checked / "one")).read_bytes() for path in files)


def test_the_pages_open_offline_and_show_where_what_does_not_hold(checked):
    pages = {path.name: path.read_text(encoding="utf-8") for path in (checked / "one/report").glob("*.html")}

    assert set(pages) == {"index.html"}
    assert not any(re.search(r"(src|href)=\S*//|url\(.?http|<script", page) for page in pages.values())
    assert "a.md, 2: 【⺠ U+2EA0】⽤航空器不得夜航&lt;b&gt;。" in pages["index.html"]
    assert "a.md, 2: 根据【第X条】，不能。" in pages["index.html"]
    assert "expect_column_values_to_not_match_regex(column=&#39;answer&#39;, regex=" in pages["index.html"]


@pytest.mark.parametrize(
    ("failing", "tables"),
    [
        ({"readable": 2}, {"documents": [document(1, "鍥藉姟闄㈠叧浜庯紝锛岀"), document(2, "ä¸\xadå\x9b½äººæ°\x91")]}),
        (
            {"one_language": 1},
            {"documents": [document(n, f"第{n}节讲电池怎样保管。") for n in range(20)] + [document(99, "Keep it dry.", language="en")]},
        ),
        ({"once": 2}, {"documents": [document(1, "电池应放在阴凉处。"), document(2, "电池应放在阴凉处。")]}),
        ({"markup": 1}, {"documents": [document(1, "电池&nbsp;应在起飞前充满。<br/>")]}),
        ({"says_something": 1, "about_another": 1}, {"facts": [fact(1, "林场", "限高", "无"), fact(2, "林场", "属于", "林场")]}),
        ({"same_language": 1}, {"dialogues": [dialogue(1, "列出四种电池。", "Here is a list of four batteries.")]}),
        ({"not_the_question": 1}, {"dialogues": [dialogue(1, "能飞吗？", "能飞吗。")]}),
        ({"finished": 1}, {"dialogues": [dialogue(1, "什么是航空器？", LONG + "以及")]}),
        ({"own_voice": 1, "no_refusal": 1}, {"dialogues": [dialogue(1, "能飞吗？", "抱歉，作为一个AI，我无法回答。")]}),
        ({"input_brought": 1}, {"dialogues": [dialogue(1, "总结这篇文章。", "抱歉，您没有提供文章。")]}),
        ({"once": 2}, {"dialogues": [dialogue(1, "能飞吗？", "能飞。风大不飞。"), dialogue(2, "能飞吗？", "能飞。风大不飞。")]}),
        ({"agrees": 2}, {"dialogues": [dialogue(1, "夜里能飞吗？", "可以，要开灯。"), dialogue(2, "夜里能飞吗", "不可以，看不清。")]}),
        ({"agrees": 2}, {"dialogues": [dialogue(1, "限高多少？", "限高120米。"), dialogue(2, "限高多少？", "限高150米。")]}),
        ({}, {"dialogues": [dialogue(1, "夜里能飞吗？", "可以，要开灯。"), dialogue(2, "夜里能飞吗？", "可以，先报备。")]}),
        ({"nearly_once": 1}, {"dialogues": [dialogue(n, f"怎么保管电池{'呢' * n}？", f"{LIST}。") for n in range(2)]}),
        ({"says_more_than_a_word": 1}, {"dialogues": [dialogue(1, "限高多少？", "120")]}),
        ({"value_present": 1, "answers_something": 1, "says_more_than_a_word": 1}, {"dialogues": [dialogue(1, "谁值班？", "nan")]}),
        ({"question_without_template": 1}, {"dialogues": [dialogue(1, "问题：怎么保管电池？\n回答：", "放在阴凉处。")]}),
        ({"answer_without_template": 1}, {"dialogues": [dialogue(1, "怎么保管电池？", "根据知识，放在阴凉处。")]}),
        ({"named_classes": 20}, {"labels": [label(f"{n}", f"第{n}条推文。", str(n % 2)) for n in range(20)]}),
        ({"enough_of_each": 2}, {"labels": [label(1, "飞机落水。", "高"), label(2, "桨叶裂纹。", "低")]}),
        ({"filled_options": 1, "different_options": 1}, {"exams": [exam(1, "限高？", ["", "30米", "30米"], [1])]}),
        ({"consistent": 1}, {"preferences": [preference(1, "高？", "是", "否"), preference(2, "高？", "否", "是")]}),
    ],
)
def test_what_is_warned_of(tmp_path, failing, tables):
    params = PARAMS.model_copy(update={"only_warn": [f"{table}.readable" for table in tables]})

    (found,) = check(tmp_path, tables, params).values()

    assert {name: rows for name, rows in found["failing"].items() if rows} == failing


def test_a_broken_blocking_expectation_names_column_count_file_and_examples(tmp_path):
    tables = {"labels": [*GOOD["labels"], label(2, "桨叶裂纹。", ""), label(3, "电量低。", "")]}

    with pytest.raises(
        StageError, match=r"labels.label \(label is not blank.*\): 2 of 22 rows\. .*\n    a.md: 2\n    a.md, 2: [\s\S]*only_warn"
    ):
        check(tmp_path, tables)

    assert json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))["labels"]["broken"] == 1
    assert check(tmp_path, tables, PARAMS.model_copy(update={"only_warn": ["labels.label"]}))["labels"]["broken"] == 0


def test_a_file_read_in_the_wrong_encoding_stops_the_road(tmp_path):
    text = "高血压患者能吃党参吗？可以口服，能降血压。"
    misread = [
        text.encode("gb18030").decode("latin-1"),
        text.encode().decode("gb18030", "replace"),
        text.encode().decode("cp1252", "replace"),
    ]

    for number, wrong in enumerate(misread):
        with pytest.raises(StageError, match=r"dialogues\.readable "):
            check(tmp_path / str(number), {"dialogues": [dialogue(1, "能吃吗？", wrong)]})


def test_a_table_checked_in_pieces_gives_what_it_gives_whole(tmp_path):
    rows = [dialogue(n, f"第{n % 5}问？", f"第{n % 5}答。") for n in range(6)] + [
        dialogue(7, "无", ""),
        dialogue(8, "无", "", source="b.md"),
    ]
    write_tables(tmp_path, {"dialogues": rows})
    suite = suite_of(SUITES, WORDS, "dialogues")

    whole, pieces = (Checker(piece).check(tmp_path / "dialogues.parquet", suite, [], 5) for piece in (99, 3))

    assert pieces == whole
    assert {one.expectation.name: (one.broken, one.rows) for one in whole if one.broken} == {
        "answer": (2, 8),
        "asks_something": (2, 8),
        "answers_something": (2, 8),
        "once": (4, 8),
    }


def test_no_rows_at_all_say_where_to_look(tmp_path):
    with pytest.raises(StageError, match=r"rejected\.jsonl"):
        check(tmp_path, {})


def test_an_unknown_name_in_only_warn_is_an_error(tmp_path):
    with pytest.raises(StageError, match=r"only_warn.*labels\.x\b.*labels\.classes, labels\.enough_of_each"):
        check(tmp_path, {"labels": GOOD["labels"]}, PARAMS.model_copy(update={"only_warn": ["labels.x"]}))


ENTRY = "- {name: n, column: text, stop: false, why: {en: x, zh: x}, "


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ("- expect: [", "YAML"),
        ("- column: text\n", r"0.name: missing\n.*0.stop: missing\n.*0.why"),
        (f"{ENTRY}filed: true}}", "n: .*filled, unique.*none"),
        (f"{ENTRY}filled: true, mostly: 1}}", "n: .*mostly"),
        (f"{ENTRY}filled: true, unique: true}}", "n: .*chars.* filled, unique"),
        (f"{ENTRY}free_of: [placeholders]}}", "n: .*placeholders; .*word_lists.yaml has nothing, missing, placeholder"),
        (f"{ENTRY}filled: true}}\n{ENTRY}unique: true}}", "n: more than one expectation"),
        (f"{ENTRY}expect: expect_wonders}}", "n: .*'expect_wonders'"),
        (f"{ENTRY}expect: expect_column_values_to_be_in_set}}", "n is not a valid|n cannot be"),
        ("- {name: n, column: txt, filled: true, stop: true, why: {en: x, zh: x}}", "n is not a valid|n cannot be"),
    ],
)
def test_a_faulty_suite_is_told_with_its_file(tmp_path, suite, message):
    (tmp_path / "labels.yaml").write_text(suite, encoding="utf-8")

    with pytest.raises(StageError, match=rf"labels.yaml[\s\S]*{message}"):
        check(tmp_path, {"labels": GOOD["labels"]}, suites=tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nothing: {word: [无]}", r"nothing\.word: unknown key"),
        ("x: {patterns: ['(']}", r"x\.patterns: .*regular expression: '\('"),
        ("x: {patterns: ['(?i)a']}", r"x\.patterns: .*regular expression: .*global flags"),
    ],
)
def test_a_faulty_list_of_words_is_told(tmp_path, words, message):
    (tmp_path / "words.yaml").write_text(words, encoding="utf-8")

    with pytest.raises(StageError, match=message):
        lists_of(tmp_path / "words.yaml")


def test_an_expert_adds_words_a_share_and_files(tmp_path):
    entry = {"name": "n", "column": "text", "stop": False, "why": {"en": "x", "zh": "x"}}
    asked = [
        entry | {"never_says": ["落水", "AI"]},
        entry | {"name": "m", "never_says": ["落水"], "files": "b/*"},
        entry | {"name": "o", "chars": [4, None], "share": 0.9},
        entry | {"name": "p", "expect": "expect_column_values_to_not_match_regex", "regex": "第9次"},
    ]
    (tmp_path / "labels.yaml").write_text(json.dumps(asked), encoding="utf-8")

    found = check(tmp_path, {"labels": [*GOOD["labels"], label(99, "AIR 落水", "x", source="b/c.md")]}, suites=tmp_path)["labels"]

    assert (found["failing"], found["met"]) == ({"n": 11, "m": 1, "o": 0, "p": 2}, 1)
    sentence = suite_of(tmp_path, WORDS, "labels").expectations[2].sentence
    assert re.search("^text .*4 ….*90%", sentence.en)
    assert re.search("^text .*4 ….*90%", sentence.zh)


@pytest.mark.parametrize("table", TABLES)
def test_every_suite_asks_for_columns_that_its_table_has_and_its_head_names(table, tmp_path):
    suite = suite_of(SUITES, WORDS, table)
    write_tables(tmp_path, GOOD)
    (row, *_) = columns(tmp_path / f"{table}.parquet", table)
    head = (SUITES / f"{table}.yaml").read_text(encoding="utf-8").partition("# columns: ")[2].partition("\n\n")[0]
    named = set(re.findall(r"(?:^|,)(?:\n#)?\s*([a-z_]+)", re.sub(r"\(.*?\)", "", head, flags=re.DOTALL)))

    assert len(suite.expectations) > 8
    assert [one.name for one in suite.expectations if not {*one.columns} <= {*row}] == []
    assert named == {*row} - {"row", "method", "teacher", "prompt_hash", "review"} - ({"usual_language"} - named)


def test_the_head_of_the_documents_suite_explains_every_word_of_an_entry():
    head = (SUITES / "documents.yaml").read_text(encoding="utf-8")

    assert [word for word in Expectation.model_fields if not re.search(rf"^# +{word}\b", head, re.MULTILINE)] == []
    assert [kind for kind in Words.model_fields if not re.search(rf"^# +{kind} ", WORDS.read_text(encoding="utf-8"), re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("question", "answer", "same"),
    [
        ("列出四种电池。", "Here is a list of four.", False),
        ("列出四种电池。", "Li-ion、镍氢、铅酸、锂聚合物。", True),
        ("把这句话译成英文。", "The battery is full.", True),
        ("怎样读取电量？", "```python\nprint(battery.level.of.the.drone)\n```", True),
        ("用 opulent 造句。", "The hall was opulent and bright.", True),
        ("List four batteries.", "这里是四种电池的清单。", False),
        ("What is it in Chinese?", "这里是四种电池的清单。", True),
    ],
)
def test_an_answer_in_another_language_than_was_asked(question, answer, same):
    assert same_language(question, answer) is same
