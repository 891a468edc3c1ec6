"""Conversations however they are written down: in one text, by turns, about a passage, as a thread; and turns that are not to be learnt."""

import json

import pytest
from test_shapes import contents, ingest_outputs, params_of, read

from lingyu.files import read_table, write_jsonl
from lingyu.ingest.readers import Record
from lingyu.ingest.sections import Origin
from lingyu.ingest.shapes import Mapping, Misfit, gathered, rows_of
from lingyu.ingest.shapes.speakers import turns_in
from lingyu.records import Dialogue
from stages import ingest

PASSAGE = "本站的无人机夜间起飞之前，应当由两名值班员检查航灯，并在记录簿上签名。"
U, A = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}


def turns(record, **mapping):
    return [
        [(message.role[0], message.content) for message in row.messages]
        for _, row in read(record, **mapping).rows
        if hasattr(row, "messages")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "客户：桨叶裂了\n客服：请停飞\n客户：能粘吗\n客服：不能",
        "客户：桨叶裂了\\n客服：请停飞\\n客户：能粘吗\\n客服：不能",
        "<user>: 桨叶裂了 <bot>: 请停飞 <user>: 能粘吗 <bot>: 不能",
        "<|user|>\n桨叶裂了<|assistant|>\n请停飞<|user|>\n能粘吗<|assistant|>\n不能",
        "[客户] 桨叶裂了\n[客服] 请停飞\n[客户] 能粘吗\n[客服] 不能",
        "【患者】：桨叶裂了【医生】：请停飞【患者】：能粘吗【医生】：不能",
        "### Human: 桨叶裂了### Assistant: 请停飞### Human: 能粘吗### Assistant: 不能",
        "<s>[INST] 桨叶裂了 [/INST] 请停飞 </s><s>[INST] 能粘吗 [/INST] 不能 </s>",
        "<|im_start|>user\n桨叶裂了<|im_end|>\n<|im_start|>assistant\n请停飞<|im_end|>\n<|im_start|>user\n能粘吗<|im_end|>\n"
        "<|im_start|>assistant\n不能<|im_end|>",
        "[Round 1]\n问：桨叶裂了\n答：请停飞\n[Round 2]\n问：能粘吗\n答：不能",
        "Q: 桨叶裂了\nA: 请停飞\nQ: 能粘吗\nA: 不能",
        "2024-03-01 10:20:11 客户：桨叶裂了\n2024-03-01 10:21:02 客服：请停飞\n客户 10:22:40：能粘吗\n客服 10:23：不能",
        "**User:** 桨叶裂了\n**Assistant:** 请停飞\n**User:** 能粘吗\n**Assistant:** 不能",
    ],
)
def test_a_conversation_in_one_text_becomes_its_turns(text):
    expected = [("u", "桨叶裂了"), ("a", "请停飞"), ("u", "能粘吗"), ("a", "不能")]

    for field in ("text", "conversation", "对话"):
        assert turns({field: text}) == [expected]
    assert turns({"instruction": text.rpartition("不能")[0], "output": "不能"}) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "问卷：共十题，请逐题作答。",
        "患者：女，三十五岁，头痛三天。",
        "时间：上午十点\n地点：机库",
        "请续写：\n甲：你好\n乙：你好",
        "Question: What is AI: a threat?",
        "A: 机库\nB: 机场",
        "总结这段对话。\n客户：桨叶裂了\n客服：请停飞",
        "答记者问：今天开会。",
    ],
)
def test_a_text_with_colons_is_no_conversation_for_that(text):
    found = turns_in(text)
    assert {turn.role for turn in found} != {"user", "assistant"}
    assert turns({"question": text, "answer": "好"})[0][-1] == ("a", "好")
    assert len(turns({"question": text, "answer": "好"})[0]) == 2


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"question": "问题：航灯坏了怎么办？\n回答：", "answer": "换灯。"}, [("u", "航灯坏了怎么办？"), ("a", "换灯。")]),
        ({"question": "Q: 航灯坏了？\nA:", "answer": "A: 换灯。"}, [("u", "航灯坏了？"), ("a", "换灯。")]),
        ({"instruction": "病人：嗯\n医生：", "output": "您好。"}, [("u", "嗯"), ("a", "您好。")]),
        ({"question": "第一行\\n第二行", "answer": "好。\\n再见。"}, [("u", "第一行\n第二行"), ("a", "好。\n再见。")]),
        ({"question": "print('a\\n')", "answer": "$\\nabla$"}, [("u", "print('a\\n')"), ("a", "$\\nabla$")]),
    ],
)
def test_the_wrapper_of_a_question_is_taken_off_and_what_may_be_code_stays(record, expected):
    assert turns(record) == [expected]


