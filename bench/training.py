"""Pretraining and fine-tuning beside LLaMA-Factory: the same model, rows, batches, rates and number format.

    python -m bench.training FOLDER [--peer VENV] [--beside CHECKOUT] [--rounds 3] [--stage sft] [--settings defaults …] [--shape tiny]

VENV is an environment with llamafactory 0.9.5 (docs/benchmarks.md says how to make it), CHECKOUT another version of this project. Every
run is a whole process, as a person would start it: our stage by `python -m stages.NAME` in a project of its own, the peer by
`llamafactory-cli train FILE`. They take turns within a round, which has one seed, and a ratio is of two runs of one round. Both train,
without being told of it, under one clock (bench/clock): tokens a second are those of the rows, padding not counted, over the steps' time,
without dev loss and checkpoints, which both do as often. Of what each leaves behind the dev loss is measured by one function.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
CLOCK = ROOT / "bench" / "clock"
STAGES = {"pretrain": "pt", "sft": "sft"}
CANDIDATE = "full"
BASE = Path("out/extend/model")
PEER_OUT = "peer/out"
BESIDE = "lingyu beside"
BATCH = 16
BLOCK = 64  # tokens of a packed block, as in params.yaml; a dialogue may have up to LONGEST
LONGEST = 256
EVALUATIONS = 2
SEED = 17
# The base of params.yaml, and one of five million parameters.
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {},
    "5M": {
        "vocabulary": 4096,
        "hidden_size": 256,
        "layers": 5,
        "heads": 4,
        "key_value_heads": 2,
        "head_size": 64,
        "intermediate_size": 704,
    },
}
# What may be turned for speed without changing what is learnt. Its defaults checkpoint activations and take SDPA.
PEER: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no checkpointing": {"disable_gradient_checkpointing": True},
    "eager": {"disable_gradient_checkpointing": True, "flash_attn": "disabled"},
    "grouped": {"disable_gradient_checkpointing": True, "train_sampling_strategy": "group_by_length"},
    "eager grouped": {"disable_gradient_checkpointing": True, "flash_attn": "disabled", "train_sampling_strategy": "group_by_length"},
    "packed": {"disable_gradient_checkpointing": True, "neat_packing": True, "per_device_train_batch_size": 4},
    "workers": {
        "disable_gradient_checkpointing": True,
        "train_sampling_strategy": "group_by_length",
        "dataloader_num_workers": 1,
        "preprocessing_num_workers": 2,
    },
}


@dataclass(frozen=True)
class Run:
    """seconds: of the whole process. first: until the first step began. steps: each one's seconds on the clock, and of processors."""

    seconds: float
    first: float
    steps: list[tuple[float, float]]
    megabytes: float
    gpu: float
    loss: float = float("nan")

    @property
    def trained(self) -> float:
        return sum(step for step, _ in self.steps)

    @property
    def cpu(self) -> float:
        return sum(cpu for _, cpu in self.steps)


