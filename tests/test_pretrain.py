"""pretrain: the text is learnt, packed, and the model loads again."""

import pytest
from pydantic import ValidationError
from rows import dialogue, document
from tiny import build_extended_model
from training import SENTENCES, TRAINING, curves, write_mix
from tuning_methods import ATTACHED, method

from lingyu.files import read_json, write_table
from lingyu.model.chat import Chat
from lingyu.model.load import load_model, load_tokenizer
from lingyu.records import Dialogue, Document
from stages import pretrain

PARAMS = pretrain.Params(**{**TRAINING, "max_length": 16, "num_train_epochs": 6}, instructions=False, packing="joined")


@pytest.fixture
def run(tiny_model, tmp_path):
    """Runs the stage on out/mix of the test's folder."""

    def run(params=PARAMS):
        mix = tmp_path / "mix"
        pretrain.run(params, tiny_model, mix / "train", mix / "dev", work=tmp_path / "work", out=tmp_path / "out")
        return tmp_path / "out"

    write_mix(tmp_path / "mix")
    return run


def test_the_text_is_learnt_and_the_model_loads_again(run, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = run()

    tokenizer, before = load_tokenizer(tiny_model), AutoModelForCausalLM.from_pretrained(tiny_model)
    assert AutoTokenizer.from_pretrained(out / "model")("fly low")["input_ids"] == tokenizer("fly low")["input_ids"]
    assert AutoTokenizer.from_pretrained(out / "model").chat_template == tokenizer.chat_template
    ids = tokenizer("fly low", return_tensors="pt")["input_ids"]
    losses = [model(input_ids=ids, labels=ids).loss.item() for model in (before, AutoModelForCausalLM.from_pretrained(out / "model"))]
    assert losses[1] < losses[0] - 0.5

    rows = curves(out)
    assert list(rows[0]) == ["step", "train_loss", "eval_loss"]
    losses = [float(row["eval_loss"]) for row in rows if row["eval_loss"]]
    assert losses[-1] < losses[0]
    metrics = read_json(out / "metrics.json")
    assert metrics["tokens_an_epoch"] == len(tokenizer("".join(SENTENCES))["input_ids"]) + len(SENTENCES)
    assert metrics["steps"] == int(rows[-1]["step"]) == 6 * 2
    assert metrics["parameters"] == metrics["trainable_parameters"] == before.num_parameters()
    assert metrics["best_eval_loss"] == min(losses)


def test_dialogues_that_fit_into_a_block_are_read_too_when_asked(run, tiny_model, tmp_path):
    rows = [dialogue(1, "up?", "no"), dialogue(2, "up?", "no " * 40)]
    write_table(tmp_path / "mix" / "train" / "sft.parquet", rows, Dialogue)
    plain = read_json(run(PARAMS.model_copy(update={"max_length": 32})) / "metrics.json")["tokens_an_epoch"]

    more = read_json(run(PARAMS.model_copy(update={"max_length": 32, "instructions": True})) / "metrics.json")["tokens_an_epoch"]

    assert more - plain == len(load_tokenizer(tiny_model)(Chat.read(tiny_model).render(rows[0].messages))["input_ids"]) + 1


def test_a_dialogue_with_a_reply_that_is_not_to_be_learnt_is_no_text_to_pretrain_on(run, tmp_path):
    row = dialogue(1, "up?", "no")
    row.messages[:0] = [row.messages[0], row.messages[1].model_copy(update={"learnt": False})]
    write_table(tmp_path / "mix" / "train" / "sft.parquet", [row], Dialogue)
    params = PARAMS.model_copy(update={"max_length": 128})
    plain = read_json(run(params) / "metrics.json")["tokens_an_epoch"]

    assert read_json(run(params.model_copy(update={"instructions": True})) / "metrics.json")["tokens_an_epoch"] == plain


def test_no_held_out_text_is_no_fault(run, tmp_path):
    write_table(tmp_path / "mix" / "dev" / "pretrain.parquet", [], Document)

    assert "eval_loss" in curves(run())[0]


def test_without_documents_the_short_dialogues_are_read(run, tiny_model, tmp_path):
    write_table(tmp_path / "mix" / "train" / "pretrain.parquet", [], Document)
    write_table(tmp_path / "mix" / "train" / "sft.parquet", [dialogue(1, "up?", "no")], Dialogue)

    metrics = read_json(run(PARAMS.model_copy(update={"max_length": 32, "instructions": True})) / "metrics.json")

    assert metrics["steps"] == 6
    assert (
        metrics["tokens_an_epoch"] == len(Chat.read(tiny_model).encode(Chat.read(tiny_model).render(dialogue(1, "up?", "no").messages))) + 1
    )


def test_with_no_text_at_all_the_model_goes_on_as_it_came_and_this_is_said(run, tiny_model, tmp_path, capsys):
    from transformers import AutoModelForCausalLM

    write_table(tmp_path / "mix" / "train" / "pretrain.parquet", [], Document)

    out = run()

    before, after = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (tiny_model, out / "model"))
    assert all(before[name].equal(after[name]) for name in before)
    assert load_tokenizer(out / "model").chat_template == load_tokenizer(tiny_model).chat_template
    assert (read_json(out / "metrics.json"), curves(out)) == ({"steps": 0, "tokens_an_epoch": 0}, [])
    assert "nothing to pretrain on" in capsys.readouterr().out


