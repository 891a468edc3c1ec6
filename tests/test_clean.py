"""The clean stage: each reason on the shortest row that shows it; what is kept, normalised, masked."""

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from rows import dialogue, document, exam, fact, label, preference

from lingyu import files
from lingyu.files import read_jsonl, read_tables, write_tables
from lingyu.records import Message
from lingyu.stage import StageError
from stages import clean

VALUES = {
    "engine": "local",
    "simplified": False,
    "languages": ["zh", "en"],
    "min_chars": 5,
    "max_repeated": 0.3,
    "near_duplicate": 0.8,
    "ner": "",
}
WORDS = Path(__file__).parent.parent / "lingyu/text/word_lists.yaml"
PARAMS = clean.Params(**VALUES, mask=["mobile", "email"])
LONG = "电池温度低于零度时不得起飞，应当先预热电池，确认电压正常以后再行起飞检查。"


def test_reasons_of_ones_own_are_counted_by_their_names_after_masking(tmp_path):
    params = clean.Params(**VALUES, mask=["mobile"], drop_matching={"safety": "遗书", "contact": "手机"})
    rows = [
        dialogue(1, "我写好了遗书。", "请现在告诉大人。"),
        dialogue(2, "我的号码是13812345678，请联系我。", "好的。"),
        dialogue(3, "写作文累。", "慢慢来。"),
    ]
    write_tables(tmp_path / "in", {"dialogues": rows, "labels": [label(1, "班上有人写遗书。", "高"), label(2, "迟到三次。", "低")]})

    clean.run(params, tmp_path / "in", WORDS, tmp_path / "metrics.json", tmp_path / "out")

    dropped = {(row["table"], row["reason"], row["place"]) for row in read_jsonl(tmp_path / "out/dropped.jsonl")}
    assert {(table, reason) for table, reason, _ in dropped} == {("dialogues", "safety"), ("dialogues", "contact"), ("labels", "safety")}
    assert len(read_tables(tmp_path / "out/tables")["dialogues"]) == 1
    with pytest.raises(ValidationError, match="no regular expression"):
        clean.Params(**VALUES, drop_matching={"bad": "("})


