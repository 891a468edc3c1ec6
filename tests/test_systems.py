"""Recipes that rebuild a system: their sections fit, their folders leave the checkout alone, their checks can fail."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from serving import served

from lingyu.__main__ import main
from lingyu.evaluate.scorer import Prediction
from lingyu.files import write_json, write_jsonl, write_table
from lingyu.params.rewrite import RECIPES, rewritten
from lingyu.recipes.checks import AnyCheck, Run
from lingyu.recipes.listing import listed
from lingyu.recipes.recipe import named, recipes, scaled
from lingyu.recipes.run import Verdict, page
from lingyu.recipes.service import Client
from lingyu.recipes.workspace import prepared, put_answers, replaced, skeleton
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


def question(name, source="a"):
    return Question(
        id=name, source=f"{source}.jsonl", place="1", licence="CC0", scope="domain", language="zh", task="fact", references=[],
        method="fact", teacher="rules", prompt_hash="", review="", known="taught", answer="x", wrong=[],
        messages=[Message(role="user", content=f"问{name}")],
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    out = tmp_path / "out"
    rows = [question(str(number), "ab"[number % 2]) for number in range(5)]
    write_table(out / "mix/test/questions.parquet", rows, Question)
    write_json(out / "clean/ledger.json", {"total": {"dropped": {"near_duplicate": 3, "refusal": 2}}})
    write_json(out / "index/metrics.json", {"recall": {"value": 0.75}})
    asked = [("甲", "直接问\n2. 判断", "[1, 2]"), ("乙", "直接问\n2. 选择", "[1]"), ("丙", "直接问", "")]
    write_jsonl(
        out / "generate/teacher.jsonl",
        [
            {
                "prompt": "entity/1-items",
                "request": {"messages": [{"content": f"对象：{name}\n1. {kinds}"}]},
                "content": said and f'{{"items": {said}}}',
            }
            for name, kinds, said in asked
        ],
    )
    write_jsonl(
        tmp_path / "planted.jsonl", [{"kind": "name", "value": "问1"}, {"kind": "name", "value": "周某"}, {"kind": "plate", "value": "宁K"}]
    )
    for name, losses in {"good": "1,3,\n2,,2.5\n3,1,\n4,,1.1\n", "rebound": "1,3,\n2,,1.1\n3,1,\n4,,1.5\n"}.items():
        (out / "sft" / name).mkdir(parents=True)
        (out / "sft" / name / "curves.csv").write_text("step,train_loss,eval_loss\n" + losses, encoding="utf-8")
    (tmp_path / "note.txt").write_text("第三条", encoding="utf-8")
    return Run(tmp_path)


KEPT = {"kind": "kept", "checkpoint": "sft", "than": "base", "metric": "general_bits_per_byte"}
ENTITIES = ["^对象：(.+)$", r"^\d+\. (.+)$"]
PLANTED = {"kind": "planted", "file": "planted.jsonl", "table": "mix/test/questions.parquet", "field": "messages.content"}


@pytest.mark.parametrize(
    ("values", "holds", "found"),
    [
        ({"kind": "rows", "table": "mix/test/questions.parquet", "at_least": 5}, True, "5"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "at_least": 6}, False, "5"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "where": {"source": "^a"}, "at_least": 3, "at_most": 3}, True, "3"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "where": {"messages.content": "问[34]"}, "at_least": 3}, False, "2"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "distinct": "source", "at_least": 3}, False, "2"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "per": "source", "each": 3, "at_least": 1}, True, "1 of 2"),
        ({"kind": "rows", "table": "mix/test/questions.parquet", "several": {"messages": 2}, "at_least": 1}, False, "0"),
        ({"kind": "exchanges", "prompt": "entity/1-items", "named": ENTITIES, "at_least": 4}, True, "2 × 3: 4"),
        ({"kind": "exchanges", "prompt": "entity/1-items", "named": ENTITIES, "items": 2}, False, "1 of 2 incomplete"),
        ({"kind": "exchanges", "prompt": "entity/2", "named": ENTITIES}, False, "0"),
        (PLANTED | {"kinds": ["name"], "at_most": 0.5}, True, "1 of 2: 问1"),
        (PLANTED | {"kinds": ["name"], "at_most": 0}, False, "1 of 2"),
        (PLANTED | {"kinds": ["plate"], "at_most": 0}, True, "0 of 1"),
        ({"kind": "curve", "checkpoint": "sft/good", "rebound": 0.05, "apart": 0.2}, True, "2.50 → 1.10"),
        ({"kind": "curve", "checkpoint": "sft/good", "rebound": 0.05, "apart": 0.05}, False, "2.50 → 1.10"),
        ({"kind": "curve", "checkpoint": "sft/rebound", "rebound": 0.05, "apart": 0.9}, False, "1.10 → 1.50"),
        ({"kind": "script", "path": "none.py", "served": False}, False, "FileNotFoundError"),
        ({"kind": "rows", "table": "mix/test/none.parquet", "at_least": 0}, False, "FileNotFoundError"),
        ({"kind": "dropped", "stage": "clean", "reason": "duplicate", "at_least": 3}, True, "near_duplicate 3"),
        ({"kind": "dropped", "stage": "clean", "reason": "leak", "at_least": 1}, False, "0"),
        ({"kind": "value", "file": "index/metrics.json", "at": "recall.value", "at_least": 0.8}, False, "0.75"),
        ({"kind": "value", "file": "index/metrics.json", "at": "recall.low", "at_least": 0.8}, False, "KeyError"),
        ({"kind": "file", "path": "note.txt", "says": "第[一三]条"}, True, "第三条"),
        ({"kind": "file", "path": "note.txt", "says": "第二条"}, False, "note.txt"),
    ],
)
def test_a_check_holds_or_says_what_it_found(run, values, holds, found, monkeypatch):
    monkeypatch.chdir(run.folder)

    result = check(**values).result(run)

    assert result.holds is holds
    assert found in result.found


UPLOADED = {
    "kind": "upload",
    "name": "访客.md",
    "text": "# 访客须知\n\n访客领取蓝色胸牌，胸牌当日二十时失效。\n",
    "asked": "访客胸牌几点失效？",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "holds", "found"),
    [
        (UPLOADED | {"says": "二十时"}, True, "none → "),
        (UPLOADED | {"says": "十八时"}, False, "none → "),
        (UPLOADED | {"asked": "云雀X3的续航时间是多久？", "says": "38"}, False, "quotation → "),  # answered without the document
        (
            {"kind": "consultation", "opening": "电池鼓包了怎么办", "replies": ["一百次"], "at_most": 3, "confirms": True, "similar": True},
            True,
            "电池用了多少次",
        ),
        ({"kind": "consultation", "opening": "电池鼓包了怎么办", "replies": ["一百次"], "at_least": 9, "at_most": 9}, False, "电池"),
        ({"kind": "answer", "turns": ["红烧肉怎么做？"], "whose": "none"}, True, "none"),
        ({"kind": "rewrite", "text": "你真笨", "hurts": True}, False, "-"),
    ],
)
def test_what_the_service_does_decides(address, tmp_path, values, holds, found):
    run = Run(tmp_path)
    run.service = Client(address)

    result = check(**values).result(run)

    assert (result.holds, found in result.found) == (holds, True), result.found


@pytest.fixture(scope="module")
def address(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with served(content, folder, LINGYU_DOCUMENTS=str(folder / "uploads")) as address:
        yield address


def test_a_script_holds_by_its_exit_status_and_what_it_printed_last(run, monkeypatch):
    monkeypatch.chdir(run.folder)
    Path("good.py").write_text("import sys; print('begun'); print(sys.argv[1].rsplit('/', 1)[-1])", encoding="utf-8")
    Path("bad.py").write_text("import sys; print('begun'); sys.exit('no sheet')", encoding="utf-8")

    good, bad = (check(kind="script", path=name, served=False).result(run) for name in ("good.py", "bad.py"))

    assert (good.holds, good.found) == (True, run.folder.name)
    assert (bad.holds, bad.found) == (False, "no sheet")


def test_what_a_recipe_makes_smaller_is_told_with_its_own_value(top):
    told = {key: (own, smaller) for key, own, smaller in scaled(RECIPES / "fingpt.yaml")}

    assert told["sft.candidates.lora.learning_rate"] == (1e-4, 5e-3)
    assert "sft.candidates.lora.learning_rate 0.0001 → 0.005" in page([named("fingpt")], {})


def test_the_answers_of_a_second_size_stand_beside_those_of_the_first(top, tmp_path):
    second, first = tmp_path / "small", tmp_path / "large"
    first.mkdir()
    shutil.copy(ROOT / "dvc.yaml", first / "dvc.yaml")
    write_json(second / "out/select/winner.json", {"checkpoint": "sft-full"})
    write_table(second / "out/mix/test/questions.parquet", [question("1"), question("2")], Question)
    write_table(second / "out/select/test/sft-full.parquet", [prediction("1"), prediction("text")], Prediction)

    put_answers(second, first, "small")

    assert [json.loads(line) for line in (first / "answers/small.jsonl").read_text(encoding="utf-8").splitlines()] == [
        {"id": "1", "reply": "甲"}
    ]
    assert "answers" in yaml.safe_load((first / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["select"]["deps"]


def prediction(name, label="甲", **values):
    return Prediction(
        id=name, group=name, task="classify", language="zh", known="", prompt="", reply=label, answer="甲", label=label,
        options=["甲", "乙"], values=values,
    )  # fmt: skip


def everyday(name, bits):
    return prediction(name).model_copy(update={"task": "general", "options": [], "values": {"bits": bits, "bytes": 1.0}})


@pytest.fixture
def compared(tmp_path):
    """Two sizes of a recipe. Of twenty texts the small one names the class of four, the large one of sixteen, those four among them."""
    for recipe, right in (("small", 4), ("large", 16)):
        rows = [prediction(str(item), "甲" if item < right else "乙", exact=float(item < right)) for item in range(20)]
        unformed = [prediction(row.id, "invalid", exact=0.0) for row in rows]
        for checkpoint, made, bits in (("base", unformed, 4.0), ("sft", rows, 4.4)):
            texts = [everyday(f"text {item}", bits) for item in range(8)]
            write_table(tmp_path / recipe / f"out/evaluate/{checkpoint}/predictions.parquet", made + texts, Prediction)
        save_weights(tmp_path / recipe / "out/base/model", right)
    board = tmp_path / "large/out/select/leaderboard.csv"
    board.parent.mkdir(parents=True)
    board.write_text("checkpoint,metric\nsft,classify_accuracy\nsmall,classify_accuracy\n", encoding="utf-8")
    return Run(tmp_path / "large")


def save_weights(folder, rows, changed=()):
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    weight = np.zeros((rows, 2), dtype=np.float32)
    weight[list(changed)] = 1
    save_file({"model.embed_tokens.weight": weight}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("values", "holds", "found"),
    [
        ({"kind": "sizes", "checkpoint": "sft", "second": "small", "task": "classify"}, True, "4 / 12 / 0 / 4 of 20; McNemar p = 0.000"),
        ({"kind": "sizes", "checkpoint": "sft", "second": "small", "task": "none"}, False, ""),
        ({"kind": "confusion", "checkpoint": "sft", "classes": 2, "at_least": 0.8}, True, "16/4/0; 0/0/0 (16/20)"),
        ({"kind": "confusion", "checkpoint": "sft", "classes": 3, "at_least": 0.8}, False, "16/20"),
        ({"kind": "confusion", "checkpoint": "base", "classes": 2, "at_least": 0.1}, False, "0/20"),
        (KEPT | {"margin": 0.2}, True, "+10%"),
        (KEPT | {"margin": 0.05}, False, "+10%"),
    ],
)
def test_checkpoints_are_compared_on_the_same_items(compared, values, holds, found):
    result = check(**values).result(compared)

    assert (result.holds, found in result.found) == (holds, True), result.found


def test_new_words_count_as_trained_only_where_all_their_rows_moved(tmp_path):
    write_json(tmp_path / "out/extend/model/tokenizer.json", {"added_tokens": [{"content": "押金", "id": 3}, {"content": "租金", "id": 4}]})
    (tmp_path / "out/extend/terms.csv").write_text("term,count\n押金,9\n租金,9\n", encoding="utf-8")
    for name, changed in (("pretrain", ()), ("sft/all", (3, 4)), ("sft/one", (0, 3))):
        save_weights(tmp_path / f"out/{name}/model", 5, changed)

    found = [check(kind="vocabulary", before="pretrain", after=name).result(Run(tmp_path)) for name in ("sft/all", "sft/one")]

    assert [(one.holds, one.found) for one in found] == [(True, "2/2"), (False, "1/2")]


def test_the_list_and_the_page_show_what_held_and_what_did_not(top):
    known = recipes()[:2]
    verdict = Verdict(
        recipe=known[0].name,
        minutes=2.5,
        holds=False,
        failed="",
        checks=[{"zh": "甲", "en": "one", "holds": True, "found": "7"}, {"zh": "乙", "en": "two", "holds": False, "found": "a|b"}],
    )

    assert f"✗ 1/{len(known[0].checks)}" in listed(known[:1], {known[0].name: verdict}, "zh")[1]
    text = page(known, {known[0].name: verdict})
    assert "| one · 甲 | ✓ | 7 |" in text
    assert "| two · 乙 | ✗ | a∣b |" in text
    assert text.count("| – | not run 未运行 |") == sum(len(one.checks) for one in known[1:])


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
