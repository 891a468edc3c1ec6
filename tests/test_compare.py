"""Answers compared blind: who is asked about what, that no vote is lost, and what the votes come to."""

import json
import os
import re
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import httpx
import numpy as np
import pytest
from predictions import prediction

from lingyu.__main__ import main
from lingyu.evaluate.brought import TASK
from lingyu.evaluate.scorer import Prediction
from lingyu.files import read_json, write_jsonl, write_table
from lingyu.ingest.readers import Record
from lingyu.ingest.sections import Origin
from lingyu.ingest.shapes import Mapping, rows_of
from lingyu.judge import agreement, ranking, sources, votes
from lingyu.judge.ranking import Vote
from lingyu.records import Preference
from lingyu.stage import StageError

# Of choix 0.4.1, scikit-learn 1.9 and statsmodels 0.15 for the same input.
WINS = [[0, 2, 4, 5], [4, 0, 17, 12], [1, 2, 0, 9], [12, 10, 6, 0]]
CHOIX = [-0.3166468406, 0.6905501525, -0.4936719577, 0.1197686458]
ONE = "ttooxxtxxxxxottttooxxttotoottooootxxoxotxootxxooxxxttoxxooxt"
OTHER = "otxotxtxtxxxotxtoooxtttxoootootxxxoooxotxxotxtotxxottoxoxoxt"
SCORES = "323332341341435224511123335412115532511222224345514354155511", "322421441252544223411134324522115531511322133344413454155411"
COHEN, QUADRATIC = 0.4486215539, 0.8814713896
BY_THREE = [[3, 0, 1], [2, 1, 1], [0, 2, 2], [1, 3, 0], [2, 2, 0], [4, 0, 0]]


def test_strengths_are_those_of_choix():
    assert ranking.strengths(np.array(WINS, float)) == pytest.approx(CHOIX, abs=1e-7)


def test_kappas_are_those_of_scikit_learn_and_of_the_paper():
    assert agreement.cohen(ONE, OTHER) == pytest.approx(COHEN, abs=1e-9)
    assert agreement.cohen_of_scores(*([int(score) for score in side] for side in SCORES), 1, 5) == pytest.approx(QUADRATIC, abs=1e-9)
    assert agreement.cohen("aaaa", "aaaa") is None
    # Fleiss 1971: fourteen judges, ten things, five categories.
    table = "0 0 0 0 14,0 2 6 4 2,0 0 3 5 6,0 3 9 2 0,2 2 8 1 1,7 7 0 0 0,3 2 6 3 0,2 5 3 2 2,6 5 2 1 0,0 2 2 3 7"
    assert agreement.fleiss(np.array([row.split() for row in table.split(",")], float)) == pytest.approx(0.20993, abs=1e-5)


def test_the_winner_of_every_vote_is_strong_but_not_without_doubt():
    every = [Vote(str(number), "a", "b", 1.0) for number in range(10)]

    found = ranking.ranked(every, ["a", "b", "never asked"])

    strength = found["bradley_terry"]["a"]
    assert list(found["bradley_terry"]) == ["a", "b"]
    assert 1000 < strength["low"] < strength["value"] < strength["high"] < 2500
    assert found["win_rates"]["a"]["b"] == {"value": 1.0, "low": 0.7225, "high": 1.0, "wins": 10, "ties": 0, "losses": 0}
    assert found["elo"]["a"]["value"] == pytest.approx(2000 - found["elo"]["b"]["value"], abs=0.1)


def test_the_first_game_of_equals_moves_elo_by_half_of_k():
    assert ranking.elo_of([Vote("1", "a", "b", 1.0)], ["a", "b"], np.array([[0, -1]])).tolist() == [[1016.0, 984.0]]