def test_switched_off_it_passes_the_model_on(run, tiny_model, capsys):
    from transformers import AutoModelForCausalLM

    out = run(PARAMS.model_copy(update={"enabled": False}))

    before, after = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (tiny_model, out / "model"))
    assert all(before[name].equal(after[name]) for name in before)
    assert (read_json(out / "metrics.json"), curves(out)) == ({"steps": 0, "tokens_an_epoch": 0}, [])
    assert "pretrain.enabled" in capsys.readouterr().out


def test_texts_kept_apart_are_learnt_too(run):
    out = run(PARAMS.model_copy(update={"packing": "separate"}))

    losses = [float(row["train_loss"]) for row in curves(out) if row["train_loss"]]
    assert losses[-1] < losses[0] - 0.5


def test_a_single_text_is_enough(run, tmp_path):
    for part in ("train", "dev"):
        write_table(tmp_path / "mix" / part / "pretrain.parquet", [document(1, "fly low")], Document)

    assert read_json(run() / "metrics.json")["tokens_an_epoch"] == 8


@pytest.fixture
def extended(tmp_path):
    """A model whose vocabulary has words that `extend` added, and the ids of these."""
    folder, words = tmp_path / "extended", ["low", "soon", "飞行"]
    build_extended_model(folder, words)
    return folder, set(load_tokenizer(folder).convert_tokens_to_ids(words))


@pytest.mark.parametrize("name", ["lora", "freeze", "oft"])
def test_a_tuning_method_learns_the_new_words_and_leaves_a_plain_model(name, extended, tmp_path):
    from transformers import AutoModelForCausalLM

    (start, new), out = extended, tmp_path / "out"
    values = method(name)
    del values["trainable_tokens"]  # those that extend added are trained where nothing else is said
    params = pretrain.Params(**{**PARAMS.model_dump(), "method": values})
    write_mix(tmp_path / "mix")

    pretrain.run(params, start, tmp_path / "mix" / "train", tmp_path / "mix" / "dev", work=tmp_path / "work", out=out)

    losses = [float(row["eval_loss"]) for row in curves(out) if row["eval_loss"]]
    assert losses[-1] < losses[0]
    metrics = read_json(out / "metrics.json")
    assert metrics["trainable_parameters"] < metrics["parameters"]
    before, after = load_model(start, 64), AutoModelForCausalLM.from_pretrained(out / "model")
    assert type(after).__name__ == "Qwen3ForCausalLM"
    assert set(before.state_dict()) == set(after.state_dict())
    embeddings = [model.get_input_embeddings().weight for model in (before, after)]
    assert set((embeddings[0] != embeddings[1]).any(dim=1).nonzero()[:, 0].tolist()) == new
    assert after.get_output_embeddings().weight is embeddings[1]


@pytest.mark.parametrize("name", ATTACHED)
def test_a_method_that_cannot_be_merged_is_refused_by_name(name):
    values = method(name)

    with pytest.raises(ValidationError, match=rf"{values['name']}.*full, freeze, lora"):
        pretrain.Params(**{**PARAMS.model_dump(), "method": values})
