"""The model card: what it says, and that it says the same twice."""

import json
from dataclasses import replace

import pytest
import yaml
from serving import DOCUMENT, FACTS

from lingyu.files import write_json
from lingyu.release import card
from lingyu.select.names import heading

ABOUT = card.About("tiny", "Tiny · 小", "Answers.", "回答。", "apache-2.0", "", "Somebody")
MEASURED = {"exact_match": {"value": 0.9, "low": 0.85, "high": 0.94, "count": 100}}
BASE = {"exact_match": {"value": 0.1, "low": 0.05, "high": 0.2, "count": 100}}


@pytest.fixture
def model(tmp_path):
    write_json(
        tmp_path / "model/config.json",
        {
            "model_type": "qwen3",
            "architectures": ["Qwen3ForCausalLM"],
            "max_position_embeddings": 512,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
    )
    header = json.dumps({"__metadata__": {}, "model.embed_tokens.weight": {"shape": [3, 5]}, "b": {"shape": [7]}}).encode()
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
        f"| {' '.join(heading('parameters'))} | 22（{' '.join(heading('embedded'))} 15） |",
        f"| {' '.join(heading('layers'))} | 3; 4 Q, 2 KV |",
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


def test_the_card_says_how_the_winner_was_chosen_and_trained_and_names_its_repository(model):
    about = card.About("tiny", "Tiny", "a", "b", "mit", "", "me", "lab/tiny")
    sections = {
        "training": {"optim": "muon"},
        "extend": {},
        "pretrain": {"learning_rate": 0.01},
        "sft": {"common": {"max_length": 256}, "candidates": {"full": {"start": "pretrain", "teacher_url": "http://10.0.0.7"}}},
    }
    trained = card.chain(sections, "out/sft/full/model")
    verdict = {"why": {"zh": "选出", "en": "Selected."}, "looks": {"models_ever_asked": 3}}

    page = card.render(about, model, [], "sft-full", MEASURED, BASE, verdict, trained, ["confusion.svg"])

    assert [step.stage for step in trained] == ["extend", "pretrain", "sft/full"]
    for said in (
        'folder = "lab/tiny"',
        "vllm serve lab/tiny",
        "| sft/full | `optim`: muon; `max_length`: 256 |",
        "asked this test: 3",
        "Selected.",
    ):
        assert said in page
    assert "![confusion matrix](confusion.svg)" in page
    assert "training.svg" not in page
    assert "10.0.0.7" not in page


def test_the_card_counts_rows_from_the_corpus_to_training_and_says_how_to_decode(model, tmp_path):
    for stage in card.COUNTING:
        dropped = {"train_leaks_test": 3, "too short": 1} if stage == "split" else {}
        write_json(tmp_path / stage / "ledger.json", {"total": {"in": 40, "made": 2, "out": 38, "dropped": dropped, "changed": {}}})
    tables = {
        "train/sft": {"rows": 30, "tokens": 4321},
        "train/preference": {"rows": 0, "tokens": 0},
        "test/questions": {"rows": 5, "tokens": 9},
    }
    write_json(tmp_path / "mix/metrics.json", tables)
    about = replace(ABOUT, contact="team@example.org", max_tokens=99)

    page = card.render(about, model, [], "sft", MEASURED, BASE, rows=card.counted(tmp_path))

    for said in (
        "| split | 40 | 2 | train_leaks_test: 3; too short: 1 | 38 |",
        "| mix | 40 | 2 | 0 | 38 |",
        "| sft | 30 | 4,321 |",
        "共 3 行",
        "leak gate: 3.",
        "max_new_tokens=99, do_sample=False)",
        "Decode greedily",
        f"| {' '.join(heading('contact'))} | team@example.org |",
    ):
        assert said in page
    assert "| preference |" not in page
    assert "do_sample=True, temperature=0.7)" in card.render(replace(about, temperature=0.7), model, [], "sft", {}, {})
    assert card.counted(tmp_path / "nowhere") is None


def test_the_metadata_of_the_card_is_what_the_hub_reads(model, tmp_path):
    from huggingface_hub import ModelCard

    (tmp_path / "README.md").write_text(card.render(ABOUT, model, [], "sft-full", MEASURED, BASE), encoding="utf-8")

    (result,) = ModelCard.load(tmp_path / "README.md").data.eval_results

    assert (result.metric_type, result.metric_value, result.task_type) == ("exact_match", 0.9, "text-generation")


def test_pictures_are_well_formed_and_the_same_twice():
    from xml.etree import ElementTree

    rows = [
        ("低<风险", "低<风险", 3),
        ("低<风险", "高", 1),
        ("低<风险", "invalid", 0),
        ("高", "低<风险", 0),
        ("高", "高", 2),
        ("高", "invalid", 1),
    ]
    curve = [{"step": 1.0, "train_loss": 2.0, "eval_loss": None}, {"step": 9.0, "train_loss": 1.0, "eval_loss": 1.5}]

    for drawn, again in (
        (card.confusion_picture(rows), card.confusion_picture(rows)),
        (card.curve_picture(curve), card.curve_picture(curve)),
    ):
        assert drawn == again
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert "低&lt;风险" in card.confusion_picture(rows)
    assert card.confusion_picture([]) == card.curve_picture([]) == ""
