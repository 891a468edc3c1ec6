"""What counts as right, how sure a number is, and that each metric is what its name says."""

import math

import numpy as np
import pytest
from predictions import prediction
from scipy import stats

from lingyu import statistics as sure
from lingyu.evaluate import metrics, rules
from lingyu.evaluate.scorer import Prediction

LIMIT = "云雀一号的抗风等级是什么？"


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("云雀一号的抗风等级是六级。", "六级", True),
        ("六级", "六级", True),
        ("云雀一号的抗风等级是六级。", "云雀一号的抗风等级是六级。", True),
        ("六级。", "云雀一号的抗风等级是六级。", True),
        ("云雀一号的抗风等级是五级。", "六级", False),
        ("云雀一号的抗风等级是十六级。", "六级", False),
        ("六级或五级。", "六级", False),  # 五级 is among the wrong ones
        ("云雀一号的抗风等级不是六级。", "六级", False),
        ("并非六级。", "六级", False),
        ("六级，不受雨天影响。", "六级", True),  # the denial is of something else
        ("六级，最大风速13米每秒。", "六级", False),  # a number that nobody asked for or gave
        ("", "六级", False),
    ],
)
def test_a_reply_is_right_when_it_states_the_value_and_nothing_against_it(reply, answer, right):
    assert rules.states_answer(reply, answer, ["五级", "七级"], LIMIT) is right


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("可以在夜间飞行。", "不可以", False),
        ("不可以在夜间飞行。", "可以", False),
        ("不可以。", "不可以", True),
        ("It is not allowed.", "allowed", False),
        ("It isn't allowed.", "allowed", False),
        ("It is allowed.", "not allowed", False),
        ("Below 5 m.", "low", False),
        ("无人机可以飞行", "可以飞行", True),
        ("禁止飞行", "飞行", False),
    ],
)
def test_a_lost_or_added_negation_is_wrong(reply, answer, right):
    assert rules.states_answer(reply, answer) is right


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("It is 20 m/s.", "20m/s", True),
        ("It is 120 m/s.", "20 m/s", False),
        ("It is 20.5 m/s.", "20 m/s", False),
        ("It is -20 °C.", "20 °C", False),
        ("1,500 m", "1500 m", True),
        ("１５００米", "1500米", True),
        ("二十米", "十米", False),
        ("5 km and 10 km", "10 km and 5 km", True),
        ("5 km", "10 km and 5 km", False),
        ("红色、白色", "白色、红色", True),
        ("The LQ-20 has 4 h.", "4 h", False),  # the question names no LQ-20
    ],
)
def test_numbers_are_compared_whole(reply, answer, right):
    assert rules.states_answer(reply, answer) is right


def test_a_wrong_value_that_holds_the_right_one_is_wrong():
    assert not rules.states_answer("红色和白色条纹", "红色", ["红色和白色条纹"])


def test_what_the_question_names_may_be_repeated():
    assert rules.states_answer("LQ-20 的续航是4小时。", "4小时", ["20"], "LQ-20 的续航是多少？")


@pytest.mark.parametrize(
    ("answer", "question", "value"),
    [
        ("云雀一号的抗风等级是六级", LIMIT, "六级"),
        ("云雀的是否需要登记是需要", "云雀的是否需要登记？", "需要"),
        ("云雀的处置原则是先报告是关键", "云雀的处置原则是什么？", "先报告是关键"),
        ("the wind limit of lark a1 is 10m/s", "what is the wind limit of lark a1?", "10m/s"),
        ("height is 5m", "what is the weight?", "height is 5m"),
        ("是", "可以吗？", "是"),
    ],
)
def test_the_value_is_what_follows_the_words_of_the_question(answer, question, value):
    assert rules.value_of(answer, question) == value


@pytest.mark.parametrize(
    ("reply", "label"),
    [("低风险", "低风险"), (" 低风险。\n", "低风险"), ("Low", "low"), ("属于低风险", None), ("低风险 一般风险", None), ("", None)],
)
def test_a_label_is_taken_only_when_it_is_the_whole_reply(reply, label):
    assert rules.chosen_label(reply, ["低风险", "一般风险", "low"]) == label