def run(tmp_path, **tables):
    """The kept tables and the dropped rows as (table, reason, place)."""
    write_tables(tmp_path / "in", tables)
    clean.run(PARAMS, tmp_path / "in", WORDS, tmp_path / "metrics.json", tmp_path / "out")
    dropped = list(read_jsonl(tmp_path / "out/dropped.jsonl"))
    return read_tables(tmp_path / "out/tables"), [(row["table"], row["reason"], row["place"]) for row in dropped]


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("documents", document(1, "第一条。"), "too_short"),
        ("documents", document(1, "乱码��乱码乱码乱码"), "garbled"),
        ("documents", document(1, "作为一个人工智能语言模型，我没有意见。"), "boilerplate"),
        ("documents", document(1, "先检查电池再起飞。" * 3), "repeated"),
        ("facts", fact(1, " ", "限高", "120米"), "empty_entity"),
        ("facts", fact(1, "林场", "无", "120米"), "empty_relation"),
        ("facts", fact(1, "林场", "限高"), "empty_values"),
        ("dialogues", dialogue(1, "无", "先检查电池。"), "empty_question"),
        ("dialogues", dialogue(1, "能飞吗？", " "), "empty_answer"),
        ("dialogues", dialogue(1, "能飞吗？", "根据第X条不能。"), "placeholder"),
        ("dialogues", dialogue(1, "能飞吗？", "抱歉，我无法回答。"), "refusal"),
        ("dialogues", dialogue(1, "能飞吗？", "作为一个AI，能。"), "boilerplate"),
        ("dialogues", dialogue(1, "总结。", "抱歉，您没有提供文章。"), "missing_input"),
        ("dialogues", dialogue(1, "Можно ли взлететь?", "Нет, батарея холодная, прогрейте её."), "wrong_language"),
        ("labels", label(1, "N/A", "低"), "empty_text"),
        ("labels", label(1, "飞机落水。", ""), "empty_label"),
        ("exams", exam(1, "?", ["甲", "乙"], [0]), "empty_question"),
        ("exams", exam(1, "限高？", ["甲"], [0]), "empty_options"),
        ("exams", exam(1, "限高？", ["甲", "乙"], []), "no_right_option"),
        ("preferences", preference(1, "暂无", "甲", "乙"), "empty_question"),
        ("preferences", preference(1, "限高？", "", "乙"), "empty_answer"),
        ("preferences", preference(1, "限高？", "120米", "１２０米。"), "no_difference"),
    ],
)
def test_a_poor_row_is_dropped_for_its_reason(tmp_path, table, row, reason):
    good = document("good", LONG)

    kept, dropped = run(tmp_path, **{"documents": [good], table: [*([good] if table == "documents" else []), row]})

    assert dropped == [(table, reason, "1")]
    assert kept["documents"] == [good]


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("几点开门？", "nan", "empty_answer"),
        ("谁值班？", "None", "empty_answer"),
        ("谁巡查？", "<NA>", "empty_answer"),
        ("限高多少？", "-inf", "empty_answer"),
        ("几点关门？", "无", "empty_answer"),
        ("有禁忌吗？", "无", ""),
        ("Which drones may fly at night?", "None.", ""),
        ("JSON 里的空值怎么写？", "null", ""),
        ("钠的元素符号是？", "Na", ""),
        ("投诉能匿名吗？", "抱歉，匿名投诉无法受理，请携带身份证到窗口办理。", ""),
        ("能帮我看病吗？", "抱歉，我无法提供医疗建议，请咨询专业医生。", "refusal"),
        ("模板里的变量怎么写？", "写成 {{name}}。", ""),
        ("“第X条”是什么意思？", "第X条表示任意一条。", ""),
        ("把口诀念三遍。", "一慢二看三通过。" * 3, ""),
    ],
)
def test_an_answer_that_says_something_stays(tmp_path, question, answer, reason):
    _, dropped = run(tmp_path, documents=[document("good", LONG)], dialogues=[dialogue(1, question, answer)])

    assert dropped == ([("dialogues", reason, "1")] if reason else [])


def test_missing_values_of_facts_labels_and_exams_go_and_classes_called_none_stay(tmp_path):
    kept, dropped = run(
        tmp_path,
        facts=[fact(1, "林场", "限高", "nan"), fact(2, "校园", "禁忌", "无")],
        labels=[label(1, "飞机落水。", "nan"), label(2, "桨叶裂纹。", "None"), label(3, "电池鼓包。", "-")],
        exams=[exam(1, "限高？", ["甲", "nan", "nan"], [0]), exam(2, "哪个不是数？", ["0", "NaN"], [1])],
    )

    assert dropped == [("facts", "empty_values", "1"), ("labels", "empty_label", "1"), ("exams", "empty_options", "1")]
    assert sum(map(len, kept.values())) == 4


def test_short_turns_of_a_dialogue_are_no_empty_questions(tmp_path):
    first = dialogue(1, "医生，我头疼三天了，怎么办？", "发烧吗？")
    turns = [Message(role="user", content="没有"), Message(role="assistant", content="抱歉，您没有提供体温，请量一下体温。")]
    long = first.model_copy(
        update={"messages": [*first.messages, *turns, turns[0], Message(role="assistant", content="多喝水，注意休息。")]}
    )
    empty = dialogue(2, "无", "请问哪里不舒服？")
    empty = empty.model_copy(update={"messages": [*empty.messages, turns[0], Message(role="assistant", content="好的。")]})

    kept, dropped = run(tmp_path, dialogues=[long, empty])

    assert ([row.place for row in kept["dialogues"]], dropped) == (["1"], [("dialogues", "empty_question", "2")])


