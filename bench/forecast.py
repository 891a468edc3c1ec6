"""forecast: what a training is said to need, beside what it takes. `python -m bench.forecast FOLDER [--case NAME …]`

Trainings of random weights, each stage in a process of its own as a person starts it. Measured is the most memory that this process, or
the larger of two, had (ru_maxrss, which other processes do not change), and by bench/clock the processor's seconds of its steps but the
first, of one thread.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
CLOCK = ROOT / "bench" / "clock"
STEPS = 2
LORA = {"name": "lora", "r": 16, "lora_alpha": 32}
FULL = {"name": "full"}
SAMPLING = ("grpo", "ppo")


@dataclass(frozen=True)
class Case:
    """family: a class of transformers; shape: of its config. rows, width: of a batch on the device; words: of the vocabulary."""

    stage: str
    family: str
    shape: dict[str, Any]
    words: int
    rows: int
    width: int
    method: dict[str, Any] = field(default_factory=lambda: FULL)
    training: dict[str, Any] = field(default_factory=dict)
    steps: int = STEPS


def shape(hidden: int, layers: int, heads: int, shared: int, wide: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "intermediate_size": wide,
        "head_dim": 64,
        **more,
    }


TINY, SMALL, MIDDLE = shape(192, 3, 3, 1, 512), shape(384, 8, 6, 2, 1024), shape(512, 10, 8, 4, 1536)
LARGE = shape(768, 14, 12, 4, 2048, tie_word_embeddings=True)
GPT = {**MIDDLE, "tie_word_embeddings": False}
GEMMA = shape(512, 8, 4, 1, 2048, head_dim=128, sliding_window=128)
BF16, CHECKPOINTS = {"precision": "bf16"}, {"gradient_checkpointing": True}
TWO_PARTS, TWO_PROCESSES = {"gradient_accumulation_steps": 2}, {"processes": 2}
REPLIES = {"num_generations": 4, "max_completion_length": 48}
PPO = {"name": "ppo", "rollout_batch_size": 32, "num_ppo_epochs": 2, "max_completion_length": 48}

CASES = {
    "1.4M Qwen3, pretrain, muon": Case("pretrain", "Qwen3", TINY, 1280, 16, 64, training={"optim": "muon"}, steps=12),
    "14M Qwen3, sft": Case("sft", "Qwen3", SMALL, 4096, 16, 128),
    "14M Qwen3, grpo": Case("align", "Qwen3", SMALL, 4096, 16, 96, {"name": "grpo", **REPLIES}),
    "14M Qwen3, ppo": Case("align", "Qwen3", SMALL, 4096, 16, 96, PPO),
    "48M Llama, kto": Case("align", "Llama", GPT, 16_384, 4, 256, {"name": "kto"}),
    "48M Llama, sft, 2 processes": Case("sft", "Llama", GPT, 16_384, 2, 256, training=TWO_PROCESSES),
    "14M Qwen3, reward, bf16": Case("reward", "Qwen3", SMALL, 4096, 4, 192, training=BF16),
    "48M Llama, dpo": Case("align", "Llama", GPT, 16_384, 2, 256, {"name": "dpo"}),
    "48M Llama, pretrain, 2 parts": Case("pretrain", "Llama", GPT, 16_384, 2, 384, training=TWO_PARTS),
    "48M Llama, LoRA": Case("sft", "Llama", GPT, 16_384, 6, 256, LORA),
    "98M Gemma3, sft": Case("sft", "Gemma3Text", GEMMA, 131_072, 2, 192),
    "98M Gemma3, LoRA, checkpointing": Case("sft", "Gemma3Text", GEMMA, 131_072, 4, 320, LORA, CHECKPOINTS),
    "98M Gemma3, reward, checkpointing": Case("reward", "Gemma3Text", GEMMA, 131_072, 2, 320, training=CHECKPOINTS),
    "138M Qwen3, LoRA": Case("sft", "Qwen3", LARGE, 65_536, 1, 512, LORA),
    "138M Qwen3, sft, checkpointing": Case("sft", "Qwen3", LARGE, 65_536, 2, 192, training=CHECKPOINTS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for models, rows and logs; made")
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--make", action="store_true", help="only make the project of the case")
    given = parser.parse_args()
    folder = given.folder.resolve()
    names = given.case or list(CASES)
    if given.make:
        make(folder, CASES[names[0]])
        return
    heads = ["training", "MiB forecast", "measured", "apart", "seconds a step forecast", "measured", "apart"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
    for name in names:
        print(line(folder, name), flush=True)


def line(folder: Path, name: str) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "bench.forecast", str(folder), "--case", name, "--make"], ROOT)
    case = CASES[name]
    said = planned(folder, case)
    measured, seconds = trained(folder, case)
    memory, step = said["memory"] / 2**20, said["step"]
    cells = [name, f"{memory:,.0f}", f"{measured:,.0f}", f"{memory / measured - 1:+.0%}"]
    return f"| {' | '.join([*cells, f'{step:.2f}', f'{seconds:.2f}', f'{step / seconds:.2f} ×'])} |"


def words(case: Case) -> list[str]:
    return [case.stage, *(["it"] if case.stage in ("sft", "align") else [])]


def planned(folder: Path, case: Case) -> dict[str, float]:
    found: dict[str, float] = json.loads(run([sys.executable, "-m", "lingyu", "plan", "@".join(words(case)), "--json"], folder))
    return found


def trained(folder: Path, case: Case) -> tuple[float, float]:
    """MiB of the stage's process, and the processor's seconds of its steps but the first."""
    clock = folder / "clock.json"
    stage, *item = words(case)
    environment = {**inherited(), "PYTHONPATH": f"{CLOCK}:{ROOT}", "STEP_CLOCK": str(clock), "HF_HUB_OFFLINE": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", f"stages.{stage}", *item], cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}:\n{(folder / 'log').read_text(errors='replace')[-3000:]}")
    steps = [seconds for _, seconds in json.loads(clock.read_text())["steps"][1:]]
    return used.ru_maxrss / 2**10, sum(steps) / len(steps)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env={**inherited(), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr[-3000:]}")
    return done.stdout


def inherited() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in {"PYTHONDONTWRITEBYTECODE", "LINGYU_WARM", "PYTHONPATH"}}


def make(folder: Path, case: Case) -> None:
    """A project with a random model, rows of exactly the width, and what the stage reads besides."""
    from lingyu.files import write_table
    from lingyu.records import Dialogue, Document, Message, Preference, Question

    tokenizer = build(folder / "out/start/model", case)
    known = letters(tokenizer)
    row = {"source": "made", "licence": "CC0-1.0", "scope": "domain", "language": "zh"}
    row |= {"task": "chat", "references": [], "method": "given", "teacher": "", "prompt_hash": "", "review": ""}
    accumulated = case.training.get("gradient_accumulation_steps", 1)
    batch = case.rows * accumulated * case.training.get("processes", 1)
    asked = "？"
    over = len(tokenizer.encode("User: ？\n\nAssistant:", add_special_tokens=False)) + 1
    for part, count in (("train", batch * case.steps), ("dev", 2 * case.rows)):
        texts = [known[number : number + case.width - over] for number in range(count)]
        to = folder / "out/mix" / part
        plain = {key: row[key] for key in ("source", "licence", "scope", "language")}
        blocks = [text + known[: case.width - len(text) - 1] for text in texts]
        write_table(
            to / "pretrain.parquet",
            [Document(**plain, id=f"d{n}", place=str(n), title="", section="", text=t) for n, t in enumerate(blocks)],
            Document,
        )
        pairs = [[Message(role="user", content=asked), Message(role="assistant", content=text)] for text in texts]
        write_table(
            to / "sft.parquet", [Dialogue(**row, id=f"q{n}", place=str(n), messages=pair) for n, pair in enumerate(pairs)], Dialogue
        )
        preferences = [
            Preference(**row, id=f"p{n}", place=str(n), messages=[Message(role="user", content=asked)], chosen=text, rejected=text[::-1])
            for n, text in enumerate(texts)
        ]
        write_table(to / "preference.parquet", preferences, Preference)
    if case.method["name"] in SAMPLING:
        made = case.method.get("num_generations", case.rows / case.method.get("rollout_batch_size", 1))
        room = case.width - case.method["max_completion_length"] - over
        prompts = [known[n : n + room] for n in range(int(case.rows * case.steps / made) + 4)]
        questions = [
            Question(**row, id=f"a{n}", place=str(n), messages=[Message(role="user", content=text)], answer="", wrong=[], known="")
            for n, text in enumerate(prompts)
        ]
        write_table(folder / "out/mix/train/prompts.parquet", questions, Question)
        build(folder / "out/reward/model", case, "SequenceClassification")
    training = {"threads": 1, "global_batch_size": batch, "max_length": case.width, "num_train_epochs": 1, "learning_rate": 1.0e-5}
    training |= {"evaluations": 1, **case.training}
    method = case.method | ({"dev_prompts": 4} if case.method["name"] in SAMPLING else {})
    sections: dict[str, Any] = {
        "pretrain": {"pretrain": {**training, "instructions": False, "method": method}},
        "reward": {"reward": {**training, "start": "start"}},
    }.get(case.stage) or {case.stage: {"common": training, "candidates": {"it": {"start": "start", "method": method}}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    (folder / "out/extend").symlink_to("start")


def letters(tokenizer: Any) -> str:
    """Characters of one token each, over and over."""
    from bench.training_data import Writer

    text = Writer(7).walk(4000, 0)[0]
    some = "".join(letter for letter in text if len(tokenizer.encode(letter, add_special_tokens=False)) == 1)
    return some * (1 + 8192 // len(some))


def build(folder: Path, case: Case, head: str = "CausalLM") -> Any:
    import torch
    import transformers

    from bench.training_data import bench_tokenizer
    from lingyu.model.load import save

    tokenizer = bench_tokenizer(1280, 2048)
    config = getattr(transformers, f"{case.family}Config")(
        **case.shape,
        vocab_size=case.words,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    if head != "CausalLM":
        config.num_labels = 1
    torch.manual_seed(17)
    kind = getattr(transformers, f"AutoModelFor{head}")
    model = kind.from_config(config, dtype=torch.float32)
    if head == "CausalLM":
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    save(model, tokenizer, folder)
    return tokenizer


if __name__ == "__main__":
    main()
