"""LoRA adapters over one model in memory: each is a model of its own that shares all tensors of the first.

PEFT does the same in training; the service needs two matrices a layer of it, and no further package.
"""

import copy
import math
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from lingyu.files import read_json

A, B = ".lora_A.weight", ".lora_B.weight"
PREFIX = "base_model.model."
# What an adapter may have besides two matrices a layer, which would be lost here.
ALONE = ("use_dora", "fan_in_fan_out", "modules_to_save", "trainable_token_indices", "rank_pattern", "alpha_pattern", "lora_bias")


class Laid(nn.Module):  # type: ignore[misc]  # torch is untyped
    """A linear layer with a product of low rank added."""

    def __init__(self, base: nn.Module, down: Tensor, up: Tensor, scale: float) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        self.down, self.up = nn.Parameter(down, requires_grad=False), nn.Parameter(up, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.base(x) + (x @ self.down.T @ self.up.T) * self.scale
        return found


def sharing(model: Any) -> Any:
    """A copy with the same tensors."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def laid_on(model: Any, folder: Path) -> Any:
    """A model that shares the tensors of this one and has the adapter of the folder over it. Raises ValueError where it does not fit."""
    config = read_json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA" or any(config.get(name) for name in ALONE) or config.get("bias", "none") != "none":
        more = [name for name in ALONE if config.get(name)]
        raise ValueError(
            f"{folder.name}: only LoRA of linear layers can be laid over the served model; this is {config.get('peft_type')} {more}"
        )
    weights, made = load_file(folder / "adapter_model.safetensors"), sharing(model)
    scale = config["lora_alpha"] / (math.sqrt(config["r"]) if config.get("use_rslora") else config["r"])
    layers = [name.removeprefix(PREFIX).removesuffix(A) for name in weights if name.endswith(A)]
    if not layers or len(weights) != 2 * len(layers):
        raise ValueError(f"{folder.name}: has tensors that are no matrices of LoRA")
    for layer in layers:
        down, up = (weights[f"{PREFIX}{layer}{end}"].float() for end in (A, B))
        try:
            base = made.get_submodule(layer)
        except AttributeError:
            raise ValueError(f"{folder.name}: the served model has no layer {layer}; the adapter is of another base") from None
        if not isinstance(base, nn.Linear) or (base.out_features, base.in_features) != (len(up), down.shape[1]):
            raise ValueError(f"{folder.name}: {layer} has another shape in the served model; the adapter is of another base")
        parent, _, own = layer.rpartition(".")
        setattr(made.get_submodule(parent), own, Laid(base, down, up, scale))
    return made
