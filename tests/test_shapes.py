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
        ({}, {"messages": [USER]}, "incomplete: .* user$"),
        ({}, {"messages": [{"role": "tool", "content": "x"}]}, r"unknown_role: .*'tool'.* values\.role"),
        ({}, {"messages": [{**USER, "content": [{"type": "image_url"}]}, REPLY]}, "ill_typed: content .*text.* list"),
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
