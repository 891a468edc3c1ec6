"""Consultations: what to ask is learnt from dialogues; a conversation asks, confirms and advises."""

import pytest

from lingyu.records import Dialogue, Message
from lingyu.retrieve.cases import Cases, cases_of, keep, to_ask
from lingyu.retrieve.words import grams

ROLES = ("user", "assistant")


def dialogue(name: str, *turns: str, scope: str = "domain") -> Dialogue:
    messages = [Message(role=ROLES[number % 2], content=turn) for number, turn in enumerate(turns)]
    return Dialogue(
        id=name, source="consult/cases.jsonl", place=name, licence="CC0", scope=scope, language="zh", task="chat", references=[],
        method="given", teacher="", prompt_hash="", review="", messages=messages,
    )  # fmt: skip


COUGH = dialogue("a", "我一直咳嗽怎么办", "咳了几天了？有没有发烧？", "三天，不烧", "多喝水，三天不好再来。")
COLD = dialogue("b", "咳嗽两天了，嗓子疼", "请问有没有发烧？", "没有", "注意休息，可以用淡盐水漱口。")
KNEE = dialogue("c", "跑步以后膝盖疼", "以前受过伤吗？", "没有", "先停跑一周，冰敷。")
NO_CASES = [
    dialogue("d", "咳嗽怎么办", "多喝水。"),
    dialogue("e", "咳嗽怎么办", "多喝水。", "还有呢", "早点睡。"),
    dialogue("f", "咳嗽怎么办", "几天了？", "三天", "那您发烧吗？"),
    dialogue("g", "咳嗽怎么办", "几天了？", "三天", "多喝水。", scope="general"),
]


def shared(question: str, texts: list[str]) -> list[float]:
    asked = set(grams(question))
    return [len(asked & set(grams(text))) / len(asked) for text in texts]


@pytest.fixture
def cases(tmp_path):
    keep(cases_of([COUGH, COLD, KNEE, *NO_CASES]), tmp_path)
    return Cases(tmp_path)


def test_a_case_is_a_dialogue_that_asks_and_then_advises(cases):
    assert [(case.id, case.asked, case.replies, case.advice) for case in cases.all] == [
        ("a", ["咳了几天了？", "有没有发烧？"], ["三天，不烧", "三天，不烧"], "多喝水，三天不好再来。"),
        ("b", ["请问有没有发烧？"], ["没有"], "注意休息，可以用淡盐水漱口。"),
        ("c", ["以前受过伤吗？"], ["没有"], "先停跑一周，冰敷。"),
    ]


def test_what_most_close_cases_asked_comes_first_and_nothing_twice(cases):
    near = [case for case, _ in cases.nearest("孩子咳嗽得厉害怎么办", shared, 2)]

    assert [case.id for case in near] == ["a", "b"]
    assert to_ask(near, [], "孩子咳嗽", shared) == ["有没有发烧？", "咳了几天了？"]
    assert to_ask(near, ["请问有没有发烧？"], "孩子咳嗽", shared) == ["咳了几天了？"]
    assert to_ask(near, [], "孩子咳嗽，没有发烧", shared) == ["咳了几天了？"]


def test_a_folder_without_cases_has_none(tmp_path):
    assert Cases(tmp_path).all == []
    assert Cases(tmp_path).nearest("咳嗽", shared, 3) == []
