"""Training in several processes: started by the stage itself, one a GPU, each with its share of every batch.

sharding none: each process has the whole model (DDP). fsdp: PyTorch's FSDP2; zero2, zero3: DeepSpeed. A model too large for one GPU
needs fsdp or zero3. Over several nodes, each starts the stage with LINGYU_NODES (how many) and LINGYU_RENDEZVOUS (host:port of the
first) in its environment, on a folder that all of them see; only the first process of the first node writes the outputs.
"""

import copy
import os
import sys
import threading
import time
from typing import Any, Literal

from lingyu.errors import StageError

WORKER = "TORCHELASTIC_RUN_ID"


def launched(module: str, processes: int) -> int | None:
    """Run `python -m module argv…` in so many processes; their exit status, or None where this process is to do the work itself."""
    if WORKER in os.environ:
        return None
    if processes == 1:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # else transformers would part batches over all of them in one process
        return None
    import logging

    import torch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    nodes = int(os.environ.get("LINGYU_NODES", "1"))
    if processes % nodes:
        raise StageError(f"processes is {processes}, which {nodes} nodes (LINGYU_NODES) cannot share evenly.")
    here, cards = processes // nodes, torch.cuda.device_count()
    if cards and here > cards:
        raise StageError(f"processes asks for {here} GPUs on this machine, which has {cards}. Lower processes, or set LINGYU_NODES.")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what went wrong, the worker has said itself
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=here,
        run_id="lingyu",
        rdzv_backend="c10d",
        rdzv_endpoint=os.environ.get("LINGYU_RENDEZVOUS", "localhost:0"),
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 1)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def is_first() -> bool:
    """Whether this process writes and speaks for all."""
    return os.environ.get("RANK", "0") == "0" or WORKER not in os.environ


def end_with_parent() -> None:
    """End a worker whose launcher was killed: it would wait for the others, who are gone, or train for nobody."""
    if WORKER in os.environ:
        threading.Thread(target=watch, args=[os.getppid()], daemon=True).start()


def watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def arguments(processes: int, sharding: Literal["none", "fsdp", "zero2", "zero3"], on_gpu: bool, checkpointing: bool) -> dict[str, Any]:
    """What TrainingArguments need to know of it."""
    if processes == 1:
        return {}
    given: dict[str, Any] = {"ddp_backend": "nccl" if on_gpu else "gloo", "average_tokens_across_devices": True}
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
    """A copy without numbers, to take in those of a model that was parted over processes."""
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
