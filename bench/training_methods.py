"""training_methods: what every training method was seen to do. `python -m bench.training_methods [names …]`

Reads   params.yaml           what is common to the candidates of a stage
        out/extend/model, out/reward/model, out/mix, which `dvc repro` made; --out names another folder
Writes  docs/training.md      what stands between the marks <!-- training methods --> and <!-- /training methods -->, unless
                              methods are named

Each method trains by its own stage on some rows of the mixed tables: once to the end, and once killed with SIGKILL and started
again. A fresh process then opens the folders as evaluation and service do. A method of another stage is a line in TRIED.
"""

import argparse
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.results import table
from lingyu.files import read_json, read_table, write_table
from lingyu.records import Dialogue, Preference, Question
from lingyu.stage import read_yaml
from lingyu.warm import VARIABLE

OPENED, CLOSED = "<!-- training methods -->", "<!-- /training methods -->"
PAGE = Path("docs/training.md")
ROWS = {"train": 48, "dev": 8}
TABLES = {"sft": Dialogue, "preference": Preference, "prompts": Question}
LONGEST = 256
# Beside what params.yaml has in common for the stage.
CHANGES = {"threads": 1, "max_length": LONGEST, "batch_size": 8, "epochs": 2, "evaluations": 4, "weight_decay": 0.0}

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
VOCABULARY = {"vocabulary": "none"}
LORA = {
    "name": "lora", "rank": 16, "alpha": 32, "dropout": 0.0, "rank_stabilised": False, "decomposed": False, "begin": "zero",
    "targets": ALL, **VOCABULARY,
}  # fmt: skip
WORDS = {"tokens": 16, "text": "", **VOCABULARY}


