"""Bottleneck adapters: narrow layers, not linear, after a layer's attention or feed-forward part; they begin by changing nothing."""

from collections.abc import Sequence
from typing import Any

import torch

PARTS = {"attention": "self_attn", "feedforward": "mlp"}
ACTIVATIONS = {"relu": torch.nn.functional.relu, "gelu": torch.nn.functional.gelu, "silu": torch.nn.functional.silu}


class Narrow(torch.nn.Module):
    """What it adds to a hidden state."""

    def __init__(self, hidden: int, size: int, activation: str) -> None:
        super().__init__()
        self.down, self.up = torch.nn.Linear(hidden, size), torch.nn.Linear(size, hidden)
        self.activation = ACTIVATIONS[activation]
        torch.nn.init.zeros_(self.up.weight)
        torch.nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Any) -> Any:
        dtype = hidden.dtype
        inner = self.activation(torch.nn.functional.linear(hidden, self.down.weight.to(dtype), self.down.bias.to(dtype)))
        return hidden + torch.nn.functional.linear(inner, self.up.weight.to(dtype), self.up.bias.to(dtype))


def put(base: Any, size: int, activation: str, after: Sequence[str]) -> None:
    """Put one after these parts of every layer of the transformer."""
    for layer in base.layers:
        for part in after:
            place = getattr(layer, PARTS[part])
            adapter = Narrow(base.config.hidden_size, size, activation)
            if (here := next(place.parameters())).device.type != "meta":
                adapter.to(here.device)
            place.add_module("adapter", adapter)
            place.register_forward_hook(follow)


def follow(place: Any, inputs: Any, output: Any) -> Any:
    """The hook; what attention and experts tell beside the hidden state passes by."""
    return (place.adapter(output[0]), *output[1:]) if isinstance(output, tuple) else place.adapter(output)
