"""Recipes: they fit the stages, and writing one into params.yaml changes what it says and no other line."""

import importlib
from pathlib import Path

import pytest
import yaml

from recipes.__main__ import RECIPES, known, parsed, written

ROOT = Path(__file__).parent.parent
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
NAMES = sorted(path.stem for path in (ROOT / RECIPES).glob("*.yaml"))
SMALL = """# Head of all.

fly:
  # Far enough.
  steps: 3
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
    two:
      rate: 2
"""


def test_params_are_read_and_written_again_line_by_line():
    assert [*parsed(PARAMS).text(), ""] == PARAMS.split("\n")
    assert [*parsed(SMALL).text(), ""] == SMALL.split("\n")


@pytest.mark.parametrize(
    ("recipe", "before", "after"),
    [
        ("fly: {steps: 5}", "", None),  # a flow mapping of a section cannot be merged by lines
        ("fly:\n  steps: 5", "  steps: 3", "  steps: 5"),
        ("# About.\n\nfly:\n  # Farther.\n  steps: 5", "  # Far enough.\n  steps: 3", "  # Farther.\n  steps: 5"),
        ("fly:\n  near: {a: 3}", "  near: {a: 1, b: 2}", None),
        ("fly:\n  list:\n    - {pattern: q}", "    - {pattern: x}\n    - pattern: y\n      task: z", "    - {pattern: q}"),
        ("swim:\n  candidates:\n    one: null", "    # The first.\n    one:\n      rate: 1\n", ""),
        ("swim:\n  candidates:\n    two:\n      rate: 3\n      more: true", "      rate: 2", "      rate: 3\n      more: true"),
        ("swim:\n  candidates:\n    three:\n      rate: 3", "      rate: 2", "      rate: 2\n    three:\n      rate: 3"),
    ],
)
def test_a_recipe_changes_what_it_says_and_no_other_line(recipe, before, after):
    if after is None:
        with pytest.raises(ValueError, match="nested blocks"):
            written(SMALL, recipe)
    else:
        assert before in SMALL
        assert written(SMALL, recipe) == SMALL.replace(before, after)


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_accepts_the_recipe(name, tmp_path, monkeypatch):
    text = written(PARAMS, (ROOT / RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    stages, sections = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"], yaml.safe_load(text)

    for stage, block in stages.items():
        for item in sections[stage]["candidates"] if "foreach" in block else [None]:
            importlib.import_module(f"stages.{stage}").Params.load(stage, item)

    assert text != PARAMS


def test_every_recipe_says_what_it_is_for(monkeypatch):
    monkeypatch.chdir(ROOT)

    assert list(known()) == NAMES
    assert NAMES
    assert all(len(about) > 20 for about in known().values())
