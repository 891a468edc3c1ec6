"""Attention over the pages of many requests, where there is no kernel for it: each request is compared with its own cache alone."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """In the form of transformers' attention functions: the tokens of all requests stand in one row, `query` [1, heads, tokens, size]."""
    if hasattr(module, "sinks"):
        raise ValueError("attention sinks are not supported")
    cache = more.pop("cache")
    key, value = cache.update(key_states=key, value_states=value, layer_idx=module.layer_idx, kwargs=more)
    how = {"scale": query.shape[-1] ** -0.5 if scaling is None else scaling, "softcap": softcap}
    ends_q, ends_k = more["cu_seq_lens_q"].tolist(), more["cu_seq_lens_k"].tolist()
    if ends_q[-1] == len(ends_q) - 1:
        seen = by_one(query[0], key[0], value[0], ends_k, sliding_window, how)
    else:
        parts = zip(pairwise(ends_q), pairwise(ends_k), strict=True)
        each = [by_many(query[:, :, a:b], key[:, :, c:d], value[:, :, c:d], sliding_window, how)[0] for (a, b), (c, d) in parts if b > a]
        seen = torch.cat(each, 1)
    return seen.transpose(0, 1).unsqueeze(0), None


def by_one(query: Tensor, key: Tensor, value: Tensor, ends: list[int], window: int | None, how: dict[str, Any]) -> Tensor:
    """One new token of each request: the caches side by side, padded to the longest. [heads, requests, size]"""
    heads, requests, size = query.shape
    starts, lengths = torch.tensor(ends[:-1]), torch.tensor([b - a for a, b in pairwise(ends)])
    place = torch.arange(int(lengths.max()))
    there = place < lengths[:, None]
    if window is not None:
        there &= place >= lengths[:, None] - window
    index = (starts[:, None] + place).clamp_(max=key.shape[1] - 1).to(key.device)
    # The heads that share keys are the rows of one matrix: nothing is repeated.
    asked = query.reshape(key.shape[0], -1, requests, size).permute(2, 0, 1, 3)
    seen = compared(asked, key[:, index].transpose(0, 1), value[:, index].transpose(0, 1), there[:, None, None].to(key.device), how)
    return seen.permute(1, 2, 0, 3).reshape(heads, requests, -1)


def by_many(query: Tensor, key: Tensor, value: Tensor, window: int | None, how: dict[str, Any]) -> Tensor:
    """Several tokens of one request, which follow what is in its cache."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    last = torch.arange(query.shape[2], device=key.device)[:, None] + key.shape[2] - query.shape[2]
    place = torch.arange(key.shape[2], device=key.device)
    there = place <= last
    if window is not None:
        there &= place > last - window
    return compared(query, key, value, there, how)


def compared(query: Tensor, key: Tensor, value: Tensor, there: Tensor, how: dict[str, Any]) -> Tensor:
    if how["softcap"] is None:
        return scaled_dot_product_attention(query, key, value, there, scale=how["scale"])
    scores = (query @ key.transpose(-1, -2)) * how["scale"]
    scores = (scores / how["softcap"]).tanh() * how["softcap"]
    return scores.masked_fill(~there, -torch.inf).softmax(-1) @ value
