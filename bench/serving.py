"""Tokens per second and time to the first token of the service's engines, at 1, 8 and 32 streams, in one run.

    python -m bench.serving                 # the tiny shape and one of 60M; --shapes tiny 60M 0.5B
    python -m bench.serving --threads 1 --rounds 3

Each stream asks for TOKENS tokens after a prompt of PROMPT tokens of its own, greedily; the model has random weights and no end token.
The engines take turns, so that a busy moment of the machine meets all of them. `generate` is transformers' generate on the same prompts one
by one, without service: the best that the road one by one can reach. The replies of all must be equal.
"""

import argparse
import asyncio
import os
import random
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

PROMPT, TOKENS = 96, 48
SHAPES = {  # hidden, layers, heads, key heads, intermediate, vocabulary
    "tiny": (256, 4, 4, 2, 704, 4096),
    "60M": (512, 12, 8, 4, 1536, 32768),
    "0.5B": (896, 24, 14, 2, 4864, 151936),
}


def build(folder: Path, shape: str) -> Path:
    import torch
    import transformers

    hidden, layers, heads, keys, wide, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=keys,
        head_dim=hidden // heads, intermediate_size=wide, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None, pad_token_id=0, initializer_range=0.05,
    )  # fmt: skip
    transformers.utils.logging.disable_progress_bar()
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def prompts(count: int, vocabulary: int) -> list[list[int]]:
    chance = random.Random(count)
    return [[chance.randrange(vocabulary) for _ in range(PROMPT)] for _ in range(count)]


async def streams(engine: Any, asked: list[list[int]]) -> tuple[float, list[float], list[list[int]]]:
    """Seconds of all, seconds to each first token, and the replies."""
    from lingyu.serve.choosing import Sampling

    begun, firsts = time.perf_counter(), list[float]()

    async def one(prompt: list[int]) -> list[int]:
        got: list[int] = []
        async for token in engine.tokens(prompt, Sampling(TOKENS, 0.0, 1.0, None)):
            if not got:
                firsts.append(time.perf_counter() - begun)
            got.append(token.id)
        return got

    replies = await asyncio.gather(*map(one, asked))
    return time.perf_counter() - begun, firsts, replies


def alone(model: Any, asked: list[list[int]]) -> tuple[float, list[list[int]]]:
    from lingyu.serve.choosing import Sampling, Token
    from lingyu.serve.engine import generate

    begun, replies = time.perf_counter(), list[list[int]]()
    for prompt in asked:
        tokens: list[Token] = []
        generate(model, prompt, Sampling(TOKENS, 0.0, 1.0, None), tokens.append, threading.Event())
        replies.append([token.id for token in tokens])
    return time.perf_counter() - begun, replies


def measure(shape: str, counts: list[int], rounds: int, at_once: int) -> None:
    from lingyu.serve.batching import BatchingEngine
    from lingyu.serve.engine import Engine, TransformersEngine, load

    with tempfile.TemporaryDirectory() as place:
        folder = build(Path(place), shape)
        engines: dict[str, Engine] = {"one-by-one": TransformersEngine(folder), "together": BatchingEngine(load(folder), at_once)}
        model = load(folder)
    seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
    firsts: dict[tuple[str, int], list[float]] = defaultdict(list)
    for count in counts:
        asked = prompts(count, SHAPES[shape][-1])
        for _ in range(rounds):
            told = {}
            for name, engine in engines.items():
                took, first, told[name] = asyncio.run(streams(engine, asked))
                seconds[name, count].append(took)
                firsts[name, count] += first
            took, told["generate"] = alone(model, asked[:4])
            seconds["generate", count].append(took * count / len(asked[:4]))
            equal = told["one-by-one"] == told["together"] and told["generate"] == told["together"][:4]
        speeds = {name: count * TOKENS / median(seconds[name, count]) for name in ("generate", *engines)}
        waits = {name: sorted(firsts[name, count])[int(0.95 * (len(firsts[name, count]) - 1))] for name in engines}
        gain = speeds["together"] / speeds["one-by-one"]
        print(
            f"| {shape} | {count} | {speeds['generate']:.0f} | {speeds['one-by-one']:.0f} | {speeds['together']:.0f} | {gain:.1f} × "
            f"| {waits['one-by-one']:.2f} s | {waits['together']:.2f} s | {'equal' if equal else 'DIFFER'} |",
            flush=True,
        )
    engines["together"].close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shapes", nargs="+", choices=SHAPES, default=["tiny", "60M"])
    options.add_argument("--streams", nargs="+", type=int, default=[1, 8, 32])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--at-once", type=int, default=32)
    chosen = options.parse_args()
    import torch

    torch.set_num_threads(chosen.threads)
    print(f"{chosen.threads} threads, {PROMPT} + {TOKENS} tokens a stream, median of {chosen.rounds} rounds\n")
    print(
        "| shape | streams | generate alone, tokens/s | one by one | together | gain | first token p95, one by one | together | replies |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for shape in chosen.shapes:
        measure(shape, chosen.streams, chosen.rounds, chosen.at_once)


if __name__ == "__main__":
    main()
