"""training_methods: what every training method was seen to do. `python -m bench.training_methods [names …]`

Reads   out/extend/model, out/sft/full/model, out/reward/model, out/mix, which `dvc repro` made; --out names another folder
Writes  docs/training.md      what stands between the marks <!-- training methods --> and <!-- /training methods -->, unless
                              methods are named

Each method trains by its own stage on some rows of the mixed tables: once to the end, and again and again killed with SIGKILL at
random moments (--kills) and started anew; each result is compared byte by byte with the first, and started once more.
A fresh process then opens the folders as evaluation and service do.
"""

import argparse
import csv
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.results import table
from lingyu.files import read_json, read_table, write_table
from lingyu.records import Dialogue, Document, Preference, Question
from lingyu.runtime.warm import VARIABLE

OPENED, CLOSED = "<!-- training methods -->", "<!-- /training methods -->"
PAGE = Path("docs/training.md")
ROWS = {"train": 48, "dev": 16}
TABLES = {"pretrain": Document, "sft": Dialogue, "preference": Preference, "prompts": Question}
LONGEST = 256
# Beside the defaults of the stage.
CHANGES = {"threads": 1, "max_length": LONGEST, "global_batch_size": 8, "evaluations": 4, "weight_decay": 0.0}

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
VOCABULARY = {"trainable_tokens": "none"}
LORA = {
    "name": "lora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "use_rslora": False, "use_dora": False, "init_lora_weights": True,
    "target_modules": ALL, **VOCABULARY,
}  # fmt: skip
WORDS = {"num_virtual_tokens": 16, "prompt_tuning_init_text": "", **VOCABULARY}


SAMPLING = {
    "rewards": [{"name": "length", "weight": 1.0, "characters": 4}],
    "max_completion_length": 12,
    "temperature": 1.0,
    "dev_prompts": 8,
}
GROUPS = {**SAMPLING, "beta": 0.01, "num_generations": 4}
ROLLOUTS = {
    "rollout_batch_size": 16, "num_ppo_epochs": 2, "cliprange": 0.2, "cliprange_value": 0.2, "vf_coef": 0.1, "gamma": 1.0,
    "gae_lambda": 0.95, "normalize_rewards": True, "kl": {"init_kl_coef": 0.01, "target": 6.0, "horizon": 200},
}  # fmt: skip
DPO = {"name": "dpo", "loss_type": "sigmoid", "beta": 0.1, "label_smoothing": 0.0, "sft_weight": 0.0}


