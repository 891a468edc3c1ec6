"""The laptop profile in miniature: a base of another architecture, by LoRA, from reading to evaluation by real DVC."""

from pathlib import Path

import pytest
from miniature import change_params, dvc, overlaid, project, repro
from tokenizer_kinds import give

from lingyu.files import read_json
from lingyu.params.rewrite import PROFILES, rewritten

ROOT = Path(__file__).parent.parent


def llama(folder: Path) -> Path:
    """An untrained Llama of a few thousand weights with a tokenizer of its kind and a chat template."""
    import transformers

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = transformers.LlamaConfig(vocab_size=512, **shape, max_position_embeddings=1024, tie_word_embeddings=False)
    transformers.set_seed(0)
    transformers.utils.logging.disable_progress_bar()
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return give(folder, "llama")


@pytest.mark.slow
def test_the_laptop_profile_trains_and_measures_a_base_of_another_architecture(tmp_path):
    top, base = project(tmp_path / "project"), llama(tmp_path / "llama")
    params = top / "params.yaml"
    params.write_text(rewritten(params.read_text(encoding="utf-8"), ROOT / PROFILES / "laptop.yaml")[0], encoding="utf-8")
    change_params(top, lambda values: overlaid(values, {"base": {"model": {"kind": "folder", "name": str(base)}}}))
    assert "sft.common.max_length" in dvc(top, "params", "diff")

    ran = repro(top, "evaluate@sft-lora")

    assert [stage for stage in ran if stage in ("base", "extend", "pretrain", "sft@lora", "reward", "evaluate@sft-lora")] == [
        "base",
        "extend",
        "pretrain",
        "sft@lora",
        "reward",
        "evaluate@sft-lora",
    ]
    metrics = read_json(top / "out/sft/lora/metrics.json")
    assert read_json(top / "out/sft/lora/model/config.json")["architectures"] == ["LlamaForCausalLM"]
    assert 0 < metrics["trainable_parameters"] < metrics["parameters"]
    measures = read_json(top / "out/evaluate/sft-lora/metrics.json")
    assert measures["fact_exact"]["count"] > 0
    assert dvc(top, "status", "-q", "evaluate@sft-lora") == ""
