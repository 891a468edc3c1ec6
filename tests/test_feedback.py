"""A vote on an answer: kept at once, whole after a crash, and read by ingest as a preference."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from test_ingest import PARAMS

from lingyu.files import read_table
from lingyu.records import Preference
from lingyu.serve import feedback
from lingyu.serve.app import make_app
from lingyu.serve.feedback import Feedback, Store
from stages import ingest

PAGES = Path(__file__).parent.parent / "web" / "pages"
QUESTION = {"role": "user", "content": "云雀X3的最大飞行速度是多少？"}
VOTE = {
    "rating": "down",
    "messages": [QUESTION],
    "answer": "云雀X3的最大飞行速度是12米每秒。",
    "correction": "云雀X3的最大飞行速度是21米每秒。",
}


@pytest.fixture
def post(tmp_path, monkeypatch):
    monkeypatch.setenv(feedback.FOLDER, str(tmp_path / "data" / "feedback"))
    app = make_app(lambda: None, PAGES)

    def sent(body, headers=None):
        async def post():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                return await client.post("/v1/feedback", json=body, headers=headers)

        return asyncio.run(post())

    return sent


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_corrected_answer_becomes_a_preference_that_ingest_reads(post, tmp_path):
    history = [{"role": "system", "content": "简短。"}, {"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}]
    assert post(VOTE).status_code == 200
    assert post(VOTE | {"messages": [*history, QUESTION], "reason": "数值错误", "id": "chatcmpl-1"}).status_code == 200

    ingest.run(PARAMS, tmp_path / "data", tmp_path / "out")

    first, second = read_table(tmp_path / "out" / "tables" / "preferences.parquet", Preference)
    assert (first.chosen, first.rejected) == (VOTE["correction"], VOTE["answer"])
    assert [message.content for message in first.messages] == [QUESTION["content"]]
    assert [message.content for message in second.messages] == ["简短。", "你好", "你好！", QUESTION["content"]]
    assert (tmp_path / "out" / "rejected.jsonl").read_text() == ""


def test_a_passage_that_answers_becomes_a_question_of_the_retrieval_set(post, tmp_path):
    passage = {"source": "documents/manual.md", "section": "第二章", "text": "桨叶"}
    earlier = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}]
    assert post(VOTE | {"rating": "up", "correction": None, "passage": passage}).status_code == 200
    leaning = {"role": "user", "content": "那它的重量呢？"}
    assert post(VOTE | {"messages": [*earlier, leaning], "passage": passage}).status_code == 200
    assert post(VOTE | {"passage": {"section": "第二章"}}).status_code == 400

    ingest.run(PARAMS, tmp_path / "data", tmp_path / "out")

    assert lines(tmp_path / "out" / "retrieval.jsonl") == [{**passage, "question": QUESTION["content"]}]


@pytest.mark.parametrize("vote", [{"rating": "up"}, {"correction": None}, {"correction": VOTE["answer"]}, {"correction": "  "}])
def test_a_vote_without_another_answer_is_counted_and_teaches_nothing(post, tmp_path, vote):
    assert post(VOTE | {"correction": None} | vote).status_code == 200

    assert lines(tmp_path / "data" / "feedback" / ".votes.jsonl")[0]["rating"] == vote.get("rating", "down")
    assert not (tmp_path / "data" / "feedback" / "preferences.jsonl").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"rating": "so-so"}, {"messages": []}, {"messages": [{"role": "assistant", "content": "x"}]}, {"extra": 1}, {"answer": "x" * 20_001}],
)
def test_a_vote_that_says_nothing_is_refused(post, tmp_path, wrong):
    assert post(VOTE | wrong).status_code == 400
    assert not list((tmp_path / "data" / "feedback").iterdir())


def test_votes_need_the_key_where_keys_are_set(post, monkeypatch):
    monkeypatch.setenv("LINGYU_API_KEYS", "right")

    assert post(VOTE).status_code == 401
    assert post(VOTE, {"Authorization": "Bearer right"}).status_code == 200


def test_without_a_folder_there_is_no_feedback(post, monkeypatch):
    monkeypatch.delenv(feedback.FOLDER)
    app = make_app(lambda: None, PAGES)

    async def sent():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.post("/v1/feedback", json=VOTE)

    assert asyncio.run(sent()).json()["error"]["code"] == "no_feedback"


def test_votes_at_once_and_after_a_crash_are_lines_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "preferences.jsonl").write_text('{"question": "cut sho')
    store, vote = Store(tmp_path), Feedback.model_validate_json(json.dumps(VOTE))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: store.keep(vote), range(40)))

    cut, *kept = (tmp_path / "preferences.jsonl").read_text(encoding="utf-8").splitlines()
    assert cut == '{"question": "cut sho'
    assert [json.loads(line)["chosen"] for line in kept] == [VOTE["correction"]] * 40
    monkeypatch.setattr(feedback, "LARGEST", 100)
    with pytest.raises(feedback.Refused, match="full size"):
        store.keep(vote)
