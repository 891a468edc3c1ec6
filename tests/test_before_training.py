"""What a training would stumble over is told before it starts, or stops it so that it can go on."""

import shutil
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from training import ASK, LORA, SFT, TRAINING, begun, contents, ended, project, staged

from lingyu.model.load import device, load_tokenizer
from lingyu.model.methods import Qlora
from lingyu.model.tuning import check_method
from lingyu.stage import StageError
from lingyu.train.checkpoints import is_whole
from lingyu.train.checks import check_machine, check_model, multiplies_bf16
from lingyu.train.run import arguments
from lingyu.train.settings import Training

FULL = {"name": "full"}


def settings(**changes) -> Training:
    return Training(**{**TRAINING, **changes})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"precision": "fp16"}, r"precision fp16 needs a GPU; on a CPU write fp32"),
        ({"optim": "adamw_8bit"}, r"optim adamw_8bit needs a GPU; on a CPU write adamw_torch_fused"),
        ({"optim": "lion_8bit"}, r"optim lion_8bit needs a GPU"),
        ({"kernels": "liger"}, r"kernels liger need a GPU; write auto or none"),
        ({"sharding": "zero3", "processes": 2}, r"sharding zero3 needs GPUs and the package deepspeed"),
        ({"precision": "fp16", "kernels": "liger"}, r"fp16(.|\n)*liger"),
    ],
)
def test_what_this_machine_cannot_do_is_told(changes, told):
    with pytest.raises(StageError, match=told):
        check_machine(settings(**changes))


@pytest.mark.parametrize("there", [None, "cuda", "npu", "mps"])
def test_an_accelerator_that_torch_finds_is_used_everywhere(there, tmp_path, monkeypatch):
    """Ascend's NPUs by torch_npu as GPUs by CUDA; others are left alone. Nothing here has run on an NPU."""
    found = there and SimpleNamespace(type=there)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: found)

    computed = device()
    given = arguments(settings(processes=2), tmp_path, 20)

    assert computed == (there if there in ("cuda", "npu") else "cpu")
    assert given["use_cpu"] == (computed == "cpu")
    assert given["ddp_backend"] == {"cuda": "nccl", "npu": "hccl"}.get(computed, "gloo")
    assert given["use_liger_kernel"] == (computed == "cuda" and bool(find_spec("liger_kernel")))
    if computed == "npu":
        check_machine(settings(precision="fp16"))
        with pytest.raises(StageError, match="optim adamw_8bit needs a GPU"):
            check_machine(settings(optim="adamw_8bit"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("refuse", "told"),
    [
        (lambda: check_method(Qlora(name="qlora")), "there is no CUDA GPU here"),
        (lambda: check_machine(settings(kernels="liger")), "kernels liger need a GPU"),
        (lambda: check_machine(settings(precision="fp16")), "precision fp16 needs a GPU"),
        (lambda: check_machine(settings(sharding="zero2", processes=2)), "sharding zero2 needs GPUs"),
    ],
)
def test_what_needs_a_gpu_is_refused_in_a_line(refuse, told):
    with pytest.raises(StageError, match=told) as refused:
        refuse()

    assert len(str(refused.value).removeprefix("this machine cannot train as params.yaml says:\n").splitlines()) == 1


@pytest.mark.parametrize(("changes", "package"), [({"optim": "lion_32bit"}, "bitsandbytes"), ({"tensorboard": True}, "tensorboard")])
def test_a_package_that_is_missing_is_named(changes, package, monkeypatch):
    monkeypatch.setattr("lingyu.train.checks.find_spec", lambda name: None)

    with pytest.raises(StageError, match=rf"needs the package {package}: pip install 'lingyu\["):
        check_machine(settings(**changes))


def test_what_this_machine_can_do_passes():
    for optimizer in ("muon", "adamw_torch_fused", "adamw_torch", "adafactor"):
        check_machine(settings(optim=optimizer, precision="bf16"))


def test_bf16_on_a_processor_without_such_products_is_told_to_be_slow(capsys):
    import torch

    check_machine(settings(precision="bf16"))

    assert ("ten times" in capsys.readouterr().err) == (not torch.cuda.is_available() and not multiplies_bf16())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"processes": 3}, "global_batch_size 2 is no multiple of processes 3"),
        ({"sharding": "fsdp"}, "sharding fsdp .* processes is 1"),
        ({"sharding": "fsdp", "processes": 2, "optim": "muon"}, "muon needs whole matrices"),
        ({"lr_scheduler_type": {"name": "warmup_stable_decay", "decay_ratio": 0.2}}, "min_lr_ratio"),
        (
            {"lr_scheduler_type": "cosinus"},
            r"1 validation error for Training\nlr_scheduler_type\n  must be one of linear, .*cosine_with_min_lr",
        ),
        ({"lr_scheduler_type": {"name": "wsd", "decay": 0.2}}, r"1 validation error .*\nlr_scheduler_type\n  must be one of linear"),
        ({"learning_rate": float("inf")}, r"learning_rate\n  Input should be a finite number"),
        ({"divergence_factor": 1.0}, "greater than 1"),
    ],
)
def test_settings_that_do_not_fit_together_are_told(changes, told):
    with pytest.raises(ValidationError, match=told):
        settings(**changes)


