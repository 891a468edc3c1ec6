"""The new winner is compared with the last release: on the same items, by the gate, and what cannot be compared is no consent."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from predictions import prediction
from test_evaluate import QUESTIONS, question, write_items

from flows import champion as flow
from flows.release import remember
from lingyu.evaluate.scorer import Prediction
from lingyu.files import hashes, read_json, read_table, write_json
from lingyu.release import lineage as about
from lingyu.retrain import champion
from lingyu.select.gate import Rules

RULES = Rules(primary="fact_exact", margins={"cite_exact": 0.03})


def rows(facts: float, cites: float, items: int = 200) -> list:
    """Predictions with these shares right, the same items right first."""
    made = [prediction("fact", id=f"f{i}", group=f"f{i}", exact=i < facts * items) for i in range(items)]
    return made + [prediction("cite", id=f"c{i}", group=f"c{i}", exact=i < cites * items) for i in range(items)]


@pytest.mark.parametrize(
    ("challenger", "promoted", "told"),
    [
        (rows(0.6, 0.8), True, "Release recommended"),
        (rows(0.5, 0.8), False, "does not differ"),
        (rows(0.4, 0.8), False, "primary metric is significantly worse"),
        (rows(0.6, 0.7), False, "a guarded metric is significantly worse: cite_exact"),
        (rows(0.6, 0.78), False, "may have lost its margin: cite_exact"),
        (rows(0.6, 0.8)[:200], False, "answered 400 items, the challenger 200"),
        (rows(0.6, 0.8)[1:], False, "answered 400 items, the challenger 399"),
        (
            [*rows(0.6, 0.8)[:200], *[prediction("cite", id=f"c{i}", group=f"c{i}") for i in range(200)]],
            False,
            "cite_exact was not measured",
        ),
    ],
)
def test_a_challenger_replaces_the_champion_only_by_the_gate_and_on_the_same_items(challenger, promoted, told):
    found = champion.decision(rows(0.5, 0.8), challenger, RULES, 200)

    assert (found.promote, told in found.why) == (promoted, True), found.why
    assert ("| cite_exact | 0.800 |" in found.table) == ("items" not in found.why and "measured" not in found.why)


@pytest.fixture
def project(tmp_path, monkeypatch, tiny_model):
    """A project whose winner, `full`, was packaged and asked the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init", "--quiet")
    lengths = dict.fromkeys(("fact", "preferred", "classify", "reason", "recall", "cite", "chat", "other"), 2)
    common = {"threads": 1, "max_new_tokens": lengths, "compared": []}
    sections = {"evaluate": {"common": common, "candidates": {"full": {"checkpoint": "sft/full"}}}, "select": {}, "package": {}}
    Path("params.yaml").write_text(yaml.safe_dump(sections))
    outs = {"mix": ["out/mix/test"], "select": ["out/select/test", "out/select/model"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {name: {"cmd": "true", "outs": paths} for name, paths in outs.items()}}))
    write_items(Path("out/mix/test"), QUESTIONS)
    made(tiny_model)
    return tmp_path


def made(model: Path) -> None:
    """What select and package leave of this model."""
    for folder in ("out/select/model", "out/select/test", "out/package/release"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in ("out/select/model", "out/package/release"):
        shutil.copytree(model, folder)
    Path("out/select/test").mkdir(parents=True)
    flow.ask(model, "full", Path("out/select/test/full.parquet"))
    write_json(flow.MANIFEST, {"winner": "full", "metrics": {}, "files": hashes(Path("out/select/model"))})
    dvc("commit", "--force", "--quiet")


def other(model: Path, folder: Path) -> Path:
    """The model with other weights."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: value[::-1].copy() for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def dvc(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words], check=True)


@pytest.mark.slow
def test_the_champion_s_answers_are_taken_where_kept_and_else_its_weights_are_asked(project, tiny_model):
    from prefect.logging import disable_run_logger

    assert "No release" in flow.decision().why
    folder = project / "released"
    folder.mkdir()
    write_json(folder / "manifest.json", {**about.lineage(Path()), **read_json(flow.MANIFEST)})
    remember(flow.RECORD, "folder releases", "v1", folder)
    assert "nothing to release" in flow.decision().why

    made(other(tiny_model, project / "other"))
    kept = flow.decision()
    assert "v1, folder releases" in kept.table
    assert "| fact_exact |" in kept.table
    assert list(flow.WORK.glob("*.parquet")) == []

    write_items(Path("out/mix/test"), [*QUESTIONS, question(asked="新问题？")])
    made(project / "other")
    with disable_run_logger():
        assert "v1, folder releases" in flow.decision().table
        (answers,) = flow.WORK.glob("*.parquet")
        asked = list(read_table(answers, Prediction))
        assert len(asked) == len(QUESTIONS) + 1
        flow.ask(tiny_model, "full", project / "directly.parquet")
        assert asked == list(read_table(project / "directly.parquet", Prediction))

        answers.unlink()
        shutil.rmtree(".dvc/cache")
        gone = flow.decision()
    assert not gone.promote
    assert "neither in DVC's cache nor in releases" in gone.why
