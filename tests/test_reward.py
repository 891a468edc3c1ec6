"""reward: the better reply of a pair scores higher."""

import pytest
from rows import preference
from training import PAIRS, TRAINING, curves, weights, write_mix

from lingyu.files import read_json, read_table, write_table
from lingyu.model.chat import Chat
from lingyu.model.load import is_model, load_scorer, load_tokenizer
from lingyu.model.scoring import scored_text, scores
from lingyu.records import Message, Preference
from lingyu.stage import StageError
from stages import reward

PARAMS = reward.Params(**TRAINING, start="start")


@pytest.fixture
def run(tiny_model, tmp_path):
    def run(params=PARAMS, name="reward"):
        (tmp_path / "start").mkdir(exist_ok=True)
        if not (tmp_path / "start" / "model").exists():
            (tmp_path / "start" / "model").symlink_to(tiny_model)
        mix = tmp_path / "mix"
        reward.run(params, tmp_path, mix / "train", mix / "dev", work=tmp_path / "work" / name, out=tmp_path / name)
        return tmp_path / name

    write_mix(tmp_path / "mix")
    return run


def test_the_better_reply_of_each_learnt_pair_scores_higher(run, tmp_path):
    out = run(PARAMS.model_copy(update={"num_train_epochs": 12}))

    model, tokenizer = load_scorer(out / "model", 64), load_tokenizer(out / "model")
    pairs = list(read_table(tmp_path / "mix" / "train" / "preference.parquet", Preference))
    better, worse = (
        scores(model, tokenizer, [scored_text(pair.messages, getattr(pair, side), Chat.of(tokenizer)) for pair in pairs], batch=2)
        for side in ("chosen", "rejected")
    )
    assert len(better) == len(PAIRS)
    assert all(b > w for b, w in zip(better, worse, strict=True))
    assert read_json(out / "metrics.json")["dev_accuracy"] == 1.0


def test_curves_and_metrics_tell_how_many_pairs_are_told_right(run):
    out = run()

    assert list(curves(out)[0]) == ["step", "train_loss", "eval_loss", "accuracy", "eval_accuracy"]
    metrics = read_json(out / "metrics.json")
    assert {"parameters", "trainable_parameters", "steps", "best_step", "best_eval_loss", "pairs", "dev_pairs", "dev_accuracy"} == set(
        metrics
    )
    assert (metrics["pairs"], metrics["dev_pairs"]) == (len(PAIRS), 2)


def test_switched_off_it_writes_all_its_outputs_without_a_model(run, tmp_path, capsys):
    out = run(PARAMS.model_copy(update={"enabled": False, "start": "nowhere"}))

    assert not is_model(out / "model")
    assert [path.name for path in (out / "model").iterdir()] == ["NONE.txt"]
    assert (out / "curves.csv").exists()
    assert read_json(out / "metrics.json") == {"pairs": 0, "dev_pairs": 0, "dev_accuracy": None}
    assert "reward.enabled" in capsys.readouterr().out


def test_the_same_pairs_give_the_same_bytes(run):
    import torch

    outs = []
    for name in "ab":
        torch.manual_seed(len(outs))  # the score's first weights are drawn, by the stage's seed and no other
        outs.append(run(name=name))

    assert (outs[0] / "model" / "model.safetensors").read_bytes() == (outs[1] / "model" / "model.safetensors").read_bytes()
    assert weights(outs[0] / "model")["score.weight"].shape == (1, 32)


def test_a_score_is_the_same_alone_and_in_a_batch(run):
    out = run()
    model, tokenizer = load_scorer(out / "model", 64), load_tokenizer(out / "model")
    texts = [scored_text([Message(role="user", content="go?")], reply, Chat.of(tokenizer)) for reply in ("no", "yes, and far away", "")]

    together = scores(model, tokenizer, texts, batch=3)

    assert together == pytest.approx([scores(model, tokenizer, [text], batch=1)[0] for text in texts], abs=1e-5)
    assert len(set(together)) == 3
    assert scores(model, tokenizer, [], batch=3) == []


def test_the_end_of_a_reply_is_marked_once(tiny_model):
    tokenizer = load_tokenizer(tiny_model)

    texts = {scored_text([Message(role="user", content="go?")], reply, Chat.of(tokenizer)) for reply in ("yes", "yes<|im_end|>")}

    assert texts == {"<|im_start|>user\ngo?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nyes<|im_end|>"}


def test_a_pair_over_the_limit_is_named(run, tmp_path):
    pair = preference("long", "far?", "yes", "far " * 40)
    write_table(tmp_path / "mix" / "train" / "preference.parquet", [pair], Preference)

    with pytest.raises(StageError, match=rf"1 of 1 preference pairs are longer than 64 tokens, first {pair.id}\."):
        run()


def test_without_held_out_pairs_nothing_is_claimed(run, tmp_path):
    write_table(tmp_path / "mix" / "dev" / "preference.parquet", [], Preference)

    assert read_json(run() / "metrics.json")["dev_accuracy"] is None


def test_no_pair_at_all_is_told(run, tmp_path):
    write_table(tmp_path / "mix" / "train" / "preference.parquet", [], Preference)

    with pytest.raises(StageError, match=r"no preference pair to learn a reward from"):
        run()
