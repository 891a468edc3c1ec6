"""Asking a teacher: over a real connection, in any order, through faults, and never the same thing twice."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openai_server import Reply, good, good_answer, serving
from rows import document
from teaching import SAMPLING, counts, exchanges, lesson, reasons, settings, teach

from lingyu.errors import Unavailable
from lingyu.generate.llm.client import tokens_of
from lingyu.generate.llm.endpoint import retry_after
from lingyu.stage import StageError

ROOT = Path(__file__).parent.parent


def rules(count: int) -> list:
    """Short documents about different things."""
    words = ["风速", "电池", "桨叶", "航线", "夜航", "返航", "备降", "信号", "图传", "罗盘"]
    return [
        document(
            n,
            f"{words[n % 10]}检查第{n}项由值班员负责。{words[n * 7 % 10]}异常时先停飞{n + 2}分钟再报告{words[n * 3 % 10]}情况。",
            section=f"甲{n}",
        )
        for n in range(count)
    ]


def reliable(count: int, documents: int = 0, **more):
    return lesson(*rules(documents or count), reliable={"records": count, **more})


def teacher_file(folder: Path) -> bytes:
    return (folder / "teacher.jsonl").read_bytes()


def test_a_passage_becomes_questions_with_answers_that_tell_where_they_came_from(tmp_path):
    with serving() as server:
        done = teach(server.url, tmp_path, reliable(3))

    assert len(done.rows) == 6
    assert not done.drops
    by_id = {exchange["id"]: exchange for exchange in exchanges(tmp_path)}
    for row in done.rows:
        assert (row.method, row.teacher, row.source, row.licence) == ("reliable", "wise", "a.md", "MIT")
        assert json.loads(by_id[row.prompt_hash]["content"])["answer"] == row.messages[-1].content


def test_a_second_run_asks_nothing_and_writes_the_same(tmp_path):
    with serving() as server:
        first = teach(server.url, tmp_path, reliable(5))
        asked, before = len(server.asked), teacher_file(tmp_path)
        second = teach(server.url, tmp_path, reliable(5))

    assert asked == 15
    assert len(server.asked) == asked
    assert teacher_file(tmp_path) == before
    assert second.rows == first.rows


def test_what_another_copy_recorded_needs_no_endpoint(tmp_path):
    with serving() as server:
        first = teach(server.url, tmp_path, reliable(3))
    (tmp_path / "journal.jsonl").unlink()

    second = teach("http://127.0.0.1:9/v1", tmp_path, reliable(3))

    assert second.rows == first.rows


def test_the_order_in_which_answers_come_changes_no_byte(tmp_path):
    def uneven(body, number):
        return Reply(good_answer(body), wait=0.03 * (number * 7 % 5))

    for folder, script, concurrency in (("a", good, 1), ("b", uneven, 8)):
        (tmp_path / folder).mkdir()
        with serving(script) as server:
            teach(server.url, tmp_path / folder, reliable(12), concurrency=concurrency)

    assert teacher_file(tmp_path / "a") == teacher_file(tmp_path / "b")


def test_what_dvc_keeps_of_the_last_run_is_not_asked_again(tmp_path, monkeypatch):
    """As DVC starts the stage: its output is removed, and in a clone there is no journal either."""
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        first = teach(server.url, tmp_path, reliable(3))
    paid = teacher_file(tmp_path)
    for name in ("journal.jsonl", "teacher.jsonl"):
        (tmp_path / name).unlink()
    md5 = hashlib.md5(paid, usedforsecurity=False).hexdigest()
    cached = tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(paid)
    outs = [{"path": (tmp_path / "teacher.jsonl").as_posix(), "md5": md5, "size": len(paid)}]
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"generate": {"outs": outs}}}))

    again = teach("http://127.0.0.1:9/v1", tmp_path, reliable(3))

    assert again.rows == first.rows
    assert teacher_file(tmp_path) == paid


def test_exchanges_of_other_runs_stay_in_the_journal_and_out_of_the_output(tmp_path):
    with serving() as server:
        teach(server.url, tmp_path, reliable(4))
        teach(server.url, tmp_path, reliable(2, documents=4))
        fewer = len(exchanges(tmp_path))
        teach(server.url, tmp_path, reliable(4))

    assert fewer == 6
    assert len(server.asked) == 12


def test_a_run_with_the_rules_in_between_loses_no_exchange(tmp_path):
    with serving() as server:
        first = teach(server.url, tmp_path, reliable(2))
        (tmp_path / "journal.jsonl").unlink()
        teach(server.url, tmp_path, lesson(), kind="rules")
        assert teacher_file(tmp_path) == b""
        again = teach(server.url, tmp_path, reliable(2))

    assert len(server.asked) == 6
    assert again.rows == first.rows


def test_two_passages_that_say_the_same_are_asked_about_once(tmp_path):
    twins = [document(place, "起飞前检查电池电量和桨叶。", section="甲") for place in (1, 2)]

    with serving(lambda body, _: Reply(good_answer(body), wait=0.05)) as server:
        done = teach(server.url, tmp_path, lesson(*twins, reliable={"records": 2}))

    assert len(server.asked) == len(set(server.asked)) == 2
    assert reasons(done) == ["near_duplicate"]


def test_no_more_requests_at_once_than_set_and_that_many(tmp_path):
    with serving(latency=0.05) as server:
        teach(server.url, tmp_path, reliable(12), concurrency=3)

    assert server.most_at_once == 3


def test_requests_keep_to_the_rate(tmp_path):
    with serving() as server:
        teach(server.url, tmp_path, reliable(4), requests_a_minute=1200)

    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert len(gaps) == 11
    assert sum(gaps) > 0.9 * 11 * 0.05


@pytest.mark.parametrize(
    "fault",
    [
        Reply("slow down", 429, {"Retry-After": "0.2"}),
        Reply("broken", 500, {"Retry-After": "0"}),
        Reply("overloaded", 503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        Reply(hang_up=True),
        Reply("late", wait=1.0),
    ],
    ids=["429", "500", "503", "hung up", "hanging"],
)
def test_a_fault_that_passes_is_waited_for(tmp_path, fault):
    with serving(lambda body, number: fault if number == 0 else good(body)) as server:
        done = teach(server.url, tmp_path, reliable(1), concurrency=1, timeout_seconds=0.5)

    assert len(done.rows) == 2
    assert server.asked[0] == server.asked[1]
    assert len(exchanges(tmp_path)) == 3
    if fault.status == 429:
        assert server.times[1] - server.times[0] >= 0.2


def test_all_requests_wait_when_one_is_told_to(tmp_path):
    def once(body, number):
        return Reply("slow down", 429, {"Retry-After": "0.5"}) if number == 0 else Reply(good_answer(body), wait=0.1)

    with serving(once) as server:
        teach(server.url, tmp_path, reliable(8), concurrency=2)

    later = [when - server.times[0] for when in server.times[2:]]
    assert later
    assert min(later) >= 0.45


@pytest.mark.parametrize(
    ("script", "changes", "message"),
    [
        (lambda *_: Reply("down", 500, {"Retry-After": "0"}), {}, r"does not answer: 500 down \(3 tries\)"),
        (lambda *_: Reply("", wait=3), {"timeout_seconds": 0.1, "retries": 0}, "no answer within 0.1 s"),
        (lambda *_: Reply("no quota", 429, {"Retry-After": "3600"}), {}, "wants 3600 s without requests"),
        (
            lambda *_: Reply(status=429, raw='{"error": {"code": "insufficient_quota", "message": "pay"}}'),
            {},
            "429 pay",
        ),
        (lambda *_: Reply("no such model", 404), {}, "404 no such model"),
        (lambda *_: Reply("over there", 302, {"Location": "http://127.0.0.1:9/"}), {}, ": 302"),
        (lambda *_: Reply(raw="<html>welcome</html>"), {}, "not as OpenAI's chat protocol does: '<html>welcome"),
        (
            lambda *_: Reply("response_format is not supported", 400),
            {},
            "refused the first 8 requests, and answered none: 400 resp",
        ),
    ],
    ids=["500", "hanging", "long wait", "quota", "404", "redirect", "no protocol", "400"],
)
def test_an_endpoint_that_cannot_be_asked_is_told_and_nothing_is_recorded(tmp_path, script, changes, message):
    with serving(script) as server, pytest.raises(StageError, match=message) as stopped:
        teach(server.url, tmp_path, reliable(9), **changes)

    assert re.search(r"Missing: reliable: \d of 9 records", str(stopped.value))
    assert not (tmp_path / "teacher.jsonl").exists()
    assert (tmp_path / "journal.jsonl").read_bytes() == b""


def test_an_endpoint_that_is_down_is_told(tmp_path):
    with pytest.raises(StageError, match=r"the teacher at http://127.0.0.1:9/v1 does not answer: ClientConnectorError") as stopped:
        teach("http://127.0.0.1:9/v1", tmp_path, reliable(1), retries=0)

    assert stopped.type is Unavailable


@pytest.mark.parametrize(("spared", "told"), [("", "404 no such page"), ("teacher.invalid", "ClientConnectorDNSError")])
def test_the_proxy_is_the_one_of_the_environment(tmp_path, monkeypatch, spared, told):
    with serving() as server, monkeypatch.context() as environment:
        environment.setenv("http_proxy", server.url.removesuffix("/v1"))
        environment.setenv("no_proxy", spared)

        with pytest.raises(StageError, match=told):
            teach("http://teacher.invalid/v1", tmp_path, reliable(1), retries=0)


def test_a_wrong_key_is_told_and_stands_nowhere(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("LINGYU_TEST_KEY", "secret-of-mine")

    with (
        serving(key="another") as server,
        pytest.raises(StageError, match=r"401 wrong key: Bearer \*\*\*.*LINGYU_TEST_KEY") as stopped,
    ):
        teach(server.url, tmp_path, reliable(1))

    said = capfd.readouterr()
    assert "secret" not in str(stopped.value) + said.out + said.err


def test_the_right_key_is_sent_and_stands_in_no_output_even_if_the_teacher_says_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGYU_TEST_KEY", "secret-of-mine")

    with serving(lambda body, _: Reply("I know secret-of-mine"), key="secret-of-mine") as server:
        done = teach(server.url, tmp_path, reliable(1))

    assert reasons(done) == ["not_the_json_asked_for"]
    assert b"secret" not in teacher_file(tmp_path) + (tmp_path / "journal.jsonl").read_bytes()
    assert "I know ***" in done.drops[0].evidence


def test_a_request_that_is_refused_alone_is_a_drop_and_asked_again_next_time(tmp_path):
    def choosy(body, _):
        return Reply("content policy", 400) if "第3项" in body["messages"][1]["content"] else good(body)

    with serving(choosy) as server:
        done = teach(server.url, tmp_path, reliable(6))
        asked = len(server.asked)
        teach(server.url, tmp_path, reliable(6))

    assert reasons(done) == ["refused_by_the_endpoint"]
    assert len(done.rows) == 10
    assert len(server.asked) == asked + 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("好的，这里有两个问题。"), "not_the_json_asked_for"),
        (Reply({"questions": "一个？"}), "not_the_json_asked_for"),
        (Reply({"questions": ["一？"], "note": "二"}), "not_the_json_asked_for"),
        (Reply('{"questions": ["一', finish="length"), "cut_at_max_tokens"),
        (Reply("", finish="content_filter"), "filtered_by_the_endpoint"),
        (Reply("抱歉，我无法回答这个问题。"), "refusal"),
        (Reply(""), "empty_answer"),
        (Reply({"questions": []}), "no_question"),
    ],
    ids=["prose", "other type", "more fields", "cut", "filtered", "refusal", "nothing", "no question"],
)
def test_an_answer_that_is_none_is_recorded_as_it_came_and_dropped_by_name(tmp_path, reply, reason):
    with serving(lambda *_: reply) as server:
        done = teach(server.url, tmp_path, reliable(1))
        again = teach(server.url, tmp_path, reliable(1))

    assert reasons(done) == reasons(again) == [reason]
    assert len(server.asked) == 1
    assert [exchange["finish"] for exchange in exchanges(tmp_path)] == [reply.finish]


@pytest.mark.parametrize("before_after", [("", ""), ("<think>\nwell {}\n</think>\n", ""), ("```json\n", "\n```"), ("\n```\n", "\n```\n")])
def test_thoughts_and_a_fence_round_the_answer_do_no_harm(tmp_path, before_after):
    before, after = before_after

    with serving(lambda body, _: Reply(before + json.dumps(good_answer(body)) + after)) as server:
        done = teach(server.url, tmp_path, reliable(1))

    assert len(done.rows) == 2


def test_the_estimate_is_shown_before_and_nothing_is_asked_beyond_the_budget(tmp_path, capfd):
    with serving() as server, pytest.raises(StageError, match="Nothing was asked"):
        teach(server.url, tmp_path, reliable(3), budget={"tokens": 500, "money": 100.0})

    assert server.asked == []
    assert "about 9 requests" in capfd.readouterr().err


# The server counts 100 tokens asked and 20 answered, so the answers cost more than was estimated.
DEAR = {"price": {"currency": "CNY", "asked": 0.0, "answered": 100.0}, "sampling": SAMPLING | {"max_tokens": 20}}


def test_a_budget_that_is_used_up_stops_the_run_and_names_what_is_missing(tmp_path):
    wordy = {"body": {"max_tokens": None}, **DEAR}
    with serving(lambda body, _: Reply(good_answer(body), answered=900)) as server:
        with pytest.raises(StageError, match=r"budget for the teacher is used up: .* of .* CNY 1.00") as stopped:
            teach(server.url, tmp_path, reliable(20), budget={"tokens": 10_000_000, "money": 1.0}, **wordy)
        asked = len(server.asked)
        done = teach(server.url, tmp_path, reliable(20), budget={"tokens": 10_000_000, "money": 100.0}, **wordy)

    assert 10 <= asked <= 15
    assert re.search(rf"Missing: reliable: \d+ of 20 records. All {asked} answers are kept", str(stopped.value))
    assert len(server.asked) == len(set(server.asked)) == 60
    assert len(done.rows) == 40


def test_spending_of_earlier_runs_counts(tmp_path):
    sampling = SAMPLING | {"max_tokens": 50}
    with serving() as server:
        teach(server.url, tmp_path, reliable(10), sampling=sampling)
        spent = 30 * 120
        with pytest.raises(StageError, match="more than the budget"):
            teach(server.url, tmp_path, reliable(11, documents=11), sampling=sampling, budget={"tokens": spent + 100, "money": 100.0})

    assert len(server.asked) == 30


def test_what_the_body_adds_is_sent_and_null_leaves_a_field_out(tmp_path):
    with serving() as server:
        teach(server.url, tmp_path, reliable(1), body={"max_tokens": None, "max_completion_tokens": 99, "seed": None})

    sent = json.loads(server.asked[0])
    assert sent["max_completion_tokens"] == 99
    assert not {"max_tokens", "seed"} & set(sent)


def test_another_model_or_sampling_is_asked_anew(tmp_path):
    with serving() as server:
        teach(server.url, tmp_path, reliable(1))
        teach(server.url, tmp_path, reliable(1), model="wiser")
        teach(server.url, tmp_path, reliable(1), sampling=SAMPLING | {"temperature": 0.1})

    assert len(server.asked) == len(set(server.asked)) == 9


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        ({"kind": "rules"}, 1, "generate.asked switches on reliable, and generate.teacher.kind is rules"),
        ({}, 0, "all records of generate.asked are 0"),
        ({"model": ""}, 1, "generate.teacher.model is empty"),
        ({"base_url": ""}, 1, "generate.teacher.base_url is empty"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_told(tmp_path, changes, asked, message):
    with pytest.raises(StageError, match=message):
        teach("http://127.0.0.1:9/v1", tmp_path, reliable(asked, documents=1), **changes)


def test_a_line_of_the_record_that_is_no_exchange_is_named(tmp_path):
    (tmp_path / "teacher.jsonl").write_text('{"id": "1"}\n')

    with pytest.raises(StageError, match=r"teacher.jsonl has a line that is no exchange .*prompt: Field required"):
        teach("http://127.0.0.1:9/v1", tmp_path, reliable(1))


def test_a_line_that_was_never_finished_is_asked_again(tmp_path):
    with serving() as server:
        teach(server.url, tmp_path, reliable(2))
        whole = teacher_file(tmp_path)
        journal = tmp_path / "journal.jsonl"
        journal.write_bytes(journal.read_bytes()[:-9])
        (tmp_path / "teacher.jsonl").unlink()
        teach(server.url, tmp_path, reliable(2))

    assert len(server.asked) == 7
    assert teacher_file(tmp_path) == whole


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_retry_after(header, seconds):
    assert retry_after(header) == seconds


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("无人机", 3), ("abcd", 1), ("abcde", 2), ("无人机abcd", 4)])
def test_tokens_are_estimated_by_script(text, tokens):
    assert tokens_of(text) == tokens


def test_settings_and_counts_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match="base_url"):
        settings("ftp://here")
    with pytest.raises(ValueError, match="Extra inputs"):
        counts(reliable={"record": 3})


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_teacher import reliable
from teaching import teach
teach(sys.argv[1], Path(sys.argv[2]), reliable(int(sys.argv[3])), concurrency=int(sys.argv[4]))
"""


def run_apart(server, folder: Path, concurrency: int, records: int) -> subprocess.Popen:
    arguments = [sys.executable, "-c", KILLED, server.url, str(folder), str(records), str(concurrency)]
    return subprocess.Popen(arguments, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_500_requests_goes_on_where_it_stopped(tmp_path):
    records = 167  # three requests each
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    with serving(latency=0.01) as server:
        assert run_apart(server, whole, 8, records).wait(120) == 0
        assert len(server.asked) == 501

    with serving(latency=0.03) as server:
        for stop_at in (120, 310):
            process = run_apart(server, killed, 16, records)
            while len(server.asked) < stop_at and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            assert process.wait(30) == -signal.SIGKILL
            time.sleep(0.2)  # what was under way reaches the server's log
        answered = {line["id"] for line in map(json.loads, (killed / "journal.jsonl").read_text().splitlines())}
        before = len(server.asked)
        assert run_apart(server, killed, 5, records).wait(120) == 0
        again = len(server.asked) - before

    assert 200 < len(answered) < 501
    assert again == 501 - len(answered)
    assert len(set(server.asked)) == 501
    assert teacher_file(killed) == teacher_file(whole)
