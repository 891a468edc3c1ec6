"""Which wrong answers hurt most, and what the report says of each test item."""

from pathlib import Path

from predictions import prediction
from rows import document, fact
from test_evaluate import question

from lingyu.files import write_tables
from lingyu.select import evidence


def row(asked, reply, right, **fields):
    return prediction(asked.task, id=asked.id, answer=asked.answer, reply=reply, exact=right, **fields)


def shown(questions, mine, other=None, passages=None):
    asked = {"mine": mine} | ({"other": other} if other else {})
    return evidence.items(questions, asked, "mine", passages or {})


def test_an_item_is_right_fixed_wrong_or_broken_beside_the_others():
    questions = [question(asked=str(i)) for i in range(4)]
    mine = [row(one, "x", right) for one, right in zip(questions, (1, 1, 0, 0), strict=True)]
    other = [row(one, "x", right) for one, right in zip(questions, (1, 0, 0, 1), strict=True)]

    found = shown(questions, mine, other)

    assert [item.outcome for item in found] == ["right", "fixed", "wrong", "broken"]
    assert found[3].lost_to == ["other"]
    assert [item.outcome for item in shown(questions, mine)] == ["right", "right", "wrong", "wrong"]


def test_an_item_with_a_rubric_has_points_and_is_neither_right_nor_wrong():
    quiz = [question("rubric_quiz", asked=str(i), answer="提到风险得 2 分") for i in range(2)]
    mine, other = [prediction("rubric_quiz", reply="x", judged_rubric=2.0), prediction("rubric_quiz", reply="y")], row(quiz[0], "z", 1)

    found = shown(quiz, mine, [other, prediction("rubric_quiz", reply="", judged_rubric=1.0)])

    assert [item.outcome for item in found] == ["scored", "scored"]
    assert [(item.points("mine"), item.points("other")) for item in found] == [(2.0, None), (None, 1.0)]
    assert evidence.worst(found, 10) == []


def test_the_worst_answers_state_another_value_or_an_article_that_is_not_there():
    plain, another, taught = question(asked="1"), question(asked="2", wrong=["白色"]), question(asked="3", known="taught")
    cited = question("cite", "4", "第五条", ["第六条"])
    questions = [plain, another, taught, cited]
    mine = [row(plain, "不知道", 0), row(another, "颜色是白色", 0), row(taught, "绿", 0), row(cited, "第九十条", 0, invented=1)]

    found = evidence.worst(shown(questions, mine), 10)

    assert [item.question.messages[-1].content for item in found] == ["4", "2", "3", "1"]
    assert [list(item.hurts) for item in found] == [["harm invented"], ["harm another"], ["harm taught"], []]


def test_the_worst_are_not_all_of_one_task():
    questions = [question(asked=f"{i}", known="taught") for i in range(20)] + [question("reason", "思考", "五")]
    mine = [row(one, "x", 0) for one in questions]

    found = evidence.worst(shown(questions, mine), 10)

    assert [item.question.task for item in found] == ["fact"] * 4 + ["reason"]


def test_the_passage_is_the_record_that_the_answer_rests_on(tmp_path: Path):
    manual = document(1, "起飞前检查桨叶。" * 100, title="手册", section="第一章")
    colour = fact(2, "云雀", "颜色", "红色")
    write_tables(tmp_path, {"documents": [manual], "facts": [colour]})
    questions = [question(asked="1", references=[manual.id]), question(asked="2", references=[colour.id, manual.id]), question(asked="3")]

    found = evidence.passages(tmp_path, questions)
    items = shown(questions, [row(one, "x", 0) for one in questions], passages=found)

    assert items[0].passage.startswith("手册 / 第一章\n起飞前检查桨叶。")
    assert len(items[0].passage) == evidence.LONGEST + 1
    assert [item.passage for item in items[1:]] == ["云雀 · 颜色: 红色", ""]


def test_only_the_last_paragraph_of_a_prompt_is_the_question():
    (item,) = shown([question("classify", "选类\n\n文本：甲\n类别：", "低")], [prediction("classify", exact=0, reply="高")])

    assert (item.asked, item.whole) == ("文本：甲\n类别：", "选类\n\n文本：甲\n类别：")