@pytest.mark.parametrize(
    ("reply", "conforms"),
    [
        ("<think>\n想一想\n</think>\n\n答案", True),
        ("<think>\n\n</think>\n\n答案", False),
        ("<think>想</think>", False),
        ("想</think>答案", False),
        ("<think>想</think>答<think>又想</think>案", False),
        ("<think>想</think></think>答案", False),
        ("先说<think>想</think>答案", False),
        ("答案", False),
    ],
)
def test_thinking_comes_once_and_then_an_answer(reply, conforms):
    assert rules.thought_and_answered(reply) is conforms


@pytest.mark.parametrize(
    ("reply", "asked", "number", "right"),
    [
        ("根据《消防法》第五条：任何单位", "《消防法》第5条规定了什么？", None, True),
        ("根据《中华人民共和国消防法》第五条：任何单位", "《消防法》第五条规定了什么？", None, True),
        ("根据《消防法》第六条：任何单位", "《消防法》第五条规定了什么？", None, False),
        ("根据《道路交通安全法》第五条", "《消防法》第五条规定了什么？", None, False),
        ("任何单位和个人", "《消防法》第五条规定了什么？", None, False),
        ("出自《消防法》第十二条之一。", "《消防法》哪一条？", "第十二条之一", True),
        ("出自《消防法》第十二条。", "《消防法》哪一条？", "第十二条之一", False),
        ("第五条或第六条", "《消防法》哪一条？", "第五条", False),
        ("出自《治安法》第五条。", "《消防法》哪一条？", "第五条", False),
        ("It is in the Act, Section 12a.", "Which provision of the Act?", "Section 12a", True),
        ("It is in the Act, Section 12.", "Which provision of the Act?", "Section 12a", False),
        ("任何单位", "谁有义务？", None, None),
    ],
)
def test_a_citation_is_right_in_title_and_number(reply, asked, number, right):
    assert rules.cites(reply, asked, number) is right


def test_the_body_of_a_recalled_article_is_what_follows_the_citation():
    assert rules.body_of("根据《消防法》第五条：任何单位：都有义务") == "任何单位：都有义务"
    assert rules.body_of("任何单位：都有义务") == "任何单位：都有义务"


@pytest.mark.parametrize(
    ("reply", "answer", "score"),
    [("六级", "六级。", 1), ("五级", "六级", 0.5), ("", "六级", 0), ("wind limit", "limit", 2 / 3), ("25 m", "20 m", 0.5)],
)
def test_character_f1(reply, answer, score):
    assert rules.character_f1(reply, answer) == pytest.approx(score)


def test_chrf_is_between_nothing_and_one():
    assert (rules.chrf("六级", "六级"), rules.chrf("abc", "六级")) == (1, 0)


@pytest.mark.parametrize(("right", "asked"), [(0, 10), (3, 10), (10, 10), (41, 50)])
def test_the_interval_of_a_share_is_wilsons(right, asked):
    items = np.array([1.0] * right + [0.0] * (asked - right))

    low, high = sure.wilson(items, np.ones(asked))

    expected = stats.binomtest(right, asked).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_questions_on_one_fact_are_fewer_witnesses_than_as_many_facts():
    alone = sure.wilson(np.array([4.0, 0] * 10), np.full(20, 4.0))
    apart = sure.wilson(np.array([1.0, 0] * 40), np.ones(80))

    assert alone[1] - alone[0] > 1.8 * (apart[1] - apart[0])


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (0, 6), (5, 1), (9, 9), (12, 3), (3, 12)])
def test_mcnemar_is_the_exact_binomial_test_when_each_item_stands_alone(better, worse):
    before = np.array([0.0] * better + [1.0] * worse + [1, 1, 0])
    after = np.array([1.0] * better + [0.0] * worse + [1, 1, 0])

    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1
    assert sure.mcnemar(before, after) == pytest.approx(expected)


def test_the_interval_of_a_paired_difference_is_bonetts_and_prices():
    better, worse, total = 12, 3, 60
    before = np.array([0.0] * better + [1.0] * worse + [1.0] * (total - better - worse))
    after = np.array([1.0] * better + [0.0] * worse + [1.0] * (total - better - worse))

    low, high = sure.paired_share(before, after, np.ones(total))

    up, down = (better + 1) / (total + 2), (worse + 1) / (total + 2)
    half = 1.959964 * math.sqrt((up + down - (up - down) ** 2) / (total + 2))
    assert (low, high) == pytest.approx((up - down - half, up - down + half))


