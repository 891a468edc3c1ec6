"""Tuning methods: each trains, is saved and comes back the same, and what cannot work is told before anything is trained."""

import json
import os
import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError
from tiny import build_extended_model
from training import ASKED, ROOT, SFT, TRAINING, contents, curves, write_mix
from tuning_methods import ATTACHED, LORA, LOW_RANK, MERGED, METHODS, method

from lingyu.files import read_json
from lingyu.model.load import load_model, load_scorer, load_tokenizer, prepare, save
from lingyu.model.methods import Method
from lingyu.model.tuning import Tuning, check_method, summary
from lingyu.stage import StageError
from stages import package, sft

WORDS = ["land", "stay", "飞行"]
IDS = [[5, 50, 263, 100, 262, 200, 261]]  # some of the words among them


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The folder of a model with words added to its vocabulary, whose head is its embeddings."""
    return build_extended_model(tmp_path_factory.mktemp("start") / "model", WORDS)


@pytest.fixture(scope="module")
def untied(tmp_path_factory):
    """The same with a head of its own."""
    return build_extended_model(tmp_path_factory.mktemp("untied") / "model", WORDS, tie_word_embeddings=False)


def trained(folder, start, method, **changes):
    """What sft makes of the model of a folder."""
    params = sft.Params(**{**TRAINING, **SFT, "num_train_epochs": 6, "evaluations": 3, **changes}, start="start", method=method)
    write_mix(folder / "mix")
    (folder / "start").mkdir(parents=True)
    (folder / "start" / "model").symlink_to(start)
    sft.run(params, folder, folder / "mix" / "train", folder / "mix" / "dev", work=folder / "work", out=folder / "out")
    return folder / "out"


def logits(model):
    import torch

    model.eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor(IDS)).logits


def changed_rows(before, after):
    return set((before.weight != after.weight).any(dim=1).nonzero()[:, 0].tolist())


def tuning_of(folder, values, **changes):
    prepare(threads=1)
    return Tuning(folder, 64, TypeAdapter(Method).validate_python({**values, **changes}), load_tokenizer(folder))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_lowers_the_loss_and_its_model_and_its_new_rows_are_in_the_folder(name, start, tmp_path, monkeypatch, capsys):
    told = {}
    plain_save = Tuning.save

    def save_and_tell(tuning, model, *places):
        told["logits"] = logits(model)
        plain_save(tuning, model, *places)

    monkeypatch.setattr(Tuning, "save", save_and_tell)
    out = trained(tmp_path, start, method(name, "new"))

    losses = [float(row["eval_loss"]) for row in curves(out) if row["eval_loss"]]
    assert losses[-1] < losses[0]
    metrics = read_json(out / "metrics.json")
    assert 0 < metrics["trainable_parameters"] <= metrics["parameters"]
    assert f"learnt {metrics['trainable_parameters']:,} of" in capsys.readouterr().err
    model = load_model(out / "model", 64)
    assert abs(logits(model) - told["logits"]).max() < 1e-5
    assert type(model).__name__ == ("Qwen3ForCausalLM" if name in MERGED else "LingyuQwen3ForCausalLM")
    assert not [path for path in (out / "model").rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl")]
    if name == "full":
        assert changed_vocabulary(start, model) == [all_rows(model)] * 2
    else:
        only_new_rows_changed(start, model)


@pytest.mark.parametrize("name", ["freeze", "dora", "oft", "ptuning_v2"])
def test_new_rows_of_an_untied_head_learn_too(name, untied, tmp_path):
    out = trained(tmp_path, untied, method(name, "new"), num_train_epochs=1)

    only_new_rows_changed(untied, load_model(out / "model", 64))


def only_new_rows_changed(start, after):
    new = set(load_tokenizer(start).convert_tokens_to_ids(WORDS))
    assert len(new) == len(WORDS)
    assert changed_vocabulary(start, after) == [new, new]


def all_rows(model):
    return set(range(model.get_input_embeddings().num_embeddings))


def changed_vocabulary(start, after):
    """The rows that training changed, of the embeddings and of the head, which are still one matrix if they were."""
    before = load_model(start, 64)
    both = [[model.get_input_embeddings(), model.get_output_embeddings()] for model in (before, after)]
    tied = [embeddings.weight is head.weight for embeddings, head in both]
    assert tied == [before.config.tie_word_embeddings] * 2
    return [changed_rows(*pair) for pair in zip(*both, strict=True)]


@pytest.mark.parametrize("name", ["freeze", "lora", "prefix"])
def test_the_whole_vocabulary_can_learn(name, start, tmp_path):
    out = trained(tmp_path, start, method(name, "all"), num_train_epochs=1)

    model = load_model(out / "model", 64)
    assert changed_vocabulary(start, model) == [all_rows(model)] * 2


@pytest.mark.parametrize("name", METHODS)
def test_gradient_checkpointing_changes_no_gradient(name, start):
    import torch

    found = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        model = tuning_of(start, method(name, "new")).model.train()
        stir(model)
        if checkpointed:
            model.activation_checkpointing_enable()
        torch.manual_seed(1)  # of dropout
        ids = torch.tensor(IDS)
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        found.append({name: value.grad for name, value in model.named_parameters() if value.requires_grad})

    assert set(found[0]) == set(found[1])
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in found[0].values())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def stir(model):
    """Away from beginnings that change nothing, from which some parameters have no gradient."""
    import torch

    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(0.05 * torch.randn_like(value))


@pytest.mark.parametrize("name", ["prompt", "ptuning", "prefix", "ptuning_v2"])
def test_a_prefix_begins_as_words_that_stand_before_the_text(name, start):
    import torch

    tokenizer, words = load_tokenizer(start), "fly low"
    plain = load_model(start, 64)
    before = tokenizer(words)["input_ids"]
    tokens = len(before)

    tuning = tuning_of(start, {**method(name), "num_virtual_tokens": tokens, "prompt_tuning_init_text": words})

    whole = plain(input_ids=torch.tensor([before + IDS[0]])).logits[:, tokens:]
    assert torch.allclose(logits(tuning.model), whole, atol=1e-5)


@pytest.mark.parametrize("longest", [64, 1000], ids=["eager", "sdpa"])
@pytest.mark.parametrize("name", ATTACHED)
def test_an_attached_part_is_there_in_every_way_of_asking(name, longest, start, tmp_path):
    import torch

    tuning = tuning_of(start, method(name))
    stir(tuning.model)
    tuning.save(tuning.model, load_tokenizer(start), tmp_path)
    model, tokenizer = load_model(tmp_path, longest).eval(), load_tokenizer(tmp_path)

    assert torch.allclose(logits(model), logits(load_model(tmp_path, 64)), atol=1e-5)
    texts = ["fly", "fly low and land soon"]
    batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    together = model.generate(**batch, max_new_tokens=6, do_sample=False, eos_token_id=None)[:, -6:]
    for text, made in zip(texts, together, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        for _ in range(6):  # without cache and padding
            with torch.no_grad():
                ids = torch.cat([ids, model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
        assert ids[0, -6:].tolist() == made.tolist()
    assert abs(logits(model) - logits(load_model(start, 64))).max() > 1e-3


def test_who_does_not_know_the_attached_part_refuses_the_folder(start, tmp_path):
    tuning = tuning_of(start, method("prefix"))
    tuning.save(tuning.model, load_tokenizer(start), tmp_path)
    code = f"from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained({str(tmp_path)!r})"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode
    assert "lingyu_qwen3" in done.stderr


def test_the_code_in_the_bento_serves_attached_parts(start, tmp_path):
    import torch

    folders = [tmp_path / name for name in ("prefix", "bottleneck")]
    for folder in folders:
        tuning = tuning_of(start, method(folder.name))
        stir(tuning.model)
        tuning.save(tuning.model, load_tokenizer(start), folder)
    package.put_code(ROOT, tmp_path / "code")
    asked = "engine.tokens([5, 50, 100], Sampling(max_tokens=6, temperature=0, top_p=1, seed=0))"
    code = f"""
