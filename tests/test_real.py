"""A real pretrained base on the road: `make test-real BASE=file.gguf`, no part of `make test`. bench.real_base fetches a file."""

import json
import os
from pathlib import Path

import httpx
import pytest
from miniature import change_params, overlaid, project, repro
from serving import served

from bench import real_base
from lingyu.files import read_json
from lingyu.model.chat import Chat
from lingyu.model.load import load_tokenizer, prepare
from lingyu.params.rewrite import PROFILES, rewritten
from lingyu.records import Message
from stages import base

ROOT = Path(__file__).parent.parent
TASKS = ("fact", "preferred", "classify", "reason", "recall", "cite", "chat", "other")
SMALL = {
    "extend": {"measured": 400},
    "pretrain": {"enabled": False},
    "sft": {"common": {"num_train_epochs": 0.1, "evaluations": 1}},
    "evaluate": {"common": {"max_new_tokens": dict.fromkeys(TASKS, 8)}},
    "generate": {"test": {"taught": 6, "documents": 4, "classify": 4, "given": 4}},
    "package": {"name": "real-test", "max_tokens": 24},
}

# PEFT asks for gradient checkpointing by its old name.
PEFT = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
pytestmark = [pytest.mark.real, pytest.mark.timeout(7200), PEFT]


@pytest.fixture(scope="module")
def source():
    """base.model of params.yaml."""
    file = os.environ.get("LINGYU_REAL_BASE", "")
    if not file:
        pytest.skip("no weights: make test-real BASE=FILE.gguf; python -m bench.real_base fetch FOLDER brings one")
    revision = real_base.SHA256 if Path(file).name == real_base.FILE else ""
    return {"kind": "gguf", "name": str(Path(file).resolve()), "revision": revision, "chat_template": "gemma"}


@pytest.fixture(scope="module")
def model(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    base.run(base.Params(model=source), folder, folder, folder / "work", folder / "base")
    prepare(threads=2)
    return folder / "base/model"


def test_a_text_begins_in_training_evaluation_and_service_as_the_model_was_trained(model):
    tokenizer = load_tokenizer(model)
    served, trained = Chat.read(model), Chat.of(tokenizer)
    turns = [{"role": "user", "content": "云雀X3能飞多高？"}]

    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]

    for chat in (served, trained):
        assert chat.encode(chat.prompt([Message(**turns[0])])) == prompt
    assert prompt.count(tokenizer.bos_token_id) == 1
    assert prompt[0] == tokenizer.bos_token_id
    assert read_json(model / "generation_config.json")["eos_token_id"] == [
        tokenizer.eos_token_id,
        tokenizer.convert_tokens_to_ids(served.end),
    ]


@pytest.mark.parametrize("file", real_base.TEXTS, ids=lambda file: file.suffixes[0])
def test_bits_per_byte_are_those_of_a_plain_loop(model, file):
    text = (ROOT / file).read_text(encoding="utf-8")[:600]

    assert real_base.lingyu_bits(model, [text]) == pytest.approx(real_base.plain_bits(model, [text]), abs=1e-4)


def test_the_first_step_has_the_loss_of_a_plain_loop_of_peft(model):
    lines = (ROOT / "samples/drone/general/qa.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    pairs = [(row["instruction"], row["output"]) for row in map(json.loads, lines)]

    plain, _ = real_base.plain_steps(model, pairs, 1)
    ours, _ = real_base.lingyu_steps(model, pairs, 1)

    assert ours[0] == pytest.approx(plain[0], abs=1e-3)


def test_the_road_from_a_gguf_file_to_an_answer_with_sources(source, tmp_path):
    top = project(tmp_path / "project")
    params = top / "params.yaml"
    params.write_text(rewritten(params.read_text(encoding="utf-8"), ROOT / PROFILES / "laptop.yaml")[0], encoding="utf-8")
    change_params(top, lambda values: overlaid(overlaid(values, SMALL), {"base": {"model": source}}))

    ran = repro(top, "package")

    assert {"base", "extend", "pretrain", "sft@lora", "evaluate@base", "evaluate@sft-lora", "select", "index", "package"} <= {*ran}
    extended = read_json(top / "out/extend/metrics.json")
    assert extended["bits_per_byte_after"] <= extended["bits_per_byte_before"] * 1.1
    assert source["revision"] in (top / "out/package/release/README.md").read_text(encoding="utf-8")
    (tmp_path / "served").mkdir()
    question = [{"role": "user", "content": "电池多久检查一次？"}]
    with served(top / "out/package/bento/src", tmp_path / "served") as address:
        asked = {"model": "real-test", "messages": question, "mode": "professional"}
        reply = httpx.post(f"{address}/v1/chat/completions", json=asked, timeout=600).json()
    assert reply["choices"][0]["message"]["content"]
    assert reply["sources"]
