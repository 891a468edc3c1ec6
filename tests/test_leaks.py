"""The leak gate among many: near neighbours, frames, instructions that all share; what a dialogue of several turns gives away."""

import random

import pytest
from rows import dialogue as given

from lingyu.mix.leaks import Speaking, leaking, texts_asked, texts_tested
from lingyu.records import Message
from lingyu.split.leak import Bounds, Gate, Item, others_of, unframed
from lingyu.text.normalise import key

BOUNDS = Bounds(near=0.8, near_long=0.5, contained=0.9, min_contained=10, passage=60)
RULE = "你是一名严谨的助手，请先读完下面的内容，再用一句完整的话作答；不知道的就说不知道，不要编造数字和出处。"
RULE_EN = "You are a careful assistant. Read what follows, then answer in one whole sentence, and say so where you do not know."
FRAMES = (
    "问题：{}\n回答：",
    "请回答下面的问题：{}",
    "「{}」",
    "Question: {}\nAnswer:",
    "Please answer the following question.\n\n{}\n\nAnswer:",
    "### Instruction:\n{}\n\n### Response:",
    f"{RULE}\n用户：{{}}\n助手：",
    "某单位的值班员在交接班时问了下面这件事，请照章答复，并注明依据。{}答复后请归档。",
)


def names(count, seed=1):
    draw = random.Random(seed)
    return ["".join(chr(draw.randrange(0x4E00, 0x4E00 + 2500)) for _ in range(3)) for _ in range(count)]


def items(texts):
    return [Item(str(number), text, "", "") for number, text in enumerate(texts)]


def found(held, train, *, passages=True):
    gate = Gate(items(held), BOUNDS, passages=passages, others=others_of(train, len(train)))
    return [(leak.id, leak.held_id) for leak in gate.leaks(items(train))]