@dataclass(frozen=True)
class Tried:
    """A method of a stage. measure: the column of curves.csv to go by, down or up; again: it is the loss over the dev replies."""

    stage: str
    title: str
    learning_rate: float
    method: dict[str, Any]
    measure: str = "eval_loss"
    up: bool = False
    again: bool = True

    @property
    def name(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


TRIED = [
    Tried("sft", "full", 1e-3, {"name": "full"}),
    Tried("sft", "freeze", 2e-3, {"name": "freeze", "layers": 1, **VOCABULARY}),
    Tried("sft", "LoRA", 5e-3, LORA),
    Tried("sft", "rsLoRA", 5e-3, {**LORA, "rank_stabilised": True}),
    Tried("sft", "DoRA", 5e-3, {**LORA, "decomposed": True}),
    Tried("sft", "PiSSA", 1e-3, {**LORA, "begin": "pissa"}),
    Tried("sft", "LoRA, new rows", 5e-3, {**LORA, "vocabulary": "new"}),
    Tried("sft", "LoRA, all rows", 5e-3, {**LORA, "vocabulary": "all"}),
    Tried("sft", "IA3", 2e-2, {"name": "ia3", "targets": ["k_proj", "v_proj", "down_proj"], "feedforward": ["down_proj"], **VOCABULARY}),
    Tried("sft", "OFT", 5e-3, {"name": "oft", "block_size": 32, "dropout": 0.0, "targets": ALL, **VOCABULARY}),
    Tried("sft", "prompt tuning", 5e-2, {"name": "prompt", **WORDS}),
    Tried("sft", "P-tuning, MLP", 1e-2, {"name": "ptuning", **WORDS, "encoder": "mlp", "encoder_size": 128}),
    Tried("sft", "P-tuning, LSTM", 1e-2, {"name": "ptuning", **WORDS, "encoder": "lstm", "encoder_size": 64}),
    Tried("sft", "prefix tuning", 5e-2, {"name": "prefix", **WORDS}),
    Tried("sft", "P-tuning v2", 1e-2, {"name": "ptuning_v2", **WORDS, "encoder_size": 128}),
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
]
HEAD = ("method", "learns", "measured", "loss falls", "reloads equal", "merges", "resumes equal", "served")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.training_methods")
    arguments.add_argument("names", nargs="*", metavar="name", help=", ".join(tried.name for tried in TRIED))
    arguments.add_argument("--out", type=Path, default=Path("out"))
    told = arguments.parse_args()
    if unknown := set(told.names) - {tried.name for tried in TRIED}:
        arguments.error(f"no method is called {', '.join(sorted(unknown))}")
    if VARIABLE not in os.environ:  # the stages' imports are paid once
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        os.execve(sys.executable, [sys.executable, "-m", "lingyu.warm", sys.executable, "-m", __spec__.name, *sys.argv[1:]], environment)
    with tempfile.TemporaryDirectory() as folder:
        chosen = [tried for tried in TRIED if not told.names or tried.name in told.names]
        seen = []
        for tried in chosen:
            seen.append(trained_twice(tried, Path(folder, tried.name), told.out))
            print(f"{tried.title}: {seen[-1]}", file=sys.stderr, flush=True)
        rows = [HEAD, *(row_of(*each) for each in zip(chosen, seen, probed(chosen, Path(folder)), strict=True))]
    if not told.names:
        page = PAGE.read_text(encoding="utf-8")
        head, tail = page.partition(OPENED)[0], page.partition(CLOSED)[2]
        PAGE.write_text(f"{head}{OPENED}\n{table(rows)}\n{CLOSED}{tail}", encoding="utf-8")
    print(table(rows))


def trained_twice(tried: Tried, folder: Path, made: Path) -> dict[str, Any]:
    """What training to the end told, and whether training that was killed came to the same bytes."""
    whole, broken = (project(folder / name, tried, made) for name in ("whole", "broken"))
    steps = trained(whole, tried, None)
    trained(broken, tried, steps * 3 // 5)
    trained(broken, tried, None, resumed=True)
    out, again = (place / "out" / tried.stage / tried.name for place in (whole, broken))
    measured = list(column(out / "curves.csv", tried.measure))
    return {**read_json(out / "metrics.json"), "first": measured[0], "last": measured[-1], "resumes": contents(out) == contents(again)}


def row_of(tried: Tried, seen: dict[str, Any], asked: dict[str, Any]) -> tuple[str, ...]:
    share = seen["trainable_parameters"] / seen["parameters"]
    return (
        tried.title,
        f"{seen['trainable_parameters']:,} ({share:.1%})",
        f"{seen['first']:.3f} → {seen['last']:.3f}",
        said(seen["last"] > seen["first"] if tried.up else seen["last"] < seen["first"]),
        said(abs(asked["loss"] - seen["best_eval_loss"]) < 1e-5 if tried.again else asked["finite"]),
        "no: attached" if asked["attached"] else "yes",
        said(seen["resumes"]),
        said(asked["served"]),
    )


def said(holds: bool) -> str:
    return "yes" if holds else "**no**"


def project(folder: Path, tried: Tried, made: Path) -> Path:
    """A folder in which the stage runs: params.yaml, some rows of each table, the models it starts from."""
    for part, count in ROWS.items():
        for name, row in TABLES.items():
            source = made / "mix" / part / f"{name}.parquet"
            if source.exists():
                rows = sorted(read_table(source, row), key=lambda row: row.id)[:count]
                write_table(folder / "out" / "mix" / part / source.name, rows, row)
    for name, model in {"start": made / "extend" / "model", "reward": made / "reward" / "model"}.items():
        if model.exists():
            shutil.copytree(model, folder / "out" / name / "model")
    candidate = {"start": "start", "learning_rate": tried.learning_rate, "method": tried.method}
    common = read_yaml(Path("params.yaml"))[tried.stage]["common"]
    sections = {tried.stage: {"common": {**common, **CHANGES}, "candidates": {tried.name: candidate}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    return folder


def trained(folder: Path, tried: Tried, killed_at: int | None, resumed: bool = False) -> int:
    """Run the stage there, kill it once it has come to a step, if one is given; the number of steps."""
    command = [sys.executable, "-m", f"stages.{tried.stage}", tried.name]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines, steps = [], 0
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r" step (\d+)/(\d+)", line):
            steps = int(found[2])
            if killed_at is not None and int(found[1]) >= killed_at:
                process.kill()
                break
    process.communicate()
    if process.returncode != (0 if killed_at is None else -signal.SIGKILL):
        sys.exit("".join(lines))
    if resumed and not any("goes on from checkpoint-" in line for line in lines):
        sys.exit(f"{tried.name} began anew instead of going on:\n{''.join(lines)}")
    return steps


def column(path: Path, name: str) -> Iterator[float]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row[name]:
                yield float(row[name])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def probed(chosen: Sequence[Tried], folder: Path) -> list[dict[str, Any]]:
    """What a fresh process finds in the folders (`probe`)."""
    models = [str(folder / tried.name / "whole" / "out" / tried.stage / tried.name / "model") for tried in chosen]
    code = f"import json; from bench.training_methods import probe; print(json.dumps([probe(model) for model in {models!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return list(json.loads(done.stdout))


def probe(folder: str) -> dict[str, Any]:
    """The loss over the dev replies, as training measured it, and whether service says what the model says."""
    import asyncio

    import torch

    from lingyu.model.attached import is_attached
    from lingyu.model.chat import render
    from lingyu.model.load import load_model, load_tokenizer, prepare
    from lingyu.serve.engine import Sampling, TransformersEngine
    from lingyu.train.data import NOT_LEARNT, Padding, dialogues

    prepare(threads=1)
    model = Path(folder)
    tokenizer, loaded = load_tokenizer(model), load_model(model, LONGEST).eval()
    rows = list(read_table(model.parents[2] / "mix" / "dev" / "sft.parquet", Dialogue))
    batch = Padding(tokenizer.pad_token_id)(list(dialogues(rows, tokenizer, LONGEST)))
    with torch.no_grad():
        logits = loaded(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    learnt = batch["labels"][:, 1:] != NOT_LEARNT
    loss = torch.nn.functional.cross_entropy(logits[:, :-1][learnt], batch["labels"][:, 1:][learnt]).item()

    text = render(rows[0].messages[:-1], tokenizer.chat_template, add_generation_prompt=True)
    prompt = tokenizer.encode(text, add_special_tokens=False)
    expected = loaded.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt) :].tolist()

    async def reply() -> list[int]:
        sampling = Sampling(max_tokens=24, temperature=0, top_p=1, seed=0)
        return [token async for token in TransformersEngine(model).tokens(prompt, sampling)]

    finite = bool(torch.isfinite(logits).all())
    return {"loss": loss, "finite": finite, "attached": is_attached(loaded), "served": asyncio.run(reply()) == expected != []}


if __name__ == "__main__":
    main()
