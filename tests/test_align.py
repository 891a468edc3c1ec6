"""align: from pairs by DPO and others, by reward through GRPO and others."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from rows import preference
from tiny import build_tiny_model
from training import (
    ASKED,
    BEST_OF,
    CPO,
    DPO,
    GRPO,
    KTO,
    ORPO,
    PAIRS,
    PPO,
    RLOO,
    SAMPLING,
    SIMPO,
    TRAINING,
    curves,
    question,
    weights,
    write_mix,
)

from lingyu.align.best_of import whole_lines
from lingyu.align.policy import prompt_of
from lingyu.align.preference import apart, as_text
from lingyu.files import read_json, read_table, write_table
from lingyu.model.chat import Chat
from lingyu.model.load import load_model, load_tokenizer
from lingyu.records import Preference, Question
from lingyu.stage import StageError
from stages import align

METRICS = {"parameters", "trainable_parameters", "steps", "best_step", "rows"}
LOSSES = {"loss-ipo": {**DPO, "loss_type": "ipo"}, "loss-hinge": {**DPO, "loss_type": "hinge"}}
ROBUST = {"loss-robust": {**DPO, "loss_type": "robust", "label_smoothing": 0.1, "sft_weight": 0.0}}
BY_PAIRS = {method["name"]: method for method in (DPO, KTO, ORPO, SIMPO, CPO)} | LOSSES | ROBUST
SHORT = [{"name": "length", "weight": 1.0, "characters": 3}]
BY_REWARD = {method["name"]: method for method in (GRPO, RLOO, PPO, BEST_OF)}


def params(method, **more):
    return align.Params(**{**TRAINING, "start_share": 0.0, **more}, start="start", method=method)


@pytest.fixture
def run(tiny_model, tiny_reward_model, tmp_path):
    def run(params, name, reward=tiny_reward_model):
        (tmp_path / "start").mkdir(exist_ok=True)
        if not (tmp_path / "start" / "model").exists():
            (tmp_path / "start" / "model").symlink_to(tiny_model)
        mix, out = tmp_path / "mix", tmp_path / name
        align.run(params, tmp_path, reward, mix / "train", mix / "dev", work=tmp_path / "work" / name, out=out)
        return out

    write_mix(tmp_path / "mix")
    return run


@pytest.mark.parametrize("name", BY_PAIRS)
def test_pairs_widen_the_margin_between_the_replies(run, name, tiny_model, tmp_path):
    out = run(params(BY_PAIRS[name], num_train_epochs=6), name)

    pairs = list(read_table(tmp_path / "mix" / "train" / "preference.parquet", Preference))
    before, after = (margins(folder, pairs) for folder in (tiny_model, out / "model"))
    assert all(late > early for early, late in zip(before, after, strict=True))
    losses = [float(row["eval_loss"]) for row in curves(out) if row["eval_loss"]]
    assert losses[-1] < losses[0]
    metrics = read_json(out / "metrics.json")
    assert set(metrics) == METRICS | {"best_eval_loss"}
    assert metrics["rows"] == len(PAIRS) * (2 if name == "kto" else 1)
    assert metrics["trainable_parameters"] == metrics["parameters"]


@pytest.mark.parametrize("name", BY_REWARD)
def test_a_method_by_reward_changes_the_model_and_nothing_else_of_it(run, name, tiny_model):
    out = run(params({**BY_REWARD[name], "rewards": SHORT}, num_train_epochs=6, evaluations=2), name)

    before, after = weights(tiny_model), weights(out / "model")
    assert set(before) == set(after)
    assert any((before[name] != after[name]).any() for name in before)
    assert read_json(out / "metrics.json")["rows"] == len(ASKED) - SAMPLING["dev_prompts"]


@pytest.mark.parametrize("name", ["dpo", "grpo"])
def test_a_share_of_the_start_is_mixed_into_the_weights(run, name, tiny_model):
    method = BY_PAIRS.get(name) or {**BY_REWARD[name], "rewards": SHORT}
    whole, mixed = (weights(run(params(method, start_share=share), f"{name}-{share}") / "model") for share in (0.0, 0.25))

    for key, begun in weights(tiny_model).items():
        np.testing.assert_allclose(mixed[key], 0.75 * whole[key] + 0.25 * begun, atol=1e-7)
        assert (whole[key] != begun).any()


@pytest.mark.parametrize("name", ["grpo", "rloo", "ppo"])
def test_the_best_reward_on_held_prompts_decides(run, name):
    out = run(params(BY_REWARD[name], num_train_epochs=2, evaluations=2), name)

    rows, metrics = curves(out), read_json(out / "metrics.json")
    assert {"step", "train_loss", "eval_loss", "reward", "eval_reward", "kl"} <= set(rows[0])
    measured = [float(row["eval_reward"]) for row in rows if row["eval_reward"]]
    assert set(metrics) == METRICS | {"best_eval_reward"}
    assert metrics["best_eval_reward"] == max(measured)


@pytest.mark.parametrize("name", ["grpo", "rloo", "ppo"])
def test_a_policy_whose_numbers_ran_away_is_told(run, name):
    with pytest.raises(StageError, match=r"training diverged.*Lower learning_rate"):
        run(params(BY_REWARD[name], learning_rate=1e30), name)


def test_several_rewards_add_up_by_weight_and_are_shown_one_by_one(run):
    out = run(params({**GRPO, "rewards": [*SHORT, {"name": "text", "text": "e", "weight": -0.5}]}, num_train_epochs=1), "grpo")

    rows = [row for row in curves(out) if row["reward"]]
    assert rows
    for row in rows:
        assert float(row["reward"]) == pytest.approx(float(row["rewards/length/mean"]) - 0.5 * float(row["rewards/text/mean"]), abs=1e-6)


def test_only_the_best_reply_to_each_prompt_is_learnt(run, tmp_path):
    out = run(params({**BEST_OF, "rewards": SHORT}, num_train_epochs=1), "best_of")

    drawn = [row for batch in whole_lines(next((tmp_path / "work").rglob("draws.jsonl"))) for row in batch]
    assert [len(row) for row in drawn] == [BEST_OF["num_generations"]] * len(ASKED)
    metrics = read_json(out / "metrics.json")
    assert metrics["learnt_reward"] == pytest.approx(sum(max(worth for _, worth in row) for row in drawn) / len(drawn))
    assert metrics["learnt_reward"] > metrics["sampled_reward"]


def test_replies_that_are_not_good_enough_are_not_learnt(run):
    with pytest.raises(StageError, match=r"4 prompts .* 1\.5 \(method\.min_reward\); the best has [01]\."):
        run(params({**BEST_OF, "rewards": SHORT, "min_reward": 1.5}), "best_of")


def test_a_line_that_a_kill_cut_is_drawn_again(tmp_path):
    (tmp_path / "draws.jsonl").write_text(json.dumps([[[[1], 0.5]]]) + "\n[[[[2", encoding="utf-8")

    assert whole_lines(tmp_path / "draws.jsonl") == [[[[[1], 0.5]]]]
    assert whole_lines(tmp_path / "none.jsonl") == []


def test_the_aligned_model_is_served_from_the_prompt_it_was_trained_on(run, tmp_path, tiny_model):
    tokenizer = load_tokenizer(tiny_model)
    pair = next(read_table(tmp_path / "mix" / "train" / "preference.parquet", Preference))
    prompt = next(read_table(tmp_path / "mix" / "train" / "prompts.parquet", Question))

    served = Chat.of(tokenizer).prompt(pair.messages)

    assert as_text(pair, Chat.of(tokenizer)) == {"prompt": served, "chosen": "yes<|im_end|>", "rejected": "no no no<|im_end|>"}
    assert prompt_of(prompt, Chat.of(tokenizer)).text == served.replace("go?", "up?")
    thinking = prompt_of(prompt.model_copy(update={"task": "reason"}), Chat.of(tokenizer))
    assert thinking.thinking
    assert thinking.text == served.replace("go?", "up?").removesuffix("<think>\n\n</think>\n\n")


def test_each_reply_of_a_pair_stands_by_itself_in_an_order_drawn_once():
    texts = [{"prompt_ids": [number], "chosen_ids": [10], "rejected_ids": [11]} for number in range(9)]

    rows = apart(texts, seed=1)

    assert rows == apart(texts, seed=1) != apart(texts, seed=2)
    assert sorted((row["prompt_ids"], row["completion_ids"], row["label"]) for row in rows) == sorted(
        (text["prompt_ids"], [reply], reply == 10) for text in texts for reply in (10, 11)
    )


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "simpo"])
def test_no_pair_at_all_is_told(run, name, tmp_path):
    write_table(tmp_path / "mix" / "train" / "preference.parquet", [], Preference)

    with pytest.raises(StageError, match=r"no preference pair to align with"):
        run(params(BY_PAIRS[name]), name)


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "cpo"])
def test_one_pair_and_no_held_out_ones_are_no_fault(run, name, tmp_path):
    write_table(tmp_path / "mix" / "train" / "preference.parquet", [preference(0, "go?", "yes", "no")], Preference)
    write_table(tmp_path / "mix" / "dev" / "preference.parquet", [], Preference)

    assert any(row["eval_loss"] for row in curves(run(params(BY_PAIRS[name], num_train_epochs=2), name)))


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "cpo"])
@pytest.mark.parametrize("part", ["train", "dev"])
def test_all_pairs_over_the_limit_are_named(run, name, part, tmp_path):
    pairs = [preference(place, "far?", "yes", "far " * 40) for place in range(2)]
    write_table(tmp_path / "mix" / part / "preference.parquet", [*pairs, preference(2, "far?", "yes", "no")], Preference)

    with pytest.raises(StageError, match=rf"2 of 3 preference pairs are longer than 64 tokens, first {pairs[0].id}, {pairs[1].id}\."):
        run(params(BY_PAIRS[name]), name)


@pytest.mark.parametrize("name", BY_REWARD)
@pytest.mark.parametrize("dev_prompts", [6, 7])
def test_no_prompt_left_to_learn_from_is_told(run, name, dev_prompts):
    with pytest.raises(StageError, match=rf"mix left 6 prompts; the method keeps {dev_prompts} of them"):
        run(params({**BY_REWARD[name], "dev_prompts": dev_prompts}), name)


@pytest.mark.parametrize("name", BY_REWARD)
def test_prompts_that_leave_no_room_for_a_reply_are_named(run, name, tmp_path):
    rows = [question(place, text) for place, text in enumerate(["go?", "up?", "go " * 20])]
    write_table(tmp_path / "mix" / "train" / "prompts.parquet", rows, Question)

    with pytest.raises(StageError, match=rf"1 of 3 prompts .* max_completion_length 4 .*64, first {rows[2].id}\."):
        run(params(BY_REWARD[name]), name)


@pytest.mark.parametrize("name", BY_REWARD)
def test_a_reward_model_of_another_vocabulary_is_refused(run, name, tmp_path):
    other = build_tiny_model(tmp_path / "other", "SequenceClassification", num_labels=1)
    tokenizer = load_tokenizer(other)
    tokenizer.add_tokens(["drone"])
    tokenizer.save_pretrained(other)

    with pytest.raises(StageError, match=r"has another vocabulary \(\d+ entries\) than the model to align \(\d+\)\. Set reward\.start"):
        run(params(BY_REWARD[name]), name, reward=other)


def test_a_model_that_gives_no_score_is_no_reward_model(run, tiny_model):
    with pytest.raises(StageError, match=r"is no reward model but Qwen3ForCausalLM\. `dvc repro reward` makes one\."):
        run(params(GRPO), "grpo", reward=tiny_model)


def test_what_rewards_lack_is_told_all_at_once(run):
    rewards = [{"name": "answer", "weight": 1.0}, {"name": "format", "weight": 1.0}]

    with pytest.raises(StageError) as told:
        run(params({**GRPO, "rewards": rewards}), "grpo")

    assert "the reward `answer` needs a right answer to each prompt; 6 of 6 in prompts.parquet have none" in str(told.value)
    assert "the reward `format` needs prompts that ask for a thought; 6 of 6" in str(told.value)


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ({**GRPO, "num_generations": 1}, {}, "greater than or equal to 2"),
        ({**GRPO, "num_generations": 4}, {"global_batch_size": 6}, r"global_batch_size 6 .* method\.num_generations 4"),
        ({**RLOO, "num_generations": 4}, {"global_batch_size": 2}, "global_batch_size 2 "),
        ({**PPO, "rollout_batch_size": 6}, {"global_batch_size": 4}, r"method\.rollout_batch_size 6 .* global_batch_size 4"),
        ({**GRPO, "num_generations": 4}, {"global_batch_size": 8, "gradient_accumulation_steps": 4}, r"gradient_accumulation_steps 4 .* 4"),
        (KTO, {"global_batch_size": 1}, "one row a process"),
        (KTO, {"global_batch_size": 2, "processes": 2}, "one row a process"),
        (PPO, {"processes": 2}, "ppo samples in one process: processes 2 is too many"),
        (BEST_OF, {"processes": 2}, "best_of samples in one process"),
        ({**DPO, "label_smoothing": 0.1}, {}, "label_smoothing 0.1 with loss_type sigmoid"),
        ({**DPO, "loss_type": "robust"}, {}, "label_smoothing 0.0 with loss_type robust"),
        ({**GRPO, "rewards": []}, {}, "at least 1 item"),
        ({**GRPO, "rewards": [{"name": "taste", "weight": 1.0}]}, {}, "does not match any of the expected tags"),
        ({"name": "wishing"}, {}, "does not match any of the expected tags"),
    ],
)
def test_settings_that_cannot_work_are_refused(method, more, message):
    with pytest.raises(ValidationError, match=message):
        params(method, **more)


def margins(folder, pairs):
    """How much likelier the better reply is, in nats a token: what all these methods widen."""
    import torch

    model, tokenizer = load_model(folder, 64), load_tokenizer(folder)

    def likelihood(prompt, reply):
        start, ids = len(tokenizer(prompt)["input_ids"]), tokenizer(prompt + reply, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            told = model(ids).logits.log_softmax(-1)[0, start - 1 : -1]
        return told.gather(1, ids[0, start:, None]).mean().item()

    texts = [as_text(pair, Chat.of(tokenizer)) for pair in pairs]
    return [likelihood(text["prompt"], text["chosen"]) - likelihood(text["prompt"], text["rejected"]) for text in texts]