def votes_of(random, strengths, items, reviewers, spread):
    """Votes on each pair; how good an answer is differs by item, and its reviewers see the same answers."""
    names = "abcd"[: len(strengths)]
    for item in range(items):
        own = strengths + random.normal(0, spread, len(strengths))
        for one, other in combinations(range(len(strengths)), 2):
            for _ in range(reviewers):
                yield Vote(str(item), names[one], names[other], float(random.random() < 1 / (1 + np.exp(own[other] - own[one]))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "items", "reviewers", "spread"), [(2, 60, 1, 0.0), (3, 40, 1, 0.0), (4, 100, 1, 0.0), (3, 40, 3, 1.0)], ids=str
)
def test_intervals_of_bradley_terry_hold_the_true_strength_in_95_of_100(names, items, reviewers, spread):
    """Strengths differ from draw to draw; where items differ, the true ones are those of 4,000 items."""
    random, held = np.random.default_rng(1), []
    for _ in range(40 if spread else 2000):
        strengths = random.normal(0, 0.5, names)
        strengths -= strengths.mean()
        true = 1000 + ranking.SCALE * strengths
        if spread:
            many = list(votes_of(random, strengths, 4000, 1, spread))
            found = ranking.bradley_terry(many, "abcd"[:names])
            true = [found[name]["value"] for name in "abcd"[:names]]
        for _ in range(50 if spread else 1):
            found = ranking.bradley_terry(list(votes_of(random, strengths, items, reviewers, spread)), "abcd"[:names])
            held += [found[name]["low"] <= value <= found[name]["high"] for name, value in zip("abcd", true, strict=False)]
    assert 0.935 <= np.mean(held) <= 0.965


@pytest.mark.slow
@pytest.mark.parametrize(("items", "reviewers", "spread"), [(40, 1, 0.0), (30, 2, 1.0)], ids=str)
def test_intervals_of_elo_hold_its_mean_in_95_of_100(items, reviewers, spread):
    """The true rating is the mean of all draws: Elo depends on the number of votes."""
    random, found = np.random.default_rng(2), []
    for sample in range(2000):
        drawn = list(votes_of(random, np.array([0.5, -0.5]), items, reviewers, spread))
        found.append(list(ranking.elo(drawn, "ab", 100, sample)["a"].values()))
    value, low, high = np.array(found).T
    assert 0.935 <= np.mean((low <= value.mean()) & (value.mean() <= high)) <= 0.965


