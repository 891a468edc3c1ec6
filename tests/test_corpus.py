"""The rules of the corpus: characters, marks, similarity, personal data, quality, parts, leaks."""

import pytest

from lingyu.corpus import pii
from lingyu.corpus.leak import leaks
from lingyu.corpus.marks import ARTICLE, value
from lingyu.corpus.normalise import joined, key, language_of, normal
from lingyu.corpus.parts import parted
from lingyu.corpus.quality import PLACEHOLDER, REFUSAL, garbled_share, repeated_share
from lingyu.corpus.sections import closed, cut
from lingyu.corpus.similar import Similar

CHINESE = "第一条 为了规范飞行活动，保障公共安全，制定本规定。国家鼓励科研创新。"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("⺠⽤⻜⾏", "民用飞行"),
        ("门⼾", "门户"),
        ("ＡＢ１２％", "AB12%"),
        ("好，（一）：？", "好，（一）：？"),
        ("您好,请问?", "您好，请问？"),
        ("x,y?", "x,y?"),
        ("(一)范围", "（一）范围"),
        ("5 m², 6㎡, ①", "5 m², 6m², ①"),
        ("a\u200bb\x00c\ufeff", "abc"),
        ("a\r\n\n\n\nb  \n", "a\n\nb"),
        ("  if x:\n    y = 1", "if x:\n    y = 1"),
        ("", ""),
    ],
)
def test_normal(raw, clean):
    assert normal(raw) == clean


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("限高：１２０米。", "限高120米", True),
        ("No Fly!", "no fly", True),
        ("1,000米", "1000 米", True),
        ("3-5级", "35级", False),
        ("-5度", "5度", False),
        ("1.5", "15", False),
        ("可以", "不可以", False),
    ],
)
def test_key_sees_the_words_and_numbers_only(one, other, same):
    assert (key(one) == key(other)) is same


@pytest.mark.parametrize(
    ("text", "language"),
    [("无人机限高120米", "zh"), ("Fly below 120 m", "en"), ("DJI Mavic 3 Pro 的限高是多少", "zh"), ("120", "zh"), ("⺠⽤", "zh")],
)
def test_language_of(text, language):
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        ("维护航空安", "全，制定", "维护航空安全，制定"),
        ("fly the", "drone", "fly the drone"),
        ("navi-", "gation", "navigation"),
        ("120", "米", "120米"),
        ("", "x", "x"),
    ],
)
def test_joined(first, second, whole):
    assert joined(first, second) == whole


@pytest.mark.parametrize(
    ("numeral", "number"), [("十", 10), ("二十一", 21), ("一百零三", 103), ("一千零七十六", 1076), ("〇", 0), ("12", 12)]
)
def test_value(numeral, number):
    assert value(numeral) == number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("第五条 应当", True),
        ("第五条应当", True),
        ("第五条之一 应当", True),
        ("第五条规定的", False),
        ("第五条第二款", False),
        ("依照第五条", False),
    ],
)
def test_an_article_is_no_reference_to_one(text, found):
    assert bool(ARTICLE.match(text)) is found


@pytest.mark.parametrize(("heading", "whole"), [("总 则", "总则"), ("飞行 管理", "飞行 管理"), ("", "")])
def test_spaced_headings_are_closed(heading, whole):
    assert closed(heading) == whole


def test_long_text_is_cut_at_sentence_ends_and_nothing_is_lost():
    text = "甲乙丙丁戊。" * 5 + "\n" + "no end here " * 5

    pieces = list(cut(text, 20))

    assert "".join(pieces).replace("\n", "") == text.replace("\n", "")
    assert pieces[0] == "甲乙丙丁戊。" * 3
    assert all(len(piece) <= 20 for piece in pieces)


def test_the_second_piece_of_a_table_has_the_head_again():
    head = "| 型号 | 限高 |\n| --- | --- |\n"

    pieces = list(cut(head + "| 甲 | 120米 |\n" * 12, 100))

    assert len(pieces) > 1
    assert all(piece.startswith(head) for piece in pieces)


