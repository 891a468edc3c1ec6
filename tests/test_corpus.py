"""The rules of the corpus: characters, marks, similarity, personal data, quality, parts, leaks."""

import random
import re
from pathlib import Path

import pytest

from lingyu.clean import pii
from lingyu.clean.quality import LISTS, repeated_share
from lingyu.ingest.sections import closed, cut
from lingyu.split.leak import Bounds, Gate, Item
from lingyu.split.parts import TooFew, assign_parts, exceptions, number_of
from lingyu.text import normalise
from lingyu.text.language import language
from lingyu.text.legal import HEADING
from lingyu.text.ngrams import Sketches, grams_of
from lingyu.text.normalise import _unusual, exact_key, joined, key, language_of, normal, quick_key, simplified
from lingyu.text.word_lists import Words, lists_of

WORDS = Path(__file__).parent.parent / "lingyu/text/word_lists.yaml"
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


def test_the_key_of_a_long_text_is_told_by_a_table_as_by_expressions():
    marks, draw = "01259,.-−–_ :\n（)一，aBeßςΣé中文的ｆ①㎡٣…\u200b\u3000⺠𠀀\u0301+<>#%°$^±⁻⁹👍≤→'~*", random.Random(0)
    texts = ["".join(draw.choices(draw.sample(marks, draw.randint(2, 9)), k=draw.randint(1, 20))) for _ in range(3000)]
    told = [(text, quick_key(text)) for text in texts]
    assert 500 < sum(quick is None for _, quick in told) < 2500

    assert [text for text, quick in told if quick not in (None, exact_key(text))] == []


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
        ("C+", "C#", False),
        ("C++", "C", False),
        (">5", "<5", False),
        ("≥ 60", "≤ 60", False),
        ("误差+3", "误差-3", False),
        ("误差±3", "误差3", False),
        ("CD4+细胞", "CD4-细胞", False),
        ("结果 (+)", "结果 (-)", False),
        ("A-", "A", False),
        ("10⁹", "10⁻⁹", False),
        ("10^9", "10^-9", False),
        ("1.5e9", "1.5e-9", False),
        ("5%", "5", False),
        ("3#楼", "3楼", False),
        ("$5", "€5", False),
        ("👍", "👎", False),
        ("↑", "↓", False),
        ("☑ 是", "☐ 是", False),
        ("Wi-Fi", "wifi", True),
        ("COVID-19", "covid19", True),
        ("3-5级", "3～5级", True),
        ("3月-5月", "3月—5月", True),
        ("5%-8%", "5%~8%", True),
        ("－5度", "−5度", True),
        ("5 ％", "5%", True),
        ("A > B", "A>B", True),
        ("# 标题", "标题", True),
        ("- 条目", "条目", True),
        ("👍🏻", "👍", True),
        ("2*4", "2×4", True),
    ],
)
def test_key_sees_the_words_numbers_and_signs_only(one, other, same):
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
    assert bool(HEADING.match(text)) is found


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
    ("name", "text", "found"),
    [
        ("placeholder", "根据第X条", True),
        ("placeholder", "根据《XX法》", True),
        ("placeholder", "根据第五条", False),
        ("refusal", "对不起，我无法回答。", True),
        ("refusal", "I'm sorry, but I can't help.", True),
        ("refusal", "抱歉给您带来不便，请先降落。", False),
        ("refusal", "不能起飞。", False),
        ("refusal", "抱歉，匿名举报无法受理，请到窗口实名办理。", False),
        ("refusal", "对不起，我不能在电话里办理退费，请持发票原件到营业厅申请。", False),
        ("refusal", "很抱歉，本机构无法出具该证明。您可以拨打12345咨询。", False),
        ("refusal", "Sorry, we cannot accept this by phone. Please bring your passport to the counter.", False),
        ("refusal", "抱歉，我无法提供医疗建议，请咨询专业医生。", True),
        ("refusal", "对不起，我不能回答这个问题，请换一个问题。", True),
        ("refusal", "I'm sorry, but I can't give legal advice. Please consult a lawyer.", True),
        ("missing", "nan", True),
        ("missing", "<NA>", True),
        ("missing", "-Infinity", True),
        ("missing", "——", True),
        ("missing", "Na", False),
        ("missing", "NaN 是非数。", False),
        ("template", "问题：限高多少？\n回答：", True),
        ("template", "根据知识，限高120米。", True),
        ("template", "### Response:\n限高120米。", True),
        ("template", "根据条例，限高120米。", False),
        ("template", "您有问题请来电，我们会回答。", False),
        ("other_model", "作为一个人工智能语言模型，我没有意见。", True),
        ("other_model", "作为语言模型，我没有办法分解多项式。", True),
        ("other_model", "作为一个文字型 AI 机器人，我不能录音。", True),
        ("other_model", "作为人工智能的一个分支，机器学习用数据。", False),
        ("other_model", "作为驾驶员，我没有看见它。", False),
        ("missing_input", "很抱歉，您没有给出需要标点的句子。", True),
        ("missing_input", "对不起，由于您未提供有关文章的信息，无法总结。", True),
        ("missing_input", "Sorry, but you didn't provide the text.", True),
        ("missing_input", "您没有提供担保，合同仍然有效。", False),
        ("missing_input", "很抱歉听到您没有提供证据就败诉了。", False),
        ("nothing", "N / A。", True),
        ("nothing", "“无内容”", True),
        ("nothing", "无人机", False),
        ("nothing", " _。", True),
        ("nothing", "-5", False),
        ("placeholder", "依照《XX法》的规定。", True),
        ("placeholder", "依照《某某条例》的规定。", True),
        ("placeholder", "《XX》", True),
        ("placeholder", "《某某》是一部小说。", False),
        ("placeholder", "“待补充”", True),
        ("placeholder", "联系人：待补充，电话：TBD", True),
        ("placeholder", "待补充证据后再行审理。", False),
        ("placeholder", "# TODO: sort the list", False),  # what a programmer notes in code is no blank that somebody forgot to fill
        ("placeholder", "【此处填写姓名】", True),
        ("other_model", "I cannot, as an AI.", True),
        ("other_model", "As an AI language model I cannot.", True),
        ("other_model", "She works as an AI engineer.", False),
        ("other_model", "I’M AN AI", True),
        ("other_model", "I am an AIR pilot.", False),
        ("refusal", "“很抱歉，我无法回答。”", True),
        ("refusal", "我无法回答这个问题。", True),
        ("garbled", "ä¸\xadå\x9b½äººæ°\x91", True),
        ("garbled", "Überfüllung, à côté", False),
    ],
)
def test_what_the_lists_of_words_find_in_a_text(name, text, found):
    """The rules of clean and the suites of validate read them; both must see the same."""
    words = lists_of(WORDS)[name]

    assert words.is_in(text) is found
    assert bool(re.search(words.regex, text)) is found


