"""What a reply is worth, rule by rule."""

import pytest
from pydantic import TypeAdapter
from training import question

from lingyu.align.rewards import Prompt, Reward, rule_of, together
from lingyu.records import Message

ASKED = "朱鹮的最大载重是多少？"
ROW = question("1", ASKED, "最大载重是25千克。").model_copy(update={"wrong": ["9千克"]})
PLAIN, THINKING = Prompt(ROW, "", thinking=False), Prompt(ROW, "", thinking=True)


@pytest.mark.parametrize(
    ("reward", "prompt", "reply", "worth"),
    [
        ({"name": "answer"}, PLAIN, "25千克。", 1),
        ({"name": "answer"}, PLAIN, "9千克。", 0),
        ({"name": "answer"}, PLAIN, "25千克，不是9千克。", 0),
        ({"name": "answer"}, PLAIN, "", 0),
        ({"name": "answer"}, THINKING, "<think>\n9千克？\n</think>\n\n25千克。", 1),
        ({"name": "answer"}, THINKING, "<think>\n25千克\n</think>\n\n", 0),
        ({"name": "format"}, THINKING, "<think>\n查手册。\n</think>\n\n25千克。", 1),
        ({"name": "format"}, THINKING, "25千克。", 0),
        ({"name": "format"}, THINKING, "<think>\n\n</think>\n\n25千克。", 0),
        ({"name": "length", "characters": 4}, PLAIN, "1234", 1),
        ({"name": "length", "characters": 4}, PLAIN, "123456", 0.5),
        ({"name": "length", "characters": 4}, PLAIN, "12345678", 0),
        ({"name": "length", "characters": 4}, PLAIN, "123456789", 0),
        ({"name": "length", "characters": 4}, THINKING, "<think>\n查手册。\n</think>\n\n1234", 1),
        ({"name": "text", "text": "手册"}, PLAIN, "以手册为准。", 1),
        ({"name": "text", "text": "手册"}, PLAIN, "25千克。", 0),
        ({"name": "text", "text": "手册"}, THINKING, "<think>\n查手册。\n</think>\n\n25千克。", 0),
    ],
)
def test_a_rule_gives_its_worth(reward, prompt, reply, worth):
    rule = rule_of(TypeAdapter(Reward).validate_python({**reward, "weight": 1.0}))

    assert rule(prompt, reply) == worth


def test_rewards_add_up_by_weight():
    rewards = [
        TypeAdapter(Reward).validate_python({"name": "text", "text": text, "weight": weight}) for text, weight in (("a", 2.0), ("b", -0.5))
    ]
    summed = together(rewards, [lambda prompts, replies, word=word: [float(word in reply) for reply in replies] for word in "ab"])

    assert summed([PLAIN] * 4, ["a", "b", "ab", ""]) == [2.0, -0.5, 1.5, 0.0]


def test_only_the_last_question_may_be_repeated_in_a_right_answer():
    row = ROW.model_copy(update={"messages": [Message(role="user", content="9千克？"), *ROW.messages]})

    assert rule_of(TypeAdapter(Reward).validate_python({"name": "answer", "weight": 1.0}))(Prompt(row, "", False), "9千克") == 0
