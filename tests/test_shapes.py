"""The shapes of records, each on its smallest example, and the mapping of those that have none."""

import pytest

from lingyu.files import read_json, read_jsonl, write_jsonl
from lingyu.ingest.readers import Record
from lingyu.ingest.sections import Origin
from lingyu.ingest.shapes import Mapping, Misfit, rows_of
from stages import ingest

USER, REPLY = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}


def read(record, **mapping):
    shaped = rows_of(Record(record, "row 1"), Origin("qa/a.json", "MIT", "domain"), Mapping(**mapping))
    assert all((row.source, row.place, row.licence) == ("qa/a.json", "row 1", "MIT") for _, row in shaped.rows)
    assert len({row.id for _, row in shaped.rows}) == len(shaped.rows)
    return shaped


def contents(table, row):
    """What a row says, as short as a table of tests needs it."""
    return {
        "dialogues": lambda: [message.content for message in row.messages],
        "preferences": lambda: [*(message.content for message in row.messages), row.chosen, row.rejected],
        "facts": lambda: [row.entity, row.kind, row.relation, *row.values],
        "labels": lambda: [row.text, row.label],
        "exams": lambda: [row.question, *row.options, row.right],
        "documents": lambda: [row.title, row.text],
    }[table]()


@pytest.mark.parametrize(
    ("shape", "record", "expected"),
    [
        ("alpaca", {"instruction": "i", "input": "x", "output": "o", "history": [["p", "q"]]}, [["p", "q", "i\nx", "o"]]),
        ("alpaca", {"instruction": "i", "output": "o", "history": [USER, REPLY], "system": "s"}, [["s", "u", "a", "i", "o"]]),
        ("alpaca", {"指令": "i", "输入": "x", "输出": "o"}, [["i\nx", "o"]]),
        ("sharegpt", {"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]}, [["u", "a"]]),
        ("sharegpt", {"conversations": [{"from": "患者", "value": "u"}, {"from": "医生", "value": "a"}]}, [["u", "a"]]),
        ("openai", {"messages": [USER, REPLY, USER, REPLY]}, [["u", "a", "u", "a"]]),
        ("openai", {"messages": [USER, {**USER, "content": "v"}, REPLY]}, [["u\nv", "a"]]),
        ("openai", {"messages": [{**USER, "content": [{"type": "text", "text": "u"}]}, REPLY]}, [["u", "a"]]),
        ("question", {"Question": "q", "Complex_CoT": "t", "Response": "a"}, [["q", "a"]]),
        ("question", {"question": "q", "answer": ["a", "b", "a"]}, [["q", "a"], ["q", "b"]]),
        ("question", {"questions": [["q", "p"]], "answers": ["a"]}, [["q", "a"], ["p", "a"]]),
        ("question", {"question": "q", "answers": [{"text": "a"}, {"text": "b"}]}, [["q", "a"], ["q", "b"]]),
        ("question", {"prompt": "q", "completion": "a"}, [["q", "a"]]),
        ("sharegpt pair", {"conversations": [USER], "chosen": REPLY, "rejected": {"value": "r"}, "system": "s"}, [["s", "u", "a", "r"]]),
        (
            "pair",
            {"instruction": "i", "input": "x", "chosen": "c", "rejected": "r", "history": [["p", "q"]]},
            [["p", "q", "i\nx", "c", "r"]],
        ),
        ("pair", {"prompt": [USER], "chosen": [REPLY], "rejected": [{**REPLY, "content": "r"}]}, [["u", "a", "r"]]),
        ("whole pair", {"chosen": [USER, REPLY], "rejected": [USER, {**REPLY, "content": "r"}]}, [["u", "a", "r"]]),
        ("spo_list", {"spo_list": [{"subject": "e", "predicate": "r", "object": {"@value": "v"}}]}, [["e", "", "r", "v"]]),
        ("fact", {"实体": "e", "关系": "r", "values": ["v", "w", "v"]}, [["e", "", "r", "v", "w"]]),
        ("triple", {"头实体": "e", "关系": "r", "尾实体": "v"}, [["e", "", "r", "v"]]),
        (
            "entity",
            {"id": 7, "中心词": "e", "症状": ["v", "w"], "科室": "x", "病因": ""},
            [["e", "", "症状", "v", "w"], ["e", "", "科室", "x"]],
        ),
        ("exam", {"question": "q", "options": ["x", "y", "z"], "answer": "ac"}, [["q", "x", "y", "z", [0, 2]]]),
        ("exam", {"question": "q", "options": ["A. x", "B. y"], "answer": "B"}, [["q", "x", "y", [1]]]),
        ("exam", {"question": "q", "options": ["1", "2"], "answer": "2"}, [["q", "1", "2", [1]]]),
        ("exam", {"question": "q", "choices": ["x", "y"], "answer": 1}, [["q", "x", "y", [1]]]),
        ("exam", {"statement": "q", "option_list": {"A": "x", "B": "y"}, "answer": ["A", "B"]}, [["q", "x", "y", [0, 1]]]),
        ("exam", {"Question": "q", "Options": "A x y\nB z", "Answer": "A"}, [["q", "x y", "z", [0]]]),
        ("exam", {"题干": "q", "选项": "A．甲 B．乙 C．丙", "正确答案": "A、C"}, [["q", "甲", "乙", "丙", [0, 2]]]),
        ("exam in columns", {"题目": "q", "A": "x", "B": "y", "C": "z", "D": "", "答案": "BC"}, [["q", "x", "y", "z", [1, 2]]]),
        ("question", {"question": "哪些可以？\nA.甲\nB.乙\nC.丙", "answer": ["A.甲", "C.丙"]}, [["哪些可以？", "甲", "乙", "丙", [0, 2]]]),
        (
            "question",
            {"question": "哪些可以（ ）Ａ．甲Ｂ．乙Ｃ．丙\n第 2 页 共 8 页", "answer": "A、B"},
            [["哪些可以（ ）", "甲", "乙", "丙", [0, 1]]],
        ),
        ("question", {"question": "Which? (A) x (B) y (C) z", "answer": "A,C"}, [["Which?", "x", "y", "z", [0, 2]]]),
        ("question", {"question": "哪些？ A、甲 B、乙", "answer": "正确答案：AB"}, [["哪些？", "甲", "乙", [0, 1]]]),
        ("question", {"question": "哪些？ A、甲 B、乙", "answer": "甲、乙"}, [["哪些？", "甲", "乙", [0, 1]]]),
        ("question", {"question": "哪些？ A、甲 B、乙", "answer": "选 A，因为甲在前。"}, [["哪些？ A、甲 B、乙", "选 A，因为甲在前。"]]),
        ("question", {"question": "夜间可以起飞（ ）", "answer": "错"}, [["夜间可以起飞（ ）", "正确", "错误", [1]]]),
        ("question", {"question": "Is it safe?", "answer": True}, [["Is it safe?", "True", "False", [0]]]),
        ("question", {"question": "可以起飞吗？", "answer": "是"}, [["可以起飞吗？", "是"]]),
        ("exam", {"question": "q", "options": ["正确", "错误"], "answer": "√"}, [["q", "正确", "错误", [0]]]),
        ("exam", {"question": "飞前要查桨", "options": None, "answer": "√"}, [["飞前要查桨", "正确", "错误", [0]]]),
        ("item", {"题干": "飞前要查桨", "正确答案": "对"}, [["飞前要查桨", "正确", "错误", [0]]]),
        ("item", {"题干": "为什么查桨", "答案": "怕裂"}, [["为什么查桨", "怕裂"]]),
        ("alpaca", {"instruction": "哪个？\nA. x\nB. y", "input": "", "output": "B"}, [["哪个？", "x", "y", [1]]]),
        ("label", {"文本": "t", "标签": "l"}, [["t", "l"]]),
        ("text", {"标题": "n", "正文": "t"}, [["n", "t"]]),
    ],
)
def test_known_shapes_are_recognised(shape, record, expected):
    shaped = read(record)

    assert (shaped.shape, shaped.unread) == (shape, [])
    assert [contents(table, row) for table, row in shaped.rows] == expected


@pytest.mark.parametrize(
    ("mapping", "record", "expected"),
    [
        ({"columns": {"question": "来电", "answer": "答复"}}, {"来电": "q", "答复": "a"}, [["q", "a"]]),
        ({"columns": {"question": ["title", "ask"]}}, {"title": "t", "ask": "q", "answer": "a"}, [["t\nq", "a"]]),
        ({"columns": {"question": ["title", "ask"]}}, {"title": "q", "ask": "", "answer": "a"}, [["q", "a"]]),
        ({"columns": {"question": "x.q", "answer": "x.a"}}, {"x": {"q": "q", "a": "a"}}, [["q", "a"]]),
        ({"columns": {"entity": "机型"}, "leave": ["备注"]}, {"机型": "e", "限高": 120, "备注": "x"}, [["e", "", "限高", "120"]]),
        ({"columns": {"question": "in.0", "answer": "out.-1.text"}}, {"in": ["q"], "out": [{"text": "b"}, {"text": "a"}]}, [["q", "a"]]),
        ({"columns": {"label": "score"}, "bounds": {"label": {"low": 2, "high": None}}}, {"text": "t", "score": "2.5"}, [["t", "high"]]),
        ({"bounds": {"label": {"low": 2, "mid": 3, "high": 5}}}, {"text": "t", "label": 2}, [["t", "low"]]),
        ({"values": {"label": {0: "bearish", 1: "bullish"}}}, {"text": "t", "label": 1}, [["t", "bullish"]]),
        ({"shape": "question"}, {"instruction": "i", "output": ["a", "b"]}, [["i", "a"], ["i", "b"]]),
        ({"values": {"role": {"甲": "user"}}}, {"messages": [{"role": "甲", "content": "u"}, REPLY]}, [["u", "a"]]),
    ],
)  # fmt: skip
def test_others_are_mapped_by_a_few_lines(mapping, record, expected):
    assert [contents(table, row) for table, row in read(record, **mapping).rows] == expected


@pytest.mark.parametrize(
    ("mapping", "record", "message"),
    [
        ({}, {"question": "q", "时间": "t"}, "unknown_shape: .*question, 时间 .*question.*answer/.*ingest.sources, columns"),
        ({}, {}, "unknown_shape"),
        ({"shape": "label"}, {"text": "t"}, "unknown_shape: .*text.* label.*label/标签"),
        ({"columns": {"question": "x.p"}}, {"x": {"q": "q"}}, r"missing_column: no field x\.p"),
        ({"values": {"label": {"0": "n"}}}, {"text": "t", "label": 2}, "unmapped_value: label .*'2'.*ingest.sources, values.* 0"),
        ({"values": {"label": {"0": "n"}}}, {"text": "t"}, "missing_column: no field label"),
        ({"bounds": {"label": {"low": 2, "high": 5}}}, {"text": "t", "label": 6}, "unmapped_value: label is 6"),
        ({"bounds": {"label": {"low": 2, "high": 5}}}, {"text": "t", "label": "x"}, "unmapped_value: label is 'x'"),
        ({"columns": {"question": "in.3"}}, {"in": ["q"], "answer": "a"}, r"missing_column: no field in\.3"),
        ({}, {"messages": [USER]}, "incomplete: .* user$"),
        ({}, {"messages": [{"role": "tool", "content": "x"}]}, r"unknown_role: .*'tool'.* values\.role"),
        ({}, {"messages": [{**USER, "content": [{"type": "image_url"}]}, REPLY]}, "not_text: content .*image_url"),
        ({}, {"instruction": "i", "output": ["a", "b"]}, "ill_typed: output .*text.* list"),
        ({}, {"question": "q", "answer": "a", "history": "x"}, "ill_typed: history"),
        ({}, {"instruction": "i", "chosen": {"x": 1}, "rejected": "r"}, "incomplete: .*content, value"),
        ({}, {"chosen": "c", "rejected": "r"}, "incomplete: .*pair.*conversations, messages, prompt"),
        ({}, {"question": "q", "options": ["x", "y"], "answer": "D"}, "ill_typed: answer 'D' .*A, B"),
        ({}, {"question": "q", "options": ["x", "y"], "answer": True}, "ill_typed: answer True"),
        ({}, {"question": "q", "options": "x or y", "answer": "A"}, "ill_typed: .*options.*'x or y'"),
        ({}, {"question": "q", "options": [{"x": 1}], "answer": "A"}, "ill_typed: an option .*text.* dict"),
        ({}, {"spo_list": [["e", "r"]]}, r"ill_typed: not a triple in spo_list: \['e', 'r'\]"),
        ({}, {"中心词": "e", "症状": ""}, "incomplete: .*shape entity"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_why_and_what_to_do(mapping, record, message):
    with pytest.raises(Misfit, match=message):
        read(record, **mapping)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2024-05-06 10:00", "2024-05-06"),
        ("2024/5/6", "2024-05-06"),
        ("2024年5月6日", "2024-05-06"),
        (20240506, "2024-05-06"),
        (1714953600, "2024-05-06"),
        ("1714953600000", "2024-05-06"),
        ("May 6, 2024", "2024-05-06"),
        ("16/5/2024", "2024-05-16"),
        ("5/6/2024", ""),  # in May or in June
        ("3小时", ""),
        (None, ""),
    ],
)
def test_the_date_of_a_record_is_kept_in_its_place(value, day):
    shaped = rows_of(Record({"question": "q", "answer": "a", "日期": value}, "row 1"), Origin("a.csv", "MIT", "domain"), Mapping())

    assert shaped.rows[0][1].place == ("row 1" + (f", {day}" if day else ""))
    assert shaped.unread == ([] if day or value is None else ["日期"])


def test_bounds_that_do_not_rise_are_an_error():
    with pytest.raises(ValueError, match="rising order"):
        Mapping(bounds={"label": {"low": 3, "high": 2}})


def test_records_that_are_lists_take_the_names_given(tmp_path):
    write_jsonl(tmp_path / "data/a.jsonl", [["q", "a"], ["p", "b"], ["x"]])
    source = {"pattern": "*", "licence": "MIT", "scope": "domain", "names": ["question", "answer"]}

    ingest.run(params_of(source), tmp_path / "data", tmp_path / "out")

    ledger, rejected = ingest_outputs(tmp_path / "out")
    assert ledger["total"]["made"] == 2
    assert [row["reason"] for row in rejected] == ["ragged_row"]


def test_fields_of_which_nothing_was_made_are_named():
    assert read({"title": "t", "ask": "q", "answer": "a", "department": "d", "empty": ""}).unread == ["title", "department"]
    assert read({"title": "t", "ask": "q", "answer": "a"}, leave=["title"]).unread == []


def test_every_row_that_does_not_fit_is_rejected_with_its_place_and_counted(tmp_path):
    good = {"ask": "q", "answer": "a", "title": "t"}
    write_jsonl(tmp_path / "data/a.jsonl", [good, {"speed": 3}, good | {"answer": {"x": 1}}])

    ingest.run(params_of({"pattern": "*", "licence": "MIT", "scope": "domain"}), tmp_path / "data", tmp_path / "out")

    ledger, rejected = ingest_outputs(tmp_path / "out")
    assert [(row["source"], row["place"], row["reason"], row["row"]) for row in rejected] == [
        ("a.jsonl", "line 2", "unknown_shape", {"speed": 3}),
        ("a.jsonl", "line 3", "ill_typed", good | {"answer": {"x": 1}}),
    ]
    assert ledger["total"] == {
        "in": 2,
        "made": 1,
        "out": 1,
        "dropped": {"ill_typed": 1, "unknown_shape": 1},
        "changed": {"field title not used": 1},
    }


def test_a_table_without_a_head_takes_the_names_given(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/graph.tsv").write_text("高血压\t症状\t头痛\n高血压\t症状\t头晕\n", encoding="utf-8")
    source = {"pattern": "*", "licence": "MIT", "scope": "domain", "names": ["entity", "relation", "value"]}

    ingest.run(params_of(source), tmp_path / "data", tmp_path / "out")

    ledger, rejected = ingest_outputs(tmp_path / "out")
    assert rejected == []
    assert ledger["entries"][0]["made"] == {"triples": 1}


def test_a_shape_that_is_none_is_an_error_that_names_the_known():
    with pytest.raises(ValueError, match=r"shape\n.*one of sharegpt pair, pair"):
        ingest.Source(pattern="*", licence="MIT", scope="domain", shape="alpacca")


def params_of(source):
    return ingest.Params.model_validate({"max_rejected": 0, "sources": [source]})


def ingest_outputs(out):
    return read_json(out / "ledger.json"), list(read_jsonl(out / "rejected.jsonl"))