def test_a_rule_of_the_air_is_in_no_list():
    lists = lists_of(WORDS)

    assert {*LISTS} <= {*lists}
    assert [name for name, words in lists.items() if words.is_in("第十条规定，在AIR航线上不得飞行。")] == []


def test_an_empty_list_finds_nothing():
    assert not Words().is_in("")
    assert re.search(Words().regex, "") is None


def test_repetition_and_garble_are_shares():
    assert repeated_share("先检查电池再起飞。" * 4) == 0.75
    assert repeated_share("飞行前检查" * 40) == 1
    assert repeated_share(CHINESE) == 0
    assert lists_of(WORDS)["garbled"].share_of("好�") == 0.5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("电池温度低于零度时不得起飞，应当先预热电池再行起飞检查。", "zh"),
        ("Warm the battery before you take off, and check that every screw is tight and that no wire is bare or worn out.", "en"),
        ("バッテリーの温度が低いときは離陸してはいけません。まず暖めてから確認してください。", "other"),
        ("배터리 온도가 낮을 때는 이륙하지 말고 먼저 배터리를 예열한 뒤 점검하십시오.", "other"),
        ("Если температура батареи низкая, взлёт запрещён, сначала прогрейте её.", "other"),
        (
            "Wenn die Batterie kalt ist, darf das Gerät nicht starten, und der Pilot muss sie mit dem Heizer auf der Wiese wärmen.",
            "other",
        ),
        (
            "Si la batterie est froide, il ne faut pas décoller avec le drone, et le pilote doit la chauffer dans sa voiture.",
            "other",
        ),
        ("把这句话译成日语：电池温度低时不得起飞，应先预热。译文：バッテリーが冷たい時は離陸しないこと。", "zh"),
        ("screw nut bolt wire lamp horn gear belt tube ring plug seal hook lock cable fuse valve brush wheel frame panel strap", ""),
        ("不得起飞。", ""),
        ("Bitte nicht starten.", ""),
        ("", ""),
    ],
)
def test_the_language_of_a_text_where_it_is_certain(text, found):
    assert language(text) == found