@pytest.mark.parametrize(
    "conversation",
    [
        {"dialog": ["q", "a", "p", "b"]},
        {"data": ["q", "a", "p", "b"]},
        {"conversation": [{"human": "q", "assistant": "a"}, {"human": "p", "assistant": "b"}]},
        {"chat": {"turn_1": {"Human": "q", "MOSS": "a"}, "turn_2": {"Human": "p", "MOSS": "b"}}},
        {
            "turns": [
                {"speaker": "顾客", "text": "q"},
                {"speaker": "坐席2", "text": "a"},
                {"speaker": "顾客", "text": "p"},
                {"speaker": "坐席2", "text": "b"},
            ]
        },
        {"conversations": [["q", "a"], ["p", "b"]]},
        {"conversations": [{"question": "q", "answers": ["a"]}, {"question": "p", "answers": [{"text": "b"}]}]},
        {
            "messages": "[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}\n {'role': 'user', 'content': 'p'}\n"
            " {'role': 'assistant', 'content': 'b'}]"
        },
        {
            "conversations": '[{"from":"human","value":"q"},{"from":"gpt","value":"a"},'
            '{"from":"human","value":"p"},{"from":"gpt","value":"b"}]',
            "chosen": None,
        },
        {
            "messages": [
                {"role": "assistant", "content": "您好"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "a"},
                {"role": "user", "content": "p"},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "谢谢"},
            ]
        },
    ],
)
def test_the_forms_of_a_list_of_turns_are_read_alike(conversation):
    assert turns(conversation) == [[("u", "q"), ("a", "a"), ("u", "p"), ("a", "b")]]


@pytest.mark.parametrize("off", [{"loss": False}, {"weight": 0}, {"train": "false"}, {"trainable": 0}])
def test_a_reply_that_is_not_to_be_learnt_is_marked_and_counted(off):
    shaped = read({"messages": [U, A | off, {**U, "content": "v"}, {**A, "content": "b", "loss": True, "weight": 1}]})

    ((_, row),) = shaped.rows
    assert [message.learnt for message in row.messages] == [True, False, True, True]
    assert shaped.notes == {"turns not learnt": 1}
    with pytest.raises(Misfit, match="nothing_learnt"):
        read({"messages": [U, A | off]})


def test_what_comes_after_the_last_reply_to_learn_is_left_out():
    shaped = read({"messages": [U, A, U, A | {"loss": False}]})

    assert [message.content for message in shaped.rows[0][1].messages] == ["u", "a"]
    assert shaped.notes == {"turns after the last reply left out": 2, "turns not learnt": 1}


@pytest.mark.parametrize(
    ("record", "dialogues"),
    [
        (
            {
                "context": PASSAGE,
                "qas": [{"question": "q", "answers": [{"text": "a", "answer_start": 1}]}, {"question": "p", "answers": []}],
            },
            [["q", "a"]],
        ),
        ({"passage": PASSAGE, "question": "q", "answers": {"text": ["a"], "answer_start": [3]}}, [["q", "a"]]),
        (
            {
                "title": "t",
                "paragraphs": [{"context": PASSAGE, "qas": [{"question": "q", "answers": ["a"]}, {"question": "p", "answers": ["b"]}]}],
            },
            [["q", "a"], ["p", "b"]],
        ),
        (
            {
                "story": PASSAGE,
                "questions": [{"input_text": "q"}, {"input_text": "p"}],
                "answers": [{"input_text": "a"}, {"input_text": "b"}],
            },
            [["q", "a", "p", "b"]],
        ),
        (
            {"context": PASSAGE, "conversation": [{"question": "q", "answer": "a"}, {"question": "p", "answer": "b"}]},
            [["q", "a", "p", "b"]],
        ),
    ],
)
def test_a_passage_is_a_document_that_its_questions_refer_to(record, dialogues):
    (_, passage), *rest = read(record).rows

    assert passage.text == PASSAGE
    assert [contents("dialogues", row) for _, row in rest] == dialogues
    assert {reference for _, row in rest for reference in row.references} == {passage.id}


def test_an_instruction_keeps_the_text_that_it_is_about():
    assert turns({"instruction": "缩写", "context": PASSAGE, "response": "查灯。"}) == [[("u", f"缩写\n{PASSAGE}"), ("a", "查灯。")]]


@pytest.mark.parametrize(
    ("thread", "expected"),
    [
        (
            {"title": "t", "content": "q", "replies": [{"author": "x", "content": "a"}, {"author": "y", "content": "b"}]},
            [["t\nq", "a"], ["t\nq", "b"]],
        ),
        ({"title": "t", "comments": ["a"]}, [["t", "a"]]),
        (
            {
                "post": "q",
                "author": "o",
                "replies": [{"author": "x", "body": "a"}, {"author": "o", "body": "p"}, {"author": "x", "body": "b"}],
            },
            [["q", "a", "p", "b"]],
        ),
        (
            {
                "post": "q",
                "author": "o",
                "replies": [
                    {"author": "x", "text": "a", "replies": [{"author": "o", "text": "p", "replies": [{"author": "x", "text": "b"}]}]}
                ],
            },
            [["q", "a", "p", "b"]],
        ),
    ],
)
def test_a_post_with_replies_is_a_dialogue_for_each_line_of_them(thread, expected):
    assert [contents("dialogues", row) for _, row in read(thread).rows] == expected