@pytest.fixture
def files(tmp_path):
    """Answers of three models to four questions; to the last, all of the first two are the same."""
    for name in ("甲", "乙", "丙"):
        rows = [{"id": str(n), "question": f"问题{n}？", "reply": "相同" if n == 3 else f"{name}的回答{n}"} for n in range(4)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    return [str(tmp_path / f"{name}.jsonl") for name in ("甲", "乙", "丙")]


def test_items_with_one_answer_are_nobodys_to_judge(files):
    compared = sources.read(files, None, Path("out"))

    assert (len(compared.items), len(compared.pairings)) == (4, 9)
    assert compared.same == {("甲", "乙"): 1, ("甲", "丙"): 1, ("乙", "丙"): 1}


def test_runs_are_compared_on_the_items_that_all_of_them_have(tmp_path):
    for name, ids in {"a": "123", "b": "234"}.items():
        rows = [prediction("fact", id=id_, prompt=f"{id_}?", reply=name, answer="x") for id_ in ids] + [prediction("general", id="9")]
        write_table(tmp_path / name / "predictions.parquet", rows, Prediction)

    compared = sources.read([str(tmp_path / "a"), str(tmp_path / "b")], None, tmp_path / "out")

    assert [(pair.item.id, pair.item.question, pair.replies) for pair in compared.pairings] == [
        ("2", "2?", ("a", "b")),
        ("3", "3?", ("a", "b")),
    ]
    assert compared.unshared == 2


@pytest.mark.parametrize(
    ("targets", "said"),
    [(["甲"], "at least two"), (["甲", "甲"], "two are named"), (["甲", "nobody"], "no file, run or candidate is named nobody")],
)
def test_what_cannot_be_compared_is_said(tmp_path, files, targets, said):
    with pytest.raises(StageError, match=said):
        sources.read([str(tmp_path / f"{name}.jsonl") if name == "甲" else name for name in targets], None, tmp_path / "out")


def started(files, folder):
    command = [sys.executable, "-m", "lingyu", "compare", *files, "--folder", str(folder), "--lang", "en"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().split()[0]


def asked(url, path, **fields):
    reply = httpx.post(url + path, json={"reviewer": "王", **fields})
    return reply.raise_for_status().json()


def test_votes_outlive_a_kill_and_names_are_never_shown(tmp_path, files):
    folder = tmp_path / "votes"
    process, url = started(files, folder)
    try:
        pair = asked(url, "next")
        sides = {"left": pair["left"], "right": pair["right"]}
        assert set(pair) == {"done", "total", "key", "question", "history", "left", "right", "answer", "passage"}
        assert httpx.post(url + "next", json={"reviewer": "王"}, headers={"Host": "evil.example"}).status_code in {400, 403}
        assert httpx.post(url + "vote", json={"reviewer": "王", "key": "none", "choice": "left"}).status_code == 404
        assert "default-src 'self'" in httpx.get(url).headers["Content-Security-Policy"]
        assert main(["compare", *files, "--folder", str(folder)]) == 1  # in use
        assert asked(url, "vote", key=pair["key"], choice="left")["done"] == 1
        assert asked(url, "undo")["key"] == pair["key"]
        assert asked(url, "vote", key=pair["key"], choice="right")["done"] == 1
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    with (folder / "votes.jsonl").open("a") as file:
        file.write('{"reviewer": "cut sho')

    process, url = started(files, folder)
    try:
        state = asked(url, "next")
        assert state["done"] == 1
        while "key" in state:
            state = asked(url, "vote", key=state["key"], choice="tie")
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "9 votes by 王 (9)" in told
    wins = sum(rate["wins"] for rates in read_json(folder / "results.json")["people"]["win_rates"].values() for rate in rates.values())
    assert wins == 1
    name = re.match("甲|乙|丙", sides["right"])[0]
    assert any(rate["wins"] for rate in read_json(folder / "results.json")["people"]["win_rates"][name].values())


def test_reviewers_see_other_orders_and_other_sides(files):
    from lingyu.judge.server import left_of

    pairings = sources.read(files, None, Path("out")).pairings
    sides = {who: [left_of(who, pairing) for pairing in pairings] for who in ("a", "b", "c", "d")}
    assert len({tuple(side) for side in sides.values()}) > 1
    assert {"one", "other"} <= {side for each in sides.values() for side in each}


def cast(path, given, pairings):
    with votes.Votes(path) as kept:
        for reviewer, choices in given.items():
            for pairing, choice in zip(pairings, choices, strict=False):
                kept.cast(reviewer, pairing, choice)


def test_what_most_people_prefer_becomes_rows_that_ingest_reads(tmp_path, files, capsys):
    folder, out = tmp_path / "votes", tmp_path / "preferences.jsonl"
    pairings = sources.read(files[:2], None, Path("out")).pairings
    cast(folder / "votes.jsonl", {"a": ["one", "one", "tie"], "b": ["one", "other", "other"], "c": ["other"]}, pairings)

    assert main(["compare", *files[:2], "--folder", str(folder), "--preferences", str(out), "--lang", "en"]) == 0

    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows == [{"question": pairings[0].item.question, "chosen": pairings[0].replies[0], "rejected": pairings[0].replies[1]}]
    assert "2 pairs without a majority" in capsys.readouterr().out
    ((_, row),) = rows_of(Record(rows[0], "1"), Origin("a.jsonl", "CC0", "domain", TASK), Mapping()).rows
    assert isinstance(row, Preference)
    assert (row.chosen, row.rejected) == pairings[0].replies


def test_agreement_is_of_what_several_judged_and_old_votes_are_told(tmp_path, files, capsys):
    pairings = sources.read(files, None, Path("out")).pairings
    said = {"a": ["one", "one", "tie", "bad"], "b": ["one", "other", "tie", "tie"], "c": ["one", "one", "one"]}
    cast(tmp_path / "votes.jsonl", said, pairings)
    text = Path(files[0]).read_text(encoding="utf-8").replace("甲的回答0", "另一个回答")
    Path(files[0]).write_text(text, encoding="utf-8")

    assert main(["compare", *files, "--folder", str(tmp_path), "--results", "--json", str(tmp_path / "r.json"), "--lang", "zh"]) == 0

    found = read_json(tmp_path / "r.json")
    stale = sum(pairing.key not in {one.key for one in sources.read(files, None, Path("out")).pairings} for pairing in pairings[:4])
    assert stale
    assert found["stale_votes"] == sum(sum(p.key not in known(files) for p in pairings[: len(given)]) for given in said.values())
    assert set(found["people"]["agreement"]["cohen"]) == {"a · b", "a · c", "b · c"}
    assert found["people"]["agreement"]["fleiss"]["count"] > 0
    assert "kappa" in capsys.readouterr().out


def known(files):
    return {one.key for one in sources.read(files, None, Path("out")).pairings}


def test_a_line_that_is_no_vote_is_named(tmp_path, files):
    (tmp_path / "votes.jsonl").write_text('{"reviewer": "a"}\n')
    with pytest.raises(StageError, match="line 1 is no vote"):
        votes.Votes(tmp_path / "votes.jsonl")
    assert os.path.getsize(tmp_path / "votes.jsonl")