def test_a_sentence_that_comes_again_in_a_later_reply_is_no_loop(tmp_path):
    first = dialogue(1, "医生，我头疼三天了，怎么办？", "请先量一下体温再说。")
    again = [
        message.model_copy(update={"content": text}) for message, text in zip(first.messages, ["量了", "请先量一下体温再说。"], strict=True)
    ]
    loop = dialogue(2, "医生，我胃疼三天了，怎么办？", "请先量一下体温再说。" * 3)

    kept, dropped = run(tmp_path, dialogues=[first.model_copy(update={"messages": [*first.messages, *again]}), loop])

    assert ([row.place for row in kept["dialogues"]], dropped) == (["1"], [("dialogues", "repeated", "2")])


def test_rows_that_a_sign_tells_apart_all_stay(tmp_path):
    asked = [
        "收缩压>140要紧吗？",
        "收缩压<140要紧吗？",
        "C++怎么学？",
        "C#怎么学？",
        "C怎么学？",
        "误差±5℃行吗？",
        "误差-5℃行吗？",
        "误差+5℃行吗？",
    ]
    labels = [label(1, "服务👍", "好"), label(2, "服务👎", "差"), label(3, "结果(+)", "阳"), label(4, "结果(-)", "阴")]
    facts = [fact(1, "血型A+", "码", "甲"), fact(2, "血型A-", "码", "乙")]

    kept, dropped = run(tmp_path, dialogues=[dialogue(n, one, "看说明。") for n, one in enumerate(asked)], labels=labels, facts=facts)

    assert dropped == []
    assert [len(kept[table]) for table in ("dialogues", "labels", "facts")] == [len(asked), 4, 2]


def test_what_is_only_reported_goes_where_a_setting_says_so(tmp_path):
    rows = [
        dialogue(1, "夜里能飞吗？", "可以，要开灯。"),
        dialogue(2, "夜里能飞吗", "不可以，看不清。"),
        dialogue(3, "限高多少？", "120"),
        dialogue(4, "列出三种电池。", "Here is a list of three batteries."),
        dialogue(5, "怎么保管电池？", "根据知识，放在阴凉处。"),
        dialogue(6, "电池怎么保管？", LONG),
        dialogue(7, "电池怎么保管呢？", LONG),
    ]
    write_tables(tmp_path / "in", {"dialogues": rows})
    asked = {"drop": ["conflicting_answer", "bare_answer", "other_language", "template_remnant"], "near_duplicate_dialogues": 0.8}

    for name, params in (("default", PARAMS), ("asked", PARAMS.model_copy(update=asked))):
        clean.run(params, tmp_path / "in", WORDS, tmp_path / "x", tmp_path / name)

    assert list(read_jsonl(tmp_path / "default/dropped.jsonl")) == []
    assert sorted((row["place"], row["reason"]) for row in read_jsonl(tmp_path / "asked/dropped.jsonl")) == [
        ("1", "conflicting_answer"),
        ("2", "conflicting_answer"),
        ("3", "bare_answer"),
        ("4", "other_language"),
        ("5", "template_remnant"),
        ("7", "near_duplicate"),
    ]


def test_duplicates_leave_the_first_and_name_it(tmp_path):
    rows = [
        document(1, LONG),
        document(2, LONG.replace("，", ",")),
        document(3, LONG.replace("正常", "正确")),
        document(4, "风力太大不飞。"),
    ]

    kept, dropped = run(tmp_path, documents=rows)

    assert [row.place for row in kept["documents"]] == ["1", "4"]
    assert dropped == [("documents", "duplicate", "2"), ("documents", "near_duplicate", "3")]
    assert {row["because"] for row in read_jsonl(tmp_path / "out/dropped.jsonl")} == {rows[0].id}


