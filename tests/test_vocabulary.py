"""lingyu.model.vocabulary: which words pay, and how their rows begin."""

from collections import Counter

import pytest

from lingyu.model import vocabulary
from lingyu.model.load import load_model, load_tokenizer


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model)


def test_candidates_are_words_and_terms_but_no_names():
    found = vocabulary.candidates(
        ["The rotor of the Falcon turns; rotor 旋翼", "旋翼 3 m"], terms=["旋翼", "blade pitch"], names=["Falcon"]
    )

    counts = {word.strip(): count for word, count in found.items()}
    assert counts["rotor"] == 2
    assert counts["旋翼"] == 2
    assert "Falcon" not in counts
    assert not counts.get("blade pitch")
    assert not [word for word in counts if any(sign.isdigit() for sign in word)]


def test_the_terms_that_save_most_come_first_within_their_bounds(tokenizer):
    found = Counter({"rotor": 10, "turning": 4, "rare": 1, "x": 99, "propellers": 4})

    rows = vocabulary.worthwhile(found, tokenizer, most=3, least_count=2, least_saved=25)

    assert [(row["term"], row["saved"]) for row in rows] == [("rotor", 40), ("propellers", 36)]
    assert all(tokenizer.decode(row["pieces"]) == row["term"] for row in rows)
    assert vocabulary.worthwhile(found, tokenizer, most=1, least_count=2, least_saved=0) == rows[:1]
    assert vocabulary.worthwhile(Counter(), tokenizer, most=3, least_count=0, least_saved=0) == []


def test_terms_that_save_alike_come_in_a_fixed_order(tokenizer):
    for order in (["wing", "ring", "king"], ["king", "wing", "ring"]):
        rows = vocabulary.worthwhile(Counter(dict.fromkeys(order, 5)), tokenizer, most=2, least_count=0, least_saved=0)
        assert [row["term"] for row in rows] == ["king", "ring"]


@pytest.mark.parametrize("tied", [True, False])
def test_a_new_row_begins_near_its_pieces(tiny_model, tokenizer, tied):
    model = load_model(tiny_model, 64, tie_word_embeddings=tied)
    rows = vocabulary.worthwhile(Counter({"rotor": 9, "旋翼": 9}), tokenizer, most=2, least_count=0, least_saved=0)

    vocabulary.add(model, tokenizer, rows, seed=3)

    for weight in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
        assert weight.shape[0] == len(tokenizer)
        for row in rows:
            [token] = tokenizer(row["term"])["input_ids"]
            distance = (weight[token] - weight[row["pieces"]].mean(dim=0)).std() / weight.std()
            assert 0.5 < distance.item() < 1.5


def test_fertility_is_tokens_a_character(tokenizer):
    assert vocabulary.fertility(["ab", "旋"], tokenizer) == {"tokens": 5, "characters": 3, "tokens_a_character": 5 / 3}
    assert vocabulary.fertility([], tokenizer) == {"tokens": 0, "characters": 0, "tokens_a_character": 0.0}
