"""base.model.kind gguf: a file becomes a folder whose model, tokenizer and template are those that the file was written from."""

import hashlib
import re

import pytest
from gguf_files import write_gguf
from rows import document
from tiny import build_tiny_model

from lingyu.base.template import SHIPPED
from lingyu.files import read_json, write_tables
from lingyu.model.chat import CHATML
from lingyu.model.load import load_model, load_tokenizer
from lingyu.stage import StageError
from stages import base

SHAPE = {"head_dim": 128, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}
TEXT = "Land now. 返航，电量 30%！\n<|im_end|><think>x</think>"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("written") / "model", **SHAPE)


@pytest.fixture
def file(model, tmp_path):
    return write_gguf(model, tmp_path / "small.gguf", CHATML)


@pytest.fixture
def run(tmp_path):
    def run(file, **more):
        write_tables(tmp_path / "train", {"documents": [document(0, "x")]})
        params = base.Params(model={"kind": "gguf", "name": str(file), "revision": sha256(file), "dtype": "fp32", **more})
        base.run(params, tmp_path / "train", tmp_path / "train", work=tmp_path / "work", out=tmp_path / "base")
        return tmp_path / "base"

    return run


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def logits(folder, ids):
    import torch

    with torch.no_grad():
        return load_model(folder, 64)(torch.tensor([ids])).logits


def test_model_tokenizer_template_and_end_marks_come_through(run, file, model):
    out = run(file) / "model"

    ours, theirs = load_tokenizer(out), load_tokenizer(model)
    ids = theirs(TEXT)["input_ids"]
    assert ours(TEXT)["input_ids"] == ids
    assert ours.decode(ids) == theirs.decode(ids) == TEXT
    assert ours.chat_template == CHATML
    assert (ours.eos_token, ours.pad_token, ours.bos_token) == ("<|im_end|>", "<|endoftext|>", None)
    assert (logits(out, ids) - logits(model, ids)).abs().max() < 1e-5
    assert read_json(out / "generation_config.json")["eos_token_id"] in (ours.eos_token_id, [ours.eos_token_id])
    assert read_json(out / "config.json")["vocab_size"] == 320 >= len(ours)


def test_where_it_is_from_is_in_the_metrics_the_model_and_every_model_trained_from_it(run, file, tmp_path):
    from lingyu.model.load import save

    out = run(file)

    source = read_json(out / "metrics.json")["source"]
    assert source == {
        "file": "small.gguf", "sha256": sha256(file), "quantization": "F32", "architecture": "qwen3", "licence": "apache-2.0",
    }  # fmt: skip
    save(load_model(out / "model", 64), load_tokenizer(out / "model"), tmp_path / "trained")
    assert read_json(tmp_path / "trained/config.json")["dequantized_from"] == source


def test_eight_bits_are_dequantised_into_the_dtype_asked_for(run, model, tmp_path):
    file = write_gguf(model, tmp_path / "small.gguf", CHATML, quantised=True)

    out = run(file, dtype="bf16")

    assert read_json(out / "metrics.json")["source"]["quantization"] == "Q8_0"
    assert read_json(out / "model/config.json")["dtype"] == "bfloat16"
    ids = load_tokenizer(model)(TEXT)["input_ids"]
    assert 0 < (logits(out / "model", ids) - logits(model, ids)).abs().max() < 0.05


def test_another_file_than_the_pinned_one_is_refused_with_both_hashes(run, file):
    with pytest.raises(StageError, match=rf"{sha256(file)}, but base\.model\.revision is {'0' * 64}"):
        run(file, revision="0" * 64)


def test_an_unpinned_file_is_taken_and_the_line_to_pin_it_is_shown(run, file, capsys):
    run(file, revision="")

    told = capsys.readouterr().out
    assert re.search(rf'model: {{kind: gguf, name: "{file}", revision: "{sha256(file)}"}}', told)


@pytest.mark.parametrize(
    ("content", "fact"),
    [(None, "no such file"), (b"PK\x03\x04 a zip", "no GGUF file"), (b"GGUF\x03\x00\x00\x00 cut", "cannot be read as GGUF")],
)
def test_what_is_no_whole_gguf_file_is_refused(run, tmp_path, content, fact):
    file = tmp_path / "broken.gguf"
    if content:
        file.write_bytes(content)

    with pytest.raises(StageError, match=fact):
        run(file)


def test_a_file_without_a_weight_is_refused_not_filled_in_at_random(run, tmp_path):
    short = build_tiny_model(tmp_path / "short", **SHAPE, num_hidden_layers=1)
    config = read_json(short / "config.json")
    from lingyu.files import write_json

    file_model = tmp_path / "short"
    write_json(file_model / "config.json", {**config, "num_hidden_layers": 2, "layer_types": ["full_attention"] * 2})

    with pytest.raises(StageError, match=r"weights of the architecture are not in the file, first model\.layers\.1"):
        run(write_gguf(file_model, tmp_path / "short.gguf", CHATML))


def test_a_file_without_a_template_gets_the_one_that_is_named(run, model, tmp_path):
    file = write_gguf(model, tmp_path / "small.gguf")
    with pytest.raises(StageError, match=r"has no chat template.*base\.model\.chat_template"):
        run(file)
    with pytest.raises(StageError, match=r"'chatlm', which is neither chatml nor gemma nor a file"):
        run(file, chat_template="chatlm")
    with pytest.raises(StageError, match="marks no end of a reply"):  # its tokenizer does not know Gemma's marks
        run(file, chat_template="gemma")
    (tmp_path / "own.jinja").write_text(CHATML.replace("<think>", "<think> "), encoding="utf-8")

    assert load_tokenizer(run(file, chat_template="chatml") / "model").chat_template == SHIPPED["chatml"]
    assert "<think> " in load_tokenizer(run(file, chat_template=str(tmp_path / "own.jinja")) / "model").chat_template