class Failed(SystemExit):
    """A contestant that did not end well, and what it said."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.said = log.read_text(encoding="utf-8", errors="replace")


def main() -> None:
    from lingyu.model.load import prepare

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for data, models and logs; made")
    parser.add_argument("--peer", type=Path, metavar="VENV")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tokens", type=int, default=150_000, help="about, that each run trains on")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--stage", choices=STAGES, action="append")
    parser.add_argument("--settings", choices=PEER, action="append", help="of the peer; all unless given")
    given = parser.parse_args()
    folder = given.folder.resolve()
    prepare(given.threads)
    make(folder, given.shape, given.tokens, given.threads)
    for stage in given.stage or STAGES:
        names = ["lingyu", *([BESIDE] if given.beside else [])]
        if given.peer:
            names += [
                name
                for name in given.settings or PEER
                if stage == "sft" or not {"neat_packing", "train_sampling_strategy"} & set(PEER[name])
            ]
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for number in range(given.rounds):
            sow(folder, SEED + number)
            for name in names:
                runs[name].append(run(folder, stage, name, given.peer, given.beside, given.threads))
        for line in table(stage, tokens(folder, stage), runs):
            print(line, flush=True)


def make(folder: Path, shape: str, count: int, threads: int) -> None:
    """The base, the rows in both forms, and a project in which our stages find them."""
    from bench.training_data import Writer, build_base
    from lingyu.model.tiny import Shape

    shutil.rmtree(folder, ignore_errors=True)
    params = parameters()
    build_base(folder / BASE, Shape(**params["base"]["shape"] | SHAPES[shape]), SEED)
    for part, share, seed in (("train", 1.0, 1), ("dev", 0.05, 2)):
        writer = Writer(seed)
        texts = writer.documents(max(1, round(count * share / 800)))
        write_rows(folder, part, texts, list(writer.dialogues(max(1, round(count * share / 80)))))
    same = {"seed": SEED, "threads": threads, "batch_size": BATCH, "epochs": 1, "optimizer": "adamw_torch_fused", "learning_rate": 2.0e-3}
    same |= {"precision": "fp32", "evaluations": EVALUATIONS}
    pretrain = params["pretrain"] | same | {"max_length": BLOCK, "instructions": False}
    candidate = params["sft"]["candidates"][CANDIDATE] | {"start": "extend"}
    sft = {"common": params["sft"]["common"] | same | {"max_length": LONGEST}, "candidates": {CANDIDATE: candidate}}
    make_project(folder, {"pretrain": pretrain, "sft": sft})


def parameters() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return found


def write_rows(folder: Path, part: str, texts: list[str], pairs: list[tuple[str, str]]) -> None:
    """Documents, and questions with their replies, where our stages and where the peer look for them."""
    from lingyu.files import write_json, write_jsonl, write_table
    from lingyu.records import Dialogue, Document, Message

    row = {"source": "made", "licence": "CC0-1.0", "scope": "domain", "language": "zh"}
    made = {"task": "chat", "references": [], "method": "given", "teacher": "", "prompt_hash": "", "review": ""}
    documents = [Document(**row, id=f"d{i}", place=str(i), title="", section="", text=text) for i, text in enumerate(texts)]
    turns = [[Message(role="user", content=asked), Message(role="assistant", content=replied)] for asked, replied in pairs]
    dialogues = [Dialogue(**row, **made, id=f"q{i}", place=str(i), messages=messages) for i, messages in enumerate(turns)]
    write_table(folder / "out/mix" / part / "pretrain.parquet", documents, Document)
    write_table(folder / "out/mix" / part / "sft.parquet", dialogues, Dialogue)
    write_jsonl(folder / "peer" / f"pretrain-{part}.jsonl", ({"text": text} for text in texts))
    write_jsonl(folder / "peer" / f"sft-{part}.jsonl", ({"instruction": asked, "output": replied} for asked, replied in pairs))
    columns = {"pretrain": {"prompt": "text"}, "sft": {"prompt": "instruction", "response": "output"}}
    names = [(stage, f"{stage}-{part}") for stage in STAGES for part in ("train", "dev")]
    write_json(
        folder / "peer" / "dataset_info.json", {name: {"file_name": f"{name}.jsonl", "columns": columns[stage]} for stage, name in names}
    )


def make_project(folder: Path, sections: dict[str, Any]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    link(folder, ROOT)


def sow(folder: Path, seed: int) -> None:
    """Have both sides draw from this seed: each has another order of the rows, and the loss after so few steps is partly chance."""
    sections = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    sections["pretrain"]["seed"] = sections["sft"]["common"]["seed"] = seed
    make_project(folder, sections)


def link(folder: Path, checkout: Path) -> None:
    """Have the project run the code of this checkout."""
    for package in ("lingyu", "stages"):
        (folder / package).unlink(missing_ok=True)
        (folder / package).symlink_to(checkout / package)


def run(folder: Path, stage: str, name: str, peer: Path | None, beside: Path | None, threads: int) -> Run:
    """One process from its start to its end, and the dev loss of the model it wrote."""
    if name == "lingyu" or name == BESIDE or peer is None:
        link(folder, beside.resolve() if beside and name == BESIDE else ROOT)
        model = folder / "out" / (stage if stage == "pretrain" else f"sft/{CANDIDATE}") / "model"
        ran = ours(folder, stage, threads)
    else:
        model = folder / PEER_OUT
        ran = peers(folder, name, peer, peer_settings(folder, stage, PEER[name]), threads)
    ran = replace(ran, loss=dev_loss(folder, stage, model))
    line = f"{len(ran.steps)} steps {ran.trained:.1f} s ({ran.cpu:.1f} of processors), dev loss {ran.loss:.4f}"
    print(f"{stage}, {name}: {ran.seconds:.1f} s, {line}", file=sys.stderr, flush=True)
    return ran


def ours(folder: Path, stage: str, threads: int, candidate: str = CANDIDATE) -> Run:
    """Our stage in the project of this folder."""
    for left in (".lingyu", f"out/{stage}"):
        shutil.rmtree(folder / left, ignore_errors=True)
    return clocked(folder, "lingyu", [sys.executable, "-m", f"stages.{stage}", *([candidate] if stage == "sft" else [])], threads)


def peers(folder: Path, name: str, peer: Path, settings: dict[str, Any], threads: int) -> Run:
    """The peer with these settings; nothing that it kept of an earlier run is there."""
    for left in (PEER_OUT, "peer/cache"):
        shutil.rmtree(folder / left, ignore_errors=True)
    (folder / "peer.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return clocked(folder, name, [str(peer.absolute() / "bin" / "llamafactory-cli"), "train", "peer.yaml"], threads)


def clocked(folder: Path, name: str, command: list[str], threads: int) -> Run:
    log, clock = folder / f"{name}.log", folder / "clock.json"
    clock.unlink(missing_ok=True)
    hidden = {"PYTHONDONTWRITEBYTECODE", "LINGYU_WARM"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | {
        "PYTHONPATH": os.pathsep.join([str(CLOCK), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "STEP_CLOCK": str(clock),
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "peer" / "cache"),
        "DISABLE_VERSION_CHECK": "1",
    }
    with log.open("wb") as file:
        began = time.time()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.time() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(command)}: exit status {process.returncode}; {log} says why", log)
    told = json.loads(clock.read_text())
    return Run(seconds, told["began"] - began, told["steps"], used.ru_maxrss / 2**10, told["gpu"] / 2**30)


def peer_settings(folder: Path, stage: str, more: dict[str, Any]) -> dict[str, Any]:
    """What the peer is told: the recipe of our stage, and the settings that are compared."""
    ours = section(folder, stage)
    steps = -(-len(examples(folder, stage)) // (ours["batch_size"] * ours["accumulation"]))
    every = -(-steps // ours["evaluations"])
    return {
        "stage": STAGES[stage],
        "do_train": True,
        "finetuning_type": "full",
        "model_name_or_path": str(BASE),
        "template": "deepseek",
        "dataset_dir": "peer",
        "dataset": f"{stage}-train",
        "eval_dataset": f"{stage}-dev",
        "output_dir": PEER_OUT,
        "cutoff_len": ours["max_length"],
        "per_device_train_batch_size": ours["batch_size"],
        "per_device_eval_batch_size": ours["batch_size"] * 2,
        "gradient_accumulation_steps": ours["accumulation"],
        "num_train_epochs": ours["epochs"],
        "learning_rate": ours["learning_rate"],
        "lr_scheduler_type": ours["schedule"],
        "warmup_steps": ours["warmup"],
        "optim": ours["optimizer"],
        "adam_beta2": ours["beta2"],
        "weight_decay": ours["weight_decay"],
        "max_grad_norm": ours["max_grad_norm"],
        "seed": ours["seed"],
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
        "logging_steps": -(-every // 4),
        "use_cpu": True,
        "report_to": "none",
        **more,
    }


def section(folder: Path, stage: str) -> dict[str, Any]:
    """The parameters of the stage in this project, of its only candidate where it has candidates."""
    found = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))[stage]
    return found["common"] | next(iter(found["candidates"].values())) if "candidates" in found else found


def examples(folder: Path, stage: str, part: str = "train") -> list[Any]:
    """The rows as our stage makes them token ids; the peer's are the same but for the end of a document and the last block."""
    from lingyu.files import read_table
    from lingyu.model.load import load_tokenizer
    from lingyu.records import Dialogue, Document
    from lingyu.train.data import dialogues, packed

    tokenizer, table = load_tokenizer(folder / BASE), folder / "out/mix" / part / f"{stage}.parquet"
    longest = section(folder, stage)["max_length"]
    if stage == "sft":
        return list(dialogues(list(read_table(table, Dialogue)), tokenizer, longest))
    return list(packed((row.text for row in read_table(table, Document)), tokenizer, longest))


