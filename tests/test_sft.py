"""sft: only replies are learnt, in full or through an adapter that merges into one model."""

import pytest
from rows import dialogue
from training import ASKED, LORA, SFT, TRAINING, curves, weights, write_mix

from lingyu.files import read_json, write_table
from lingyu.model.chat import Chat
from lingyu.model.load import load_tokenizer
from lingyu.records import Dialogue, Message
from lingyu.stage import StageError
from stages import sft

FULL = sft.Params(**TRAINING, **SFT, start="start", method={"name": "full"})
ADAPTER = sft.Params(**TRAINING, **SFT, start="start", method=LORA)


@pytest.fixture
def run(tiny_model, tmp_path):
    def run(params, name="full"):
        (tmp_path / "start").mkdir(exist_ok=True)
        if not (tmp_path / "start" / "model").exists():
            (tmp_path / "start" / "model").symlink_to(tiny_model)
        mix, out = tmp_path / "mix", tmp_path / "sft" / name
        sft.run(params, tmp_path, mix / "train", mix / "dev", work=tmp_path / "work" / name, out=out)
        return out

    write_mix(tmp_path / "mix")
    return run


def test_a_model_tuned_in_full_answers_as_it_was_taught(run):
    from transformers import AutoModelForCausalLM

    params = {**TRAINING, "num_train_epochs": 40, "lr_scheduler_type": "constant", "evaluations": 2}
    out = run(sft.Params(**params, **SFT, start="start", method={"name": "full"}))

    model, tokenizer = AutoModelForCausalLM.from_pretrained(out / "model"), load_tokenizer(out / "model")
    for question, answer in ASKED[-2:]:
        prompt = Chat.of(tokenizer).render([Message(role="user", content=question)], add_generation_prompt=True)
        ids = tokenizer(prompt, return_tensors="pt")
        made = model.generate(**ids, max_new_tokens=10, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert tokenizer.decode(made) == f"{answer}<|im_end|>"


def test_curves_and_metrics_tell_what_training_came_to(run):
    out = run(FULL)

    rows, metrics = curves(out), read_json(out / "metrics.json")
    assert list(rows[0]) == ["step", "train_loss", "eval_loss"]
    assert set(metrics) == {"parameters", "trainable_parameters", "steps", "best_step", "best_eval_loss", "rows"}
    assert metrics["rows"] == len(ASKED)
    assert metrics["trainable_parameters"] == metrics["parameters"]
    assert not (out / "model" / "adapter").exists()


def test_an_adapter_changes_what_it_targets_and_nothing_else(run, tiny_model):
    out = run(ADAPTER, "lora")

    before, after = weights(tiny_model), weights(out / "model")
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert set(before) == set(after)
    assert changed == {name for name in before if any(target in name for target in LORA["target_modules"])}
    metrics = read_json(out / "metrics.json")
    in_and_out = [after[name].shape for name in changed]
    assert metrics["trainable_parameters"] == sum(LORA["r"] * (shape[0] + shape[1]) for shape in in_and_out)
    assert metrics["trainable_parameters"] < metrics["parameters"] / 2


def test_the_merged_model_is_the_base_with_its_adapter(run, tiny_model):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = run(ADAPTER, "lora")

    base, merged = (AutoModelForCausalLM.from_pretrained(folder) for folder in (tiny_model, out / "model"))
    ids = torch.tensor([[5, 50, 100, 200]])
    plain = base(ids).logits
    adapted = PeftModel.from_pretrained(base, out / "model" / "adapter")(ids).logits
    assert torch.allclose(adapted, merged(ids).logits, atol=1e-5)
    assert not torch.allclose(adapted, plain, atol=1e-3)
    assert read_json(out / "model" / "adapter" / "adapter_config.json")["base_model_name_or_path"] == ""


@pytest.mark.parametrize("params", [FULL, ADAPTER], ids=["full", "lora"])
def test_the_same_rows_give_the_same_bytes(run, tmp_path, params):
    import torch

    outs = []
    for name in "ab":
        torch.manual_seed(len(outs))  # what another run drew before must not matter
        outs.append(run(params, name))

    files = [{path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} for out in outs]
    assert files[0] == files[1]
    assert not [path for path, content in files[0].items() if str(tmp_path).encode() in content]


def test_a_row_over_the_limit_is_named(run, tmp_path):
    row = dialogue("long", "far?", "far " * 40)
    write_table(tmp_path / "mix" / "train" / "sft.parquet", [row], Dialogue)

    with pytest.raises(StageError, match=rf"1 of 1 rows are longer than 64 tokens, first {row.id}\. Raise max_length"):
        run(FULL)


def test_no_held_out_dialogue_is_no_fault(run, tmp_path):
    write_table(tmp_path / "mix" / "dev" / "sft.parquet", [], Dialogue)

    assert curves(run(FULL))[-1]["eval_loss"]


def test_no_dialogue_at_all_is_told(run, tmp_path):
    write_table(tmp_path / "mix" / "train" / "sft.parquet", [], Dialogue)

    with pytest.raises(StageError, match=r"no dialogue to fine-tune on\. See out/mix/ledger\.json"):
        run(FULL)


def test_grouped_rows_noise_and_weights_train_to_the_end(run):
    params = {
        **TRAINING,
        **SFT,
        "packing": True,
        "neftune_noise_alpha": 5.0,
        "task_weights": {"chat": 2.0},
        "loss_on": "all",
        "max_length": 128,
    }
    out = run(sft.Params(**params, start="start", method={"name": "full"}), "packed")

    metrics = read_json(out / "metrics.json")
    assert metrics["rows"] == len(ASKED)
    assert metrics["steps"] < 9
    assert float(curves(out)[-1]["eval_loss"]) > 0


def test_a_weight_for_a_task_without_rows_is_told(run):
    params = sft.Params(**{**TRAINING, **SFT, "task_weights": {"sing": 2.0}}, start="start", method={"name": "full"})

    with pytest.raises(StageError, match=r"sft\.task_weights names sing, of which there is no row\. Tasks here: "):
        run(params)


def test_a_single_row_is_enough(run, tmp_path):
    for part in ("train", "dev"):
        write_table(tmp_path / "mix" / part / "sft.parquet", [dialogue(1, "up?", "no")], Dialogue)

    assert read_json(run(FULL) / "metrics.json")["rows"] == 1
