"""Training in several processes (lingyu.launch), each with its share of every batch.

sharding none: each process has the whole model (DDP). fsdp: PyTorch's FSDP2; zero2, zero3: DeepSpeed. A model too large for one GPU
needs fsdp or zero3.
"""

import copy
import sys
from typing import Any, Literal

from lingyu.launch import is_first


def arguments(processes: int, sharding: Literal["none", "fsdp", "zero2", "zero3"], device: str, checkpointing: bool) -> dict[str, Any]:
    """What TrainingArguments need to know of it."""
    if processes == 1:
        return {}
    given: dict[str, Any] = {"ddp_backend": {"cuda": "nccl", "npu": "hccl"}.get(device, "gloo"), "average_tokens_across_devices": True}
    if sharding == "none":
        given["ddp_find_unused_parameters"] = False
    elif sharding == "fsdp":
        given["fsdp"] = True
        given["fsdp_config"] = {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "state_dict_type": "FULL_STATE_DICT",
            "activation_checkpointing": checkpointing,
        }
        given["activation_checkpointing"] = False
    else:
        given["deepspeed"] = {
            "zero_optimization": {"stage": int(sharding.removeprefix("zero")), "stage3_gather_16bit_weights_on_model_save": True},
            "zero_allow_untested_optimizer": True,
            **dict.fromkeys(("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"), "auto"),
            "bf16": {"enabled": "auto"},
            "fp16": {"enabled": "auto"},
        }
    return given


def outline(model: Any) -> Any:
    """A copy without numbers, to take in those of a model that is sharded over processes."""
    import torch

    empty = {
        id(value): torch.nn.Parameter(torch.empty_like(value, device="meta"), requires_grad=value.requires_grad)
        for value in model.parameters()
    }
    return copy.deepcopy(model, dict(empty))


def gathered(trainer: Any, whole: Any) -> Any:
    """The trained model in one piece, in the first process; the others end here."""
    import torch

    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    trainer.accelerator.wait_for_everyone()
    torch.distributed.destroy_process_group()
    if not is_first():
        sys.exit(0)
    if whole is None:
        return trainer.model
    whole.load_state_dict(state, strict=False, assign=True)
    if hasattr(whole, "tie_weights"):
        whole.tie_weights()
    return whole
