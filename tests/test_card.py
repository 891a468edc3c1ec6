"""The model card and the manifest: what they say, and that they say the same twice."""

import json
import subprocess

import pytest
import yaml
from serving import DOCUMENT, FACTS

from lingyu.files import write_json
from lingyu.release import card, manifest
from lingyu.select.names import heading

ABOUT = card.About("tiny", "Tiny · 小", "Answers.", "回答。", "apache-2.0", "", "Somebody")
MEASURED = {"exact_match": {"value": 0.9, "low": 0.85, "high": 0.94, "count": 100}}
BASE = {"exact_match": {"value": 0.1, "low": 0.05, "high": 0.2, "count": 100}}


@pytest.fixture
def model(tmp_path):
    write_json(
        tmp_path / "model/config.json", {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "max_position_embeddings": 512}
    )
    header = json.dumps({"__metadata__": {}, "a": {"shape": [3, 5]}, "b": {"shape": [7]}}).encode()
    (tmp_path / "model/model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return tmp_path / "model"


def test_the_card_tells_data_numbers_and_limits_in_both_languages(model):
    data = card.data_of({"documents": [DOCUMENT], "facts": FACTS})

    page = card.render(ABOUT, model, data, "sft-full", MEASURED, BASE)

    head = yaml.safe_load(page.split("---")[1])
    assert (head["license"], head["language"], head["library_name"]) == ("apache-2.0", ["zh", "en"], "transformers")
    assert head["model-index"][0]["results"][0]["metrics"][0] == {"type": "exact_match", "value": 0.9}
    for said in (
        "(`exact_match`) | 0.900 [0.850, 0.940] | 0.100 [0.050, 0.200] | 100 |",
        "| facts | knowledge | domain | 1 | 3 | CC0 |",
        f"| {' '.join(heading('parameters'))} | 22 |",
        f"| {' '.join(heading('checkpoint'))} | sft-full |",
        "免责声明",
        "disclaimer",
        "author = {Somebody}",
    ):
        assert said in page


def test_the_card_of_a_derivative_names_its_base_and_stands_without_numbers(model):
    page = card.render(card.About("x", "X", "a", "b", "mit", "Qwen/Qwen3-0.6B", "me"), model, [], "sft", {}, {})

    head = yaml.safe_load(page.split("---")[1])
    assert head["base_model"] == "Qwen/Qwen3-0.6B"
    assert "model-index" not in head


def test_the_card_names_the_gguf_file_that_the_base_came_from(model):
    source = {"file": "x.gguf", "sha256": "ab12", "quantization": "Q4_K_M", "architecture": "gemma3", "licence": "gemma"}
    write_json(model / "config.json", {"model_type": "gemma3_text", "max_position_embeddings": 512, "dequantized_from": source})

    page = card.render(ABOUT, model, [], "sft", {}, {})

    [line] = [line for line in page.splitlines() if line.startswith(f"| {' '.join(heading('base_model'))} |")]
    assert all(value in line for value in source.values())


def test_the_card_says_where_forgetting_was_not_measured(model):
    measured = {**MEASURED, "general_bits_per_byte": {"value": 3.1, "low": 3.0, "high": 3.2, "count": 6}}

    silent, told = (card.render(ABOUT, model, [], "sft-full", metrics, BASE) for metrics in (measured, MEASURED))

    assert "forgetting was not measured" not in silent
    assert "未测量遗忘" in told
    assert "forgetting was not measured" in told


def test_the_card_says_how_a_model_with_an_attached_part_is_loaded(model):
    plain = card.render(ABOUT, model, [], "sft", {}, {})
    write_json(model / "config.json", {"model_type": "lingyu_qwen3", "attached": {"name": "prefix"}})

    page = card.render(ABOUT, model, [], "sft", {}, {})

    assert "know(Path(folder))\ntokenizer = " in page
    assert "（prefix）" in page
    assert "know" not in plain.split("## 训练数据")[0].split("## 使用")[1]


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        name = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", str(tmp_path), *name, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    return tmp_path, git


def change(repository, path, commit=True):
    folder, git = repository
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("a") as file:
        file.write("x")
    if commit:
        git("add", "-A")
        git("commit", "-qm", path)
    return manifest.commit(folder)


def test_the_commit_is_the_last_that_can_change_the_model(repository):
    made = change(repository, "stages/clean.py")
    head = repository[1]("rev-parse", "HEAD")

    assert made == {"commit": head, "changed_since": False}
    for path in ("dvc.lock", "README.md", "docs/a.md", "tests/test_a.py"):
        assert change(repository, path) == made
    assert change(repository, "samples/drone/documents/rules.md")["commit"] != head
    assert change(repository, "params.yaml", commit=False)["changed_since"] is True


def test_without_git_the_commit_is_not_known(tmp_path):
    assert manifest.commit(tmp_path) == {"commit": None, "changed_since": None}


def test_upstream_holds_every_stage_that_still_is_but_its_own(tmp_path):
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"clean": {}, "sft": {}, "package": {}}}))
    outs = {"outs": [{"path": "out/x", "md5": "abc"}]}
    locked = {"package": outs, "sft@lora": outs, "sft@gone": outs, "gone": outs, "clean": outs}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": locked}))

    found = manifest.upstream(tmp_path / "dvc.lock", tmp_path / "dvc.yaml", {"sft": {"candidates": {"lora": {}}}}, own="package")

    assert found == {"clean": {"out/x": "abc"}, "sft@lora": {"out/x": "abc"}}
    assert manifest.upstream(tmp_path / "no.lock", tmp_path / "dvc.yaml", {}, own="package") == {}
