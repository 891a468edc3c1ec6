"""What a model adds to the search of professional mode: keywords, a second search with its answer, a judgement of each passage."""

import asyncio

import pytest
from endpoints import posted_to
from rows import document
from serving import ANSWERED
from test_serve import PAGES, send

from lingyu.retrieve.chunks import chunks_of_document
from lingyu.retrieve.index import Knowledge, build
from lingyu.retrieve.retrievers import Choice
from lingyu.serve import search
from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant
from lingyu.serve.engine import TransformersEngine
from lingyu.serve.search import ASKED_FOR_KEYWORDS, keywords_of

ASKED = "电量低于多少时应当返航？"


@pytest.fixture(scope="module")
def assistant(content):
    return Assistant(content, TransformersEngine(content / "model"))


@pytest.fixture
def ask(assistant):
    app = make_app(lambda: assistant, PAGES)

    def post(question, **wished):
        body = {"model": "tiny", "mode": "professional", "messages": [{"role": "user", "content": question}], "search": wished}
        return asyncio.run(send(app, "POST", "/v1/chat/completions", json=body))

    return post


def saying(answer):
    """An endpoint whose answer is made from the prompt."""
    return posted_to(lambda body: {"choices": [{"message": {"content": answer(body["messages"][-1]["content"])}}]})


def test_keywords_of_another_model_are_searched_for_with_the_question(ask, monkeypatch):
    with saying(lambda prompt: "桨叶、起飞前检查") as address:
        monkeypatch.setenv(search.URL, address)
        without, found = ask("该看看什么再飞？").json(), ask("该看看什么再飞？", keywords=True).json()

    assert "keywords" not in without
    assert found["keywords"] == ["桨叶", "起飞前检查"]
    assert found["query"] == without["query"] == "该看看什么再飞？"


def test_a_passage_that_the_model_says_does_not_help_is_left_out(ask, monkeypatch):
    with saying(lambda prompt: "否" if "运行手册" in prompt.split("问题：")[0] else "是") as address:
        monkeypatch.setenv(search.URL, address)
        before, after = ask(ASKED).json(), ask(ASKED, judge=True).json()

    assert [source["title"] for source in before["sources"]] == ["运行手册"]
    assert (after["sources"], after["answer_source"]) == ([], "none")


def test_what_is_no_verdict_leaves_the_passage_in(ask):
    """The tiny model was never taught to judge."""
    assert ask(ASKED, judge=True).json()["sources"] == ask(ASKED).json()["sources"]


def test_the_second_search_has_the_models_answer_and_answers_again(assistant, ask):
    once, twice = ask(ANSWERED[0][0]).json(), ask(ANSWERED[0][0], second=True).json()

    assert twice["choices"][0]["message"]["content"] == once["choices"][0]["message"]["content"] == f"{ANSWERED[0][1]} [1]"
    assert ask("你好！", second=True).json()["answer_source"] == "none"


def test_an_answer_in_the_words_of_the_documents_brings_their_passage_to_the_front(tmp_path):
    right, *others = ["人员密集场所的门窗不得设置影响逃生的障碍物。", "门口的窗台上可以放花。", "窗台应当每年粉刷。"]
    chunks = [chunk for number, text in enumerate([right, *others]) for chunk in chunks_of_document(document(number, text), 100)]
    build(chunks, tmp_path, Choice(name="bm25"))
    knowledge = Knowledge(tmp_path)

    alone = knowledge.search_with("窗台上能装铁栏杆吗", "", 2)
    both = knowledge.search_with("窗台上能装铁栏杆吗", "人员密集场所的门窗不得设置影响逃生的障碍物。", 2)

    assert [hit.chunk.text for hit in alone] == others
    assert right in [hit.chunk.text for hit in both]
    assert knowledge.search_with("窗台上能装铁栏杆吗", "障碍物", 2, least=alone[0].score + 0.01) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("桨叶、电池、桨叶", ["桨叶", "电池"]),
        ("rotor, battery; gate.", ["rotor", "battery", "gate"]),
        ("关键词：\n灭火器", ["关键词", "灭火器"]),
        ("", []),
        ("字" * 50, []),
    ],
)
def test_keywords_are_short_and_none_twice(answer, words):
    assert keywords_of(answer) == words


def test_the_model_is_asked_for_keywords_in_words_that_it_was_taught():
    import yaml

    wordings = yaml.safe_load((PAGES.parents[1] / "lingyu/generate/wordings/keywords.yaml").read_text(encoding="utf-8"))

    assert {True: wordings["zh"]["question"][0], False: wordings["en"]["question"][0]} == ASKED_FOR_KEYWORDS


def test_an_endpoint_that_does_not_answer_is_named(ask, monkeypatch):
    monkeypatch.setenv(search.URL, "http://127.0.0.1:9/v1")

    reply = ask(ASKED, keywords=True)

    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "endpoint_failed")
    assert search.URL in reply.json()["error"]["message"]


def test_an_unknown_wish_is_refused(ask):
    assert ask(ASKED, secondly=True).status_code == 400