def from_rows(*records, **mapping):
    """Of one message a record: the dialogues, and the reasons of what is none."""
    dialogues, reasons = [], []
    for record, rest in gathered([Record(one, f"row {at}") for at, one in enumerate(records, 1)], Mapping(**mapping)):
        if isinstance(record, Record):
            shaped = rows_of(record, Origin("a.json", "MIT", "domain"), rest)
            dialogues += [(row.place, [(turn.role[0], turn.content) for turn in row.messages]) for _, row in shaped.rows]
        else:
            reasons.append((record.place, record.reason))
    return dialogues, reasons


def message_of(own, parent, role, text, **more):
    return {"message_id": own, "parent_id": parent, "role": role, "text": text, **more}


def test_messages_that_name_their_parent_are_a_dialogue_of_the_best_ranked_replies():
    dialogues, reasons = from_rows(
        message_of("d", "c", "prompter", "p"),
        message_of("a", None, "prompter", "q", message_tree_id="a"),
        message_of("b", "a", "assistant", "worse", rank=1.0),
        message_of("c", "a", "assistant", "better", rank=0.0),
        message_of("e", "d", "assistant", "z"),
        message_of("f", "d", "assistant", "gone", deleted=True),
        message_of("g", "b", "prompter", "under the worse"),
        message_of("h", "nowhere", "assistant", "lost"),
        message_of("i", "j", "prompter", "circle"),
        message_of("j", "i", "assistant", "circle"),
    )

    assert dialogues == [("row 2", [("u", "q"), ("a", "better"), ("u", "p"), ("a", "z")])]
    assert reasons == [("row 8", "no_parent"), ("row 9", "no_parent"), ("row 10", "no_parent")]


def test_replies_without_a_rank_are_a_dialogue_each():
    tree = {"role": "user", "content": "q", "children": [A, {**A, "content": "b", "children": [U, {**U, "content": "v", "children": [A]}]}]}

    assert [contents("dialogues", row) for _, row in read(tree).rows] == [["q", "a"], ["q", "b"], ["q", "b", "v", "a"]]


def test_a_tree_within_a_record_is_read_and_what_is_left_out_is_counted():
    replies = [{"text": f"a{rank}", "role": "assistant", "rank": rank, "replies": []} for rank in (2, 0, 1)]
    shaped = read(
        {"message_tree_id": "t", "tree_state": "ready_for_export", "prompt": {"text": "q", "role": "prompter", "replies": replies}}
    )

    assert [contents("dialogues", row) for _, row in shaped.rows] == [["q", "a0"]]
    assert shaped.notes == {"replies of a lower rank left out": 2}
    assert shaped.unread == []


@pytest.mark.parametrize("ids", [(1, 2, 3, 4), (1.0, 2.0, 3.0, 4.0), ("1", "2", "3", "4")])
def test_messages_with_authors_and_parents_are_a_thread(ids):
    one, two, three, four = ids
    rows = [
        {"id": one, "parent_id": None, "author": "x", "text": "q"},
        {"id": two, "parent_id": one, "author": "y", "text": "a"},
        {"id": three, "parent_id": two, "author": "x", "text": "p"},
        {"id": four, "parent_id": three, "author": "y", "text": "b"},
        {"id": "9", "parent_id": float("nan"), "author": "z", "text": "nobody answers"},
    ]

    assert from_rows(*rows) == ([("row 1", [("u", "q"), ("a", "a"), ("u", "p"), ("a", "b")])], [("row 5", "incomplete")])


def test_messages_of_one_conversation_in_rows_of_their_own_are_one_dialogue():
    rows = [
        {"session_id": 1, "seq": 2, "from": "客服", "content": "a"},
        {"session_id": 2, "seq": 1, "from": "客户", "content": "p"},
        {"session_id": 1, "seq": 1, "from": "客户", "content": "q"},
        {"session_id": 2, "seq": 2, "from": "客服", "content": "b"},
    ]

    assert from_rows(*rows)[0] == [("row 1", [("u", "q"), ("a", "a")]), ("row 2", [("u", "p"), ("a", "b")])]
    mapped = [
        {"通话": row["session_id"], "谁": {"客户": "甲", "客服": "乙"}[row["from"]], "内容": row["content"]}
        for row in (rows[2], rows[0], rows[1], rows[3])
    ]
    columns = {"session_id": "通话", "role": "谁"}
    assert len(from_rows(*mapped, columns=columns, values={"role": {"甲": "user", "乙": "assistant"}})[0]) == 2