import asyncio, sys
from pathlib import Path
from lingyu.serve.engine import Sampling, TransformersEngine
async def reply(engine): return [token.id async for token in {asked}]
print([asyncio.run(reply(TransformersEngine(Path(folder)))) for folder in sys.argv[1:]])"""
    environment = {**os.environ, "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)], cwd=tmp_path / "code", env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    prompt = torch.tensor([[5, 50, 100]])
    made = [load_model(folder, 64).generate(prompt, max_new_tokens=6, do_sample=False) for folder in folders]
    assert json.loads(done.stdout) == [ids[0, 3:].tolist() for ids in made]
    assert len(set(map(str, json.loads(done.stdout)))) == 2


@pytest.mark.parametrize("name", ["prefix", "bottleneck"])
def test_a_model_with_an_attached_part_can_be_trained_on_and_scored_by(name, start, tmp_path):
    first = trained(tmp_path / "first", start, method(name), num_train_epochs=1)

    second = trained(tmp_path / "second", first / "model", method("full"), num_train_epochs=1)
    third = trained(tmp_path / "third", second / "model", method("lora"), num_train_epochs=1)

    told = [json.loads((out / "model" / "config.json").read_text()) for out in (first, second, third)]
    assert told[0]["attached"] == told[1]["attached"] == told[2]["attached"]
    assert abs(logits(load_model(second / "model", 64)) - logits(load_model(third / "model", 64))).max() > 1e-4
    scorer = load_scorer(third / "model", 64, pad_token_id=0)
    with_part = logits(scorer)
    save(scorer, load_tokenizer(start), tmp_path / "scorer")
    # Not 0: some processors add up a product in another order where its memory begins at another place.
    assert abs(logits(load_scorer(tmp_path / "scorer", 64)) - with_part).max() < 1e-6
    with pytest.raises(StageError, match=rf"it has a {name} already"):
        tuning_of(first / "model", method("prompt"))


@pytest.mark.parametrize("name", ["dora", "pissa", "ia3", "oft"])
def test_the_adapter_over_the_start_is_the_merged_model(name, start, tmp_path):
    from peft import PeftModel

    out = trained(tmp_path, start, method(name), num_train_epochs=1)

    adapted = PeftModel.from_pretrained(load_model(start, 64), out / "model" / "adapter")
    assert abs(logits(adapted) - logits(load_model(out / "model", 64))).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_same_rows_give_the_same_bytes_under_every_method(name, start, tmp_path):
    made = [contents(trained(tmp_path / copy, start, method(name, "new"), num_train_epochs=2)) for copy in ("a", "b")]

    assert made[0] == made[1]


def test_the_last_layers_learn_and_those_before_them_stay(start, tmp_path):
    out = trained(tmp_path, start, method("freeze"))

    before, after = (load_model(folder, 64).state_dict() for folder in (start, out / "model"))
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {name for name in before if ".layers.1." in name}


def test_checkpoints_of_an_attached_part_do_not_hold_the_base_again(start, tmp_path, monkeypatch):
    monkeypatch.setenv("LINGYU_KEEP_CHECKPOINTS", "1")
    trained(tmp_path, start, method("ptuning_v2", "new"))

    from safetensors import safe_open

    [checkpoint] = (tmp_path / "work").glob("*/checkpoint-18")
    with safe_open(checkpoint / "model.safetensors", "numpy") as file:
        held = set(file.keys())
    assert {name.split(".")[0] for name in held} == {"model", "new_rows"}
    assert all(name.startswith(("model.prefix.", "new_rows.")) for name in held)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({**LORA, "trainable_tokens": "none", "target_modules": []}, "target_modules"),
        ({**LORA, "trainable_tokens": "some"}, "trainable_tokens"),
        ({**LORA, "trainable_tokens": "none", "init_lora_weights": "pissa", "use_rslora": True}, "use_rslora nor use_dora"),
        ({**LORA, "trainable_tokens": "none", "init_lora_weights": "pissa", "use_dora": True}, "use_rslora nor use_dora"),
        ({**method("ia3"), "feedforward_modules": ["up_proj"]}, "feedforward_modules names up_proj"),
        ({"name": "qlora", **LOW_RANK, "bits": 3, "trainable_tokens": "none"}, "bits"),
        ({**method("bottleneck"), "after": []}, "after"),
        ({"name": "lora", "rank": 4}, "rank"),
        ({"name": "adapter"}, "freeze"),
    ],
)
def test_settings_that_cannot_work_are_refused_as_they_are_read(values, fault):
    with pytest.raises(ValidationError, match=fault):
        TypeAdapter(Method).validate_python(values)


@pytest.mark.parametrize(
    ("name", "changes", "fault"),
    [
        (
            "lora",
            {"target_modules": ["q_proj", "query", "W_pack"]},
            r"it has no query, W_pack\. It has: down_proj, gate_proj, k_proj, o_proj",
        ),
        ("ia3", {"target_modules": ["lm_head"], "feedforward_modules": []}, "it has no lm_head"),
        ("oft", {"oft_block_size": 24}, "24 does not divide the 32 inputs of q_proj"),
        ("ia3", {"trainable_tokens": "all"}, "all would part its embeddings from its head"),
        ("freeze", {"layers": 3}, "layers: 3, but it has 2"),
    ],
)
def test_a_method_that_does_not_fit_the_model_is_told_with_what_the_model_has(name, changes, fault, start):
    with pytest.raises(StageError, match=fault):
        tuning_of(start, {**method(name), **changes})


def test_all_faults_are_told_at_once(start):
    with pytest.raises(StageError, match=r"(?s)it has no query.*24 does not divide"):
        tuning_of(start, {**method("oft"), "oft_block_size": 24, "target_modules": ["query", "q_proj"]})


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_in_few_bits_are_refused_without_a_gpu_before_anything_is_loaded(bits, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    values = TypeAdapter(Method).validate_python({"name": "qlora", **LOW_RANK, "bits": bits, "trainable_tokens": "none"})

    with pytest.raises(StageError, match=rf"in {bits} bits, which needs a GPU and bitsandbytes: there is no CUDA GPU here.*method lora"):
        check_method(values)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 8])
def test_weights_in_few_bits_learn_and_merge_on_a_gpu(bits, start, tmp_path):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("bitsandbytes rounds weights on a CUDA GPU alone, and there is none here")
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes: pip install 'lingyu[gpu]'")
    out = trained(tmp_path, start, {"name": "qlora", **LOW_RANK, "bits": bits, "trainable_tokens": "new"}, precision="bf16")

    losses = [float(row["eval_loss"]) for row in curves(out) if row["eval_loss"]]
    assert losses[-1] < losses[0]
    assert type(load_model(out / "model", 64)).__name__ == "Qwen3ForCausalLM"


def test_what_learnt_and_the_memory_needed_are_told():
    said = summary({"trainable_parameters": 1250, "parameters": 50000})

    assert said.startswith("learnt 1,250 of 50,000 parameters (2.50%), at most ")
    assert int(said.split("at most ")[1].split(" MiB")[0].replace(",", "")) > 50


@pytest.mark.slow
def test_the_bench_sees_what_a_method_does(tiny_model, tmp_path):
    write_mix(tmp_path / "mix", asked=ASKED * 8)
    (tmp_path / "extend").mkdir()
    (tmp_path / "extend" / "model").symlink_to(tiny_model)
    command = [sys.executable, "-m", "bench.training_methods", "--out", str(tmp_path), "--kills", "2", "lora", "prefix-tuning"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    rows = {cells[0]: cells[3:] for cells in (line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:])}
    assert all(row.pop(3).startswith("yes, 2 kills, ") for row in rows.values())
    assert rows == {"LoRA": ["yes"] * 4, "prefix tuning": ["yes", "yes", "no: attached", "yes"]}


def test_max_steps_ends_a_training_and_its_schedule(start, tmp_path):
    out = trained(tmp_path, start, {"name": "full"}, max_steps=3)

    assert read_json(out / "metrics.json")["steps"] == 3
    assert [row["step"] for row in curves(out)] == ["1", "2", "3"]


@pytest.fixture(scope="module")
def in_bf16(start, tmp_path_factory):
    """The folder of the same model as hubs have them."""
    import torch

    folder = tmp_path_factory.mktemp("bf16") / "model"
    save(load_model(start, 64).to(torch.bfloat16), load_tokenizer(start), folder)
    return folder


def computes_lstm_in_bf16():
    import torch

    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(8, 8)(torch.zeros(1, 1, 8))
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", METHODS)
def test_a_small_step_over_a_base_in_bf16_is_not_lost(name, in_bf16, monkeypatch):
    import torch

    if "lstm" in name and not computes_lstm_in_bf16():
        pytest.skip("oneDNN has no LSTM in bf16 for this processor")
    monkeypatch.setattr("lingyu.model.load.device", lambda: "cuda")  # so that it is loaded as on a GPU
    prepare(threads=1)
    values = TypeAdapter(Method).validate_python(method(name, "new"))
    model = Tuning(in_bf16, 64, values, load_tokenizer(in_bf16), "bf16").model
    learning = [value for value in model.parameters() if value.requires_grad]
    before = [value.detach().clone() for value in learning]
    step = torch.optim.AdamW(learning, lr=1.0e-6)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(input_ids=torch.tensor(IDS), labels=torch.tensor(IDS)).loss
    loss.backward()
    step.step()

    assert {value.dtype for value in learning} == {torch.float32}
    assert all((value != first).any() for value, first in zip(learning, before, strict=True) if value.grad is not None and value.grad.any())
    held = {value.dtype for value in model.parameters() if not value.requires_grad}
    assert held <= {torch.bfloat16}
    assert bool(held) == (name != "full")
    assert {value.dtype for value in Tuning(in_bf16, 64, values, load_tokenizer(in_bf16), "fp32").model.parameters()} == {torch.float32}


def test_what_a_base_in_bf16_becomes_is_saved_in_bf16(in_bf16, tmp_path, monkeypatch):
    monkeypatch.setattr("lingyu.model.load.device", lambda: "cuda")
    out = trained(tmp_path, in_bf16, {"name": "full"}, precision="bf16", num_train_epochs=1, evaluations=1)

    assert read_json(out / "model" / "config.json")["dtype"] == "bfloat16"
    assert curves(out)[-1]["eval_loss"]
