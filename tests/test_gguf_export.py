"""A model as a GGUF file: what transformers reads back from it answers the same; what llama.cpp would read otherwise is refused."""

import json
import threading

import pytest
from rows import common
from tiny import build_tiny_model

from lingyu.export import quantized
from lingyu.export.gguf import answering_at_once, split_of, write
from lingyu.files import read_json, write_json, write_table
from lingyu.records import Message, Question
from lingyu.serve.choosing import Sampling
from lingyu.serve.engine import generate, load
from lingyu.stage import StageError


def shaped(folder, kind, **more):
    """A random model of an architecture, with a tokenizer that splits as GPT-2's."""
    import transformers

    build_tiny_model(folder)
    shape = {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape |= {"intermediate_size": 96, "max_position_embeddings": 256, "initializer_range": 0.2, "eos_token_id": 2, **more}
    config = getattr(transformers, f"{kind}Config")(**shape)
    transformers.set_seed(0)
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(folder)
    return folder


def reply(model, prompt=(9, 30, 77, 120, 5)):
    got = []
    generate(model, list(prompt), Sampling(24, 0.0, 1.0, None), lambda token: got.append(token.id), threading.Event())
    return got


def asking(number):
    more = {"task": "fact", "references": [], "method": "fact", "teacher": "rules", "prompt_hash": "", "review": "auto"}
    messages = [Message(role="user", content=f"{number} + {number}?")]
    return Question(**common(str(number)), **more, messages=messages, answer="", wrong=[], known="")


LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Qwen3", {"head_dim": 128, "tie_word_embeddings": True}),
        ("Qwen2", {"tie_word_embeddings": False}),
        ("Llama", {"tie_word_embeddings": False}),
    ],
)
def test_a_model_read_back_from_its_file_answers_the_same(tmp_path, kind, more):
    from transformers import AutoModelForCausalLM, GgufConfig

    folder = shaped(tmp_path / "model", kind, **more)
    write(folder, tmp_path / "model.gguf", "tiny", "none")
    back = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", quantization_config=GgufConfig(dequantize=True)).float()

    back.generation_config = load(folder).generation_config
    assert reply(back) == reply(load(folder))


def test_the_file_has_the_shape_the_tokenizer_and_the_template(tmp_path):
    from gguf import GGUFReader

    folder = shaped(tmp_path / "model", "Llama", rope_parameters=LLAMA3)
    write(folder, tmp_path / "a.gguf", "tiny", "q8_0")
    write(folder, tmp_path / "b.gguf", "tiny", "q8_0")
    fields = GGUFReader(tmp_path / "a.gguf").fields
    told = {name: fields[name].contents() for name in fields}

    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert told["tokenizer.ggml.pre"] == "gpt-2"
    assert told["tokenizer.ggml.tokens"][2] == "<|im_end|>"
    assert [told["tokenizer.ggml.token_type"][at] for at in (2, 50, 319)] == [3, 1, 5]
    assert told["tokenizer.ggml.eos_token_id"] == 2
    assert "<|im_start|>" in told["tokenizer.chat_template"]
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "a.gguf").tensors}
    assert (kinds["blk.0.attn_q.weight"], kinds["blk.0.attn_norm.weight"], kinds["rope_freqs.weight"]) == ("Q8_0", "F32", "F32")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, "GemmaForCausalLM"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "yarn"),
        ({"use_sliding_window": True}, "sliding window"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path, change, what):
    folder = build_tiny_model(tmp_path)
    write_json(folder / "config.json", {**read_json(folder / "config.json"), **change})

    with pytest.raises(StageError, match=what):
        write(folder, tmp_path / "model.gguf", "tiny", "none")


def test_a_tokenizer_that_splits_otherwise_is_refused(tmp_path):
    tokenizer = json.loads((build_tiny_model(tmp_path) / "tokenizer.json").read_text(encoding="utf-8"))

    assert split_of(tokenizer) == "gpt-2"
    with pytest.raises(StageError, match="split a text otherwise"):
        split_of({**tokenizer, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "x"}}})
    with pytest.raises(StageError, match="byte pairs"):
        split_of({**tokenizer, "model": {"type": "Unigram"}})


def test_the_template_reasons_only_where_it_is_asked_to():
    from transformers.utils.chat_template_utils import render_jinja_template

    template = answering_at_once("{% if enable_thinking %}think{% else %}answer{% endif %}")

    def rendered(**more):
        return render_jinja_template([[]], chat_template=template, **more)[0][0].strip()

    assert [rendered(enable_thinking=True), rendered(enable_thinking=True, reasoning=True)] == ["answer", "think"]
    assert answering_at_once("plain") == "plain"


def test_fewer_bits_that_change_answers_are_refused_by_their_share(tmp_path):
    folder = shaped(tmp_path / "model", "Qwen3", head_dim=32)
    asked = tmp_path / "questions.parquet"
    write_table(asked, [asking(number) for number in range(8)], Question)

    assert quantized.check(folder, asked, "none", 8, 0.0) == {}
    told = quantized.check(folder, asked, "q4_0", 8, 1.0)
    assert told["questions"] == 8
    assert told["changed"] > 0
    with pytest.raises(StageError, match=r"q4_0 changes the answer to \d of 8"):
        quantized.check(folder, asked, "q4_0", 8, 0.0)
