"""Profiles and recipes: they fit the stages, and writing one into params.yaml changes its values, with all comments kept."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from parameters import TINY

from lingyu.__main__ import main
from lingyu.params.rewrite import KINDS, ONLY, PROFILES, RECIPES, known, profile_of, rewritten, values_of

ROOT = Path(__file__).parent.parent
PROFILE_NAMES = sorted(path.stem for path in (ROOT / PROFILES).glob("*.yaml"))
RECIPE_NAMES = sorted(path.stem for path in (ROOT / RECIPES).glob("*.yaml"))
SMALL = """# Head of all.

fly:
  # Far enough.
  steps: 3  # of thirty centimetres
  near: {a: 1, b: 2}
  # By pattern.
  list:
    - {pattern: x}
    - pattern: y
      task: z

swim:
  candidates:
    # The first.
    one:
      rate: 1
      method: {name: slow, r: 2}
    two:
      rate: 2

sit: {}
"""


@pytest.fixture(autouse=True)
def top(monkeypatch):
    monkeypatch.chdir(ROOT)


def written(params: str, changes: str, tmp_path) -> str:
    (tmp_path / "change.yaml").write_text(changes, encoding="utf-8")
    return rewritten(params, tmp_path / "change.yaml")[0]


@pytest.mark.parametrize("params", [SMALL, TINY])
def test_nothing_to_change_leaves_every_byte(params, tmp_path):
    assert written(params, "{}", tmp_path) == params


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ("fly: {steps: 5}", "  steps: 3  #", "  steps: 5  #"),
        ("# About.\n\nfly:\n  # Farther.\n  steps: 5", "  steps: 3", "  steps: 5"),  # the key keeps the comment it has
        ("fly:\n  # New.\n  speed: 2.0e-4\n  list: [q]", "  # By pattern.\n", "  # New.\n  speed: 2.0e-4\n  # By pattern.\n"),
        ("fly: {near: {a: 3}}", "{a: 1, b: 2}", "{a: 3, b: 2}"),
        ("fly: {near: {c: 3}}", "{a: 1, b: 2}", "{a: 1, b: 2, c: 3}"),
        ("fly:\n  list:\n    - {pattern: q}", "    - {pattern: x}\n    - pattern: y\n      task: z\n", "    - {pattern: q}\n"),
        ("swim:\n  candidates:\n    one: null", "    one:\n      rate: 1\n      method: {name: slow, r: 2}\n", ""),
        ("swim:\n  candidates:\n    two: null", "    two:\n      rate: 2\n\n", "\n"),
        ("swim: {candidates: {one: {method: {name: slow, q: 1}}}}", "{name: slow, r: 2}", "{name: slow, q: 1, r: 2}"),
        ("swim: {candidates: {one: {method: {name: fast}}}}", "{name: slow, r: 2}", "{name: fast}"),
        ("swim: {candidates: {two: {rate: 3, more: true}}}", "      rate: 2\n", "      rate: 3\n      more: true\n"),
        ("swim: {candidates: {three: {rate: 3}}}", "      rate: 2\n\n", "      rate: 2\n    three: {rate: 3}\n\n"),
        ("sit:\n  # Down.\n  deep:\n    low: 1", "sit: {}\n", "sit:\n  # Down.\n  deep:\n    low: 1\n"),
    ],
)
def test_a_change_touches_what_it_says_and_no_other_line(changes, before, after, tmp_path):
    assert before in SMALL
    if changes.endswith("list: [q]"):
        changes = changes.removesuffix("\n  list: [q]") + "\n  list:\n    - {pattern: x}\n    - pattern: y\n      task: z"

    assert written(SMALL, changes, tmp_path) == SMALL.replace(before, after)


def test_what_was_changed_is_reported_with_its_old_value(tmp_path):
    (tmp_path / "change.yaml").write_text("fly: {steps: 3, near: {a: 3}}\nswim: {candidates: {two: null}}", encoding="utf-8")

    _, changes = rewritten(SMALL, tmp_path / "change.yaml")

    assert [(change.key, change.old, change.new) for change in changes] == [
        ("fly.near.a", 1, 3),
        ("swim.candidates.two", {"rate": 2}, None),
    ]


def test_what_a_profile_wrote_it_does_not_change_again():
    text, changes = rewritten(TINY, PROFILES / "tiny.yaml")

    assert (text, changes) == (TINY, [])
    assert profile_of(TINY) == "tiny"


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_profile_is_left_again_by_another_without_a_trace(name):
    there, _ = rewritten(TINY, PROFILES / f"{name}.yaml")
    back, _ = rewritten(there, PROFILES / "tiny.yaml")

    assert profile_of(there) == name
    assert back == TINY


def test_a_profile_leaves_what_a_person_added(tmp_path):
    mine = TINY.replace("    # Without pretraining", "    mine: {start: base, method: {name: ia3}}\n    # Without pretraining")
    mine = mine.replace("  processes: 1", "  processes: 4  # our node\n  weight_decay: 0.1")

    text, _ = rewritten(mine, PROFILES / "laptop.yaml")

    assert "    mine: {start: base, method: {name: ia3}}\n" in text
    assert "  processes: 4  # our node\n  weight_decay: 0.1\n" in text


def keys(values: dict[tuple[str, ...], Any]) -> set[tuple[str, ...]]:
    """The keys of a profile: candidates by name, methods without their keys."""
    ends = [("candidates", 2), *((kind, 1) for kind in KINDS)]
    cut = {key: min([len(key), *(key.index(name) + more for name, more in ends if name in key)]) for key in values}
    return {key[:end] for key, end in cut.items()}


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_all_profiles_set_the_same_keys_on_one_screen(name):
    path = PROFILES / f"{name}.yaml"

    assert keys(values_of(path)) == keys(values_of(PROFILES / "tiny.yaml"))
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 25
    assert (name == "tiny") or "not yet run on a GPU" in known(PROFILES)[name]


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("recipe", [None, *RECIPE_NAMES])
def test_every_stage_accepts_a_profile_and_then_a_recipe(profile, recipe, tmp_path, monkeypatch):
    text, _ = rewritten(TINY, PROFILES / f"{profile}.yaml")
    if recipe:
        text, changes = rewritten(text, RECIPES / f"{recipe}.yaml")
        assert changes
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    stages, sections = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"], yaml.safe_load(text)
    monkeypatch.chdir(tmp_path)

    for stage, block in stages.items():
        for item in sections[stage]["candidates"] if "foreach" in block else [None]:
            importlib.import_module(f"stages.{stage}").Params.load(stage, item)
    models = {f"{stage}/{item}" for stage in ("sft", "align") for item in sections[stage]["candidates"]} | {"base", "pretrain", "extend"}
    starts = [entry["start"] for stage in ("sft", "align") for entry in sections[stage]["candidates"].values()]
    assert {*starts, sections["reward"]["start"]} <= models
    assert {entry["checkpoint"] for entry in sections["evaluate"]["candidates"].values()} <= models


@pytest.mark.parametrize("name", ["statutes"])
def test_what_a_recipe_tried_with_one_profile_stays_out_of_the_others(name):
    only = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))[ONLY]["tiny"]
    sizes = only["sft"]["common"]

    tiny, laptop = (
        yaml.safe_load(rewritten(rewritten(TINY, PROFILES / f"{profile}.yaml")[0], RECIPES / f"{name}.yaml")[0])
        for profile in ("tiny", "laptop")
    )

    assert {key: tiny["sft"]["common"][key] for key in sizes} == sizes
    assert {key: laptop["sft"]["common"].get(key) for key in sizes} != sizes
    assert ONLY not in tiny | laptop


@pytest.mark.parametrize("name", ["statutes"])
def test_a_recipe_brings_its_reasons(name):
    text, _ = rewritten(TINY, RECIPES / f"{name}.yaml")
    reasons = [line.strip() for line in (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines() if line.startswith("    #")]

    assert reasons
    assert [line for line in TINY.splitlines() if line.startswith("#") and line not in text] == []
    assert len([line for line in reasons if line in text]) >= len(reasons) / 2


def test_every_profile_and_recipe_says_what_it_is_for():
    assert [list(known(PROFILES)), list(known(RECIPES))] == [PROFILE_NAMES, RECIPE_NAMES]
    assert "tiny" in PROFILE_NAMES
    assert RECIPE_NAMES
    assert all(len(about) > 20 for about in [*known(PROFILES).values(), *known(RECIPES).values()])


def test_the_command_writes_a_profile_and_says_what_changed(tmp_path, monkeypatch, capsys):
    for folder in (PROFILES, RECIPES):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "params.yaml").write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert main(["profile", "laptop"]) == 0
    told = capsys.readouterr().out
    assert profile_of(Path("params.yaml").read_text(encoding="utf-8")) == "laptop"
    assert "  mix.max_tokens: 256 → 1024\n" in told

    assert main(["profile", "tiny"]) == 0
    assert Path("params.yaml").read_text(encoding="utf-8") == TINY

    assert main(["recipe", "lawyers"]) == 1
    assert main(["profile"]) == 1
    told = capsys.readouterr().err
    assert "'lawyers'" in told
    assert all(name in told for name in [*PROFILE_NAMES, *RECIPE_NAMES])
    assert Path("params.yaml").read_text(encoding="utf-8") == TINY
