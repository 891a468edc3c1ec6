"""Drift of served questions: how often the test alarms without reason, and with; what the service keeps of a question."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from lingyu.files import write_table
from lingyu.records import Dialogue
from lingyu.retrain import drift, triggers
from lingyu.retrain.triggers import Drift
from lingyu.serve import asked

SAMPLES = Path(__file__).parent.parent / "samples"
ROUNDS, LEVEL = 400, 0.05


def questions(*files: str) -> list[str]:
    """The questions of sample corpora, as people would ask them."""
    found = []
    for file in files:
        for line in (SAMPLES / file).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            text = row.get("question") or row.get("instruction") or row.get("prompt")
            found += [text] if isinstance(text, str) else []
    return found


def vectors(texts: list[str]):
    return drift.unit(np.stack([asked.sketch(text) for text in texts]))


@pytest.fixture(scope="module")
def drone():
    return vectors(questions("drone/reasoning/questions.jsonl", "drone/preference/pairs.jsonl"))


@pytest.fixture(scope="module")
def others():
    return vectors(questions("drone/general/qa.jsonl"))


def share_of_alarms(draw, rounds: int) -> float:
    random = np.random.default_rng(5)
    return sum(drift.chance(*draw(random), seed=number, permutations=99) <= LEVEL for number in range(rounds)) / rounds


def test_of_samples_of_one_kind_no_more_than_the_level_alarm(drone):
    def draw(random):
        chosen = random.permutation(len(drone))[:300]
        return drone[chosen[:100]], drone[chosen[100:]]

    assert share_of_alarms(draw, ROUNDS) <= binom.ppf(0.99, ROUNDS, LEVEL) / ROUNDS


@pytest.mark.parametrize(("of_another_domain", "least"), [(1.0, 1.0), (0.3, 0.9)])
def test_questions_of_another_domain_are_noticed(drone, others, of_another_domain, least):
    def draw(random):
        ours, theirs = random.permutation(len(drone)), random.permutation(len(others))
        foreign = round(200 * of_another_domain)
        served = np.concatenate([drone[ours[: 200 - foreign]], others[theirs[:foreign]]])
        return served, drone[ours[200:600]]

    assert share_of_alarms(draw, 40) >= least


def test_a_look_waits_for_enough_questions_and_sees_each_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, params = asked.Asked(tmp_path / "asked"), Drift(folder=str(tmp_path / "asked"), questions=50, level=0.01)
    asks = [f"云雀X{number}的最大飞行速度是多少？" for number in np.random.default_rng(1).permutation(250)]
    rows = [dialogue(number, question) for number, question in enumerate(asks[50:])]
    write_table(tmp_path / triggers.TRAINED, rows, Dialogue)

    for question in asks[:49]:
        store.keep(question)
    assert triggers.drifted(params).figure == "49 of 50 questions since the last look"

    store.keep(asks[49])
    same = triggers.drifted(params)
    assert (same.fires, "over 50 questions" in same.figure) == (False, True)
    assert triggers.drifted(params).figure.startswith("0 of 50")

    for number in range(50):
        store.keep(f"房屋租赁合同第{number}条是否有效？")
    other = triggers.drifted(params)
    assert other.fires
    assert "add documents" in other.advice


def dialogue(number: int, question: str) -> Dialogue:
    common = {"source": "a", "place": "", "licence": "CC0", "scope": "domain", "language": "zh", "task": "fact", "references": []}
    made = {"method": "given", "teacher": "", "prompt_hash": "", "review": "auto"}
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "21米每秒"}]
    return Dialogue(id=str(number), messages=messages, **common, **made)


def test_what_is_kept_of_a_question_is_no_text_and_survives_a_crash(tmp_path, monkeypatch):
    monkeypatch.setattr(asked, "PER_FILE", 2)
    monkeypatch.setattr(asked, "FILES", 2)
    store = asked.Asked(tmp_path)
    for number in range(3):
        store.keep(f"问题{number}能飞吗")
    store.keep("！？")  # nothing to count
    (newest,) = asked.files(tmp_path)[-1:]
    newest.write_bytes(newest.read_bytes() + b"\1\2")

    store.keep("第四个问题")
    store.keep("第五个问题")

    count, rows = asked.read(tmp_path)
    assert count == 5
    assert len(asked.files(tmp_path)) == 2
    assert (rows[-1] == asked.sketch("第五个问题")).all()
    assert (rows[-2] == asked.sketch("第四个问题")).all()
    assert not any("问题".encode() in file.read_bytes() for file in tmp_path.iterdir())