@dataclass(frozen=True)
class Tried:
    """A method of a stage; method None: the stage has but one. measure: the column of curves.csv to go by, down or up."""

    stage: str
    title: str
    learning_rate: float
    method: dict[str, Any] | None
    measure: str = "eval_loss"
    up: bool = False
    epochs: int = 2

    @property
    def name(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def made(self) -> str:
        """What the stage writes, within the folder out."""
        return f"{self.stage}/{self.name}" if self.method else self.stage


TRIED = [
    Tried("pretrain", "pretraining", 5e-3, None),
    Tried("sft", "full", 1e-3, {"name": "full"}),
    Tried("sft", "freeze", 2e-3, {"name": "freeze", "layers": 1, **VOCABULARY}),
    Tried("sft", "LoRA", 5e-3, LORA),
    Tried("sft", "rsLoRA", 5e-3, {**LORA, "use_rslora": True}),
    Tried("sft", "DoRA", 5e-3, {**LORA, "use_dora": True}),
    Tried("sft", "PiSSA", 1e-3, {**LORA, "init_lora_weights": "pissa"}),
    Tried("sft", "LoRA, new rows", 5e-3, {**LORA, "trainable_tokens": "new"}),
    Tried("sft", "LoRA, all rows", 5e-3, {**LORA, "trainable_tokens": "all"}),
    Tried(
        "sft",
        "IA3",
        2e-2,
        {"name": "ia3", "target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"], **VOCABULARY},
    ),
    Tried("sft", "OFT", 5e-3, {"name": "oft", "oft_block_size": 32, "module_dropout": 0.0, "target_modules": ALL, **VOCABULARY}),
    Tried("sft", "prompt tuning", 1e-2, {"name": "prompt", **WORDS}),
    Tried("sft", "P-tuning, MLP", 1e-2, {"name": "ptuning", **WORDS, "encoder_reparameterization_type": "MLP", "encoder_hidden_size": 128}),
    Tried(
        "sft", "P-tuning, LSTM", 1e-2, {"name": "ptuning", **WORDS, "encoder_reparameterization_type": "LSTM", "encoder_hidden_size": 64}
    ),
    Tried("sft", "prefix tuning", 5e-2, {"name": "prefix", **WORDS}),
    Tried("sft", "P-tuning v2", 1e-2, {"name": "ptuning_v2", **WORDS, "encoder_hidden_size": 128}),
    Tried(
        "sft",
        "bottleneck, Houlsby",
        5e-3,
        {"name": "bottleneck", "size": 32, "activation": "gelu", "after": ["attention", "feedforward"], **VOCABULARY},
    ),
    Tried(
        "sft",
        "bottleneck, Pfeiffer",
        5e-3,
        {"name": "bottleneck", "size": 32, "activation": "relu", "after": ["feedforward"], **VOCABULARY},
    ),
    Tried("reward", "reward model", 5e-4, None),
    Tried("align", "DPO", 3e-4, DPO),
    Tried("align", "DPO, IPO's loss", 1e-4, {**DPO, "loss_type": "ipo"}),
    Tried("align", "DPO, hinge", 1e-4, {**DPO, "loss_type": "hinge"}),
    Tried("align", "DPO, robust", 3e-4, {**DPO, "loss_type": "robust", "label_smoothing": 0.1}),
    Tried("align", "KTO", 1e-4, {"name": "kto", "beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0}),
    Tried("align", "ORPO", 1e-4, {"name": "orpo", "beta": 0.5}),
    Tried("align", "SimPO", 3e-4, {"name": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0}),
    Tried("align", "CPO", 1e-4, {"name": "cpo", "beta": 0.1, "cpo_alpha": 1.0}),
    Tried("align", "GRPO", 1e-3, {"name": "grpo", **GROUPS}, "eval_reward", up=True),
    Tried("align", "RLOO", 1e-3, {"name": "rloo", **GROUPS}, "eval_reward", up=True),
    Tried("align", "PPO", 1e-3, {"name": "ppo", **SAMPLING, **ROLLOUTS}, "eval_reward", up=True, epochs=8),
    Tried("align", "best of n", 3e-4, {"name": "best_of", **SAMPLING, "num_generations": 4, "sampling_batch_size": 8, "min_reward": None}),
]
HEAD = ("method", "learns", "measured", "loss falls, reward rises", "reloads equal", "merges", "resumes equal", "served")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.training_methods")
    arguments.add_argument("names", nargs="*", metavar="name", help=", ".join(tried.name for tried in TRIED))
    arguments.add_argument("--out", type=Path, default=Path("out"))
    arguments.add_argument("--kills", type=int, default=20)
    told = arguments.parse_args()
    if unknown := set(told.names) - {tried.name for tried in TRIED}:
        arguments.error(f"no method is called {', '.join(sorted(unknown))}")
    if VARIABLE not in os.environ:  # the stages' imports are paid once
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        os.execve(
            sys.executable, [sys.executable, "-m", "lingyu.runtime.warm", sys.executable, "-m", __spec__.name, *sys.argv[1:]], environment
        )
    with tempfile.TemporaryDirectory() as folder:
        chosen = [tried for tried in TRIED if not told.names or tried.name in told.names]
        seen = []
        for tried in chosen:
            seen.append(tried_out(tried, Path(folder, tried.name), told.out, told.kills))
            print(f"{tried.title}: {seen[-1]}", file=sys.stderr, flush=True)
        rows = [HEAD, *(row_of(*each) for each in zip(chosen, seen, probed(chosen, seen, Path(folder)), strict=True))]
    if not told.names:
        page = PAGE.read_text(encoding="utf-8")
        head, tail = page.partition(OPENED)[0], page.partition(CLOSED)[2]
        PAGE.write_text(f"{head}{OPENED}\n{table(rows)}\n{CLOSED}{tail}", encoding="utf-8")
    print(table(rows))


def tried_out(tried: Tried, folder: Path, made: Path, kills: int) -> dict[str, Any]:
    """What an uninterrupted training reports, and whether each killed and resumed one ends with the same bytes."""
    whole, broken = (project(folder / name, tried, made) for name in ("whole", "broken"))
    out, again = (place / "out" / tried.made for place in (whole, broken))
    began = time.monotonic()
    trained(whole, tried, None)
    longest = time.monotonic() - began
    chance, done, went_on, same = random.Random(tried.name), 0, 0, []
    while done < kills or not same:
        ended, resumed = trained(broken, tried, chance.uniform(0, longest) if done < kills else None)
        done, went_on = done + (not ended), went_on + resumed
        if ended:
            same.append(contents(out) == contents(again))
            shutil.rmtree(again)
            shutil.rmtree(broken / ".lingyu")
    measured = list(column(out / "curves.csv", tried.measure))
    told = {"first": measured[0], "last": measured[-1], "kills": done, "went_on": went_on, "same": sum(same), "ended": len(same)}
    return {**read_json(out / "metrics.json"), **told}


def row_of(tried: Tried, seen: dict[str, Any], asked: dict[str, Any]) -> tuple[str, ...]:
    share = seen["trainable_parameters"] / seen["parameters"]
    return (
        tried.title,
        f"{seen['trainable_parameters']:,} ({share:.1%})",
        f"{seen['first']:.3f} → {seen['last']:.3f}",
        yes_or_no(seen["last"] > seen["first"] if tried.up else seen["last"] < seen["first"]),
        yes_or_no(abs(asked["loss"] - seen["best_eval_loss"]) < 1e-5 if tried.stage == "sft" else asked["same"]),
        "no: attached" if asked["attached"] else "yes",
        f"{yes_or_no(seen['same'] == seen['ended'])}, {seen['kills']} kills, {seen['ended']} ends",
        yes_or_no(asked["served"]) if "served" in asked else "no: it judges",
    )


def yes_or_no(holds: bool) -> str:
    return "yes" if holds else "**no**"


def project(folder: Path, tried: Tried, made: Path) -> Path:
    """A folder in which the stage runs: params.yaml, some rows of each table, the models it starts from."""
    for part, count in ROWS.items():
        for name, row in TABLES.items():
            source = made / "mix" / part / f"{name}.parquet"
            if source.exists():
                rows = sorted(read_table(source, row), key=lambda row: row.id)
                rows = random.Random(0).sample(rows, min(count, len(rows)))
                write_table(folder / "out" / "mix" / part / source.name, rows, row)
    begun = made / ("extend" if tried.stage in ("pretrain", "sft") else "sft/full") / "model"
    shutil.copytree(begun, folder / "out" / ("extend" if tried.stage == "pretrain" else "start") / "model")
    if tried.stage == "align":
        shutil.copytree(made / "reward" / "model", folder / "out" / "reward" / "model")
    fields = importlib.import_module(f"stages.{tried.stage}").Params.model_fields
    own = {"start": "start", "learning_rate": tried.learning_rate, "num_train_epochs": tried.epochs}
    own |= {"optim": "muon"} if tried.stage == "pretrain" else {}  # as params.yaml has it
    section = {**CHANGES, **({"start_share": 0.0} if "start_share" in fields else {})}  # what training changed, not half of it
    if tried.method:
        section = {"common": section, "candidates": {tried.name: {**own, "method": tried.method}}}
    else:
        section |= {key: value for key, value in own.items() if key in fields}
    (folder / "params.yaml").write_text(yaml.safe_dump({tried.stage: section}), encoding="utf-8")
    return folder


def trained(folder: Path, tried: Tried, killed_after: float | None) -> tuple[bool, bool]:
    """Run the stage there, kill it after so many seconds, if any are given; whether it ended of itself, and whether it had gone on."""
    command = [sys.executable, "-m", f"stages.{tried.stage}", *([tried.name] if tried.method else [])]
    environment = {**os.environ, "LINGYU_KEEP_CHECKPOINTS": "1"}  # for `probe`
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = process.communicate(timeout=killed_after)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[1]
    if process.returncode not in (0, -signal.SIGKILL):
        sys.exit(said)
    return process.returncode == 0, "goes on from checkpoint-" in said


def column(path: Path, name: str) -> Iterator[float]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row[name]:
                yield float(row[name])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def probed(chosen: Sequence[Tried], seen: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What a fresh process finds in the folders (`probe`)."""
    given = [(str(folder / tried.name / "whole"), tried.made, told["best_step"]) for tried, told in zip(chosen, seen, strict=True)]
    code = f"import json; from bench.training_methods import probe; print(json.dumps([probe(*each) for each in {given!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return list(json.loads(done.stdout))


def probe(folder: str, made: str, best_step: int) -> dict[str, Any]:
    """The loss over the dev replies, whether the weights are those of the best checkpoint, whether service says what the model says."""
    import torch
    from safetensors.torch import load_file

    from lingyu.model.attached import is_attached
    from lingyu.model.load import load_model, load_scorer, load_tokenizer, prepare
    from lingyu.train.data import NOT_LEARNT, Padding, dialogues

    prepare(threads=1)
    model = Path(folder, "out", made, "model")
    tokenizer, loaded = load_tokenizer(model), (load_scorer if made == "reward" else load_model)(model, LONGEST).eval()
    weights = loaded.state_dict()
    (best,) = Path(folder, ".lingyu").glob(f"*/*/checkpoint-{best_step}")
    kept = load_file(best / "model.safetensors") if (best / "model.safetensors").exists() else {}
    both = weights.keys() & kept.keys()
    found = {"attached": is_attached(loaded), "same": bool(both) and all(torch.equal(weights[name], kept[name]) for name in both)}
    if made == "reward":
        return found
    rows = list(read_table(Path(folder, "out/mix/dev/sft.parquet"), Dialogue))
    batch = Padding(tokenizer.pad_token_id)(list(dialogues(rows, tokenizer, LONGEST)))
    with torch.no_grad():
        logits = loaded(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    learnt = batch["labels"][:, 1:] != NOT_LEARNT
    loss = torch.nn.functional.cross_entropy(logits[:, :-1][learnt], batch["labels"][:, 1:][learnt]).item()
    return {**found, "loss": loss, "served": said_by_service(model, tokenizer, loaded, rows[0])}


def said_by_service(folder: Path, tokenizer: Any, model: Any, row: Dialogue) -> bool:
    """Whether the service's engine replies what the model does."""
    import asyncio

    import torch

    from lingyu.model.chat import Chat
    from lingyu.serve.engine import Sampling, TransformersEngine

    text = Chat.of(tokenizer).render(row.messages[:-1], add_generation_prompt=True)
    prompt = tokenizer.encode(text, add_special_tokens=False)
    expected = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt) :].tolist()

    async def reply() -> list[int]:
        sampling = Sampling(max_tokens=24, temperature=0, top_p=1, seed=0)
        return [token.id async for token in TransformersEngine(folder).tokens(prompt, sampling)]

    return asyncio.run(reply()) == expected != []


if __name__ == "__main__":
    main()
