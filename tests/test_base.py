"""base: the tiny one built from general text, or one that is there already."""

import re
import shutil

import pytest
from pydantic import ValidationError
from rows import dialogue, document, exam, fact, label, preference
from training import TRAINING, curves

from lingyu.base import tiny
from lingyu.files import read_json, write_json, write_tables
from lingyu.model.chat import CHATML
from lingyu.model.load import load_tokenizer
from lingyu.records import Message
from lingyu.stage import StageError
from stages import base

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
TINY = {"kind": "tiny", "name": "", "revision": ""}


def params(**model):
    return base.Params(model={**TINY, **model}, shape=SHAPE, training={**TRAINING, "max_length": 16, "num_train_epochs": 2})


@pytest.fixture
def run(tmp_path):
    """Runs the stage on these rows, in train and dev alike."""

    def run(params, rows=None):
        if rows is None:
            rows = {
                "documents": [document(0, "The wind turns. 风向变了。", scope="general"), document(1, "secret drones")],
                "dialogues": [dialogue(0, "q", "a", scope="general")],
            }
        for part in ("train", "dev"):
            write_tables(tmp_path / part, rows)
        base.run(params, tmp_path / "train", tmp_path / "dev", work=tmp_path / "work", out=tmp_path / "base")
        return tmp_path / "base"

    return run


def test_the_tiny_base_has_the_shape_asked_for_and_learns_the_general_text(run):
    from transformers import AutoModelForCausalLM

    out = run(params())

    model, tokenizer = AutoModelForCausalLM.from_pretrained(out / "model"), load_tokenizer(out / "model")
    assert model.config.model_type == "qwen3"
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.config.max_position_embeddings) == (32, 1, 64)
    assert len(tokenizer) == model.config.vocab_size <= 300
    assert tokenizer.chat_template == CHATML
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert set(model.generation_config.eos_token_id) == {tokenizer.eos_token_id, tokenizer.pad_token_id}
    losses = [float(row["eval_loss"]) for row in curves(out) if row["eval_loss"]]
    assert losses[-1] < losses[0]
    metrics = read_json(out / "metrics.json")
    assert metrics["parameters"] == metrics["trainable_parameters"] == model.num_parameters()
    assert metrics["vocabulary"] == len(tokenizer)


def test_the_tiny_tokenizer_gives_every_text_back_and_marks_are_one_token(run):
    tokenizer = load_tokenizer(run(params()) / "model")

    text = "风速 12 m/s，3 级。\n\n  Emoji 🚁, tabs\t and é.\n"

    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    for mark in ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"):
        assert len(tokenizer(mark)["input_ids"]) == 1
    assert tokenizer.decode(tokenizer("<think>x</think><|im_end|>")["input_ids"], skip_special_tokens=True) == "<think>x</think>"


def test_only_general_rows_build_the_tiny_base_where_there_are_any(run, tmp_path, capsys):
    out = run(params())

    assert base.scope_of(tmp_path / "train") == read_json(out / "metrics.json")["learnt_from"] == "general"
    assert base.texts_of(tmp_path / "train", "general") == [
        "The wind turns. 风向变了。",
        tiny.chat().render(dialogue(0, "q", "a").messages),
    ]
    assert "general/" not in capsys.readouterr().out


def test_without_general_rows_the_tiny_base_learns_from_all_of_the_domain_s_and_says_so(run, tmp_path, capsys):
    rows = {
        "documents": [document(0, "无人机不得超过限高。")],
        "facts": [fact(1, "苍鹰五号", "续航", "52分钟", "一小时")],
        "dialogues": [dialogue(2, "限高多少？", "60米。")],
        "labels": [label(3, "电池起火", "高")],
        "exams": [exam(4, "限高是？", ["60米", "90米"], [0])],
        "preferences": [preference(5, "能飞吗？", "不能。", "能。")],
    }

    out = run(params(), rows)

    assert base.texts_of(tmp_path / "train", "domain") == [
        "无人机不得超过限高。",
        "苍鹰五号 续航 52分钟 一小时",
        tiny.chat().render(rows["dialogues"][0].messages),
        "电池起火",
        "限高是？\n60米\n90米",
        tiny.chat().render([*rows["preferences"][0].messages, Message(role="assistant", content="不能。")]),
    ]
    assert read_json(out / "metrics.json")["learnt_from"] == "domain"
    said = capsys.readouterr().out
    assert re.search(r"no text with scope general.* 6 training texts", said)
    assert "没有通用文本" in said


def test_a_dialogue_with_a_reply_that_is_not_to_be_learnt_is_no_text_of_the_tiny_base(tmp_path):
    masked = dialogue(0, "q", "a", scope="general")
    masked.messages[:0] = [masked.messages[0], Message(role="assistant", content="wrong", learnt=False)]
    write_tables(tmp_path, {"documents": [document(0, "风向变了。", scope="general")], "dialogues": [masked]})

    assert base.texts_of(tmp_path, "general") == ["风向变了。"]


def test_no_row_to_learn_from_is_told(run):
    with pytest.raises(StageError, match=r"train holds no row, so there is no text to build the tiny base from\. Bring more files"):
        run(params(), {})


def test_a_base_from_a_folder_is_taken_as_it_is(run, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "bought")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")

    out = run(params(kind="folder", name=str(folder)))

    assert {file.name for file in (out / "model").iterdir()} == {file.name for file in tiny_model.iterdir()}
    assert (out / "model" / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert read_json(out / "metrics.json")["parameters"] > 10_000
    assert (out / "curves.csv").read_text() == "step,train_loss,eval_loss\n"


@pytest.mark.parametrize("kind", ["huggingface", "modelscope"])
@pytest.mark.parametrize(("name", "revision"), [("a/b", ""), ("", "main"), ("", "")])
def test_a_base_from_a_hub_must_be_pinned(kind, name, revision):
    with pytest.raises(ValidationError, match="needs its name and a revision"):
        params(kind=kind, name=name, revision=revision)


def test_a_base_without_a_chat_template_is_refused_before_anything_is_made_of_it(run, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "bought")
    (folder / "chat_template.jinja").unlink()

    with pytest.raises(StageError, match=r"has no chat template\. Take an instruction-tuned base, or add chat_template\.jinja to it"):
        run(params(kind="folder", name=str(folder)))


def test_a_chat_template_within_the_tokenizer_s_settings_becomes_a_file(run, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "bought")
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    settings = read_json(folder / "tokenizer_config.json")
    (folder / "chat_template.jinja").unlink()
    write_json(folder / "tokenizer_config.json", {**settings, "chat_template": template})

    out = run(params(kind="folder", name=str(folder)))

    assert (out / "model" / "chat_template.jinja").read_text(encoding="utf-8") == template


def test_blocks_longer_than_the_context_are_refused():
    with pytest.raises(ValidationError, match=r"max_length 4096 is more than shape\.max_position_embeddings 64"):
        base.Params(model=TINY, shape=SHAPE, training={**TRAINING, "max_length": 4096})