def test_a_text_that_names_a_parent_and_no_speaker_stays_a_text():
    ((_, row),) = read({"id": 2, "parent_id": 1, "title": "t", "text": PASSAGE}).rows

    assert row.text == PASSAGE
    assert from_rows({"id": 2, "parent_id": 1, "question": "q", "answer": "a"})[0] == [("row 1", [("u", "q"), ("a", "a")])]


def test_an_export_of_chatgpt_is_read_to_the_message_that_was_shown_last():
    def node_of(role, *parts, kind="text"):
        return {"author": {"role": role}, "content": {"content_type": kind, "parts": list(parts)}, "weight": 1.0}

    nodes = {
        "0": {"message": None, "parent": None, "children": ["s"]},
        "s": {"message": node_of("system", ""), "parent": "0", "children": ["1"]},
        "1": {"message": node_of("user", "q"), "parent": "s", "children": ["2", "3"]},
        "2": {"message": node_of("assistant", "old"), "parent": "1", "children": []},
        "3": {"message": node_of("assistant", "new"), "parent": "1", "children": []},
    }
    shaped = read({"title": "t", "mapping": nodes, "current_node": "3"})

    assert [contents("dialogues", row) for _, row in shaped.rows] == [["q", "new"]]
    assert shaped.notes == {"messages of other branches left out": 1}
    nodes["1"]["message"] = node_of("user", {"asset_pointer": "x"}, kind="multimodal_text")
    with pytest.raises(Misfit, match="ill_typed"):
        read({"mapping": nodes, "current_node": "3"})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"messages": [U, {"role": "tool", "content": "9"}, A]}, "unknown_role: unknown role 'tool'"),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{}"}]}, "unknown role 'function_call'"),
        (
            {"messages": [{**U, "content": [{"type": "text", "text": "q"}, {"type": "image_url", "image_url": "x"}]}, A]},
            "not_text.*image_url",
        ),
        ({"messages": [{**U, "content": "<image>What is it?"}, A], "images": ["a.jpg"]}, "not_text.*images"),
    ],
)
def test_tools_and_pictures_in_a_conversation_are_rejected_by_name(record, reason):
    with pytest.raises(Misfit, match=reason):
        read(record)


def test_a_list_of_trees_is_no_conversation_of_their_roots(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.json").write_text(json.dumps([{**U, "children": [A]}, {**U, "content": "p", "children": [A]}]))
    write_jsonl(
        tmp_path / "data/b.jsonl", [message_of("a", None, "prompter", "q"), message_of("b", "a", "assistant", "z"), {"text": PASSAGE}]
    )

    ingest.run(params_of({"pattern": "*", "licence": "MIT", "scope": "domain"}), tmp_path / "data", tmp_path / "out")

    assert [contents("dialogues", row) for row in read_table(tmp_path / "out/tables/dialogues.parquet", Dialogue)] == [
        ["u", "a"],
        ["p", "a"],
        ["q", "z"],
    ]
    assert ingest_outputs(tmp_path / "out")[0]["total"]["out"] == 4


def test_both_sides_of_a_pair_may_be_written_in_one_text():
    record = {"chosen": "\n\nHuman: how?\n\nAssistant: so.", "rejected": "\n\nHuman: how?\n\nAssistant: no."}

    assert [contents("preferences", row) for _, row in read(record).rows] == [["how?", "so.", "no."]]


def test_lists_of_messages_are_conversations_and_what_was_changed_is_in_the_ledger(tmp_path):
    talk = [U, A | {"loss": False}, U, A]
    write_jsonl(tmp_path / "data/lines.jsonl", [talk, talk])
    (tmp_path / "data/whole.json").write_text(json.dumps([talk, talk]))

    ingest.run(params_of({"pattern": "*", "licence": "MIT", "scope": "domain"}), tmp_path / "data", tmp_path / "out")

    ledger, rejected = ingest_outputs(tmp_path / "out")
    assert rejected == []
    assert [len(row.messages) for row in read_table(tmp_path / "out/tables/dialogues.parquet", Dialogue)] == [4] * 4
    assert [entry["changed"] for entry in ledger["entries"]] == [{"turns not learnt": 2}] * 2


def test_a_file_of_records_may_say_more_of_itself(tmp_path):
    (tmp_path / "data").mkdir()
    rows = [{"question": "q", "answer": "a"}, {"question": "p", "answer": "b"}]
    (tmp_path / "data/a.json").write_text(json.dumps({"version": "1.1", "license": "MIT", "data": rows}))

    ingest.run(params_of({"pattern": "*", "licence": "MIT", "scope": "domain"}), tmp_path / "data", tmp_path / "out")

    assert ingest_outputs(tmp_path / "out")[0]["total"]["out"] == 2
