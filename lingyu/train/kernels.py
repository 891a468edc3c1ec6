"""On a CPU: a decoder layer as one function, and the loss some tokens at a time, both with a backward written by hand.

What Liger's kernels are on a GPU. transformers computes a layer in some sixty operators forward and ninety back, each of which reads and
writes all of its tokens; here are about half of them, products of one input are one product, and what is not needed again is
overwritten. Modules and parameters stay what they are; the results are the same but for rounding (tests/test_kernels.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch.autograd import Function

PIECE = {"cpu": 256, "cuda": 2048, "npu": 2048}  # tokens whose scores are computed at a time; few enough to stay in a processor's cache


def put_under() -> None:
    """Have every layer of Qwen3, the family of the tiny base, learn so from now on, where it can."""
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    if not hasattr(Qwen3DecoderLayer.forward, "learns_at_once"):
        Qwen3DecoderLayer.forward = forward_of(Qwen3DecoderLayer.forward.__wrapped__)
        Qwen3DecoderLayer.__init_subclass__()  # wraps forward again: checkpointing is a wrapper, and only the outermost one checkpoints


def forward_of(plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)
    def forward(self: Any, hidden_states: Any, attention_mask: Any = None, **more: Any) -> Any:
        if attention_mask is None or more.get("past_key_values") is not None or not (hidden_states.is_cpu and learns_at_once(self)):
            return plain(self, hidden_states, attention_mask=attention_mask, **more)
        cos, sin = more["position_embeddings"]
        weights = [module.weight for module in (*norms(self), *projections(self))]
        settings = (self.input_layernorm.variance_epsilon, self.self_attn.scaling, product_type(hidden_states))
        return Layer.apply(hidden_states, attention_mask, cos, sin, settings, *weights)

    forward.learns_at_once = True  # type: ignore[attr-defined]  # by which put_under knows it
    return forward


def norms(layer: Any) -> list[Any]:
    return [layer.input_layernorm, layer.self_attn.q_norm, layer.self_attn.k_norm, layer.post_attention_layernorm]


def projections(layer: Any) -> list[Any]:
    attention, mlp = layer.self_attn, layer.mlp
    return [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def learns_at_once(layer: Any) -> bool:
    """Whether a layer is trained, and by nothing but its own weights: no adapter, prefix, hook or dropout, and by eager attention."""
    attention, mlp = layer.self_attn, layer.mlp
    inside = (attention, mlp, *norms(layer), *projections(layer))
    return (
        torch.is_grad_enabled()
        and attention.config._attn_implementation == "eager"
        and all(type(projection) is torch.nn.Linear and projection.bias is None for projection in projections(layer))
        and not any(module._forward_hooks or module._forward_pre_hooks for module in inside)
        and not (attention.attention_dropout and layer.training)
        and getattr(attention.config, "hidden_act", "") == "silu"
    )


def product_type(states: Any) -> torch.dtype:
    """What a matrix product of these states is computed in."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


