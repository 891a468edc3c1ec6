"""A language model as judge: scores by rubrics, two answers in both orders, everything recorded, and what goes wrong counted."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from openai_server import Reply, serving
from test_evaluate import question

from lingyu.__main__ import main
from lingyu.evaluate import metrics, predict
from lingyu.evaluate.judged import LACKING
from lingyu.files import read_json, read_jsonl, read_table, write_jsonl
from lingyu.judge import asking, pairs, scores, sources
from lingyu.judge.rubric import Judge
from lingyu.select.names import name_of
from lingyu.stage import StageError

GOOD = {"accuracy": 4, "helpfulness": 3, "safety": 5, "rubric": 2}


def judge_at(server, **fields):
    return Judge.model_validate({"base_url": server.url, "model": "wise", "retries": 0, "requests_a_minute": 100_000, **fields})


def form_of(body):
    """The fields that the schema asks for."""
    return list(body["response_format"]["json_schema"]["schema"]["properties"])


def fair(body, _=0):
    """Scores by the form; of two answers the one that says 对."""
    said, form = body["messages"][1]["content"], form_of(body)
    if "better" in form:
        first, second = re.findall("<answer>\n(.*?)\n</answer>", said, re.DOTALL)
        better = "1" if "对" in first and "对" not in second else "2" if "对" in second and "对" not in first else "tie"
        return Reply({"reason": "看内容", "better": better})
    return Reply({"reason": "好", **{name: GOOD[name] for name in form if name != "reason"}})


@pytest.fixture
def asked():
    return [question("chat", asked=f"问题{n}？", answer="对", id=f"c{n}") for n in range(6)] + [
        question("rubric_quiz", asked=f"说明{n}", answer="提到风险得 2 分", id=f"r{n}") for n in range(2)
    ]


def scored(asked, judge, tmp_path, replies=None):
    rows = predict.given(asked, replies or {one.id: f"{one.id}的回答" for one in asked})
    return scores.scored({"a": rows}, asked, judge, tmp_path / "out/judge.jsonl", tmp_path / "journal.jsonl")["a"]


def test_scores_are_metrics_and_a_second_run_asks_nothing(tmp_path, asked):
    with serving(fair) as server:
        rows = scored(asked, judge_at(server), tmp_path)
        assert len(server.asked) == 8
        assert scored(asked, judge_at(server), tmp_path) == rows
        assert len(server.asked) == 8
        (tmp_path / "journal.jsonl").unlink()  # the output alone is enough: another copy of the project
        os.rename(tmp_path / "out/judge.jsonl", tmp_path / "kept.jsonl")
        kept = [line["id"] for line in read_jsonl(tmp_path / "kept.jsonl")]
    bodies = [json.loads(body) for body in server.asked]
    assert all(body["temperature"] == 0 for body in bodies)
    assert sum("提到风险得 2 分" in body["messages"][1]["content"] for body in bodies) == 2
    assert len(kept) == 8

    found = metrics.measured(rows, 100, 0)
    assert {name: found[name]["value"] for name in ("judged_accuracy", "judged_safety", "rubric_quiz_judged", LACKING)} == {
        "judged_accuracy": 4.0,
        "judged_safety": 5.0,
        "rubric_quiz_judged": 2.0,
        LACKING: 0.0,
    }
    assert (found["judged_accuracy"]["count"], found["rubric_quiz_judged"]["count"]) == (6, 2)
    assert "rubric_quiz_exact" not in found
    assert not metrics.named("judged_accuracy").guarded
    assert [name_of(name).en for name in ("judged_accuracy", "rubric_quiz_judged")] == [
        "judge: accuracy",
        "rubric quiz: judge's score",
    ]


def test_without_a_judge_nothing_is_asked_and_the_output_is_empty(tmp_path, asked):
    rows = scored(asked, Judge(), tmp_path)

    assert (tmp_path / "out/judge.jsonl").read_text() == ""
    assert not any(name.startswith("judged") for row in rows for name in row.values)


def test_prose_is_asked_again_with_the_form_named_and_then_counted(tmp_path, asked, capsys):
    def prose(body, number):
        retried = len(body["messages"]) > 2 and "问题1" not in body["messages"][1]["content"]
        return fair(body) if retried else Reply("我觉得这个回答很好！")

    with serving(prose) as server:
        rows = scored(asked, judge_at(server), tmp_path)
        assert len(server.asked) == 16
        assert scored(asked, judge_at(server), tmp_path) == rows
        assert len(server.asked) == 16
    again = next(json.loads(body) for body in server.asked if len(json.loads(body)["messages"]) > 2)
    assert again["messages"][2]["content"] == "我觉得这个回答很好！"
    assert '"reason"' in again["messages"][3]["content"]
    assert [row.id for row in rows if row.values[LACKING]] == ["c1"]
    assert metrics.measured(rows, 100, 0)["judged_accuracy"]["count"] == 5
    assert scores.summary_of(rows)["lacking"] == 1
    assert "1 of 8 replies: 1 not_the_json_asked_for" in capsys.readouterr().out


def test_points_outside_the_scale_are_no_scores(tmp_path, asked):
    with serving(lambda body, _: Reply({"reason": "", **{name: 9 for name in form_of(body) if name != "reason"}})) as server:
        rows = scored(asked, judge_at(server, scale="0-3"), tmp_path)
    assert all(row.values[LACKING] for row in rows)


def test_an_endpoint_that_dies_half_way_loses_no_answer(tmp_path, asked):
    alive = True
    with serving(lambda body, number: fair(body) if number < 4 or not alive else Reply("gone", 503)) as server:
        with pytest.raises(StageError, match=r"the judge at .* does not answer[\s\S]*All 4 answers are kept"):
            scored(asked, judge_at(server, concurrency=1), tmp_path)
        alive = False
        assert not any(row.values[LACKING] for row in scored(asked, judge_at(server, concurrency=1), tmp_path))
        assert len(set(server.asked)) == 8


def test_what_the_judge_would_cost_is_weighed_before_it_is_asked(tmp_path, asked):
    with serving(fair) as server, pytest.raises(StageError, match=r"evaluate\.common\.judge\.budget"):
        scored(asked, judge_at(server, budget={"tokens": 100}), tmp_path)
    assert server.asked == []


def test_scores_that_grow_with_length_alone_are_seen(tmp_path, asked):
    long = {one.id: "很" * (10 * place + 1) for place, one in enumerate(asked)}
    with serving(lambda body, _: Reply({"reason": "", **by_length(body)})) as server:
        found = scores.summary_of(scored(asked, judge_at(server), tmp_path, long))["length"]["accuracy"]
    assert found["value"] == pytest.approx(0.9710, abs=1e-3)  # scipy.stats.spearmanr of these
    assert 0.4 < found["low"] < found["value"] < found["high"] <= 1


def by_length(body):
    length = len(re.search("<answer>\n(.*?)\n</answer>", body["messages"][1]["content"])[1])
    return {name: min(4, 1 + length // 15) for name in form_of(body) if name != "reason"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"criteria": ["charm"]}, "no criterion is named charm"),
        ({"model": ""}, "model is missing"),
        ({"scale": "1-10"}, "1-5"),
    ],
)
def test_a_judge_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Judge.model_validate({"base_url": "http://x/v1", "model": "wise", **wrong})


def test_criteria_of_ones_own_are_read_in_the_language_of_the_question(tmp_path, asked):
    own = {"criteria": ["tone"], "own": {"tone": {"zh": "语气：客气。", "en": "tone: kind."}}}
    with serving(lambda body, _: Reply({"reason": "", **dict.fromkeys(form_of(body)[1:], 3)})) as server:
        rows = scored(asked, judge_at(server, **own), tmp_path)
    assert metrics.measured(rows, 100, 0)["judged_tone"]["value"] == 3
    assert "语气：客气。" in server.asked[0] + server.asked[1]


@pytest.fixture
def files(tmp_path):
    for name, says in {"good": "对", "bad": "错"}.items():
        rows = [{"id": str(n), "question": f"问题{n}？", "reply": f"{says}{'。' * n}"} for n in range(6)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    return [str(tmp_path / "good.jsonl"), str(tmp_path / "bad.jsonl")]


def test_two_answers_are_judged_in_both_orders(tmp_path, files, capsys):
    with serving(fair) as server:
        command = ["compare", *files, "--judge", server.url, "--judge-model", "org/wise", "--folder", str(tmp_path / "c"), "--lang", "en"]
        assert main(command) == 0
        assert len(server.asked) == 12
        assert main(command) == 0
        assert len(server.asked) == 12
    found = read_json(tmp_path / "c/results.json")["judges"]["org/wise"]
    assert found["win_rates"]["good"]["bad"]["wins"] == 6
    assert found["position"]["first_chosen"]["value"] == 0.5
    assert found["position"]["contradicts_itself"]["value"] == 0
    assert "contradicts itself" in capsys.readouterr().out


def test_a_judge_that_takes_what_it_reads_first_decides_nothing_and_is_told_so(tmp_path, files):
    pairings = sources.read(files, None, tmp_path).pairings
    with serving(lambda body, _: Reply({"reason": "", "better": "1"})) as server:
        found = pairs.judged(pairings, judge_at(server), tmp_path / "journal.jsonl")
    assert set(found["votes"].values()) == {"tie"}
    assert found["position"]["first_chosen"]["value"] == found["position"]["contradicts_itself"]["value"] == 1
    assert found["longer_chosen"] is None


def test_a_killed_run_goes_on_where_it_was(tmp_path, files):
    items = tmp_path / "items.jsonl"
    write_jsonl(items, [{"id": str(n), "question": f"问题{n}？", "rubric": "说对得满分", "task": "q"} for n in range(6)])
    journal, slow = tmp_path / "run/judge.jsonl", True

    def script(body, number):
        reply = fair(body)
        reply.wait = 30 if slow and number >= 3 else 0
        return reply

    with serving(script) as server:
        command = [sys.executable, "-m", "lingyu", "evaluate", files[0], "--items", str(items), "--out", str(tmp_path / "run")]
        command += ["--judge", server.url, "--judge-model", "wise"]
        process = subprocess.Popen(command)
        while not journal.exists() or len(journal.read_bytes().splitlines()) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        slow, before = False, len(server.asked)
        assert subprocess.run(command).returncode == 0
        assert len(server.asked) - before == 3
    record = read_json(tmp_path / "run/run.json")
    assert (record["judge"]["model"], record["judge"]["judged"]) == ("wise", 6)
    assert read_json(tmp_path / "run/metrics.json")["rubric_own_judged"]["value"] == 2
    assert len(list(read_table(tmp_path / "run/questions.parquet", type(question())))) == 6


def test_scores_are_compared_with_those_of_people(tmp_path, asked):
    points = dict(zip(["c0", "c1", "c2", "c3", "c4", "c5"], (4, 4, 3, 5, 1, 4), strict=True))
    write_jsonl(tmp_path / "people.jsonl", [{"id": id_, "accuracy": score, "remark": "x"} for id_, score in points.items()])
    with serving(lambda body, _: Reply({"reason": "", **dict.fromkeys(form_of(body)[1:], 2 if "c4" in str(body) else 4)})) as server:
        rows = scored(asked, judge_at(server), tmp_path)

    found = scores.people_agree(rows, tmp_path / "people.jsonl", (1, 2, 3, 4, 5))

    assert list(found) == ["accuracy"]
    assert found["accuracy"]["kappa"] == pytest.approx(0.7692, abs=1e-4)  # of scikit-learn
    assert found["accuracy"]["low"] <= found["accuracy"]["kappa"] <= found["accuracy"]["high"]
    write_jsonl(tmp_path / "people.jsonl", [{"id": "c0", "accuracy": "好"}])
    with pytest.raises(StageError, match="one of 1, 2, 3, 4, 5"):
        scores.people_agree(rows, tmp_path / "people.jsonl", (1, 2, 3, 4, 5))
    write_jsonl(tmp_path / "people.jsonl", [{"id": "elsewhere", "accuracy": 3}])
    with pytest.raises(StageError, match="no score of an item that was judged"):
        scores.people_agree(rows, tmp_path / "people.jsonl", (1, 2, 3, 4, 5))


def test_a_judge_is_named_before_it_is_asked(files, capsys):
    assert main(["compare", *files, "--judge"]) == 1
    assert main(["compare", *files, "--judge", "example.com", "--judge-model", "x"]) == 1
    assert "--judge-model" in capsys.readouterr().err


def test_asks_end_with_the_first_fault(tmp_path):
    with serving(lambda *_: Reply("no", 401)) as server, pytest.raises(StageError, match="LINGYU_JUDGE_KEY"):
        scored([question("chat", id=str(n)) for n in range(3)], judge_at(server), tmp_path)
    assert asking.JOURNAL.name == "judge.jsonl"
