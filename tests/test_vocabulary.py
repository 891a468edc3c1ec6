"""lingyu.model.vocabulary: which words pay, and how their rows begin."""

from collections import Counter

import pytest
from tiny import build_tiny_model
from tokenizer_kinds import give

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


def test_what_is_one_token_already_or_stands_there_twice_is_added_once(tokenizer):
    [rotor] = worthwhile({"rotor": 9}, tokenizer)
    longer = vocabulary.extended(tokenizer, [rotor])

    assert worthwhile({"rotor": 9, "<think>": 9}, longer) == []
    assert [row["term"] for row in worthwhile({"rotor": 9, "rotor ": 9, " rotor": 9}, tokenizer)] == ["rotor"]
    assert len(vocabulary.extended(longer, [rotor])) == len(longer) == len(tokenizer) + 1


def test_a_term_inside_a_longer_one_stays_out_unless_it_is_written_by_itself(tokenizer):
    rows = worthwhile({"旋翼机": 9, "旋翼": 9, "旋": 9}, tokenizer)
    assert len(rows) == 3

    kept = vocabulary.recounted(rows, ["旋翼机飞"] * 9 + ["旋翼转"] * 3, tokenizer, least_count=2, least_saved=0)

    assert [(row["term"], row["count"], row["saved"]) for row in kept] == [("旋翼机", 9, 72), ("旋翼", 3, 15)]
    assert vocabulary.recounted([], ["旋"], tokenizer, 0, 0) == vocabulary.recounted(rows, [], tokenizer, 1, 0) == []


def test_a_latin_word_that_the_base_has_with_its_space_spares_nothing(tmp_path):
    tokenizer = with_tokenizer(tmp_path, "qwen")
    rows = worthwhile({"turns": 9, "rotor": 9}, tokenizer)
    assert {row["term"] for row in rows} == {"turns", "rotor"}

    kept = vocabulary.recounted(rows, ["it turns the rotor"] * 9, tokenizer, least_count=2, least_saved=0)

    assert [(row["term"], row["count"], row["saved"]) for row in kept] == [("rotor", 9, 9 * (len(" rotor") - 2))]


@pytest.mark.parametrize("kind", ["qwen", "llama", "unigram"])
def test_text_with_added_terms_comes_back_as_before(tmp_path, kind):
    tokenizer = with_tokenizer(tmp_path, kind)
    rows = worthwhile({"rotor": 9, "旋翼": 9, "旋翼机": 9, "blade pitch": 9}, tokenizer)
    longer = vocabulary.extended(tokenizer, rows)

    texts = ["the rotor turns", "旋翼机的旋翼。rotor turns", "rotors and motorotor", "<|im_start|>user\nrotor<|im_end|>", "blade pitch 7"]

    assert len(rows) == 4
    assert vocabulary.misread(rows, tokenizer, longer) == []
    assert longer.convert_ids_to_tokens(longer("旋翼机的旋翼")["input_ids"]).count("旋翼") == 1
    for text in texts:
        ids = longer(text, add_special_tokens=False)["input_ids"]
        assert longer.decode(ids) == tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert longer.get_vocab().items() >= tokenizer.get_vocab().items()


def test_a_tokenizer_that_writes_a_space_behind_added_terms_is_seen(tmp_path):
    tokenizer = with_tokenizer(tmp_path, "old llama")
    rows = worthwhile({"rotor": 9, "旋翼": 9}, tokenizer)

    assert sorted(vocabulary.misread(rows, tokenizer, vocabulary.extended(tokenizer, rows))) == ["rotor", "旋翼"]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_new_row_begins_near_its_pieces(tiny_model, tokenizer, tied, noise):
    model = load_model(tiny_model, 64, tie_word_embeddings=tied)
    rows = worthwhile({"rotor": 9, "旋翼": 9}, tokenizer)

    longer = vocabulary.extended(tokenizer, rows)
    vocabulary.add(model, longer, rows, noise, seed=3)

    matrices = {id(weight): weight for weight in (model.get_input_embeddings().weight, model.get_output_embeddings().weight)}
    assert len(matrices) == (1 if tied else 2)
    for weight in matrices.values():
        for row in rows:
            [token] = longer(row["term"])["input_ids"]
            distance = (weight[token] - weight[row["pieces"]].mean(dim=0)).std() / weight.std()
            assert 0.5 * noise <= distance.item() <= 1.5 * noise