class Layer(Function):
    """Attention and feed-forward part of Qwen3, each behind its norm and added to what came in.

    Shapes: states (batch, tokens, size), mask (batch, 1, tokens, tokens) with what is added to the scores, angles
    (batch or 1, tokens, head size). Between the products all tokens of all rows are one dimension, called lines.
    """

    @staticmethod
    def forward(context: Any, states: Any, mask: Any, cos: Any, sin: Any, settings: Any, *weights: Any) -> Any:
        epsilon, scaling, kind = settings
        before, of_query, of_key, after, query, key, value, out, gate, up, down = weights
        size = len(of_query)
        heads, shared = len(query) // size, len(key) // size
        with torch.autocast("cpu", enabled=False):
            given = states.reshape(-1, states.shape[-1])
            normed, scale = unit(given, epsilon)
            read = (normed * before).to(kind)
            made = read @ torch.cat([query, key, value]).to(kind).T
            turned, *of_heads = heads_turned(
                made, cos, sin, torch.cat([of_query.expand(heads, -1), of_key.expand(shared, -1)]), epsilon, states
            )
            queries, keys, values = split_heads(turned, made, heads, shared)
            low = torch.finfo(kind).min  # a token that sees none, as padding may, has the mean of all, not nothing
            hidden = mask.to(kind).clamp_(min=low) if mask.dtype != kind else mask
            hidden = hidden[:, :, None].expand(len(states), shared, heads // shared, -1, -1).reshape(len(queries), queries.shape[1], -1)
            shares = torch.softmax(torch.baddbmm(hidden, queries, keys.transpose(1, 2), alpha=scaling), -1)
            seen = torch.bmm(shares, values).view(len(states), heads, -1, size).transpose(1, 2).reshape(len(given), -1)
            between = added(given, seen, out)

            normed_after, scale_after = unit(between, epsilon)
            read_after = (normed_after * after).to(kind)
            opened = read_after @ torch.cat([gate, up]).to(kind).T
            gates, ups = opened.chunk(2, -1)
            passed = torch.nn.functional.silu(gates).mul_(ups)
            result = added(between, passed, down)
        context.save_for_backward(
            normed,
            scale,
            read,
            made,
            turned,
            *of_heads,
            shares,
            seen,
            normed_after,
            scale_after,
            read_after,
            opened,
            passed,
            cos,
            sin,
            *weights,
        )
        context.scaling, context.kind, context.heads = scaling, kind, (heads, shared)
        return result.view_as(states)

    @staticmethod
    def backward(context: Any, back: Any) -> Any:
        normed, scale, read, made, turned, normed_heads, scale_heads, shares, seen, *rest = context.saved_tensors
        normed_after, scale_after, read_after, opened, passed, cos, sin, *weights = rest
        before, of_query, of_key, after, query, key, value, out, gate, up, down = weights
        kind, (heads, shared), sizes = context.kind, context.heads, back.shape
        back = back.reshape(-1, sizes[-1])

        coming = back.to(kind)
        to_down = coming.T @ passed
        to_passed = coming @ down.to(kind)
        gates, ups = opened.chunk(2, -1)
        to_opened = torch.empty_like(opened)
        to_gates, to_ups = to_opened.chunk(2, -1)
        torch.mul(torch.nn.functional.silu(gates), to_passed, out=to_ups)
        torch.ops.aten.silu_backward.grad_input(to_passed.mul_(ups), gates, grad_input=to_gates)
        to_gate, to_up = (to_opened.T @ read_after).chunk(2)
        to_read, to_after = unit_back((to_opened @ torch.cat([gate, up]).to(kind)).float(), normed_after, scale_after, after)
        back = to_read.add_(back)

        coming = back.to(kind)
        to_out = coming.T @ seen
        to_seen = (coming @ out.to(kind)).view(*sizes[:2], heads, -1).transpose(1, 2)
        queries, keys, values = split_heads(turned, made, heads, shared)
        to_seen = to_seen.reshape(queries.shape)
        to_made = torch.empty_like(made)
        to_turned = torch.empty_like(turned)
        to_queries, to_keys, to_values = split_heads(to_turned, to_made, heads, shared, whole=False)
        to_values.copy_(torch.bmm(shares.transpose(1, 2), to_seen).view(to_values.shape))
        to_scores = torch._softmax_backward_data(torch.bmm(to_seen, values.transpose(1, 2)), shares, -1, kind).mul_(context.scaling)
        to_queries.copy_(torch.bmm(to_scores, keys).view(to_queries.shape))
        to_keys.copy_(torch.bmm(to_scores.transpose(1, 2), queries).view(to_keys.shape))
        to_heads, to_norms = heads_back(to_turned, cos, sin, normed_heads, scale_heads, [of_query] * heads + [of_key] * shared)
        to_made[:, : to_heads.shape[1]] = to_heads
        to_projections = (to_made.T @ read).split([len(query), len(key), len(value)])
        to_read, to_before = unit_back((to_made @ torch.cat([query, key, value]).to(kind)).float(), normed, scale, before)
        back = to_read.add_(back)

        to_norms = to_norms[:heads].sum(0), to_norms[heads:].sum(0)
        learnt = (to_before, *to_norms, to_after, *to_projections, to_out, to_gate, to_up, to_down)
        asked = context.needs_input_grad[5:]
        return back.view(sizes), *[None] * 4, *(made.float() if wanted else None for made, wanted in zip(learnt, asked, strict=True))


def unit(states: Any, epsilon: float) -> tuple[Any, Any]:
    """States in fp32 by their root mean square, and what they were multiplied with. The last dimension is the one that is normed."""
    scale = torch.linalg.vector_norm(states, dim=-1, keepdim=True, dtype=torch.float32)
    scale = scale.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
    return states * scale, scale


def unit_back(back: Any, normed: Any, scale: Any, weight: Any) -> tuple[Any, Any]:
    """What goes back to the states, overwriting what came, and to the weight."""
    shared = back * normed
    to_weight = shared.sum(0)
    shared = torch.mul(shared, weight, out=shared).sum(-1, keepdim=True)
    return back.mul_(weight).addcmul_(normed, shared, value=-1 / normed.shape[-1]).mul_(scale), to_weight


def added(states: Any, read: Any, weight: Any) -> Any:
    """states + read @ weight.T, where the products may be of another type."""
    if states.dtype == read.dtype:
        return torch.addmm(states, read, weight.T)
    return states + read @ weight.to(read.dtype).T


def heads_turned(made: Any, cos: Any, sin: Any, weight: Any, epsilon: float, states: Any) -> tuple[Any, Any, Any]:
    """Queries and keys by their norm and turned by their positions: (batch, heads, tokens, head size); normed; and the scale."""
    count, size = weight.shape
    normed, scale = unit(made[:, : count * size].view(len(made), count, size), epsilon)
    weighed = (normed * weight).view(*states.shape[:2], count, size).transpose(1, 2)
    turned = torch.empty(weighed.shape)
    turn(weighed, cos, sin, turned)
    return turned.to(made.dtype), normed, scale


def heads_back(back: Any, cos: Any, sin: Any, normed: Any, scale: Any, weights: list[Any]) -> tuple[Any, Any]:
    """What goes back to the products of queries and keys, line by line, and to the norm of each head."""
    lines, count, size = normed.shape
    turned = torch.empty(back.shape[0], back.shape[2], count, size)
    turn(back.float(), cos, -sin, turned.transpose(1, 2))
    to_heads, to_norms = unit_back(turned.view(lines, count, size), normed, scale, torch.stack(weights))
    return to_heads.view(lines, -1), to_norms


def turn(states: Any, cos: Any, sin: Any, into: Any) -> None:
    """Rotary positions; the two halves of the angles are the same."""
    half = states.shape[-1] // 2
    cos, sin = cos[:, None, :, :half], sin[:, None, :, :half]
    first, second = states[..., :half], states[..., half:]
    torch.mul(first, cos, out=into[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=into[..., half:]).addcmul_(first, sin)


def split_heads(turned: Any, made: Any, heads: int, shared: int, whole: bool = True) -> tuple[Any, Any, Any]:
    """Queries, keys and values; whole: those of heads that share a key as rows of one product, else each as it lies in memory."""
    batch, _, tokens, size = turned.shape
    queries, keys = turned[:, :heads], turned[:, heads:]
    values = made[:, -shared * size :].view(batch, tokens, shared, size).transpose(1, 2)
    if not whole:
        return queries, keys, values
    return tuple(each.reshape(batch * shared, -1, size) for each in (queries, keys, values))


@dataclass(frozen=True)
class Scores:
    """What a model makes of its head's products before they are the scores of the vocabulary: a scale (Granite, Cohere), and a soft cap
    that none can exceed (Gemma 2)."""

    scale: float = 1.0
    cap: float | None = None

    def of(self, products: Any) -> Any:
        """Scores in fp32."""
        scores = products.float() * self.scale if self.scale != 1.0 else products.float()
        return scores if self.cap is None else self.cap * torch.tanh(scores / self.cap)

    def back(self, to_scores: Any, scores: Any) -> Any:
        """What goes back to the products, overwriting what came; scores: those that `of` gave."""
        if self.cap is not None:
            to_scores.mul_(1 - (scores / self.cap) ** 2)
        return to_scores.mul_(self.scale) if self.scale != 1.0 else to_scores


PLAIN = Scores()


def scores_of(causal: Any) -> Scores | None:
    """How a causal language model turns its head's products into scores; None where no pair of scale and cap gives what it gives."""
    config, head = causal.config.get_text_config(), causal.get_output_embeddings()
    names = ("logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
    given = next((float(value) for name in names if (value := getattr(config, name, None))), 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    modes = {module: module.training for module in causal.modules()}
    ids = torch.arange(2, 6, device=causal.device)[None] % head.weight.shape[0]
    causal.eval()  # nothing is drawn, so that training is the same as without this look
    try:
        with torch.no_grad():
            right = causal(input_ids=ids, use_cache=False).logits.float()
            products = head(getattr(causal, causal.base_model_prefix)(input_ids=ids, use_cache=False).last_hidden_state)
    finally:
        for module, mode in modes.items():
            module.training = mode
    # Most divide by logits_scaling, one multiplies.
    ways = [Scores(scale, cap) for scale in dict.fromkeys((1.0, given, 1 / given))]
    return next((way for way in ways if torch.allclose(way.of(products), right, rtol=1e-3, atol=1e-4 * float(right.abs().max()))), None)


def summed_loss(hidden: Any, head: Any, labels: Any, weights: Any = None, scores: Scores = PLAIN) -> Any:
    """The sum of cross-entropies of a head's scores, each by its weight. hidden: (tokens, size); labels, weights: (tokens,)."""
    if type(head) is torch.nn.Linear and head.bias is None and not head._forward_hooks and not head._forward_pre_hooks:
        return Loss.apply(hidden, head.weight, labels, weights, product_type(hidden), torch.is_grad_enabled(), scores)
    losses = torch.nn.functional.cross_entropy(scores.of(head(hidden)), labels, reduction="none")
    return (losses if weights is None else losses * weights).sum()


class Loss(Function):
    """Scores of some tokens at a time, and at once what goes back from them: never all tokens by the whole vocabulary."""

    @staticmethod
    def forward(context: Any, hidden: Any, weight: Any, labels: Any, weights: Any, kind: torch.dtype, learns: bool, way: Scores) -> Any:
        states, matrix, size = hidden.to(kind), weight.to(kind), PIECE.get(hidden.device.type, len(hidden))
        total = torch.zeros((), device=hidden.device)
        to_states = torch.empty_like(states) if learns and context.needs_input_grad[0] else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if learns and context.needs_input_grad[1] else None
        for start in range(0, len(states), size):
            piece = slice(start, start + size)
            right = labels[piece, None]
            scores = way.of(states[piece] @ matrix.T)
            logs = torch.log_softmax(scores, -1)
            scores = scores if way.cap is not None else None  # as large as anything here
            losses = -logs.gather(1, right)
            total += (losses if weights is None else losses * weights[piece, None]).sum()
            if to_states is None and to_weight is None:
                continue
            back = logs.exp_().scatter_add_(1, right, torch.full_like(losses, -1))
            back = way.back(back if weights is None else back.mul_(weights[piece, None]), scores).to(kind)
            if to_states is not None:
                torch.mm(back, matrix, out=to_states[piece])
            if to_weight is not None:
                to_weight += back.T @ states[piece]
        context.save_for_backward(to_states, to_weight)
        context.kinds = hidden.dtype, weight.dtype
        return total

    @staticmethod
    def backward(context: Any, back: Any) -> Any:
        made = zip(context.saved_tensors, context.kinds, strict=True)
        return *(each if each is None else (each * back).to(kind) for each, kind in made), None, None, None, None, None