def test_the_swap_test_sees_a_difference_and_does_not_see_none():
    lower, noise = np.ones(40), np.random.default_rng(0).normal(size=40)

    assert sure.swap_test(noise, lower, noise + 1, lower, 500, 0) < 0.01
    assert sure.swap_test(noise, lower, noise[::-1], lower, 500, 0) == 1


def test_holms_correction():
    raised = sure.holm({"a": 0.01, "b": 0.04, "c": 0.03})

    assert raised == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


def row(task="fact", **fields) -> Prediction:
    return prediction(task, **{"group": str(id(fields)), **fields})


def labelled(*pairs):
    return [row("classify", id=str(i), group=str(i), answer=a, label=b, options=["x", "y"], exact=a == b) for i, (a, b) in enumerate(pairs)]


def test_a_metric_without_items_is_left_out():
    assert metrics.measured([], resamples=10, seed=0) == {}


def test_each_metric_takes_its_own_items():
    rows = [
        row(known="taught", exact=True, char_f1=1.0, chrf=0.5, reward=2.0),
        row(known="documents", exact=False, char_f1=0.0, chrf=0.5, reward=1.0),
        row("domain", bits=30, bytes=10),
        row("domain", bits=10, bytes=10),
        row("reason", exact=True, format=False),
        row("exam", exact=True, char_f1=1.0),
    ]

    found = {name: (measure["value"], measure["count"]) for name, measure in metrics.measured(rows, 10, 0).items()}

    assert found == {
        "fact_exact": (0.5, 2),
        "fact_exact_taught": (1, 1),
        "fact_exact_documents": (0, 1),
        "fact_char_f1": (0.5, 2),
        "fact_chrf": (0.5, 2),
        "reason_exact": (1, 1),
        "reason_format": (0, 1),
        "reward_mean": (1.5, 2),
        "domain_bits_per_byte": (2, 2),
        "exam_exact": (1, 1),
        "exam_char_f1": (1, 1),
    }


def test_invalid_labels_count_as_wrong_and_stand_in_the_confusion():
    rows = labelled(("x", "x"), ("x", "x"), ("x", "invalid"), ("y", "x"))

    found = metrics.measured(rows, 10, 0)

    assert found["classify_accuracy"]["value"] == 0.5
    assert found["classify_macro_f1"]["value"] == pytest.approx((2 * 2 / 6 + 0) / 2, abs=1e-6)
    assert found["classify_weighted_f1"]["value"] == pytest.approx(2 * 2 / 6 * 3 / 4, abs=1e-6)
    assert metrics.confusion_rows(rows) == [
        ("x", "x", 2),
        ("x", "y", 0),
        ("x", "invalid", 1),
        ("y", "x", 1),
        ("y", "y", 0),
        ("y", "invalid", 0),
    ]


def test_intervals_hold_the_value():
    rows = [row(id=str(i), group=str(i), known="taught", exact=i % 3 > 0, char_f1=i % 5 / 4, chrf=0.3, reward=float(i)) for i in range(60)]
    rows += labelled(*[("x", "x"), ("y", "x"), ("y", "y")] * 10)

    found = metrics.measured(rows, 200, 0)

    assert len(found) == 8
    assert all(measure["low"] <= measure["value"] <= measure["high"] for measure in found.values())


def test_a_change_has_the_difference_of_the_two_values_and_a_chance():
    before = labelled(*[("x", "y")] * 20, *[("y", "y")] * 5)
    after = labelled(*[("x", "x")] * 20, *[("y", "y")] * 5)

    change = metrics.change(metrics.BY_NAME["classify_accuracy"], before, after, 200, 0)

    assert (change["before_value"], change["after_value"], change["difference"], change["count"]) == (0.2, 1.0, 0.8, 25)
    assert 0 < change["low"] < 0.8 <= change["high"]
    assert change["chance"] < 0.001


@pytest.mark.parametrize("name", ["classify_accuracy", "classify_macro_f1", "fact_char_f1"])
def test_nothing_changed_has_chance_one(name):
    rows = [*labelled(("x", "y"), ("y", "y"), ("x", "x")), *(row(id=str(i), group=str(i), char_f1=0.5) for i in range(3))]

    change = metrics.change(metrics.BY_NAME[name], rows, rows, 50, 0)

    assert (change["difference"], change["chance"]) == (0, 1)
