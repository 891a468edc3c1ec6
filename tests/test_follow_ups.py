"""Questions to go on with: known to be answered, in the language of the conversation, never one that was asked."""

import json

import pytest
from serving import ANSWERED, FACTS, KNOWN, MANUAL
from test_documents import Client

from lingyu.retrieve import known
from lingyu.retrieve.known import Known, same
from lingyu.serve.engine import TransformersEngine

SPEED, FLYING_TIME = ANSWERED[0][0], ANSWERED[1][0]
RAIN = "雨天可以飞行吗？"


@pytest.fixture(scope="module")
def ask(content):
    return Client(content, TransformersEngine(content / "model")).ask


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("云雀X3的续航时间是什么？", "云雀X3的续航时间是多久？", True),
        ("云雀X3的续航时间是什么？", "云雀X3的最大飞行速度是什么？", False),
        ("What is the maximum altitude of Lark X3?", "what is the maximum altitude of Lark X3", True),
        ("？", "！", True),
    ],
)
def test_two_questions_are_the_same_by_their_pairs_of_characters(one, other, told):
    assert same(one, other) is told


def test_long_questions_are_not_kept_and_passages_that_are_gone_lead_to_nothing(tmp_path):
    known.keep(tmp_path, [*KNOWN, known.Asked("电" * 31, frozenset([MANUAL.id])), known.Asked("谁？", frozenset(["gone"]))])

    shown = [{"source": MANUAL.source, "text": MANUAL.text, "title": MANUAL.title, "kind": "document"}]
    assert [question for question, _ in Known(tmp_path, [MANUAL]).next("", shown)] == [one.question for one in KNOWN]


def test_an_answer_leads_on_to_what_else_is_known_of_the_same_thing(ask):
    reply = ask(SPEED, follow_ups={}).json()

    assert reply["follow_ups"][0] == "云雀X3的续航时间是什么？"
    assert "最大飞行速度" not in "".join(reply["follow_ups"])
    assert all(question.isascii() is False for question in reply["follow_ups"])
    last = ask(SPEED, follow_ups={}, stream=True).text.split("data: ")[-2]
    assert json.loads(last)["follow_ups"] == reply["follow_ups"]


def test_each_leads_to_an_answer(ask):
    for question in ask(SPEED, follow_ups={}).json()["follow_ups"]:
        assert ask(question).json()["answer_source"] != "none"


def test_a_passage_leads_on_to_its_other_questions_and_never_to_one_that_was_asked(ask):
    assert ask("雨天能飞吗？", follow_ups={"count": 1}).json()["follow_ups"] in (["电量低于多少应当返航？"], [RAIN])
    asked = ["电量低于多少应当返航？", RAIN]
    assert ask("雨天能飞吗？", follow_ups={"asked": asked}).json()["follow_ups"] == []


def test_none_where_nothing_was_answered_nor_where_the_filter_leaves_nothing(ask):
    assert ask("红烧肉怎么做？", follow_ups={}).json()["follow_ups"] == []
    assert ask(SPEED, mode="plain", follow_ups={}).json()["follow_ups"] == []
    only = {"filter": {"files": [ask(FLYING_TIME).json()["sources"][0]["file"]]}}
    questions = ask(FLYING_TIME, follow_ups={"count": 5}, **only).json()["follow_ups"]
    assert not {one.question for one in KNOWN} & set(questions)


def test_without_the_field_there_are_none_and_a_wrong_one_is_refused(ask):
    assert "follow_ups" not in ask(SPEED).json()
    assert ask(SPEED, follow_ups={"count": 6}).status_code == 400


def test_facts_are_asked_in_their_language():
    assert known.question_of(FACTS[2].language, "Lark X3", "maximum altitude") == "What is the maximum altitude of Lark X3?"
