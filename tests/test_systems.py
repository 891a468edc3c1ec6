"""Recipes that rebuild a system: their sections fit, their folders leave the checkout alone, their checks can fail."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from lingyu.__main__ import main
from lingyu.files import write_json, write_table
from lingyu.params.rewrite import RECIPES, rewritten
from lingyu.recipes.checks import AnyCheck, Run
from lingyu.recipes.listing import listed
from lingyu.recipes.recipe import named, recipes
from lingyu.recipes.run import Verdict, page
from lingyu.recipes.workspace import prepared, replaced, skeleton
from lingyu.records import Message, Question
from lingyu.stage import StageError

ROOT = Path(__file__).parent.parent
NAMES = [one.name for one in recipes(ROOT / RECIPES)]


@pytest.fixture
def top(monkeypatch):
    monkeypatch.chdir(ROOT)


def check(**values):
    return TypeAdapter(AnyCheck).validate_python({"zh": "数", "en": "count", **values})


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_what_it_is_in_both_languages_and_finds_its_corpus(name, top):
    recipe = named(name)

    assert recipe.corpus.is_dir()
    assert recipe.about.zh
    assert recipe.about.en
    assert {one.en for one in recipe.checks} == set(dict.fromkeys(one.en for one in recipe.checks))


@pytest.mark.parametrize("name", NAMES)
def test_its_folder_has_valid_parameters_and_the_checkout_stays_as_it_was(name, top, tmp_path, monkeypatch):
    before = (ROOT / "params.yaml").read_bytes()
    monkeypatch.setattr("lingyu.recipes.workspace.WORK", tmp_path)

    folder = prepared(named(name))
    monkeypatch.chdir(folder)
    from stages.__main__ import faults

    assert list(faults()) == []
    assert (ROOT / "params.yaml").read_bytes() == before
    config = (folder / ".dvc/config").read_text(encoding="utf-8")
    assert "no_scm = true" in config


def test_a_recipe_on_data_of_ones_own_leaves_out_what_is_about_the_sample(top, tmp_path):
    (tmp_path / "a.yaml").write_text(
        "recipe: {corpus: x, checks: []}\nsample: {ingest: {sources: []}}\nmix: {max_tokens: 9}\n", encoding="utf-8"
    )

    own, sample = (yaml.safe_load(rewritten(skeleton(), tmp_path / "a.yaml", sample=is_sample)[0]) for is_sample in (False, True))

    assert own["mix"] == sample["mix"] == {"max_tokens": 9}
    assert own["ingest"] == {}
    assert sample["ingest"] == {"sources": []}
    assert "recipe" not in own | sample


def test_what_a_recipe_extends_comes_first(top, tmp_path):
    (tmp_path / "a.yaml").write_text("recipe: {corpus: x}\nmix: {max_tokens: 9, max_prompt_tokens: 7}\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("recipe: {extends: a}\nmix: {max_tokens: 8}\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text("recipe: {extends: c}\n", encoding="utf-8")

    assert yaml.safe_load(rewritten(skeleton(), tmp_path / "b.yaml")[0])["mix"] == {"max_tokens": 8, "max_prompt_tokens": 7}
    with pytest.raises(StageError, match="extends it"):
        rewritten(skeleton(), tmp_path / "c.yaml")


def test_a_copied_folder_follows_its_source(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "deep").mkdir(parents=True)
    (source / "deep/one").write_text("1")
    (source / "two").write_text("2")
    replaced(source, target)
    (source / "two").unlink()
    (source / "deep/one").write_text("changed")
    replaced(source, target)

    assert sorted(path.name for path in target.rglob("*")) == ["deep", "one"]
    assert (target / "deep/one").read_text() == "changed"


@pytest.fixture
def run(tmp_path):
    out = tmp_path / "out"
    rows = [
        Question(
            id=str(number), source=f"{'ab'[number % 2]}.jsonl", place="1", licence="CC0", scope="domain", language="zh", task="fact",
            references=[], method="fact", teacher="rules", prompt_hash="", review="", known="taught", answer="x", wrong=[],
            messages=[Message(role="user", content=f"问{number}")],
        )
        for number in range(5)
    ]  # fmt: skip
    write_table(out / "mix/test/questions.parquet", rows, Question)
    write_json(out / "clean/ledger.json", {"total": {"dropped": {"near_duplicate": 3, "refusal": 2}}})
    write_json(out / "index/metrics.json", {"recall": {"value": 0.75}})
    (tmp_path / "note.txt").write_text("第三条", encoding="utf-8")
    return Run(tmp_path)


@pytest.mark.parametrize(
    ("values", "holds", "found"),
    [
        ({"kind": "rows", "table": "mix/test/questions.parquet", "at_least": 5}, True, "5"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "at_least": 6}, False, "5"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "where": {"source": "^a"}, "at_least": 3, "at_most": 3}, True, "3"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "where": {"messages.content": "问[34]"}, "at_least": 3}, False, "2"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "distinct": "source", "at_least": 3}, False, "2"),
        ({"kind": "rows", "table": "mix/test/none.parquet", "at_least": 0}, False, "FileNotFoundError"),
        ({"kind": "dropped", "stage": "clean", "reason": "duplicate", "at_least": 3}, True, "near_duplicate 3"),
        ({"kind": "dropped", "stage": "clean", "reason": "leak", "at_least": 1}, False, "0"),
        ({"kind": "value", "file": "index/metrics.json", "at": "recall.value", "at_least": 0.8}, False, "0.75"),
        ({"kind": "value", "file": "index/metrics.json", "at": "recall.low", "at_least": 0.8}, False, "KeyError"),
        ({"kind": "file", "path": "note.txt", "says": "第[一三]条"}, True, "第三条"),
        ({"kind": "file", "path": "note.txt", "says": "第二条"}, False, "note.txt"),
    ],
)
def test_a_check_holds_or_says_what_it_found(run, values, holds, found):
    result = check(**values).result(run)

    assert result.holds is holds
    assert found in result.found


def test_the_list_and_the_page_show_what_held_and_what_did_not(top):
    known = recipes()[:1]
    verdict = Verdict(
        recipe=known[0].name,
        minutes=2.5,
        holds=False,
        failed="",
        checks=[{"zh": "甲", "en": "one", "holds": True, "found": "7"}, {"zh": "乙", "en": "two", "holds": False, "found": "a|b"}],
    )

    assert f"✗ 1/{len(known[0].checks)}" in listed(known, {known[0].name: verdict}, "zh")[1]
    text = page(known, {known[0].name: verdict})
    assert "| one · 甲 | ✓ | 7 |" in text
    assert "| two · 乙 | ✗ | a∣b |" in text


def test_an_unknown_recipe_is_named_with_those_there_are(top, capsys):
    assert main(["recipes", "lexi"]) == 1

    told = capsys.readouterr().err
    assert "lexi" in told
    assert all(name in told for name in NAMES)


def test_a_run_ends_in_a_verdict_and_an_exit_status(top, tmp_path, monkeypatch, capsys):
    """The folder's `dvc repro` and checks are real; the recipe is one whose first stage finds nothing to read."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "recipes").mkdir()
    text = (
        "recipe:\n  rebuilds: nothing\n  corpus: samples\n  about: {zh: 空, en: empty}\n"
        "  checks:\n    - {kind: file, path: out/none, zh: 无, en: none}\n"
    )
    (tmp_path / "recipes/empty.yaml").write_text(text, encoding="utf-8")
    for name in (
        "lingyu",
        "stages",
        "flows",
        "web",
        "profiles",
        "answers",
        "service.py",
        "bentofile.yaml",
        "dvc.yaml",
        ".dvcignore",
        ".dvc",
    ):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)

    assert main(["recipes", "empty"]) == 1

    verdict = json.loads((tmp_path / ".lingyu/recipes/empty/verdict.json").read_text(encoding="utf-8"))
    assert verdict["holds"] is False
    assert "data/" in verdict["failed"] or "ingest" in verdict["failed"]
    assert "✗ empty" in capsys.readouterr().out
