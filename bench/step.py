"""Where a training step's time goes on this processor. `python -m bench.step [--threads 1] [--shape tiny]`

The steps are those of pretraining (16 rows of 64 tokens) in fp32. Times are seconds of processors, the median of some tries in
turn: other work on the machine lengthens them less than those of the clock. Share of the peak: the products' arithmetic in that
time, beside that of the same products in a loop of nothing else, and of the best square product.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bench.training import BATCH, BLOCK, ROOT, SEED, SHAPES
from lingyu.model.tiny import Shape

TRIES = 15


def main() -> None:
    import torch

    from bench.training_data import build_base
    from lingyu.model.load import load_model, prepare

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    given = parser.parse_args()
    prepare(given.threads)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    shape = Shape(**params["base"]["shape"] | SHAPES[given.shape])
    with TemporaryDirectory() as place:
        folder = Path(place)
        build_base(folder, shape, SEED)
        best, usual = peak(), products(shape)
        print(f"products of {given.threads} threads: {best:.0f} GF/s square, {usual:.0f} GF/s as the step has them", flush=True)
        model = load_model(folder, BLOCK)
        ids = torch.randint(0, model.config.vocab_size, (BATCH, BLOCK))
        flops = 6 * multiplied(shape) * BATCH * BLOCK
        parts = step(model, ids)
        whole = sum(parts.values())
        print(f"a step: {whole * 1e3:.1f} ms, {flops / whole / 1e9:.0f} GF/s = {flops / whole / 1e9 / best:.0%} of the square product's")
        for name, seconds in parts.items():
            print(f"  {name}: {seconds * 1e3:.1f} ms ({seconds / whole:.0%})")
        trained = through_trainer(folder, params)
        print(f"a step of the Trainer: {trained * 1e3:.1f} ms, {trained / whole - 1:+.0%}")
        print(operators(model, ids))
        print("forward and backward by attention, ms (eager, SDPA):")
        for length in (64, 128, 192, 256, 512):
            eager, sdpa = attention(folder, length)
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


def peak(size: int = 1024) -> float:
    """GF/s of a square product in fp32."""
    import torch

    one, other = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / timed(lambda: one @ other)[0] / 1e9


def multiplied(shape: Shape) -> int:
    """Parameters that every token is multiplied with."""
    heads = (2 * shape.heads + 2 * shape.key_value_heads) * shape.head_size
    return shape.layers * shape.hidden_size * (heads + 3 * shape.intermediate_size) + shape.vocabulary * shape.hidden_size


def products(shape: Shape) -> float:
    """GF/s of a step's products by themselves: forward, and both of backward, for each matrix of the model."""
    import torch

    rows, hidden = BATCH * BLOCK, shape.hidden_size
    heads, shared = shape.heads * shape.head_size, shape.key_value_heads * shape.head_size
    wide = [(hidden, heads), (hidden, shared), (hidden, shared), (heads, hidden), *[(hidden, shape.intermediate_size)] * 3]
    sizes = [*wide * shape.layers, (hidden, shape.vocabulary)]
    made = [(torch.randn(rows, one), torch.randn(other, one), torch.randn(rows, other)) for one, other in sizes]

    def work() -> None:
        for given, weight, back in made:
            given @ weight.T
            back @ weight
            back.T @ given

    return 6 * rows * sum(one * other for one, other in sizes) / timed(work)[0] / 1e9


def loss_of(model: Any, ids: Any) -> Any:
    import torch

    scores = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten())


def step(model: Any, ids: Any) -> dict[str, float]:
    """Seconds of processors for each part of a step in a loop that has nothing else."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    parts: dict[str, list[float]] = {"forward": [], "backward": [], "clipping": [], "AdamW": []}
    for number in range(TRIES + 2):
        marks = [time.process_time()]
        loss = loss_of(model, ids)
        marks.append(time.process_time())
        loss.backward()
        marks.append(time.process_time())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        marks.append(time.process_time())
        optimizer.step()
        optimizer.zero_grad()
        marks.append(time.process_time())
        if number >= 2:
            for times, end, begin in zip(parts.values(), marks[1:], marks, strict=False):
                times.append(end - begin)
    return {name: statistics.median(times) for name, times in parts.items()}


def through_trainer(folder: Path, params: dict[str, Any]) -> float:
    """The median seconds of processors from one step's end to the next in our Trainer."""
    import random

    from transformers import TrainerCallback

    from lingyu.model.load import load_model, load_tokenizer
    from lingyu.stage import StageParams
    from lingyu.train.data import Example
    from lingyu.train.run import causal_trainer
    from stages.pretrain import Params

    ends: list[float] = []

    class Ends(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.process_time())

    draw = random.Random(SEED)
    rows = [[draw.randrange(256) for _ in range(BLOCK)] for _ in range(BATCH * (TRIES + 6))]
    examples = [Example(input_ids=row, labels=row) for row in rows]
    settings: StageParams = Params(**params["pretrain"] | {"optimizer": "adamw_torch_fused", "epochs": 1, "evaluations": 1})
    trainer = causal_trainer(
        load_model(folder, BLOCK), load_tokenizer(folder), examples, examples[:1], settings, folder / "work", "bench", folder
    )
    trainer.add_callback(Ends())
    trainer.train()
    return statistics.median(end - begin for begin, end in pairwise(ends[3:]))


def operators(model: Any, ids: Any, shown: int = 14) -> str:
    """The operators that take most of a step, without those that they call."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(5):
            loss_of(model, ids).backward()
    events = sorted(found.key_averages(), key=lambda each: -each.self_cpu_time_total)
    whole = sum(each.self_cpu_time_total for each in events)
    lines = [f"  {each.key}: {each.self_cpu_time_total / whole:.1%}, {each.count // 5} calls a step" for each in events[:shown]]
    return "\n".join(["operators of forward and backward:", *lines])


def attention(folder: Path, length: int) -> list[float]:
    """Forward and backward of 1,024 tokens in rows of this length: eager, then SDPA."""
    import torch

    from lingyu.model.load import load_model

    ids = torch.randint(0, 256, (max(1, BATCH * BLOCK // length), length))

    def work(model: Any) -> None:
        loss_of(model, ids).backward()

    models = [load_model(folder, BLOCK) for _ in range(2)]
    for model, name in zip(models, ("eager", "sdpa"), strict=True):
        model.set_attn_implementation(name)
    return timed(*(partial(work, model) for model in models), tries=7)


if __name__ == "__main__":
    main()
