"""The checks of what a model answered, each on the shortest answer that shows it."""

import pytest
from rows import dialogue

from lingyu.generate.llm.checks import Candidate, Limits, Seen, contradicting, figures_of, finding, terms_of, ungrounded
from lingyu.text.legal import cited

SOURCE = "《飞行手册》\n第二十八条\n风速超过12米每秒时，不得起飞。电池容量为1.2万毫安时，每三个月检查一次，费用3,000元。"
SOURCE += "使用RTK-2定位，称为“双保险”。"
LIMITS = Limits(min_passage=5, min_chars=4, max_chars=60, max_repeated=0.3, overlap=0.5, near=0.7)


def first_reason(answer, source):
    return next((found.reason for found in (*ungrounded(answer, [source]), *contradicting(answer, [source]))), None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("风速超过12米每秒时不得起飞。", None),
        ("风速超过十二米每秒时不得起飞。", None),
        ("风速超过１２米每秒时不得起飞。", None),
        ("风速超过2米每秒时不得起飞。", "invented_number"),
        ("风速超过120米每秒时不得起飞。", "invented_number"),
        ("风速超过二十米每秒时不得起飞。", "invented_number"),
        ("风速超过28米每秒时不得起飞。", "invented_number"),
        ("电池容量为12000毫安时。", None),
        ("电池容量为1.2毫安时。", "invented_number"),
        ("电池每3个月检查一次，费用三千元。", None),
        ("电池每五个月检查一次。", "invented_number"),
        ("1. 检查电池\n2. 检查风速\n（三）起飞", None),
        ("3.5米", "invented_number"),
        ("千万注意风速，以防万一。", None),
        ("第二十八条规定了风速。", None),
        ("《飞行手册》第28条规定了风速。", None),
        ("第二十九条规定了风速。", "invented_article"),
        ("第28条之一规定了风速。", "invented_article"),
        ("《航空法》规定了风速。", "invented_title"),
        ("定位称为“双保险”。", None),
        ("定位称为“三保险”。", "invented_quotation"),
        ("使用rtk-2定位。", None),
        ("使用RTK-9定位。", "invented_term"),
        ("使用RTK-2和GPS定位。", "invented_term"),
        ("风速超过12米每秒时，可以起飞。", "lost_negation"),
        ("大风天请把飞机收好。", None),
        ("使用RTK-2.5定位。", "invented_term"),
        ("哪种情况可以起飞，超过12米每秒风速时？", None),
    ],
)
def test_what_an_answer_claims_stands_in_its_source(answer, reason):
    assert first_reason(answer, SOURCE) == reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Land when the wind exceeds 12 metres per second.", None),
        ("Land when the wind exceeds 15 metres per second.", "invented_number"),
        ("Under Article 5 you land.", None),
        ("Under Article 6 you land.", "invented_article"),
        ("You land under Section 5b.", "invented_article"),
        ("The manual asks Pilot to land.", None),
        ("The manual asks Boeing to land.", "invented_term"),
        ("Use the GPS to land.", "invented_term"),
        ("Land with “great care”.", "invented_quotation"),
        ("Do not land when the wind exceeds 12 metres per second.", "lost_negation"),
    ],
)
def test_the_same_in_english(answer, reason):
    source = "Article 5. The pilot must land when the wind exceeds 12 metres per second."

    assert first_reason(answer, source) == reason


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("", []),
        ("一般情况", []),
        ("一万二千", [12000]),
        ("3亿5千万", [3e8, 5e7]),
        ("1.5千万和5千米", [1.5e7, 5]),
        ("二〇二四年五月", [2024, 5]),
        ("两小时，第二次，二者", [2]),
        ("GB50016", []),
        ("0.5和1,234.5", [0.5, 1234.5]),
        ("两人都要在场，三人以上须报告", [3]),
        ("分两步：1. 停飞；2、报告。（十二）返航\n3.5米", [3.5]),
    ],
)
def test_figures_are_told_by_value(text, figures):
    assert figures_of(text) == figures


@pytest.mark.parametrize(
    ("text", "articles"),
    [("第二十八条、第28条之一", ["28", "28-1"]), ("Article 12 and section 3a", ["12", "3a"]), ("第三款，一条路", [])],
)
def test_citations_have_one_form(text, articles):
    assert cited(text) == articles


def test_latin_terms_of_a_chinese_text_are_terms_whatever_their_case():
    assert terms_of("用RTK-2和gps，5G或A") == ["rtk-2", "gps"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("风速超过12米每秒时不得起飞。", None),
        ("不得。", "too_short"),
        ("风速超过12米每秒时不得起飞。" + "要注意风速，" * 10, "too_long"),
        ("作为一个人工智能语言模型，我建议注意风速。", "boilerplate"),
        ("风速见第X条。", "placeholder"),
        ("风速会变化。风速会变化得很快。风速会变化得很快。", "repeated"),
        ("今天晚上吃什么好呢，大家一起商量。", "not_told_by_the_source"),
        ("", "empty_answer"),
    ],
)
def test_the_first_rule_that_is_broken_names_the_reason(answer, reason):
    found = finding(Candidate(dialogue(1, "风速多大不能飞？", answer), [SOURCE]), LIMITS, Seen(0.7))

    assert (found.reason if found else None) == reason


@pytest.mark.parametrize(
    ("question", "near"),
    [
        ("电池鼓包了还能继续使用吗，应该怎么处理才好？", True),
        ("电池鼓包了还能继续使用吗？应该怎么处理才好", True),
        ("电池鼓包了还能再继续使用吗，应该怎么处理才好？", True),
        ("电池进水了还能继续使用吗，多久之后可以再飞？", False),
    ],
)
def test_a_question_near_one_that_is_there_is_none(question, near):
    seen = Seen(0.7)
    assert not seen.near("电池鼓包了还能继续使用吗，应该怎么处理才好？")

    assert bool(seen.near(question)) is near


def test_questions_that_differ_in_a_code_are_two():
    seen = Seen(0.7)
    assert not seen.near("云雀X3的最大续航时间是多少分钟？")

    assert not seen.near("云雀X5的最大续航时间是多少分钟？")


def test_a_question_is_only_held_against_the_source_where_it_was_made_of_it():
    row = dialogue(1, "风速20米每秒能飞吗？", "风速超过12米每秒时不得起飞。")

    assert finding(Candidate(row, [SOURCE]), LIMITS, Seen(0.7)) is None
    assert finding(Candidate(row, [SOURCE], grounded_question=True), LIMITS, Seen(0.7)).evidence == "20"


def test_a_question_may_leave_a_negation_out():
    row = dialogue(1, "风速超过12米每秒时起飞。", "风速超过12米每秒时不得起飞。")

    assert finding(Candidate(row, [SOURCE], grounded_question=True), LIMITS, Seen(0.7)) is None