def test_the_rate_is_held_and_falls_to_its_floor(tmp_path):
    wsd = arguments(settings(lr_scheduler_type={"name": "warmup_stable_decay", "decay_ratio": 0.2, "min_lr_ratio": 0.1}), tmp_path, 20)
    cosine = arguments(settings(lr_scheduler_type={"name": "cosine_with_min_lr", "min_lr_rate": 0.1}), tmp_path, 20)

    assert (wsd["lr_scheduler_type"], wsd["lr_scheduler_kwargs"]) == ("warmup_stable_decay", {"num_decay_steps": 6, "min_lr_ratio": 0.1})
    assert (cosine["lr_scheduler_type"], cosine["lr_scheduler_kwargs"]) == ("cosine_with_min_lr", {"min_lr_rate": 0.1})


def test_rows_longer_than_the_model_reads_are_told(tiny_model):
    tokenizer = load_tokenizer(tiny_model)

    check_model(settings(max_length=512), tiny_model, tokenizer)
    with pytest.raises(StageError, match=r"max_length is 513, but the model in .* reads 512 tokens"):
        check_model(settings(max_length=513), tiny_model, tokenizer)


def test_a_tokenizer_without_a_pad_token_pads_with_its_end_and_one_without_an_end_is_told(tiny_model, tmp_path):
    from transformers import AutoTokenizer

    shutil.copytree(tiny_model, tmp_path / "model")
    for missing in ("pad_token", "eos_token"):
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
        setattr(tokenizer, missing, None)
        tokenizer.save_pretrained(tmp_path / "model")
        loaded = load_tokenizer(tmp_path / "model")
        if missing == "pad_token":
            assert loaded.pad_token_id == loaded.eos_token_id
            check_model(settings(), tmp_path / "model", loaded)

    with pytest.raises(StageError, match=r"the tokenizer in .* has no token that ends a text"):
        check_model(settings(), tmp_path / "model", loaded)


def test_a_checkpoint_cut_off_anywhere_is_not_whole(tmp_path):
    import torch
    from safetensors.torch import save_file

    def write(folder):
        folder.mkdir()
        save_file({"a": torch.zeros(1000)}, folder / "model.safetensors")
        for name in ("optimizer.pt", "rng_state_0.pth", "rng_state_1.pth"):
            torch.save({"a": torch.zeros(1000)}, folder / name)
        (folder / "trainer_state.json").write_text('{"global_step": 1}')
        return folder

    assert is_whole(write(tmp_path / "whole"), 1, writers=2)
    assert not is_whole(tmp_path / "whole", 1, writers=3)
    for name in ("model.safetensors", "optimizer.pt", "rng_state_1.pth", "trainer_state.json"):
        file = write(tmp_path / f"without-{name}") / name
        file.write_bytes(file.read_bytes()[:-10])
        assert not is_whole(file.parent, 1, writers=2), name


LIMITED = """
import resource, runpy, sys
sys.dont_write_bytecode = True  # Python would write half of a compiled module and call it whole
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
runpy.run_module("stages.sft", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_a_full_disk_stops_the_run_so_that_it_goes_on_afterwards(tiny_model, warm, tmp_path, method):
    """Files of more than the limit cannot be written: the stage fails at its first checkpoint, as on a full disk."""
    common = {**TRAINING, **SFT, "start": "start"}
    section = {"common": common, "candidates": {"it": {"method": method}}}
    unbroken, broken = (project(tmp_path / name, tiny_model, sft=section) for name in ("unbroken", "broken"))
    (broken / "limited.py").write_text(LIMITED)

    status, _, err = ended(begun(broken, "-c", ASK, "limited", "it", warm=warm))
    assert status == 1
    assert "sft@it: the disk is full" in err
    assert "Traceback" not in err
    for folder in (unbroken, broken):
        status, _, err = ended(staged(folder, "sft", "it", warm=warm))
        assert status == 0, err

    assert contents(unbroken / "out" / "sft") == contents(broken / "out" / "sft")
