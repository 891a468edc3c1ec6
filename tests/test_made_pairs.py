"""Rejected replies where nobody brought pairs, and tasks that are named as the file named them."""

import pytest
from rows import dialogue, label

from lingyu.files import read_table
from lingyu.generate.llm.nvc import Asked
from lingyu.generate.plan import Params, stop_at_tasks
from lingyu.generate.rules import weak
from lingyu.generate.rules.corruption import other_answers
from lingyu.records import Label, is_task
from lingyu.stage import StageError
from stages import ingest

ROWS = [
    dialogue(1, "海燕四号的升限是多少？", "升限是90米。"),
    dialogue(2, "海燕四号的航程是多少？", "航程是30千米。"),
    dialogue(3, "海燕四号的升限是多少米？", "90 米。"),  # the first in other words: what answers it is right there, too
    dialogue(4, "夜间起飞要开灯吗？", "夜间不得关灯起飞。"),
    dialogue(5, "第六条说了什么？", "机库应当上锁。"),
    dialogue(6, "第七条说了什么？", "每周清点桨叶。"),
]


def rejected(way):
    return {row.messages[-1].content: row.rejected for row in other_answers(ROWS, way, seed=1)}


def test_the_rejected_reply_answers_the_most_similar_other_question():
    found = rejected("similar")

    assert found["海燕四号的升限是多少？"] == "航程是30千米。"
    assert found["第六条说了什么？"] == "每周清点桨叶。"
    assert found["第七条说了什么？"] == "机库应当上锁。"


def test_the_rejected_reply_may_be_the_answer_with_one_thing_wrong_in_it():
    found = rejected("corrupted")

    assert found["海燕四号的升限是多少？"] == "升限是30米。"
    assert found["夜间起飞要开灯吗？"] == "夜间可以关灯起飞。"


@pytest.mark.parametrize("way", ["similar", "corrupted", "any"])
def test_every_way_gives_each_answer_another_one_and_the_same_on_every_run(way):
    pairs = list(other_answers(ROWS, way, seed=1))

    assert len(pairs) == len(ROWS)
    assert all(pair.chosen != pair.rejected for pair in pairs)
    assert pairs == list(other_answers(ROWS, way, seed=1))
    assert list(other_answers(ROWS[:1], way, seed=1)) == []  # nothing to compare with, and nothing to deny


@pytest.mark.parametrize("values", [{"weak": [{"name": "s", "task": "desk"}]}, {"asked": {"nvc": {"records": 1, "tasks": ["desk"]}}}])
def test_a_task_is_found_by_the_name_that_the_file_gave(tmp_path, values):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.csv").write_text("text,label\n桨叶裂了,维修\n航灯不亮,电气\n", encoding="utf-8")
    source = {"pattern": "*", "licence": "MIT", "scope": "domain", "task": "desk"}
    ingest.run(ingest.Params.model_validate({"sources": [source]}), tmp_path / "data", tmp_path / "out")
    labels = list(read_table(tmp_path / "out/tables/labels.parquet", Label))

    stop_at_tasks(Params.model_validate(values), labels)

    assert {row.task for row in labels} == {"desk-zh"}
    assert all(is_task(row.task, "desk") and is_task(row.task, "desk-zh") for row in labels)
    assert all(weak.given_by_column([weak.Signal(name="s", task="desk")], row) for row in labels)
    assert not is_task("desk-zh-en", "desk")


@pytest.mark.parametrize(
    "values", [{"weak": [{"name": "s", "task": "desks"}]}, {"asked": {"nvc": {"records": 1, "tasks": ["desk", "desks"]}}}]
)
def test_a_task_that_no_label_has_is_an_error_that_names_those_there_are(values):
    with pytest.raises(StageError, match=r"(?s)'desks'.*desk-zh"):
        stop_at_tasks(Params.model_validate(values), [label(1, "x", "高", task="desk-zh")])


def test_tasks_of_a_method_that_is_off_are_not_looked_for():
    assert Asked().records == 0
    stop_at_tasks(Params(), [])
