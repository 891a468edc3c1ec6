"""Fine-tuning by LoRA on a GPU: tokens a second, memory and the share of its arithmetic, beside LLaMA-Factory.

    python -m bench.gpu_training FOLDER [--peer VENV] [--shapes tiny] [--minutes 9] [--case NAME …]

The weights are random, the shapes those of Qwen2.5 and of the drone recipe's base (a T4's 16 GB must hold its training). Runs are
whole processes of our sft stage and of the peer, as in bench.training; the first two steps do not count. Cases that no longer fit into
the minutes are left out and named. Without a GPU only the tiny shapes run, which try the same road on a processor.

The arithmetic counted a token: 4 for every parameter of a matrix (forward, and backward to the input; frozen matrices need no more)
and for attention 6 × layers × width × length. What checkpointing computes again is not counted. Its share is of the H200's 989
TFLOP/s in bf16 by its data sheet, and of a square product measured here.
"""

import argparse
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.training import BASE, PEER, SEED, Contestant, Failed, Run, make_project, ours, parameters, peer_settings, peers, write_rows

SHEET = 989e12
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
STEPS = 8
UNCOUNTED = 2
PEER_SETTINGS = "no checkpointing"


@dataclass(frozen=True)
class Shape:
    hidden: int
    layers: int
    heads: int
    shared: int
    wide: int
    vocabulary: int
    tied: bool

    @property
    def multiplied(self) -> int:
        """Parameters that every token is multiplied with."""
        width = self.hidden // self.heads * (2 * self.heads + 2 * self.shared)
        return self.layers * self.hidden * (width + 3 * self.wide) + self.vocabulary * self.hidden

    def a_token(self, length: int) -> int:
        """Arithmetic of a training step with frozen matrices."""
        return 4 * self.multiplied + 6 * self.layers * self.hidden * length


SMALL = Shape(1536, 28, 12, 2, 8960, 151_936, True)
LARGE = Shape(3584, 28, 28, 4, 18_944, 152_064, False)
DRONE = Shape(1536, 28, 12, 2, 8960, 151_936, False)
TINY = Shape(64, 2, 4, 2, 128, 1280, True)


@dataclass(frozen=True)
class Case:
    """batch: rows at once; a row has `length` tokens. room: GB that it must do with."""

    shape: Shape
    length: int
    batch: int
    accumulation: int = 1
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    precision: str = "bf16"
    checkpointing: bool = False
    room: int = 0


