"""A candidate with other seeds is a measure of chance: it never wins, and a gain below what seeds differ by is none."""

import pytest
from test_select import PARAMS, SETTINGS, outcomes, selected
from test_select import made as made

from lingyu.select import seeds
from lingyu.stage import StageError

CHECKPOINTS = {**PARAMS.checkpoints, "sft-full-1": "sft/full-1", "sft-full-2": "sft/full-2"}
REPEATED = PARAMS.model_copy(
    update={
        "checkpoints": CHECKPOINTS,
        "settings": {
            name: SETTINGS.model_copy(update={"seed_of": "sft-full" if name.startswith("sft-full-") else ""}) for name in CHECKPOINTS
        },
    }
)


@pytest.mark.parametrize(("repeats", "winner", "outcome"), [((11, 9), "align-dpo", "promoted"), ((30, 2), "sft-full", "noise")])
def test_a_gain_counts_if_it_is_larger_than_what_seeds_differ_by(tmp_path, made, repeats, winner, outcome):
    right = {"base": (0, 0), "sft-full": (10, 15), "align-dpo": (25, 15), "sft-full-1": (repeats[0], 15), "sft-full-2": (repeats[1], 15)}
    folder = made(tmp_path, right, params=REPEATED)

    found = selected(folder, REPEATED)

    assert found["checkpoint"] == winner
    assert outcomes(found) == [("sft-full", "align-dpo", outcome)]
    spread = found["seeds"]["sft-full"]["fact_exact"]
    assert spread["values"] == [10 / 40, repeats[0] / 40, repeats[1] / 40]
    assert spread["spread"] == (repeats[0] - repeats[1]) / 40
    assert "3 seeds of sft-full differ by" in found["why"]["en"]
    assert "3 个随机种子" in found["why"]["zh"]
    page = (folder / "select" / "report.html").read_text()
    assert "The same training with other seeds" in page
    assert ("视为波动" in page) == (outcome == "noise")


def test_a_repeat_never_wins_however_good_it_is(tmp_path, made):
    right = {"base": (0, 0), "sft-full": (10, 15), "align-dpo": (10, 15), "sft-full-1": (40, 20), "sft-full-2": (40, 20)}

    assert selected(made(tmp_path, right, params=REPEATED), REPEATED)["checkpoint"] == "sft-full"


SECTIONS = {"sft": {"candidates": {"a": {"start": "base", "seed": 0}, "b": {"start": "base", "seed": 1}, "c": {"start": "x", "seed": 2}}}}


@pytest.mark.parametrize(
    ("seed_of", "checkpoints", "match"),
    [
        ({"one": "", "two": "nobody"}, {}, "nobody"),
        ({"one": "", "two": "one", "three": "two"}, {}, "two"),
        ({"one": "", "two": "one"}, {"one": "sft/a", "two": "sft/c"}, "differ in start"),
        ({"one": "", "two": "one"}, {"one": "sft/a", "two": "sft/a"}, "the same seed"),
        ({"one": "", "two": "one"}, {"one": "pretrain", "two": "sft/a"}, "not pretrain"),
    ],
)
def test_a_wrong_repeat_is_an_error(seed_of, checkpoints, match):
    with pytest.raises(StageError, match=match):
        seeds.check_repeats(seeds.families(seed_of), checkpoints, SECTIONS)


def test_repeats_of_a_candidate_are_found():
    found = seeds.families({"one": "", "two": "one", "three": "one", "four": ""})

    assert found == {"one": ["one", "two", "three"]}
    seeds.check_repeats({"one": ["one", "two"]}, {"one": "sft/a", "two": "sft/b"}, SECTIONS)


def test_the_floor_of_a_weighted_score_is_that_of_its_seeds():
    found = {"a": {name: seeds.spread_of(values) for name, values in {"x": [0.5, 0.7], "y": [0.9, 0.3]}.items()}}

    floors = seeds.floors(found, {"x": 3, "y": 1}, "score")

    assert floors == {"x": pytest.approx(0.2), "y": pytest.approx(0.6), "score": 0.0}
