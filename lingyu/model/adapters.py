"""What PEFT does: matrices, factors and rotations beside the weights, merged into them at the end (LoRA, QLoRA, IA3, OFT)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lingyu.files import read_json, write_json
from lingyu.model.methods import ALL_LINEAR, Ia3, Lora, LowRank, Oft, Qlora


def laid_on(model: Any, method: LowRank | Ia3 | Oft, rows: Sequence[int]) -> Any:
    """The model with the method's adapter. rows: of the vocabulary, which learn as well."""
    from peft import IA3Config, LoraConfig, OFTConfig, get_peft_model

    common: dict[str, Any] = {"task_type": "CAUSAL_LM", "target_modules": targets_of(model, method)}
    config: Any
    if isinstance(method, LowRank):
        begin = {"init_lora_weights": "pissa"} if isinstance(method, Lora) and method.init_lora_weights == "pissa" else {}
        config = LoraConfig(
            **common,
            **begin,
            r=method.r,
            lora_alpha=method.lora_alpha,
            lora_dropout=method.lora_dropout,
            use_rslora=method.use_rslora,
            use_dora=method.use_dora,
        )
    elif isinstance(method, Ia3):
        config = IA3Config(**common, feedforward_modules=list(method.feedforward_modules))
    else:
        config = OFTConfig(**common, oft_block_size=method.oft_block_size, module_dropout=method.module_dropout)
    # PEFT names these for LoRA alone, and heeds them for all.
    if rows:
        config.trainable_token_indices = vocabulary_of(model, rows)
    if method.trainable_tokens == "all":
        config.modules_to_save = [names_of(model)[0]] if model.config.tie_word_embeddings else names_of(model)
        config.ensure_weight_tying = bool(model.config.tie_word_embeddings)
    return get_peft_model(model, config)


def targets_of(model: Any, method: LowRank | Ia3 | Oft) -> list[str]:
    """The last part of the names of the layers to adapt."""
    return sorted(linear_of(model)) if method.target_modules == ALL_LINEAR else list(method.target_modules)


def linear_of(model: Any) -> dict[str, int]:
    """The last part of the names of the linear layers, with the number of their inputs; without the head."""
    import torch

    head = model.get_output_embeddings()
    return {
        name.rpartition(".")[2]: module.in_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def vocabulary_of(model: Any, rows: Sequence[int]) -> dict[str, list[int]]:
    names = names_of(model)
    return {name: list(rows) for name in (names[:1] if model.config.tie_word_embeddings else names)}


def names_of(model: Any) -> list[str]:
    """What the embeddings and the head are called."""
    wanted = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [next(name for name, module in model.named_modules() if module is one).rpartition(".")[2] for one in wanted]


def merged(model: Any, method: LowRank | Ia3 | Oft, adapter: Path, start: Path, first: dict[str, Any]) -> Any:
    """One model with the adapter in its weights; the adapter is written, too, if it says all that was learnt.

    start: the folder that training started from. first: what a PiSSA adapter began as, else empty.
    """
    config = model.peft_config["default"]
    config.base_model_name_or_path = ""
    config.target_modules = sorted(config.target_modules)  # a set has another order in every process
    if isinstance(method, Qlora):
        return dequantised(model, start, adapter)
    if isinstance(method, LowRank) or method.trainable_tokens == "none":  # PEFT reads rows back for LoRA alone
        write_adapter(model, adapter, first)
    if not isinstance(method, LowRank):
        rows_written_in(model)
    return model.merge_and_unload()


def first_of(model: Any) -> dict[str, Any]:
    """What the adapter began as: PiSSA took it out of the weights, so what was learnt is the difference."""
    from peft import get_peft_model_state_dict

    return {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(model).items()}


def write_adapter(model: Any, folder: Path, first: dict[str, Any]) -> None:
    """The adapter, to be laid over the weights that training started from; first: what it began as, taken off again as further ranks."""
    import torch
    from safetensors.torch import load_file, save_file

    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    if not first:
        return
    learnt = load_file(folder / "adapter_model.safetensors")
    for name in first:
        if ".lora_A." in name:
            learnt[name] = torch.cat([learnt[name], first[name]])
        elif ".lora_B." in name:
            learnt[name] = torch.cat([learnt[name], -first[name]], dim=1)
    save_file(learnt, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = read_json(folder / "adapter_config.json")
    twice = {"r": 2 * config["r"], "lora_alpha": 2 * config["lora_alpha"], "init_lora_weights": True}
    write_json(folder / "adapter_config.json", {**config, **twice})


def rows_written_in(model: Any) -> None:
    """Put rows of the vocabulary that learnt apart into their matrices; PEFT does it for LoRA alone."""
    from peft.utils import TrainableTokensWrapper

    base = model.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, TrainableTokensWrapper):
            parent, _, own = name.rpartition(".")
            base.get_submodule(parent).add_module(own, module.unload_and_optionally_merge_module(True, False, None))


def dequantised(model: Any, folder: Path, adapter: Path) -> Any:
    """The plain model with the weights that training saw, rounded as they were, and the adapter merged into them; on the CPU."""
    from peft import PeftModel
    from peft.utils.integrations import dequantize_module_weight
    from transformers import AutoModelForCausalLM

    write_adapter(model, adapter, {})
    plain = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype="auto")
    rounded = dict(model.get_base_model().named_modules())
    for name, module in plain.named_modules():
        there = rounded.get(name)
        there = getattr(there, "base_layer", there)
        if type(getattr(there, "weight", None)).__name__ in ("Params4bit", "Int8Params"):
            module.weight.data = dequantize_module_weight(there).to("cpu", module.weight.dtype)
    return PeftModel.from_pretrained(plain, adapter).merge_and_unload()
