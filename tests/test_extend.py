"""extend: the domain's words are added where they pay, and the base stays as it was where they do not."""

import csv
import json
import math

import pytest
from rows import document, fact
from tiny import build_tiny_model
from tokenizer_kinds import give
from training import ASK, LORA, SFT, TRAINING, begun, contents, ended, project, staged, weights

from lingyu.files import read_json, write_table
from lingyu.model.load import load_model, load_tokenizer
from lingyu.records import Document, Fact
from lingyu.stage import StageError
from stages import extend

PARAMS = extend.Params(seed=3, max_terms=5, min_count=2, min_tokens_saved=4, min_gain=0.05, recount=False, noise=1.0, measured=1000)
TEXTS = ["propeller torque, propeller torque", "the propeller of 旋翼机 turns", "旋翼机 has torque", "旋翼机 flies"]


@pytest.fixture
def run(tiny_model, tmp_path):
    def run(params=PARAMS, train=TEXTS, dev=("torque of the propeller", "旋翼机"), base=tiny_model):
        for part, texts in (("train", train), ("dev", dev)):
            rows = [document(i, text) for i, text in enumerate(texts)]
            write_table(tmp_path / "mix" / part / "pretrain.parquet", rows, Document)
        facts = [fact(1, "propeller", "torque", "9 Nm")]
        splits = [tmp_path / "split" / part for part in ("train", "dev", "test")]
        for split, rows in zip(splits, (facts, [], []), strict=True):
            write_table(split / "facts.parquet", rows, Fact)
        extend.run(params, base, splits, tmp_path / "mix" / "train", tmp_path / "mix" / "dev", out=tmp_path / "out")
        return tmp_path / "out"

    return run