@pytest.mark.parametrize(
    ("text", "masked", "kind"),
    [
        ("电话13800138000。", "电话[手机号]。", "mobile"),
        ("+86 138-0013-8000", "[手机号]", "mobile"),
        ("11010519491231002X", "[身份证号]", "resident_id"),
        ("110105194912310021", "110105194912310021", None),
        ("卡6222 0212 3456 7894", "卡[银行卡号]", "bank_card"),
        ("6222021234567895", "6222021234567895", None),
        ("京A12345", "[车牌号]", "plate"),
        ("粤B·D12345", "[车牌号]", "plate"),
        ("豫园路ABCDE", "豫园路ABCDE", None),
        ("写信a.b@example.com", "写信[邮箱]", "email"),
        ("主机192.168.1.10", "主机[IP地址]", "ip"),
        ("见3.2.1.4节", "见3.2.1.4节", None),
        ("编号138001380001", "编号138001380001", None),
    ],
)
def test_personal_data_is_masked_and_counted(text, masked, kind):
    assert pii.mask(text, "zh", list(pii.RULES)) == (masked, {kind: 1} if kind else {})


def test_only_the_kinds_asked_for_are_masked_in_the_language_of_the_text():
    assert pii.mask("13800138000 a@b.cn", "en", ["mobile"]) == ("[mobile number] a@b.cn", {"mobile": 1})


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        ("placeholder", "根据第X条", True),
        ("placeholder", "根据《XX法》", True),
        ("placeholder", "根据第五条", False),
        ("refusal", "对不起，我无法回答。", True),
        ("refusal", "I'm sorry, but I can't help.", True),
        ("refusal", "抱歉给您带来不便，请先降落。", False),
        ("refusal", "不能起飞。", False),
    ],
)
def test_phrases_of_poor_replies(rule, text, found):
    assert bool({"placeholder": PLACEHOLDER, "refusal": REFUSAL}[rule].search(text)) is found


def test_repetition_and_garble_are_shares():
    assert repeated_share("先检查电池再起飞。" * 4) == 0.75
    assert repeated_share("飞行前检查" * 40) == 1
    assert repeated_share(CHINESE) == 0
    assert garbled_share("好�") == 0.5


def test_similar_finds_what_reaches_the_threshold_and_nothing_else():
    similar = Similar(0.8)
    similar.add("a", "电池温度低于零度时不得起飞，应当先预热电池再行起飞检查。")
    similar.add("b", "风力大于六级时不得起飞。")

    assert similar.matches("电池温度低于零度时不得起飞, 应当先预热电池再行起飞检查") == [("a", 1.0)]
    assert [name for name, _ in similar.matches("电池温度低于零度时不得起飞，应当先预热电池再行起飞检测。")] == ["a"]
    assert similar.matches("电池温度高于六十度时应当降落。") == []
    assert similar.matches("") == []


@pytest.mark.parametrize(
    ("train", "kind"),
    [
        ("B7电池的最长续航是多少分钟，需要留多少余量？", "verbatim"),
        ("Ｂ７电池的最长续航是多少分钟 需要留多少余量", "form"),
        ("请问B7电池的最长续航是多少分钟，需要留多少余量？", "near"),
        ("B2电池的最长续航是多少分钟，需要留多少余量？", None),
        ("夜间飞行要开什么灯？", None),
        ("。", None),
    ],
)
def test_a_leak_is_told_with_its_kind(train, kind):
    found = list(leaks([("t", train)], [("h", "B7电池的最长续航是多少分钟，需要留多少余量？")], 0.8))

    assert [(leak.id, leak.held_id, leak.kind) for leak in found] == ([("t", "h", kind)] if kind else [])


def test_an_item_keeps_its_part_when_others_are_added():
    few = parted(((str(number), "") for number in range(200)), 1, 0.1, 0.2)
    many = parted(((str(number), "") for number in range(2000)), 1, 0.1, 0.2)

    assert few == {name: many[name] for name in few}
    assert 320 < list(many.values()).count("test") < 480


@pytest.mark.parametrize("seed", range(5))
def test_each_group_of_three_has_something_in_each_part(seed):
    parts = parted(((f"{group}{number}", group) for group in "ab" for number in range(3)), seed, 0.1, 0.2)

    for group in "ab":
        assert {"dev", "test"} <= {part for name, part in parts.items() if name.startswith(group)}