def test_the_same_article_of_two_statutes_stays_in_both(tmp_path):
    rows = [document(n, LONG, title=title, section="第一章 / 第二条") for n, title in enumerate(["消防法", "消防条例", "消防法"])]

    kept, dropped = run(tmp_path, documents=rows)

    assert [row.title for row in kept["documents"]] == ["消防法", "消防条例"]
    assert dropped == [("documents", "duplicate", "2")]


def test_short_facts_that_look_alike_all_stay(tmp_path):
    rows = [fact(n, f"{place}林场", "限高", f"{n}0米") for n, place in enumerate("东西南北", 1)]

    kept, dropped = run(tmp_path, facts=rows)

    assert (kept["facts"], dropped) == (rows, [])


def test_contradicting_facts_go_and_completing_ones_are_merged(tmp_path):
    rows = [
        fact(1, "林场", "限高", "120米"),
        fact(2, "林场", "限高", "150米"),
        fact(3, "校园", "限高", "30米"),
        fact(4, "校园", "限高", "30 米"),
        fact(5, "云雀", "用途", "测绘", "巡检"),
        fact(6, "云雀", "用途", "巡检", "航拍"),
    ]

    kept, dropped = run(tmp_path, facts=rows)

    assert [(row.entity, row.values) for row in kept["facts"]] == [("校园", ["30米"]), ("云雀", ["测绘", "巡检", "航拍"])]
    assert [(reason, place) for _, reason, place in dropped] == [
        ("duplicate", "4"),
        ("conflicting_fact", "1"),
        ("conflicting_fact", "2"),
        ("merged_fact", "6"),
    ]


def test_a_text_with_two_labels_goes_and_one_with_two_answers_stays(tmp_path):
    labels = [label(1, "飞机落水。", "低"), label(2, "飞机落水", "高"), label(3, "桨叶裂纹。", "低")]
    dialogues = [dialogue(1, "能飞吗？", "不能。"), dialogue(2, "能飞吗？", "风大，不能。"), dialogue(3, "能飞吗", "不能")]

    kept, dropped = run(tmp_path, labels=labels, dialogues=dialogues)

    assert [row.place for row in kept["labels"]] == ["3"]
    assert [row.place for row in kept["dialogues"]] == ["1", "2"]
    assert {reason for _, reason, _ in dropped} == {"conflicting_label", "duplicate"}


def test_text_is_normalised_and_personal_data_masked_counted_and_stored_nowhere(tmp_path):
    rows = [document(1, "⺠⽤⻜机失联，请拨13800138000，或写信a@b.cn。", section="第⼀章"), document(2, "13800138000")]

    kept, _ = run(tmp_path, documents=rows)

    (row,) = kept["documents"]
    assert (row.section, row.text) == ("第一章", "民用飞机失联，请拨[手机号]，或写信[邮箱]。")
    ledger = json.loads((tmp_path / "out/ledger.json").read_text(encoding="utf-8"))
    assert ledger["total"]["changed"] == {"masked email": 1, "masked mobile": 2, "normalised rows": 2}
    assert "13800138000" not in "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*.json*"))


def test_traditional_characters_become_simplified_where_that_is_asked_for(tmp_path):
    rows = [document(1, "無人機不得起飛。"), document(2, "The 無人機 stays on the ground, they say.", language="en")]
    write_tables(tmp_path / "in", {"documents": rows})

    for asked in (False, True):
        clean.run(PARAMS.model_copy(update={"simplified": asked}), tmp_path / "in", WORDS, tmp_path / "x", tmp_path / str(asked))

    assert [row.text for row in read_tables(tmp_path / "False/tables")["documents"]] == [row.text for row in rows]
    assert [row.text for row in read_tables(tmp_path / "True/tables")["documents"]] == ["无人机不得起飞。", rows[1].text]


