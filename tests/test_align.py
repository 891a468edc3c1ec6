"""align: from pairs by DPO, from the reward model by GRPO."""

import pytest
from pydantic import ValidationError
from rows import preference
from training import ASKED, DPO, GRPO, PAIRS, TRAINING, curves, weights, write_mix

from lingyu.files import read_json, read_table, write_table
from lingyu.model.chat import render
from lingyu.model.load import load_model, load_tokenizer
from lingyu.records import Preference, Question
from lingyu.stage import StageError
from stages import align

BY_PAIRS = align.Params(**TRAINING, start="start", method=DPO)
BY_REWARD = align.Params(**{**TRAINING, "epochs": 1, "evaluations": 2}, start="start", method=GRPO)
METRICS = {"parameters", "trainable_parameters", "steps", "best_step", "rows"}


@pytest.fixture
def run(tiny_model, tiny_reward_model, tmp_path):
    def run(params, name):
        (tmp_path / "start").mkdir(exist_ok=True)
        if not (tmp_path / "start" / "model").exists():
            (tmp_path / "start" / "model").symlink_to(tiny_model)
        mix, out = tmp_path / "mix", tmp_path / name
        align.run(params, tmp_path, tiny_reward_model, mix / "train", mix / "dev", work=tmp_path / "work" / name, out=out)
        return out

    write_mix(tmp_path / "mix")
    return run


def test_dpo_widens_the_margin_between_the_replies(run, tiny_model, tmp_path):
    out = run(BY_PAIRS.model_copy(update={"epochs": 6}), "dpo")

    pairs = list(read_table(tmp_path / "mix" / "train" / "preference.parquet", Preference))
    before, after = (margins(folder, pairs) for folder in (tiny_model, out / "model"))
    assert all(late > early for early, late in zip(before, after, strict=True))
    assert list(curves(out)[0]) == ["step", "train_loss", "eval_loss", "rewards/accuracies", "eval_rewards/accuracies"]
    metrics = read_json(out / "metrics.json")
    assert set(metrics) == METRICS | {"best_eval_loss"}
    assert metrics["rows"] == len(PAIRS)
    assert metrics["trainable_parameters"] == metrics["parameters"]


def test_grpo_changes_the_model_and_reports_its_reward(run, tiny_model):
    out = run(BY_REWARD, "grpo")

    before, after = weights(tiny_model), weights(out / "model")
    assert set(before) == set(after)
    assert any((before[name] != after[name]).any() for name in before)
    rows = curves(out)
    assert list(rows[0]) == ["step", "train_loss", "eval_loss", "reward", "eval_reward", "kl"]
    measured = [float(row["eval_reward"]) for row in rows if row["eval_reward"]]
    metrics = read_json(out / "metrics.json")
    assert set(metrics) == METRICS | {"best_eval_reward"}
    assert metrics["best_eval_reward"] == max(measured)
    assert metrics["rows"] == len(ASKED) - GRPO["dev_prompts"]


def test_the_aligned_model_is_served_from_the_prompt_it_was_trained_on(run, tmp_path, tiny_model):
    tokenizer = load_tokenizer(tiny_model)
    pair = next(read_table(tmp_path / "mix" / "train" / "preference.parquet", Preference))
    prompt = next(read_table(tmp_path / "mix" / "train" / "prompts.parquet", Question))

    served = render(pair.messages, tokenizer.chat_template, add_generation_prompt=True, enable_thinking=False)

    assert align.as_text(pair, tokenizer, 64) == {"prompt": served, "chosen": "yes<|im_end|>", "rejected": "no no no<|im_end|>"}
    assert align.prompt_of(prompt, tokenizer) == served.replace("go?", "up?")


def test_dpo_without_pairs_is_told(run, tmp_path):
    write_table(tmp_path / "mix" / "train" / "preference.parquet", [], Preference)

    with pytest.raises(StageError, match=r"no preference pair to align with"):
        run(BY_PAIRS, "dpo")


def test_dpo_without_held_out_pairs_is_no_fault(run, tmp_path):
    write_table(tmp_path / "mix" / "dev" / "preference.parquet", [], Preference)

    assert any(row["eval_loss"] for row in curves(run(BY_PAIRS.model_copy(update={"epochs": 1}), "dpo")))


def test_a_pair_over_the_limit_is_named(run, tmp_path):
    pair = preference("long", "far?", "yes", "far " * 40)
    write_table(tmp_path / "mix" / "train" / "preference.parquet", [pair], Preference)

    with pytest.raises(StageError, match=rf"preference pair {pair.id} is longer than 64 tokens"):
        run(BY_PAIRS, "dpo")


@pytest.mark.parametrize("dev_prompts", [6, 7])
def test_grpo_without_prompts_to_learn_from_is_told(run, dev_prompts):
    method = align.Grpo(**{**GRPO, "dev_prompts": dev_prompts})

    with pytest.raises(StageError, match=rf"mix left 6 prompts; GRPO keeps {dev_prompts} of them"):
        run(BY_REWARD.model_copy(update={"method": method}), "grpo")


@pytest.mark.parametrize(
    ("batch_size", "generations", "message"),
    [
        (2, 1, "greater than or equal to 2"),
        (6, 4, "batch_size 6 is no multiple of method.generations 4"),
        (2, 4, "batch_size 2 is no multiple"),
    ],
)
def test_replies_are_compared_in_whole_groups(batch_size, generations, message):
    with pytest.raises(ValidationError, match=message):
        align.Params(**{**TRAINING, "batch_size": batch_size}, start="start", method={**GRPO, "generations": generations})


def margins(folder, pairs):
    """How much likelier the better reply is, in nats."""
    import torch

    model, tokenizer = load_model(folder, 64), load_tokenizer(folder)

    def likelihood(prompt, reply):
        start, ids = len(tokenizer(prompt)["input_ids"]), tokenizer(prompt + reply, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            told = model(ids).logits.log_softmax(-1)[0, start - 1 : -1]
        return told.gather(1, ids[0, start:, None]).sum().item()

    texts = [align.as_text(pair, tokenizer, 64) for pair in pairs]
    return [likelihood(text["prompt"], text["chosen"]) - likelihood(text["prompt"], text["rejected"]) for text in texts]
