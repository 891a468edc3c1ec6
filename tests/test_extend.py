"""extend: the domain's words are added where they pay, and the base stays as it was where they do not."""

import csv

import pytest
from rows import document, fact
from training import weights

from lingyu.files import read_json, write_table
from lingyu.model.load import load_tokenizer
from lingyu.records import Document, Fact
from stages import extend

PARAMS = extend.Params(seed=3, max_terms=5, min_count=2, min_tokens_saved=4, min_gain=0.05)
TEXTS = ["propeller torque, propeller torque", "the propeller of 旋翼机 turns", "旋翼机 has torque", "旋翼机 flies"]


@pytest.fixture
def run(tiny_model, tmp_path):
    def run(params=PARAMS, train=TEXTS, dev=("torque of the propeller", "旋翼机")):
        for part, texts in (("train", train), ("dev", dev)):
            rows = [document(i, text) for i, text in enumerate(texts)]
            write_table(tmp_path / "mix" / part / "pretrain.parquet", rows, Document)
        facts = [fact(1, "propeller", "torque", "9 Nm")]
        splits = [tmp_path / "split" / part for part in ("train", "dev", "test")]
        for split, rows in zip(splits, (facts, [], []), strict=True):
            write_table(split / "facts.parquet", rows, Fact)
        extend.run(params, tiny_model, splits, tmp_path / "mix" / "train", tmp_path / "mix" / "dev", out=tmp_path / "out")
        return tmp_path / "out"

    return run


def terms(out):
    with (out / "terms.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


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
    assert AutoModelForCausalLM.from_pretrained(out / "model").config.vocab_size == len(tokenizer) == metrics["vocabulary"]


def test_the_rows_of_the_base_stay_and_new_ones_differ(run, tiny_model):
    out = run()

    before, after = (weights(folder)["model.embed_tokens.weight"] for folder in (tiny_model, out / "model"))
    old = len(load_tokenizer(tiny_model))
    assert (after[:old] == before[:old]).all()
    new = after[old:]
    assert len({row.tobytes() for row in new}) == len(new) == len(terms(out))
    assert 0.1 < new.std() / before.std() < 3


def test_a_name_of_an_entity_stays_in_pieces(run):
    assert "propeller" not in {row["term"].strip() for row in terms(run())}


@pytest.mark.parametrize("changes", [{"max_terms": 0}, {"min_gain": 0.99}, {"min_count": 99}, {"min_tokens_saved": 999}])
def test_where_too_little_is_gained_the_base_stays_as_it_was(run, tiny_model, changes):
    out = run(PARAMS.model_copy(update=changes))

    assert terms(out) == []
    assert read_json(out / "metrics.json")["gain"] == 0.0
    assert (out / "model" / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert load_tokenizer(out / "model").get_vocab() == load_tokenizer(tiny_model).get_vocab()


def test_a_corpus_without_text_leaves_the_base_as_it_was(run):
    out = run(train=[], dev=[])

    assert read_json(out / "metrics.json")["tokens_a_character_before"] == 0.0
    assert terms(out) == []


def test_the_same_text_gives_the_same_bytes(run):
    first = {path: path.read_bytes() for path in run().rglob("*") if path.is_file()}

    assert len(first) > 4
    assert first == {path: path.read_bytes() for path in run().rglob("*") if path.is_file()}