def terms(out):
    with (out / "terms.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_curve_without_steps_is_beside_the_model_as_evaluate_reads_one(run):
    assert (run() / "curves.csv").read_text(encoding="utf-8") == "step,train_loss,eval_loss\n"


def test_words_that_pay_become_one_token_each(run, tiny_model):
    from transformers import AutoModelForCausalLM

    out = run()

    base, tokenizer, metrics = load_tokenizer(tiny_model), load_tokenizer(out / "model"), read_json(out / "metrics.json")
    added = {row["term"].strip(): row for row in terms(out)}
    assert "torque" in added
    assert int(added["torque"]["count"]) >= 3
    assert int(added["torque"]["saved"]) == int(added["torque"]["count"]) * (int(added["torque"]["pieces"]) - 1)
    assert metrics["terms"] == len(added) == len(tokenizer) - len(base)
    assert metrics["gain"] == pytest.approx(1 - metrics["tokens_a_character_after"] / metrics["tokens_a_character_before"])
    assert metrics["gain"] > 0.05
    text = "the torque of 旋翼机 turns, 60 torques"
    assert len(tokenizer(text)["input_ids"]) < len(base(text)["input_ids"])
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert metrics["vocabulary"] == len(tokenizer)
    assert AutoModelForCausalLM.from_pretrained(out / "model").config.vocab_size == 320  # rows that the base has beyond its vocabulary
    assert 0 < metrics["bits_per_byte_after"] != metrics["bits_per_byte_before"] > 0


def test_the_rows_of_the_base_stay_and_new_ones_differ(run, tiny_model):
    out = run()

    before, after = (weights(folder)["model.embed_tokens.weight"] for folder in (tiny_model, out / "model"))
    old, all_of_them = len(load_tokenizer(tiny_model)), len(load_tokenizer(out / "model"))
    assert (after[:old] == before[:old]).all()
    assert (after[all_of_them:] == before[all_of_them:]).all()
    new = after[old:all_of_them]
    assert len({row.tobytes() for row in new}) == len(new) == len(terms(out))
    assert 0.1 < new.std() / before.std() < 3


def test_a_name_of_an_entity_stays_in_pieces(run):
    assert "propeller" not in {row["term"].strip() for row in terms(run())}


@pytest.mark.parametrize("changes", [{"max_terms": 0}, {"min_gain": 0.99}, {"min_count": 99}, {"min_tokens_saved": 999}])
def test_where_too_little_is_gained_the_base_stays_as_it_was(run, tiny_model, changes):
    out = run(PARAMS.model_copy(update=changes))

    assert terms(out) == []
    metrics = read_json(out / "metrics.json")
    assert metrics["gain"] == 0.0
    assert metrics["bits_per_byte_after"] == metrics["bits_per_byte_before"] > 0
    assert (out / "model" / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert load_tokenizer(out / "model").get_vocab() == load_tokenizer(tiny_model).get_vocab()


def test_a_corpus_without_text_leaves_the_base_as_it_was(run):
    out = run(train=[], dev=[])

    metrics = read_json(out / "metrics.json")
    assert metrics["tokens_a_character_before"] == metrics["bits_per_byte_before"] == 0.0
    assert terms(out) == []


def test_the_same_text_gives_the_same_bytes(run):
    first = {path: path.read_bytes() for path in run().rglob("*") if path.is_file()}

    assert len(first) > 4
    assert first == {path: path.read_bytes() for path in run().rglob("*") if path.is_file()}


def test_bits_per_byte_do_not_hang_on_the_vocabulary_of_a_model_that_knows_nothing(run, tmp_path):
    base = build_tiny_model(tmp_path / "base", initializer_range=1e-9)  # every token is as likely as any other

    metrics = read_json(run(base=base) / "metrics.json")

    for when in ("before", "after"):
        tokens_a_byte = metrics[f"tokens_a_character_{when}"] * 26 / 32  # of the held-out text
        assert metrics[f"bits_per_byte_{when}"] == pytest.approx(tokens_a_byte * math.log2(320), rel=1e-4)


def test_what_recounts_as_too_little_is_left_out(run):
    texts = ["旋翼机 has torque"] * 3

    added = [{row["term"] for row in terms(run(PARAMS.model_copy(update={"recount": again}), train=texts))} for again in (False, True)]

    assert added[1] < added[0]
    assert "旋" in added[0] - added[1]
    assert "旋翼机" in added[1]


def test_a_tokenizer_that_would_change_the_text_is_refused_with_the_way_out(run, tmp_path):
    base = give(build_tiny_model(tmp_path / "base"), "old llama")

    with pytest.raises(StageError, match=r"writes a space behind \d of \d added terms, first .*extend.max_terms to 0"):
        run(base=base)

    assert terms(run(PARAMS.model_copy(update={"max_terms": 0}), base=base)) == []


PROBE = """
import json, sys, torch
from pathlib import Path
from lingyu.model.load import load_model, load_tokenizer, prepare
prepare(1)
tokenizer, model = load_tokenizer(Path(sys.argv[1])), load_model(Path(sys.argv[1]), 64)
ids = tokenizer("the torque of 旋翼机 turns", add_special_tokens=False)["input_ids"]
with torch.no_grad():
    print(json.dumps([ids, model(torch.tensor([ids])).logits[0, -1].tolist(), len(tokenizer)]))
"""


def asked(model, warm, folder):
    """Token ids of a text, the scores behind it and the size of the vocabulary, by a process of its own."""
    (folder / "probe.py").write_text(PROBE, encoding="utf-8")
    status, told, err = ended(begun(folder, "-c", ASK, "probe", str(model), warm=warm))
    assert status == 0, err
    return json.loads(told)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tied"), [("qwen", True), ("llama", False), ("unigram", True)])
def test_a_real_kind_of_base_is_extended_trained_merged_and_reloaded_alike(run, warm, tmp_path, kind, tied):
    import torch

    base = give(build_tiny_model(tmp_path / "base", vocab_size=384, tie_word_embeddings=tied), kind)

    extended = run(base=base) / "model"

    tokenizer, model = load_tokenizer(extended), load_model(extended, 64)
    ids = tokenizer("the torque of 旋翼机 turns", add_special_tokens=False)["input_ids"]
    added = {tokenizer.convert_tokens_to_ids(row["term"]) for row in terms(extended.parent)}
    assert added & set(ids)
    assert ("lm_head.weight" in weights(extended)) != tied
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits[0, -1].tolist()
    assert asked(extended, warm, tmp_path) == [ids, scores, len(tokenizer)]

    common = {**TRAINING, **SFT, "max_length": 512}
    folder = project(tmp_path / "project", extended, sft={"common": common, "candidates": {"lora": {"start": "start", "method": LORA}}})
    status, _, err = ended(staged(folder, "sft", "lora", warm=warm))
    assert status == 0, err
    merged = folder / "out" / "sft" / "lora" / "model"
    assert (merged / "tokenizer.json").read_bytes() == (extended / "tokenizer.json").read_bytes()
    again, learnt, size = asked(merged, warm, tmp_path)
    assert (again, size) == (ids, len(tokenizer))
    assert learnt != scores
    assert contents(merged).keys() >= {"model.safetensors", "tokenizer.json"}


def test_a_large_vocabulary_gets_no_more_rows_than_the_text_can_teach(run, capsys):
    everything = terms(run())
    few = PARAMS.model_copy(update={"large_vocabulary": 100, "min_tokens_a_row": 60, "min_gain": 0.0})

    kept = terms(run(few))

    assert 0 < len(kept) < len(everything)
    assert [row["term"] for row in kept] == [row["term"] for row in everything][: len(kept)]
    assert f"teach {len(kept)} new rows at most" in capsys.readouterr().out


def test_a_large_vocabulary_stays_as_it_is_where_the_text_is_too_short_to_teach_any(run, tiny_model):
    out = run(PARAMS.model_copy(update={"large_vocabulary": 100}))

    assert terms(out) == []
    assert weights(out / "model").keys() == weights(tiny_model).keys()
    metrics = read_json(out / "metrics.json")
    assert metrics["bits_per_byte_after"] == metrics["bits_per_byte_before"]


@pytest.mark.parametrize("tied", [True, False])
def test_rows_that_make_the_base_much_worse_stop_the_stage_and_nothing_is_written(run, tmp_path, tied):
    base = build_tiny_model(tmp_path / "base", tie_word_embeddings=tied)

    with pytest.raises(StageError, match=r"\d new rows take the base from [\d.]+ to [\d.]+ bits per byte .* extend\.max_rise 0\.1"):
        run(PARAMS.model_copy(update={"noise": 500.0}), base=base)

    assert not (tmp_path / "out/model").exists()
    assert terms(run(PARAMS.model_copy(update={"noise": 500.0, "max_rise": 1000.0}), base=base))
