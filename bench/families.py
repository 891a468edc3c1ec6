"""LoRA by lingyu's trainer beside a plain loop of transformers and PEFT, in the shapes of two families of some 30 million parameters.

    python -m bench.families [--family llama3 gemma3] [--rounds 5] [--steps 6] [--threads 2]

Both train the same rows in batches of the same number, from the same weights, with the same adapter, AdamW and precision, in turn in one
process: each round the loop first, then the trainer, or the other way round. The loop is what anybody would write: padded batches in a
random order, `model(**batch).loss`, `loss.backward()`, clipping, a step. The trainer sorts rows by length, picks the attention, and
computes the scores of the vocabulary only where they are learnt, in pieces. Tokens are those of the rows, padding not counted; time is that
of the steps, without start, dev loss and checkpoints.
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.training_data import Writer, bench_tokenizer

BATCH = 8
LONGEST = 256
VOCABULARY = {"llama3": 8192, "gemma3": 16_384}  # Gemma's is the larger part of a small model
LORA = {"r": 16, "lora_alpha": 32}
RATE = 1e-4


@dataclass(frozen=True)
class Timed:
    """tokens: without padding; seconds: on the clock, and of processors."""

    tokens: int
    clock: float
    processor: float


def main() -> None:
    from lingyu.model.load import load_tokenizer, prepare

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="+", choices=VOCABULARY, default=list(VOCABULARY))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    print("| family | parameters | plain loop, tokens/s | lingyu | lingyu × the loop: by the clock | by processors |\n|" + " --- |" * 6)
    for family in given.family:
        with TemporaryDirectory() as place:
            prepare(given.threads)
            folder = Path(place)
            parameters = build(folder / "base", family)
            rows = rows_of(load_tokenizer(folder / "base"), BATCH * given.steps)
            ways: list[tuple[str, Callable[..., Timed]]] = [("loop", by_loop), ("trainer", by_trainer)]
            found: dict[str, list[Timed]] = {name: [] for name, _ in ways}
            for number in range(given.rounds + 1):
                for name, way in ways if number % 2 else ways[::-1]:
                    timed = way(folder, rows, number, given.threads)
                    if number:  # the first round pays for what is imported
                        found[name].append(timed)
            print(line(family, parameters, found["loop"], found["trainer"]), flush=True)


def line(family: str, parameters: int, loop: list[Timed], trainer: list[Timed]) -> str:
    speeds = [statistics.median(one.tokens / one.clock for one in some) for some in (loop, trainer)]
    ratios = [
        [(new.tokens / getattr(new, kind)) / (old.tokens / getattr(old, kind)) for old, new in zip(loop, trainer, strict=True)]
        for kind in ("clock", "processor")
    ]
    told = [f"{statistics.median(some):.2f} ({min(some):.2f}–{max(some):.2f})" for some in ratios]
    return f"| {family} | {parameters / 1e6:.1f}M | {speeds[0]:,.0f} | {speeds[1]:,.0f} | {told[0]} | {told[1]} |"


def build(folder: Path, family: str) -> int:
    """Random weights of the family's shape; the number of parameters."""
    import transformers

    from lingyu.model.load import save

    tokenizer = bench_tokenizer(VOCABULARY[family], 512)
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    common = {"vocab_size": VOCABULARY[family], "hidden_size": 512, "max_position_embeddings": 512, "tie_word_embeddings": True, **ids}
    config: Any
    if family == "llama3":
        rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        rope["original_max_position_embeddings"] = 256
        sizes = {"num_hidden_layers": 9, "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 1408}
        config = transformers.LlamaConfig(**common, **sizes, rope_parameters=rope)
    else:
        sizes = {"num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 128, "intermediate_size": 1536}
        config = transformers.Gemma3TextConfig(**common, **sizes, query_pre_attn_scalar=128, sliding_window=128)
    transformers.set_seed(17)
    model = transformers.AutoModelForCausalLM.from_config(config)
    save(model, tokenizer, folder)
    return sum(weight.numel() for weight in model.parameters())


def rows_of(tokenizer: Any, count: int) -> list[Any]:
    from lingyu.records import Dialogue, Message
    from lingyu.train.data import dialogues

    same = {"source": "made", "place": "", "licence": "CC0-1.0", "scope": "domain", "language": "zh", "task": "chat", "references": []}
    same |= {"method": "given", "teacher": "", "prompt_hash": "", "review": ""}
    turns = [[Message(role="user", content=asked), Message(role="assistant", content=said)] for asked, said in Writer(1).dialogues(count)]
    return list(dialogues([Dialogue(**same, id=str(at), messages=some) for at, some in enumerate(turns)], tokenizer, LONGEST))


def by_loop(folder: Path, rows: list[Any], seed: int, threads: int) -> Timed:
    """As in PEFT's own examples."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **LORA)).train()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=RATE)
    order = random.Random(seed).sample(rows, len(rows))
    clock = processor = 0.0
    for start in range(0, len(order), BATCH):
        began = time.perf_counter(), time.process_time()
        some = order[start : start + BATCH]
        width = max(len(row["input_ids"]) for row in some)
        batch = {
            key: torch.tensor([list(values(row)) + [filler] * (width - len(row["input_ids"])) for row in some])
            for key, filler, values in (
                ("input_ids", 0, lambda row: row["input_ids"]),
                ("labels", -100, lambda row: row["labels"]),
                ("attention_mask", 0, lambda row: [1] * len(row["input_ids"])),
            )
        }
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock, processor = clock + time.perf_counter() - began[0], processor + time.process_time() - began[1]
    return Timed(sum(len(row["input_ids"]) for row in rows), clock, processor)


def by_trainer(folder: Path, rows: list[Any], seed: int, threads: int) -> Timed:
    """As sft trains."""
    from transformers import TrainerCallback

    from lingyu.model.load import load_tokenizer
    from lingyu.model.tuning import Tuning
    from lingyu.train.data import stored
    from lingyu.train.run import causal_trainer
    from lingyu.train.run import train as trained
    from stages import sft

    spent = [0.0, 0.0]

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter(), time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now = time.perf_counter(), time.process_time()
            spent[0] += now[0] - self.began[0]
            spent[1] += now[1] - self.began[1]
            self.began = now

        def on_save(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter(), time.process_time()

        on_evaluate = on_save

    settings = {
        "seed": seed,
        "threads": threads,
        "max_length": LONGEST,
        "global_batch_size": BATCH,
        "num_train_epochs": 1,
        "evaluations": 1,
    }
    params = sft.Params(**settings, learning_rate=RATE, start="base", method={"name": "lora", **LORA})
    tokenizer, place = load_tokenizer(folder / "base"), folder / "work" / f"{seed}"
    place.mkdir(parents=True)
    tuning = Tuning(folder / "base", LONGEST, params.method, tokenizer)
    some = stored(rows, place / "rows.arrow")
    trainer = causal_trainer(tuning.model, tokenizer, some, some.select(range(2)), params, place, "lora", place)
    trainer.callback_handler.callbacks.insert(0, Clock())
    trained(trainer, "lora", params.kernels)
    return Timed(sum(some["length"]), *spent)


if __name__ == "__main__":
    main()
