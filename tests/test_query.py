"""What a follow-up leaves to the turns before it, and what is searched for instead."""

import pytest

from lingyu.retrieve.query import leans, standalone

NAMES = frozenset({"苍鹰五号", "翠鸟十号", "Lark X3"})


@pytest.mark.parametrize(
    ("question", "does"),
    [
        ("那它的最大起飞重量呢？", True),
        ("要提前多久申请它？", True),
        ("违反了会怎样？", True),
        ("那热气球呢？", True),
        ("And at night?", True),
        ("What is its wind limit?", True),
        ("苍鹰五号的最长续航是多少？", False),
        ("我的车挡住了消防车的路，他们能直接撞开挪走吗？", False),
        ("Can I leave my e-bike in the corridor of my block to charge it?", False),
        ("实名登记要带其他材料去哪里办？", False),
    ],
)
def test_a_question_leans_on_the_one_before(question, does):
    assert leans(question) == does


@pytest.mark.parametrize(
    ("turns", "asked"),
    [
        (["苍鹰五号的最长续航是多少？", "那它的最大起飞重量呢？"], "苍鹰五号的最大起飞重量呢？"),
        (["苍鹰五号的最长续航是多少？", "那翠鸟十号呢？"], "翠鸟十号的最长续航是多少？"),
        (["苍鹰五号的最长续航是多少？", "那翠鸟十号的返航电量呢？"], "翠鸟十号的返航电量呢？"),
        (["苍鹰五号的最长续航是多少？", "那翠鸟十号呢？", "它的返航电量呢？"], "翠鸟十号的返航电量呢？"),
        (["苍鹰五号的最长续航是多少？", "返航电量呢？"], "苍鹰五号 返航电量呢？"),
        (["What is the range of Lark X3?", "And its wind limit?"], "Lark X3 wind limit?"),
        (["商场可以边营业边电焊吗？", "违反了罚多少？"], "商场可以边营业边电焊吗？ 违反了罚多少？"),
        (["商场可以边营业边电焊吗？", "在居民楼的楼道里给电动车充电会不会被罚？"], "在居民楼的楼道里给电动车充电会不会被罚？"),
        (["那它呢？"], "那它呢？"),
    ],
)
def test_names_and_words_of_the_earlier_question_are_carried_over(turns, asked):
    assert standalone(turns, NAMES) == asked


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ("翠鸟十号的最长续航是多少？", "翠鸟十号的最长续航是多少？"),
        ("", "翠鸟十号的最长续航是多少？"),
        ("好的，这是改写后的问题：\n翠鸟十号？", "翠鸟十号的最长续航是多少？"),
        ("一百厨房", "翠鸟十号的最长续航是多少？"),
        ("苍鹰五号的最长续航是多少？", "翠鸟十号的最长续航是多少？"),
    ],
)
def test_a_model_rewrites_and_what_is_no_question_of_the_conversation_is_not_taken(made, asked):
    assert standalone(["苍鹰五号的最长续航是多少？", "那翠鸟十号呢？"], NAMES, lambda turns: made) == asked


def test_a_question_that_stands_by_itself_is_not_rewritten():
    assert standalone(["甲？", "苍鹰五号的最长续航是多少？"], NAMES, lambda turns: "乙") == "苍鹰五号的最长续航是多少？"
