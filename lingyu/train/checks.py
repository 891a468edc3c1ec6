"""What a training would stumble over later, told before it starts: the machine, the model's context (memory: lingyu.train.forecast)."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lingyu.launch import is_first
from lingyu.model.chat import Chat
from lingyu.model.load import device
from lingyu.stage import StageError
from lingyu.train.settings import Training

# What an option needs: a GPU, packages by module and by what pip calls them.
EIGHT_BIT = {"lion_8bit", "adamw_8bit", "paged_adamw_8bit"}
OF_BITSANDBYTES = {*EIGHT_BIT, "lion_32bit"}
SLOW = (
    "precision bf16: this processor does not multiply in bf16, and a step takes ten times as long as in fp32.\n"
    "precision bf16：这块处理器没有 bf16 乘法，每一步的用时约为 fp32 的十倍。"
)
OPTIMIZERS_FOR_A_CPU = "adamw_torch_fused, adafactor or muon"


def check_machine(params: Training) -> None:
    """Raise StageError naming everything in the settings that this machine cannot do."""
    import torch

    accelerated, on_gpu = device() != "cpu", device() == "cuda"
    faults = []
    if params.precision == "fp16" and not accelerated:
        faults.append("precision fp16 needs a GPU; on a CPU write fp32, or bf16 where the processor multiplies in bf16")
    if params.precision == "bf16" and on_gpu and not torch.cuda.is_bf16_supported():
        faults.append("precision bf16 is not known to this GPU; write fp16")
    if params.optim in EIGHT_BIT and not on_gpu:
        faults.append(f"optim {params.optim} needs a GPU; on a CPU write {OPTIMIZERS_FOR_A_CPU}")
    elif params.optim in OF_BITSANDBYTES and not find_spec("bitsandbytes"):
        faults.append(f"optim {params.optim} needs the package bitsandbytes: pip install 'lingyu[gpu]'; or write {OPTIMIZERS_FOR_A_CPU}")
    if params.kernels == "liger" and not on_gpu:
        faults.append("kernels liger need a GPU; write auto or none")
    elif params.kernels == "liger" and not find_spec("liger_kernel"):
        faults.append("kernels liger need the package liger-kernel: pip install 'lingyu[gpu]'; or write auto or none")
    if params.sharding in {"zero2", "zero3"} and not (accelerated and find_spec("deepspeed")):
        faults.append(f"sharding {params.sharding} needs GPUs and the package deepspeed: pip install 'lingyu[gpu]'; or write fsdp")
    if params.tensorboard and not find_spec("tensorboard"):
        faults.append("tensorboard: true needs the package tensorboard: pip install 'lingyu[tensorboard]'; or write false")
    if params.precision == "bf16" and not accelerated and not multiplies_bf16() and is_first():
        print(SLOW, file=sys.stderr, flush=True)
    if faults:
        raise StageError("this machine cannot train as params.yaml says:\n" + "\n".join(f"  {fault}" for fault in faults))


def multiplies_bf16() -> bool:
    """Whether products in bf16 are fast on this processor."""
    import torch

    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def check_model(params: Training, model: Path, tokenizer: Any) -> None:
    """Raise StageError where the rows may be longer than the model reads, or where its tokenizer has no mark to end or pad with."""
    context = json.loads((model / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    if context and params.max_length > context:
        raise StageError(
            f"max_length is {params.max_length}, but the model in {model} reads {context} tokens (max_position_embeddings). "
            "Lower max_length, and mix.max_tokens to it; or take a base with a longer context."
        )
    if tokenizer.eos_token_id is None or tokenizer.pad_token_id is None:
        raise StageError(
            f"the tokenizer in {model} has no token that ends a text (eos_token), so that a reply would never end. "
            "Name one in its tokenizer_config.json, or take another base."
        )
    end_of_turn(tokenizer, model)


def end_of_turn(tokenizer: Any, model: Path) -> str:
    """The token that ends a reply. Raises StageError where the chat template has none."""
    try:
        return Chat.of(tokenizer).end_token
    except Exception as error:  # a template raises what it likes
        raise StageError(
            f"{model}: {error}. Put the token that ends a turn behind an assistant's content in chat_template.jinja, or take another base."
        ) from error