def test_simplified_minds_words_and_touches_nothing_else():
    assert simplified("無人機電池過熱，乾燥後再飛；乾隆年間 OK①") == "无人机电池过热，干燥后再飞；乾隆年间 OK①"


def test_what_the_quick_look_passes_over_needs_no_normalising(monkeypatch):
    pool = "中，;a é①²…가ᅡ각がﬁ⺠⼾\u0301\u200b\x00𝟙𠮷\t "
    draw = random.Random(0)
    texts = ["".join(draw.choices(pool, k=draw.randint(1, 6))) for _ in range(3000)]
    quick = [normal(text) for text in texts]
    assert 100 < sum(not _unusual().search(text) for text in texts) < 2900

    monkeypatch.setattr(normalise, "_unusual", lambda: re.compile(""))

    assert [normal(text) for text in texts] == quick


BOUNDS = Bounds(near=0.8, near_long=0.5, contained=0.9, min_contained=10, passage=60)
QUESTION = "B7电池的最长续航是多少分钟，需要留多少余量？"
ASKED = "How long does battery B7 last in the cold, and how much of it should be left?"
OTHER = "另外，请再说明夜间任务与白天任务在人员安排上有何差别，并举例。"
DEADLINE = "审批部门应当自收到申请之日起十二个工作日内作出是否准许飞行的决定，并以书面形式通知申请人。"
PASSAGE = (
    "起飞前，机长应当检查电池、桨叶与遥控器的连接，确认航线上没有人群和高压线，并在任务单上写明风速、能见度与备降点；"
    "任何一项不合格都不得起飞。"
)


@pytest.mark.parametrize(
    ("train", "held", "kind"),
    [
        (QUESTION, QUESTION, "verbatim"),
        ("Ｂ７电池的最长续航是多少分钟 需要留多少余量", QUESTION, "form"),
        ("B7電池的最長續航是多少分鐘，需要留多少餘量？", QUESTION, "script"),
        ("请问B7电池的最长续航是多少分钟，需要留多少余量？", QUESTION, "contained"),
        ("B2电池的最长续航是多少分钟，需要留多少余量？", QUESTION, None),
        (f"夜间飞行要开什么灯，由谁检查？{QUESTION}低温时又怎么办，要不要先预热？", QUESTION, "contained"),
        ("B7电池的最长续航是多少分钟", QUESTION, "contained"),
        (f"{PASSAGE}谁写风速？", f"{PASSAGE}哪些东西要在出发之前检查，由谁来检查，检查结果又记在哪里？", "near"),
        (
            f"{PASSAGE}谁写风速？" + "另外，请再说明夜间任务与白天任务在人员安排上有何差别，并举例。" * 3,
            f"{PASSAGE}{QUESTION}{ASKED * 3}",
            "passage",
        ),
        ("夜间飞行要开什么灯？", QUESTION, None),
        ("怎么办？", "电池冒烟了怎么办？", None),
        ("请说明二月里每一天的最高风速", "请说明十二月里每一天的最高风速", None),
        ("每架飞机每天的最高架次为5", "每架飞机每天的最高架次为50", None),
        ("。", QUESTION, None),
        (ASKED.upper().replace(",", " "), ASKED, "form"),
        (ASKED.replace("battery", "batery"), ASKED, "near"),
        (ASKED.replace("cold", "heat"), ASKED, None),
        (
            "Which month comes after March, and how many days has it got?",
            "Which month comes after May, and how many days has it got?",
            None,
        ),
        (DEADLINE.replace("十二个", "十市个"), DEADLINE, "near"),
        (DEADLINE.replace("书面", "书九"), DEADLINE, "near"),
        (DEADLINE.replace("十二个", "十三个"), DEADLINE, None),
        (DEADLINE.replace("十二个", "十个"), DEADLINE, None),
        (DEADLINE.replace("十二个", "二十二个"), DEADLINE, None),
        ("三月之后的那个月份一共有多少天，又叫什么名字？", "十月之后的那个月份一共有多少天，又叫什么名字？", None),
    ],
)
def test_a_leak_is_told_with_its_kind(train, held, kind):
    gate = Gate([Item("h", held, "test.md", "row 2")], BOUNDS, passages=True)

    found = list(gate.leaks([Item("t", train, "train.md", "row 1")]))

    assert [(leak.id, leak.source, leak.place, leak.held_id, leak.held_source, leak.held_place, leak.kind) for leak in found] == (
        [("t", "train.md", "row 1", "h", "test.md", "row 2", kind)] if kind else []
    )
    assert all((leak.text, leak.held_text) == (train, held) and 0 < leak.similarity <= 1 for leak in found)


