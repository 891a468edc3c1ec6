"""What a question asks for, and whether a sentence can have it."""

import pytest

from lingyu.text.asked_for import asked_for, has


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("谁负责检查电池", "who"),
        ("哪个部门批准？", "who"),
        ("Who signs the release?", "who"),
        ("没有执照飞行罚多少？", "money"),
        ("多久检查一次？", "how long"),
        ("How often is it tested?", "how long"),
        ("最大载重是多少？", "how many"),
        ("最大起飞重量是多少？", "weight"),
        ("离机场多远？", "distance"),
        ("What is the price of Osprey?", "money"),
        ("How many people must be there?", "people"),
        ("飞到多高就得先申请？", "distance"),
        ("什么时候可以复飞？", "when"),
        ("电池放在哪里？", "where"),
        ("雷暴的时候能起飞吗？", None),
        ("无人机碰上载人的飞机，谁让谁？", None),
        ("What should I do when the wind rises?", None),
        ("起飞前检查什么？", None),
    ],
)
def test_a_question_asks_for_one_kind_of_thing(question, kind):
    assert asked_for(question) == kind


@pytest.mark.parametrize(
    ("kind", "sentence", "found"),
    [
        ("who", "锂聚电池的检查间隔是每两周。", False),
        ("who", "有人无人机活动时保持间隔。", False),
        ("who", "电池由机务工程师保管。", True),
        ("who", "钥匙由赵六保管。", True),
        ("who", "由此产生的火星要熄灭。", False),
        ("who", "The duty manager signs the release.", True),
        ("money", "第五十条 未经许可的，责令停止飞行。", False),
        ("money", "处五百元以下罚款。", True),
        ("money", "扑救火灾不得收取任何费用。", True),
        ("how long", "第三条 飞行应当申请。", False),
        ("how long", "消防设施定期检测。", True),
        ("how many", "（三）速度应当合适；", False),
        ("how many", "机组配置是两飞一观。", True),
        ("distance", "返航电量是30%。", False),
        ("distance", "限高一百二十米。", True),
        ("weight", "小于0.25千克。", True),
        ("speed", "每秒3米。", True),
        ("money", "The reserve charge is 35%.", False),
        ("how long", "The wind limit is 8 m/s.", False),
        ("how long", "Serviced after 60 flights.", True),
        ("where", "应当检查。", False),
        ("where", "Batteries are kept in the dry store.", True),
    ],
)
def test_a_sentence_has_what_is_asked_for_or_nothing_like_it(kind, sentence, found):
    assert has(kind, sentence) == found


def test_a_measure_that_is_not_asked_for_exactly_may_be_any_figure():
    assert has("distance", "在管制空域内飞行的，提前1天。", exactly=False)
    assert not has("distance", "应当申请。", exactly=False)