@pytest.mark.parametrize("neighbours", [5, 40, 400])
@pytest.mark.parametrize(
    "pattern",
    [
        "在机场净空保护区内操控{}无人机飞行以前，需要向谁提出申请？",
        "{}的续航是多少？",
        "Who must be asked before {} takes off near the airport at night?",
    ],
)
def test_a_framed_copy_is_found_however_many_held_out_texts_are_like_it(pattern, neighbours):
    held = [pattern.format(name) for name in names(neighbours)]

    leaks = found(held, [frame.format(text) for text in held for frame in FRAMES[:-1]])

    assert leaks == [(str(number), str(number // 7)) for number in range(7 * neighbours)]


def test_a_copy_within_any_sentence_is_found_where_it_says_enough():
    held = [f"操控{name}无人机飞行以前需要向谁提出申请？" for name in names(60)]

    assert len(found(held, [FRAMES[-1].format(text) for text in held])) == 60


@pytest.mark.parametrize(
    "pattern", ["{}可以停车吗？", "操控{}无人机飞行以前，需要向谁提出申请？", "{}的最大起飞重量是多少千克，由谁核定？"]
)
def test_neighbours_that_are_not_held_out_pass(pattern):
    every = [pattern.format(name) for name in names(500)]

    assert found(every[::5], [text for number, text in enumerate(every) if number % 5]) == []


@pytest.mark.parametrize("instruction", [RULE, RULE * 3, RULE_EN, RULE_EN * 2, RULE + RULE_EN], ids=len)
@pytest.mark.parametrize("rows", [30, 1000])
def test_an_instruction_that_all_share_is_no_leak_and_hides_none(instruction, rows):
    every = [f"{instruction}\n操控{name}飞行以前要做什么？" for name in names(rows)]
    held, train = every[::5], [text for number, text in enumerate(every) if number % 5]

    assert found(held, train) == []
    copies = [f"问题：{text}\n回答：" for text in held]
    assert [pair for pair in found(held, [*train, *copies]) if int(pair[0]) >= len(train)] == [
        (str(len(train) + number), str(number)) for number in range(len(held))
    ]


def test_an_instruction_is_known_by_what_is_judged_first_where_nothing_else_is_told():
    every = [f"{RULE * 2}\n操控{name}飞行以前要做什么？" for name in names(200)]
    gate = Gate(items(every[:40]), BOUNDS)

    assert list(gate.leaks(items(every[40:]))) == []


def test_a_question_copied_a_hundred_times_is_still_found_each_time():
    held = ["操控云雀无人机飞行以前需要向谁提出申请？", "值班员应当在几日内把飞行记录归档？"]
    train = [FRAMES[number % 8].format(held[0]) for number in range(100)] + [f"{name}怎么保养？" for name in names(400)]

    assert found(held, train) == [(str(number), "0") for number in range(100)]


def test_a_held_out_text_that_is_only_the_instruction_drops_nothing():
    assert found([RULE], [f"{RULE}\n{name}怎么保养？" for name in names(100)]) == []


def test_an_edited_copy_is_found_under_an_instruction_that_all_share():
    held = [f"{RULE}\n{name}在夜间执行巡线任务以前，机长应当检查电池、桨叶与遥控器，并在任务单上写明风速。" for name in names(50)]
    train = [text.replace("巡线", "巡査") for text in held] + [f"{RULE}\n{name}怎么保养？" for name in names(100, seed=2)]

    assert found(held, train) == [(str(number), str(number)) for number in range(50)]


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("问题：限高多少？\n回答：", "限高多少？"),
        ("请问限高多少？谢谢", "限高多少？"),
        ("Question: How high?\nAnswer:", "How high?"),
        ("请回答下面的问题：限高多少？", "限高多少？"),
        ("限高多少？", ""),
        ("问题车辆怎么处理？", ""),
        ("怎样答谢客户？", ""),
        ("甲：限高多少？", ""),
    ],
)
def test_a_frame_is_told_from_a_question(text, bare):
    assert key(unframed(text)) == key(bare)


@pytest.mark.parametrize(
    ("train", "held"),
    [
        ("收缩压>140时要不要立即处理并且报告值班医生？", "收缩压<140时要不要立即处理并且报告值班医生？"),
        ("温度误差+5℃时这台设备还可以继续接着使用吗？", "温度误差-5℃时这台设备还可以继续接着使用吗？"),
        ("十二月的最高风速是多少，从哪一天开始记录的？", "二月的最高风速是多少，从哪一天开始记录的？"),
    ],
)
def test_a_sign_or_number_makes_another_question(train, held):
    assert found([held], [train]) == []


def talk(number, *turns):
    row = given(number, turns[0], "好。")
    messages = [
        Message(role=role, content=text) for turn in turns for role, text in (("user", turn), ("assistant", "请问还有别的不适吗？"))
    ]
    return row.model_copy(update={"messages": messages})


def question(number, *turns):
    return talk(number, *turns).model_copy(update={"messages": talk(number, *turns).messages[:-1]})


def leaks_of(train, tested):
    tables = (
        "train/sft",
        "train/preference",
        "train/prompts",
        "train/pretrain",
        "test/questions",
        "test/preference",
        "test/domain",
        "test/general",
    )
    rows = {table: [] for table in tables} | {"train/sft": train, "test/questions": tested}
    return {leak["id"] for leak in leaking(rows, BOUNDS)}


def consultation(number, name):
    draw = random.Random(number)
    replies = draw.choices(["没有", "是的", "三天了", "不发烧", "有一点", "谢谢"], k=3)
    return talk(
        number, f"医生您好，我最近{name}，晚上睡不好觉，白天没有精神，这是怎么回事？", *replies, "那我需要去医院做什么检查才能确诊呢？"
    )


def test_a_consultation_does_not_leak_by_short_turns_nor_by_what_many_ask_later_on():
    rows = [consultation(number, name) for number, name in enumerate(names(400))]
    tested = [row.model_copy(update={"messages": row.messages[:-1]}) for row in rows[::5]]

    assert leaks_of([row for number, row in enumerate(rows) if number % 5], tested) == set()


def test_a_consultation_leaks_by_what_it_asks():
    asked = "孕妇误服了三片退烧药以后，需要马上去医院洗胃吗？"
    held = [question("a", "我怀孕五个月了，昨晚烧到三十九度，吃了三片退烧药。", "没有", asked)]

    same = talk("same", "我怀孕五个月了，昨晚烧到三十九度，吃了三片退烧药。", "没有", asked, "谢谢")
    later = talk("later", "您好，我替同事问一下。", f"问题：{asked}")
    alone = talk("alone", asked)
    other = talk("other", "我牙疼。", "没有", "是的", "谢谢")

    assert leaks_of([same, later, alone, other], held) == {row.id for row in (same, later, alone)}


def test_a_short_question_of_the_test_is_found_as_a_turn_of_its_own():
    held = [question("a", "云雀的续航是多少？")]

    assert leaks_of([talk("b", "请看手册。", "云雀的续航是多少？"), talk("c", "山鹰的续航是多少？", "那限高呢？")], held) == {
        talk("b", "x").id
    }


def test_the_gate_tests_against_all_that_evaluation_asks():
    row = question("a", "我怀孕五个月了。", "没有")
    speaks = Speaking([row], 10)

    assert texts_tested(row, speaks) == ["我怀孕五个月了。\n没有"]
    assert texts_asked(question("a", "没有"), speaks) == ["没有"]