def test_a_long_text_is_found_among_many_with_one_character_in_thirty_changed():
    texts = [long_text(number) for number in range(300)]
    changed = ["".join("变" if place % 30 == 7 else character for place, character in enumerate(text)) for text in texts]
    gate = Gate([Item(str(number), text, "", "") for number, text in enumerate(texts)], BOUNDS)

    found = [
        (leak.id, leak.held_id, leak.kind) for leak in gate.leaks(Item(str(number), text, "", "") for number, text in enumerate(changed))
    ]

    assert found == [(str(number), str(number), "near") for number in range(300)]
    assert list(gate.leaks(Item("", long_text(number), "", "") for number in range(300, 600))) == []


def test_what_a_sketch_says_that_texts_share_at_most_is_never_less_than_they_do():
    draw = random.Random(5)
    texts = [long_text(number)[: draw.randrange(1, 200)] * draw.choice([1, 1, 9]) for number in range(60)]
    texts += [text[: len(text) // 2] + draw.choice(texts) for text in texts]
    grams, sketches = [grams_of(text) for text in texts], Sketches()
    for own in grams:
        sketches.add(own)

    for own in grams:
        sizes, most = sketches.compared(own, range(len(texts)))
        shared = [len(set(own.tolist()) & set(other.tolist())) for other in grams]
        assert sizes.tolist() == [other.size for other in grams]
        assert all(real <= bound <= min(own.size, size) for real, bound, size in zip(shared, most.tolist(), sizes.tolist(), strict=True))


def test_unrelated_texts_of_a_thousand_characters_seem_little_alike_by_their_sketches():
    grams = [grams_of("".join(long_text(number + part) for part in (0, 100, 200))[:1000]) for number in range(40)]
    sketches = Sketches()
    for own in grams[1:]:
        sketches.add(own)

    sizes, most = sketches.compared(grams[0], range(39))

    assert max(most / (sizes + grams[0].size - most)) < BOUNDS.near_long - 0.1


def test_an_instruction_that_many_questions_begin_with_is_no_passage():
    held = [Item(str(number), f"{PASSAGE}{long_text(number)[:80]}", "", "") for number in range(40)]

    gate = Gate(held, BOUNDS, passages=True)

    assert list(gate.leaks([Item("t", f"{PASSAGE}{long_text(99)[:90]}{ASKED * 2}", "", "")])) == []
    assert list(gate.leaks([Item("t", held[30].text + "。", "", "")])) != []


def test_nothing_held_out_lets_everything_pass():
    assert list(Gate([], BOUNDS, passages=True).leaks([Item("t", QUESTION, "", "")])) == []


def long_text(number):
    """Three hundred characters like no other number's."""
    draw = random.Random(number)
    return "".join(chr(draw.randrange(0x4E00, 0x4E00 + 3000)) for _ in range(300))


def test_an_item_keeps_its_part_when_others_are_added():
    few = assign_parts(((number_of(str(number), 1), "") for number in range(200)), 0.1, 0.2)
    many = assign_parts(((number_of(str(number), 1), "") for number in range(2000)), 0.1, 0.2)

    assert few == {name: many[name] for name in few}
    assert 320 < list(many.values()).count("test") < 480


@pytest.mark.parametrize("seed", range(5))
def test_each_group_of_three_has_something_in_each_part(seed):
    parts = {group: [number_of(f"{group}{number}", seed) for number in range(3)] for group in "ab"}

    chosen = assign_parts(((number, group) for group, numbers in parts.items() for number in numbers), 0.1, 0.2)

    for numbers in parts.values():
        assert {"dev", "test"} <= {chosen[number] for number in numbers}


def test_a_count_is_met_and_what_it_held_out_is_told():
    chosen = assign_parts(((number_of(str(number), 1), "") for number in range(50)), 5, 10)

    assert [list(chosen.values()).count(part) for part in ("train", "dev", "test")] == [35, 5, 10]
    assert sorted(exceptions(chosen, 5, 10)) == sorted(number for number, part in chosen.items() if part != "train")


def test_a_count_beside_a_share_takes_nothing_from_it():
    chosen = assign_parts(((number_of(str(number), 1), "") for number in range(500)), 0.2, 10)

    assert list(chosen.values()).count("test") == 10
    assert 70 < list(chosen.values()).count("dev") < 130


def test_a_count_that_leaves_nothing_to_train_is_refused():
    with pytest.raises(TooFew, match="test 9 of 9"):
        assign_parts(((number, "") for number in range(9)), 0.0, 9)