@pytest.mark.parametrize(("terms", "rows_after"), [(["rotor"], 320), ([f"rotor{a}{b}" for a in "abcdefgh" for b in "abcdefghi"], 333)])
def test_rows_beyond_the_vocabulary_are_taken_first_and_none_is_lost(tiny_model, tokenizer, terms, rows_after):
    model = load_model(tiny_model, 64)
    rows = worthwhile(dict.fromkeys(terms, 9), tokenizer)
    assert (len(tokenizer), len(model.get_input_embeddings().weight)) == (261, 320)

    vocabulary.add(model, vocabulary.extended(tokenizer, rows), rows, noise=0.0, seed=3)

    assert len(model.get_input_embeddings().weight) == model.config.vocab_size == rows_after
    assert len(model.get_output_embeddings().weight) == rows_after


def test_fertility_is_tokens_a_character(tokenizer):
    assert vocabulary.fertility(["ab", "旋"], tokenizer) == {"tokens": 5, "characters": 3, "tokens_a_character": 5 / 3}
    assert vocabulary.fertility([], tokenizer) == {"tokens": 0, "characters": 0, "tokens_a_character": 0.0}


def worthwhile(found, tokenizer):
    return vocabulary.worthwhile(Counter(found), tokenizer, most=99, least_count=0, least_saved=0)


def with_tokenizer(folder, kind):
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    return load_tokenizer(give(folder, kind))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks for it by its old name
@pytest.mark.parametrize("method", ["freeze", "lora"])
def test_where_embeddings_are_scaled_a_new_row_begins_as_the_mean_of_its_pieces_and_learns_from_there(tmp_path, method, tied):
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from lingyu.model.load import save
    from lingyu.model.methods import Freeze, Lora
    from lingyu.model.tuning import Tuning

    tokenizer = load_tokenizer(build_tiny_model(tmp_path / "tokenizer"))
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = Gemma3TextConfig(vocab_size=320, head_dim=16, **shape, tie_word_embeddings=tied, dtype="float32")
    torch.manual_seed(0)
    model, rows = Gemma3ForCausalLM(config), worthwhile({"rotor": 9, "旋翼": 9}, tokenizer)
    longer = vocabulary.extended(tokenizer, rows)

    vocabulary.add(model, longer, rows, noise=0.0, seed=0)
    save(model, longer, tmp_path / "model")

    model = load_model(tmp_path / "model", 64)
    read = model.get_input_embeddings()
    assert read.embed_scale == pytest.approx(32**0.5)
    ids = torch.tensor([longer("the rotor and 旋翼 turn")["input_ids"]])
    with torch.no_grad():
        scores, hidden = model(ids).logits, model.base_model(ids).last_hidden_state
        for row in rows:
            [token] = longer(row["term"])["input_ids"]
            assert token in ids
            assert torch.allclose(read(torch.tensor(token)), read(torch.tensor(row["pieces"])).mean(dim=0), atol=1e-6)
            assert torch.allclose(scores[..., token], model.lm_head(hidden)[..., row["pieces"]].mean(dim=-1), atol=1e-6)
        settings = {"name": method, "trainable_tokens": "new"}
        tuned = Tuning(tmp_path / "model", 64, Freeze(**settings) if method == "freeze" else Lora(**settings), longer).model
        assert torch.allclose(tuned(input_ids=ids).logits, scores, atol=1e-5)
