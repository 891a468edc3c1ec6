"""Keys and values before every text, in every layer: prompt tuning, P-tuning, prefix tuning and P-tuning v2 are this.

They join the others inside attention, after the cache. So nobody outside notices: no position moves, no mask, cache or
loss is longer, a checkpointed layer finds them again when it runs a second time, and a trained prefix of either kind is
served as constants. That words before a text are seen by it and do not see it is what makes the four methods one.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.masking_utils import eager_mask, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PREFIXED = "prefixed_"
States = list[tuple[torch.Tensor, torch.Tensor]]  # a layer's keys and values: (1, heads, tokens, size)


class Constant(torch.nn.Module):
    """Keys and values as they are; learnt as such by prefix tuning, and what is kept of every method."""

    def __init__(self, shapes: list[list[list[int]]]) -> None:
        super().__init__()
        self.keys, self.values = (torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(pair[at])) for pair in shapes]) for at in (0, 1))

    @classmethod
    def of(cls, states: States) -> "Constant":
        made = cls([[list(key.shape[1:]), list(value.shape[1:])] for key, value in states])
        made.to(states[0][0].device)
        with torch.no_grad():
            for parameters, at in ((made.keys, 0), (made.values, 1)):
                for parameter, pair in zip(parameters, states, strict=True):
                    parameter.copy_(pair[at][0])
        return made

    def shapes(self) -> list[list[list[int]]]:
        return [[list(key.shape), list(value.shape)] for key, value in zip(self.keys, self.values, strict=True)]

    def states(self, base: Any) -> States:
        return [(key[None], value[None]) for key, value in zip(self.keys, self.values, strict=True)]


class Words(torch.nn.Module):
    """Embeddings before the text; what the layers make of them is computed at each step."""

    def __init__(self, words: torch.Tensor) -> None:
        super().__init__()
        self.words = torch.nn.Parameter(words.float().clone())

    def states(self, base: Any) -> States:
        return states_of(base, self.words)


class EncodedWords(torch.nn.Module):
    """Embeddings from a network that begins by changing nothing."""

    def __init__(self, words: torch.Tensor, encoder: str, size: int) -> None:
        super().__init__()
        self.register_buffer("words", words.float().clone())
        self.inner = torch.nn.Parameter(torch.randn(len(words), size, device=words.device))
        self.lstm = torch.nn.LSTM(size, size, bidirectional=True, batch_first=True, device=words.device) if encoder == "LSTM" else None
        self.network = network(2 * size if self.lstm is not None else size, size, words.shape[1], words.device)

    def states(self, base: Any) -> States:
        inner = self.inner if self.lstm is None else self.lstm(self.inner[None])[0][0]
        return states_of(base, self.words + self.network(inner).float())


class EncodedStates(torch.nn.Module):
    """Keys and values of all layers from one network that begins by changing nothing."""

    def __init__(self, states: States, size: int) -> None:
        super().__init__()
        flat = torch.cat([half[0].transpose(0, 1).flatten(1) for pair in states for half in pair], dim=1)
        self.register_buffer("start", flat.float().clone())
        self.halves = [half.shape[1:] for pair in states for half in pair]
        self.inner = torch.nn.Parameter(torch.randn(len(flat), size, device=flat.device))
        self.network = network(size, size, flat.shape[1], flat.device)

    def states(self, base: Any) -> States:
        flat = self.start + self.network(self.inner).float()
        parts = flat.split([heads * size for heads, _, size in self.halves], dim=1)
        made = [part.unflatten(1, (heads, size)).transpose(0, 1)[None] for part, (heads, _, size) in zip(parts, self.halves, strict=True)]
        return list(zip(made[::2], made[1::2], strict=True))


def network(inputs: int, size: int, outputs: int, device: torch.device) -> torch.nn.Sequential:
    last = torch.nn.Linear(size, outputs, device=device)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    return torch.nn.Sequential(torch.nn.Linear(inputs, size, device=device), torch.nn.Tanh(), last)


def put(base: Any, prefix: Any) -> None:
    """Have the transformer attend to the prefix from now on, in place of the one it may have."""
    implementation = base.config._attn_implementation
    if not implementation.startswith(PREFIXED):
        if implementation not in ("eager", "sdpa"):
            raise ValueError(f"a prefix goes with eager attention and with sdpa, not with {implementation}")
        base.config._attn_implementation = PREFIXED + implementation
        base.register_forward_pre_hook(before)
    base.prefix = prefix


def before(base: Any, inputs: Any) -> None:
    """Lay each layer's keys and values ready."""
    if not getattr(base, "bare", False):
        for attention, states in zip(attentions(base), base.prefix.states(base), strict=True):
            attention.prefix_states = states


def states_of(base: Any, words: torch.Tensor) -> States:
    """The keys and values that embeddings leave in every layer, as text that stands before position 0."""
    cache = DynamicCache()
    positions = torch.arange(-len(words), 0, device=words.device)[None]
    with bare(base):
        base(inputs_embeds=words[None].to(base.dtype), position_ids=positions, past_key_values=cache, use_cache=True)
    return [(layer.keys, layer.values) for layer in cache.layers]


@contextmanager
def bare(base: Any) -> Iterator[None]:
    """Without prefix, and without gradient checkpointing, which drops the cache."""
    checkpointed = [module for module in base.modules() if getattr(module, "gradient_checkpointing", False)]
    for module in checkpointed:
        module.gradient_checkpointing = False
    for attention in attentions(base):
        attention.prefix_states = None
    base.bare = True
    try:
        yield
    finally:
        base.bare = False
        for module in checkpointed:
            module.gradient_checkpointing = True


def attentions(base: Any) -> list[Any]:
    """The attention of each layer, in order."""
    return [module for module in base.modules() if hasattr(module, "layer_idx") and hasattr(module, "num_key_value_groups")]


def prefixed(implementation: str) -> Callable[..., Any]:
    """The attention of this name, over the prefix and the rest."""

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **others: Any) -> Any:
        plain = (
            sys.modules[type(module).__module__].eager_attention_forward
            if implementation == "eager"
            else ALL_ATTENTION_FUNCTIONS[implementation]
        )
        if (states := getattr(module, "prefix_states", None)) is not None:
            mine = [half.to(key.dtype).expand(len(key), -1, -1, -1) for half in states]
            key, value = torch.cat([mine[0], key], dim=2), torch.cat([mine[1], value], dim=2)
            seen = 1 if attention_mask.dtype == torch.bool else 0
            attention_mask = torch.nn.functional.pad(attention_mask, (mine[0].shape[2], 0), value=seen)
        return plain(module, query, key, value, attention_mask, **others)

    return attend


def whole_mask(*places: Any, **others: Any) -> torch.Tensor | None:
    """sdpa's mask, which it would leave out where it is the causal one; the prefix makes it another."""
    return sdpa_mask(*places, **{**others, "allow_is_causal_skip": False})


AttentionInterface.register(PREFIXED + "eager", prefixed("eager"))
AttentionInterface.register(PREFIXED + "sdpa", prefixed("sdpa"))
AttentionMaskInterface.register(PREFIXED + "eager", eager_mask)
AttentionMaskInterface.register(PREFIXED + "sdpa", whole_mask)
