"""Where a training step's time goes on this processor. `python -m bench.step [--threads 1] [--shape tiny] [--precision fp32]`

The steps are those of pretraining (16 rows of 64 tokens), as transformers computes a layer and the loss and as lingyu.train.kernels does.
Times are seconds of processors, the median of some tries in turn: a machine's slow minutes are everyone's. Share of the peak: the
products' arithmetic in a step's time, beside that of the best square product.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.training import BATCH, BLOCK, SEED, SHAPES
from lingyu.base.tiny import Shape

TRIES = 9
SQUARE = 1024
PARTS = ("forward", "backward", "clipping", "AdamW")


def main() -> None:
    import torch

    from bench.training_data import build_base
    from lingyu.model.load import load_model, prepare

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    given = parser.parse_args()
    prepare(given.threads)
    shape = Shape.model_validate(SHAPES[given.shape])
    kind = torch.bfloat16 if given.precision == "bf16" else torch.float32
    with TemporaryDirectory() as place:
        folder = Path(place)
        build_base(folder, shape, SEED)
        model = load_model(folder, BLOCK)
        ids = torch.randint(0, model.config.vocab_size, (BATCH, BLOCK))
        ways = {"as transformers computes it": plain, "by lingyu.train.kernels": ours}
        works = [work for way in ways.values() for work in steps_of(model, ids, kind, way)]
        square, alone, *parts = timed(square_product(kind), products(shape, kind), *works)
        best, done = 2 * SQUARE**3 / square, 6 * multiplied(shape) * BATCH * BLOCK
        print(f"products of {given.threads} threads: {best / 1e9:.0f} GF/s square, {done / alone / 1e9:.0f} GF/s as the step has them")
        for number, (name, way) in enumerate(ways.items()):
            its = parts[number * len(PARTS) : (number + 1) * len(PARTS)]
            whole = sum(its)
            print(
                f"\na step {name}: {whole * 1e3:.1f} ms, {done / whole / 1e9:.0f} GF/s = {done / whole / best:.0%} of the square product's"
            )
            print(f"  the products by themselves would be {alone / whole:.0%} of it")
            for part, seconds in zip(PARTS, its, strict=True):
                print(f"  {part}: {seconds * 1e3:.1f} ms ({seconds / whole:.0%})")
            print(operators(partial(way, model, ids, kind)))
        print("\nforward and backward as transformers computes them, by attention, ms (eager, SDPA):")
        for length in (64, 128, 192, 256, 512):
            eager, sdpa = attention(folder, length, kind)
            print(f"  {length} tokens a row: {eager * 1e3:.1f}, {sdpa * 1e3:.1f}; SDPA takes {sdpa / eager:.2f} of eager's time")


def timed(*works: Callable[[], Any], tries: int = TRIES) -> list[float]:
    """The median of each one's processor time, the works taking turns."""
    spent: list[list[float]] = [[] for _ in works]
    for number in range(tries + 2):
        for work, times in zip(works, spent, strict=True):
            began = time.process_time()
            work()
            if number >= 2:  # what is done for the first time
                times.append(time.process_time() - began)
    return [statistics.median(times) for times in spent]


def square_product(kind: Any) -> Callable[[], Any]:
    import torch

    one, other = torch.randn(SQUARE, SQUARE).to(kind), torch.randn(SQUARE, SQUARE).to(kind)
    return lambda: one @ other


def multiplied(shape: Shape) -> int:
    """Parameters that every token is multiplied with."""
    heads = (2 * shape.num_attention_heads + 2 * shape.num_key_value_heads) * shape.head_dim
    return shape.num_hidden_layers * shape.hidden_size * (heads + 3 * shape.intermediate_size) + shape.vocab_size * shape.hidden_size


def products(shape: Shape, kind: Any) -> Callable[[], Any]:
    """A step's products by themselves: forward, and both of backward, for each matrix of the model."""
    import torch

    rows, hidden = BATCH * BLOCK, shape.hidden_size
    heads, shared = shape.num_attention_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
    wide = [(hidden, heads), (hidden, shared), (hidden, shared), (heads, hidden), *[(hidden, shape.intermediate_size)] * 3]
    sizes = [*wide * shape.num_hidden_layers, (hidden, shape.vocab_size)]
    made = [[torch.randn(size).to(kind) for size in ((rows, one), (other, one), (rows, other))] for one, other in sizes]

    def work() -> None:
        for given, weight, back in made:
            given @ weight.T
            back @ weight
            back.T @ given

    return work


def plain(model: Any, ids: Any, kind: Any) -> Any:
    """The loss as transformers and torch compute it."""
    import torch
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    Qwen3DecoderLayer.forward = getattr(Qwen3DecoderLayer.forward, "__wrapped__", Qwen3DecoderLayer.forward)
    with torch.autocast("cpu", kind, enabled=kind != torch.float32):
        scores = model(input_ids=ids, use_cache=False).logits[:, :-1]
        return torch.nn.functional.cross_entropy(scores.flatten(0, 1).float(), ids[:, 1:].flatten())


def ours(model: Any, ids: Any, kind: Any) -> Any:
    """The loss as the training stages compute it."""
    import torch

    from lingyu.train.kernels import put_under, summed_loss

    put_under()
    with torch.autocast("cpu", kind, enabled=kind != torch.float32):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
        return summed_loss(hidden, model.lm_head, ids[:, 1:].flatten()) / len(hidden)


def steps_of(model: Any, ids: Any, kind: Any, way: Callable[..., Any]) -> list[Callable[[], Any]]:
    """The parts of a step, to be done one after the other."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    losses: list[Any] = []

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return [
        lambda: losses.append(way(model, ids, kind)),
        lambda: losses.pop().backward(),
        lambda: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0),
        update,
    ]


def operators(way: Callable[[], Any], shown: int = 12) -> str:
    """The operators that take most of a step, without those that they call."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(5):
            way().backward()
    events = sorted(found.key_averages(), key=lambda each: -each.self_cpu_time_total)
    whole = sum(each.self_cpu_time_total for each in events)
    lines = [f"  {each.key}: {each.self_cpu_time_total / whole:.1%}, {each.count // 5} calls a step" for each in events[:shown]]
    return "\n".join(["operators of forward and backward:", *lines])


def attention(folder: Path, length: int, kind: Any) -> list[float]:
    """Forward and backward of 1,024 tokens in rows of this length: eager, then SDPA."""
    import torch

    from lingyu.model.load import load_model

    ids = torch.randint(0, 256, (max(1, BATCH * BLOCK // length), length))

    def work(model: Any) -> None:
        plain(model, ids, kind).backward()

    models = [load_model(folder, BLOCK) for _ in range(2)]
    for model, name in zip(models, ("eager", "sdpa"), strict=True):
        model.set_attn_implementation(name)
    return timed(*(partial(work, model) for model in models), tries=7)


if __name__ == "__main__":
    main()