# The drone recipe gives no length: 1,024 tokens hold a reasoned answer, and are longer than most of its rows.
REAL = {
    "1.5B 2,048": Case(SMALL, 2048, 8),
    "1.5B 8,192": Case(SMALL, 8192, 2),
    "drone": Case(DRONE, 1024, 2, 16, rank=8, dropout=0.1, precision="fp16", checkpointing=True, room=16),
    "7B 2,048": Case(LARGE, 2048, 8),
    "7B 8,192": Case(LARGE, 8192, 2),
}
TRIAL = {
    "tiny 64": Case(TINY, 64, 2, precision="fp32"),
    "tiny drone": Case(TINY, 64, 2, 2, rank=8, dropout=0.1, precision="fp32", checkpointing=True, room=16),
}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for models, rows and logs; made. 7B takes 45 GB of disk")
    parser.add_argument("--peer", type=Path, metavar="VENV")
    parser.add_argument("--shapes", choices=("real", "tiny"), default="real")
    parser.add_argument("--case", action="append", choices=[*REAL, *TRIAL])
    parser.add_argument("--minutes", type=float, default=9.0)
    given = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    if given.shapes == "real" and not on_gpu:
        print("left out: torch sees no GPU here. `--shapes tiny` tries the same road on a processor.")
        return
    end = time.monotonic() + given.minutes * 60
    peak = measured_peak(on_gpu)
    cases = {"real": REAL, "tiny": TRIAL}[given.shapes]
    print(f"{torch.cuda.get_device_name() if on_gpu else 'a processor'}, square product {peak / 1e12:.2f} TFLOP/s\n")
    heads = ["", "", "tokens/s", "ours × its", "GB at most", "of the sheet's", "of the measured", "process, s", "first step after, s"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
    slowest = 0.0
    for name, case in cases.items():
        if given.case and name not in given.case:
            continue
        began = time.monotonic()
        if end - began < slowest * 1.5:
            print(f"| {name} | left out: {given.minutes:.0f} minutes are over |{' |' * (len(heads) - 2)}", flush=True)
            continue
        for line in lines(given.folder.resolve(), name, case, given.peer, peak):
            print(line, flush=True)
        slowest = max(slowest, time.monotonic() - began)


def lines(folder: Path, name: str, case: Case, peer: Path | None, peak: float) -> list[str]:
    """A line for us, and one for the peer, where there is one."""
    make(folder, case)
    found: list[tuple[str, Run | str]] = [("lingyu", tried(ours(folder, "sft", 2, "lora")))]
    if peer:
        more = PEER["defaults" if case.checkpointing else PEER_SETTINGS]
        settings = peer_settings(folder, "sft", more) | peer_method(case)
        found.append(("LLaMA-Factory", tried(peers(folder, "peer", peer, settings, 2))))
    return [line(name, case, who, run, found[0][1], peak) for who, run in found]


def tried(contestant: Contestant) -> Run | str:
    """The run, or in a word why there is none."""
    try:
        return contestant.run()
    except Failed as error:
        return "out of memory" if "out of memory" in error.said.lower() else str(error)


def line(name: str, case: Case, who: str, run: Run | str, first: Run | str, peak: float) -> str:
    if isinstance(run, str):
        return f"| {name} | {who} | {run} |  |  |  |  |  |  |"
    speed = tokens_a_second(case, run)
    work = speed * case.shape.a_token(case.length)
    held = f"{run.gpu or run.megabytes / 1024:.1f}"
    if case.room:
        held += f" of {case.room}" if (run.gpu or run.megabytes / 1024) <= case.room else f", more than {case.room}"
    cells = [
        name,
        who,
        f"{speed:,.0f}",
        f"{tokens_a_second(case, first) / speed:.2f}" if isinstance(first, Run) else "",
        held,
        f"{work / SHEET:.0%}" if run.gpu else "",
        f"{work / peak:.0%}",
        f"{run.seconds:.0f}",
        f"{run.first:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def tokens_a_second(case: Case, run: Run) -> float:
    return case.batch * case.accumulation * case.length / statistics.median(seconds for seconds, _ in run.steps[UNCOUNTED:])


def make(folder: Path, case: Case) -> None:
    """The random model, rows of exactly the length, and a project that tunes it by LoRA."""
    from bench.training_data import Writer

    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = build(folder / BASE, case.shape)
    known = {letter for letter in Writer(SEED).walk(20_000, 0)[0] if len(tokenizer.encode(letter, add_special_tokens=False)) == 1}
    asked = len(tokenizer.encode("User: ？\n\nAssistant:", add_special_tokens=False))
    for part, count in (("train", case.batch * case.accumulation * STEPS), ("dev", 1)):
        writer, pairs = Writer(1 if part == "train" else 2), list[tuple[str, str]]()
        while len(pairs) < count:
            text = "".join(letter for letter in writer.walk(case.length * 3, len(pairs))[0] if letter in known)
            pairs.append(("？", text[: case.length - asked - 1]))  # one is the mark of the end
        write_rows(folder, part, ["。"], pairs)
    params = parameters()["sft"]
    common = params["common"] | {
        "threads": 2,
        "precision": case.precision,
        "max_length": case.length,
        "global_batch_size": case.batch * case.accumulation,
        "gradient_accumulation_steps": case.accumulation,
        "num_train_epochs": 1,
        "learning_rate": 1.0e-4,
        "evaluations": 1,
        "gradient_checkpointing": case.checkpointing,
    }
    lora = params["candidates"]["lora"]
    method = lora["method"] | {"r": case.rank, "lora_alpha": case.alpha, "lora_dropout": case.dropout, "target_modules": TARGETS}
    candidate = {key: value for key, value in lora.items() if key not in common} | {"start": "extend", "method": method}
    make_project(folder, {"sft": {"common": common, "candidates": {"lora": candidate}}})


def build(folder: Path, shape: Shape) -> Any:
    """Save a random model of this shape with the benchmarks' tokenizer, which knows a part of the vocabulary."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from bench.training_data import bench_tokenizer
    from lingyu.model.load import save

    on_gpu = torch.cuda.is_available()
    tokenizer = bench_tokenizer(1280, 32_768)
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.shared,
        intermediate_size=shape.wide,
        max_position_embeddings=32_768,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(SEED)
    with torch.device("cuda" if on_gpu else "cpu"):
        model = Qwen2ForCausalLM._from_config(config, dtype=torch.bfloat16 if on_gpu else torch.float32)
    save(model, tokenizer, folder)
    del model
    torch.cuda.empty_cache()
    return tokenizer


def peer_method(case: Case) -> dict[str, Any]:
    on = {"bf16": case.precision == "bf16", "fp16": case.precision == "fp16", "use_cpu": case.precision == "fp32"}
    lora = {"lora_rank": case.rank, "lora_alpha": case.alpha, "lora_dropout": case.dropout, "lora_target": ",".join(TARGETS)}
    return {"finetuning_type": "lora", **lora, **on}


def measured_peak(on_gpu: bool) -> float:
    """Arithmetic a second of a square product: 8,192 wide in bf16 on a GPU."""
    import torch

    size, kind, device = (8192, torch.bfloat16, "cuda") if on_gpu else (1024, torch.float32, "cpu")
    one = torch.randn(size, size, dtype=kind, device=device)
    for _ in range(3):
        one @ one
    begun = synchronised()
    for _ in range(10):
        one @ one
    return 10 * 2 * size**3 / (synchronised() - begun)


def synchronised() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