def test_rows_in_many_batches_are_settled_as_in_one(tmp_path, monkeypatch):
    """Duplicates, facts and labels that contradict each other across batches; several batches are worked on in processes."""
    tables = {
        "documents": [document(n, f"{LONG}{n % 7 * 400}") for n in range(30)],
        "facts": [fact(n, f"{'东西南'[n % 3]}林场", f"限高{n % 5}", f"{n % 4}米", *(["高"] if n == 29 else [])) for n in range(30)],
        "labels": [label(n, f"飞机落水{n % 11}。", "低高"[n == 29]) for n in range(30)],
    }
    whole = run(tmp_path / "whole", **tables)
    ledger = (tmp_path / "whole/out/ledger.json").read_text(encoding="utf-8")
    assert {reason for _, reason, _ in whole[1]} == {
        "duplicate", "near_duplicate", "conflicting_fact", "merged_fact", "conflicting_label",
    }  # fmt: skip

    monkeypatch.setattr(files, "BATCH", 8)
    pieces = run(tmp_path / "pieces", **tables)

    assert pieces == whole
    assert (tmp_path / "pieces/out/ledger.json").read_text(encoding="utf-8") == ledger
    assert sorted(path.name for path in (tmp_path / "pieces/out").iterdir()) == ["dropped.jsonl", "ledger.json", "rules.json", "tables"]


def test_the_ledger_adds_up_by_file(tmp_path):
    run(tmp_path, documents=[document(1, LONG), document(2, LONG), document(1, "短。", source="b.md")])

    entries = json.loads((tmp_path / "out/ledger.json").read_text(encoding="utf-8"))["entries"]
    assert [(entry["source"], entry["in"], entry["out"], entry["dropped"]) for entry in entries] == [
        ("a.md", 2, 1, {"duplicate": 1}),
        ("b.md", 1, 0, {"too_short": 1}),
    ]


def test_keeping_nothing_names_the_reasons(tmp_path):
    with pytest.raises(StageError, match=r"no row of .* \{'too_short': 1\}.* section clean"):
        run(tmp_path, documents=[document(1, "短。")])


def test_rows_go_by_the_lists_of_words_as_people_edit_them(tmp_path):
    lists = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    tables = {"dialogues": [dialogue(1, "能飞吗？", "小慧不能回答。"), dialogue(2, "飞多高？", "抱歉，我无法回答。")]}
    write_tables(tmp_path / "in", tables)
    edited = tmp_path / "words.yaml"
    edited.write_text(yaml.safe_dump(lists | {"other_model": {"words": ["小慧"]}, "refusal": {}}, allow_unicode=True), encoding="utf-8")

    clean.run(PARAMS, tmp_path / "in", edited, tmp_path / "x", tmp_path / "out")

    assert [row["reason"] for row in read_jsonl(tmp_path / "out/dropped.jsonl")] == ["boilerplate"]

    edited.write_text("nothing: {}", encoding="utf-8")
    with pytest.raises(StageError, match=r"words\.yaml has no list missing, placeholder, garbled.* missing: \{\}"):
        clean.run(PARAMS, tmp_path / "in", edited, tmp_path / "x", tmp_path / "out")


def test_an_unknown_kind_of_personal_data_is_an_error():
    with pytest.raises(ValidationError, match=r"mobil.*email"):
        clean.Params(**VALUES, mask=["mobil"])


def test_the_guide_names_every_reason_and_no_other():
    root = Path(__file__).parent.parent
    modules = ["lingyu/clean/quality.py", "lingyu/clean/duplicates.py", "stages/clean.py"]
    code = "".join((root / module).read_text(encoding="utf-8") for module in modules)
    guide = (root / "docs/cleaning.md").read_text(encoding="utf-8")
    table = guide[guide.index("# What is cleaned away") : guide.index("Rows are worked on in batches")]
    first = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))

    assert set(re.findall(r"`(\w+)`", first)) == set(re.findall(r'(?:yield|Verdict\()\s*"(\w+)"', code)) != set()