def tokens(folder: Path, stage: str) -> int:
    return sum(len(example["input_ids"]) for example in examples(folder, stage))


def dev_loss(folder: Path, stage: str, model: Path) -> float:
    """Loss a learnt token of the dev rows."""
    import torch

    from lingyu.model.load import load_model
    from lingyu.train.data import Padding

    causal = load_model(model, LONGEST).eval()
    rows, total, learnt = examples(folder, stage, "dev"), 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(rows), 32):
            batch = Padding(0)(rows[start : start + 32])
            labels = batch.pop("labels")[:, 1:]
            scores = causal(**batch).logits[:, :-1]
            total += float(torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="sum"))
            learnt += int((labels != -100).sum())
    return total / learnt


def table(stage: str, count: int, runs: dict[str, list[Run]]) -> Iterable[str]:
    """A line for each contestant: medians, and the ratios of ours to it, round by round, with the least and the greatest."""
    yield f"\n{stage}: {count:,} tokens, {len(runs['lingyu'])} rounds\n"
    heads = [
        "",
        "tokens/s",
        "ours × its",
        "tokens a CPU s",
        "ours × its",
        "process, s",
        "ours / its",
        "first step after, s",
        "MB",
        "dev loss",
    ]
    yield f"| {' | '.join(heads)} |"
    yield "|" + " --- |" * len(heads)
    first = runs["lingyu"]
    for name, its in runs.items():
        cells = [
            name,
            f"{count / middle(one.trained for one in its):,.0f}",
            spread(b.trained / a.trained for a, b in zip(first, its, strict=True)),
            f"{count / middle(one.cpu for one in its):,.0f}",
            spread(b.cpu / a.cpu for a, b in zip(first, its, strict=True)),
            f"{middle(one.seconds for one in its):.1f}",
            spread(a.seconds / b.seconds for a, b in zip(first, its, strict=True)),
            f"{middle(one.first for one in its):.1f}",
            f"{middle(one.megabytes for one in its):,.0f}",
            spread(one.loss for one in its),
        ]
        yield f"| {' | '.join(cells)} |"


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def spread(values: Iterable[float]) -> str:
    """The middle one, and the least and the greatest."""
    found = sorted(values)
    return f"{statistics.median(found):.2f} ({found[0]:.2f}–{found[-1]:.2f})"


if __name__ == "__main__":
    main()
