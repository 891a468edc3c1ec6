"""A saved model folder says the same to the transformers of before 5 as to today's."""

import json

import pytest
from tokenizer_kinds import KINDS

from lingyu.model.load import load_tokenizer, save
from lingyu.model.portable import make_portable, model_settings, tokenizer_settings

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}


def test_the_tokenizer_has_its_name_of_before_and_nothing_of_the_machine_it_was_loaded_on():
    saved = {
        "tokenizer_class": "TokenizersBackend",
        "backend": "tokenizers",
        "is_local": True,
        "local_files_only": True,
        "name_or_path": "/home/me/model",
        "extra_special_tokens": ["<|a|>"],
        "eos_token": "<|im_end|>",
    }

    assert tokenizer_settings(saved) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "additional_special_tokens": ["<|a|>"],
        "eos_token": "<|im_end|>",
    }


def test_a_class_that_was_known_before_keeps_its_name():
    assert tokenizer_settings({"tokenizer_class": "Qwen2Tokenizer"}) == {"tokenizer_class": "Qwen2Tokenizer"}


@pytest.mark.parametrize(
    ("rope", "before"),
    [
        ({"rope_theta": 1e6, "rope_type": "default"}, {"rope_theta": 1e6}),
        ({"rope_theta": 5e5, **LLAMA3}, {"rope_theta": 5e5, "rope_scaling": LLAMA3}),
        ({"full_attention": {"rope_theta": 1e6}}, {}),
        (None, {}),
    ],
)
def test_rotary_positions_stand_there_as_they_did_before(rope, before):
    assert model_settings({"rope_parameters": rope}) == {"rope_parameters": rope, **before}


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_that_was_made_portable_gives_the_same_ids(kind, tmp_path):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), eos_token="<|im_end|>", extra_special_tokens=["<|im_start|>"])
    made.save_pretrained(tmp_path)
    make_portable(tmp_path)

    again = AutoTokenizer.from_pretrained(tmp_path)

    assert set(again.all_special_tokens) == {"<|im_end|>", "<|im_start|>"}
    assert again("the turns<|im_start|>").input_ids == made("the turns<|im_start|>").input_ids


def test_a_model_that_is_saved_is_portable_and_computes_as_before(tiny_model, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), load_tokenizer(tiny_model)
    model.config.rope_parameters = {"rope_theta": 5000.0, "rope_type": "default"}
    model = AutoModelForCausalLM.from_config(model.config)

    save(model, tokenizer, tmp_path)

    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.arange(20)[None]
    assert torch.equal(again.eval()(ids).logits, model.eval()(ids).logits)
    assert json.loads((tmp_path / "config.json").read_text())["rope_theta"] == 5000.0
    assert "local" not in (tmp_path / "tokenizer_config.json").read_text()
