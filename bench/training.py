"""Pretraining and fine-tuning beside LLaMA-Factory: the same model, rows, batches, rates and number format.

    python -m bench.training FOLDER [--peer VENV] [--beside CHECKOUT] [--rounds 3] [--stage sft] [--settings defaults …] [--shape tiny]
        [--precision fp32]

VENV is an environment with llamafactory 0.9.5 (docs/benchmarks.md says how to make it), CHECKOUT another version of this project. Every
run is a whole process, as a person would start it: our stage by `python -m stages.NAME` in a project of its own, the peer by
`llamafactory-cli train FILE`. In a round, which has one seed, all run one after the other, and then all at once, taking eight steps each in
turn; a ratio is of two runs of one round. All train, without being told of it, under one clock (bench/clock). Tokens a second are those of
the rows, padding not counted, over the time of the steps taken in turn, without dev loss and checkpoints, which both do as often. Of what
each leaves behind the dev loss is measured by one function.
"""

import argparse
import importlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
CLOCK = ROOT / "bench" / "clock"
STAGES = {"pretrain": "pt", "sft": "sft"}
CANDIDATE = "full"
BASE = Path("out/extend/model")
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
        "vocab_size": 4096,
        "hidden_size": 256,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
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
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--stage", choices=STAGES, action="append")
    parser.add_argument("--only", choices=("steps", "processes"))
    parser.add_argument("--settings", choices=PEER, action="append", help="of the peer; all unless given")
    given = parser.parse_args()
    folder = given.folder.resolve()
    prepare(given.threads)
    folder = given.folder.resolve()
    make(folder, given.shape, given.tokens, given.threads, given.precision)
    for stage in given.stage or STAGES:
        names = ["lingyu", *([BESIDE] if given.beside else [])]
        if given.peer:
            idle = {"neat_packing", "train_sampling_strategy"} if stage == "pretrain" else set()
            names += [name for name in given.settings or PEER if not idle & set(PEER[name])]
        alone: dict[str, list[Run]] = {name: [] for name in names}
        together: dict[str, list[Run]] = {name: [] for name in names}
        for number in range(given.rounds):
            sow(folder, SEED + number)
            if given.only != "steps":
                for name in names:
                    one = contestant(folder, stage, name, given)
                    alone[name].append(replace(one.run(), loss=dev_loss(folder, stage, one.model)))
                    row_of(stage, name, alone[name][-1])
            if given.only != "processes":
                taking = [contestant(folder, stage, name, given) for name in names]
                for name, one, ran in zip(names, taking, in_turn(folder, taking), strict=True):
                    together[name].append(replace(ran, loss=dev_loss(folder, stage, one.model)))
                    row_of(f"{stage} in turn", name, together[name][-1])
        count = tokens(folder, stage)
        for line in [*steps_table(stage, count, together), *processes_table(stage, alone)]:
            print(line, flush=True)


def row_of(stage: str, name: str, run: Run) -> None:
    line = f"{len(run.steps)} steps {run.trained:.1f} s ({run.cpu:.1f} of processors), dev loss {run.loss:.4f}"
    print(f"{stage}, {name}: {run.seconds:.1f} s, {line}", file=sys.stderr, flush=True)


def make(folder: Path, shape: str, count: int, threads: int, precision: str = "fp32") -> None:
    """The base, the rows in both forms, and a project in which our stages find them."""
    from bench.training_data import Writer, build_base
    from lingyu.base.tiny import Shape

    shutil.rmtree(folder, ignore_errors=True)
    params = parameters()
    build_base(folder / BASE, Shape.model_validate(SHAPES[shape]), SEED)
    for part, share, seed in (("train", 1.0, 1), ("dev", 0.05, 2)):
        writer = Writer(seed)
        texts = writer.documents(max(1, round(count * share / 800)))
        write_rows(folder, part, texts, list(writer.dialogues(max(1, round(count * share / 80)))))
    same = {
        "seed": SEED,
        "threads": threads,
        "global_batch_size": BATCH,
        "num_train_epochs": 1,
        "optim": "adamw_torch_fused",
        "learning_rate": 2.0e-3,
    }
    same |= {"precision": precision, "evaluations": EVALUATIONS}
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


def twin(folder: Path, checkout: Path) -> None:
    """A project with the same inputs and parameters under beside/, but the code of this checkout."""
    other = folder / "beside"
    for path in ("out/extend", "out/mix"):
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        (other / path).unlink(missing_ok=True)
        (other / path).symlink_to(folder / path)
    shutil.copy(folder / "params.yaml", other / "params.yaml")
    link(other, checkout.resolve())


def contestant(folder: Path, stage: str, name: str, given: argparse.Namespace) -> "Contestant":
    if name in PEER:
        return peers(folder, name, given.peer, peer_settings(folder, stage, PEER[name]), given.threads)
    return ours(folder, stage, given.threads, beside=given.beside if name == BESIDE else None)


def ours(folder: Path, stage: str, threads: int, candidate: str = CANDIDATE, beside: Path | None = None) -> "Contestant":
    """Our stage in the project of this folder, or in its twin that has the other checkout's code."""
    if beside:
        twin(folder, beside)
        folder /= "beside"
    for left in (".lingyu", f"out/{stage}"):
        shutil.rmtree(folder / left, ignore_errors=True)
    command = [sys.executable, "-m", f"stages.{stage}", *([candidate] if stage == "sft" else [])]
    model = folder / "out" / (stage if stage == "pretrain" else f"sft/{candidate}") / "model"
    return Contestant(folder, "beside" if beside else "lingyu", command, model, threads)


def peers(folder: Path, name: str, peer: Path, settings: dict[str, Any], threads: int) -> "Contestant":
    """The peer with these settings; nothing that it kept of an earlier run is there."""
    out = Path("peer") / name
    shutil.rmtree(folder / out, ignore_errors=True)
    told = folder / f"{name}.yaml"
    told.write_text(yaml.safe_dump(settings | {"output_dir": str(out)}), encoding="utf-8")
    return Contestant(folder, name, [str(peer.absolute() / "bin" / "llamafactory-cli"), "train", told.name], folder / out, threads)


class Contestant:
    """A process that trains under the clock."""

    def __init__(self, folder: Path, name: str, command: list[str], model: Path, threads: int) -> None:
        self.folder, self.command, self.model, self.threads = folder, command, model, threads
        self.log, self.clock, self.cache = folder / f"{name}.log", folder / f"{name}.json", folder / "cache" / name

    def begin(self, turn: Path | None = None) -> None:
        """turn: the socket by which it is told that the next step is its own."""
        self.clock.unlink(missing_ok=True)
        shutil.rmtree(self.cache, ignore_errors=True)
        hidden = {"PYTHONDONTWRITEBYTECODE", "LINGYU_WARM"}
        environment = {key: value for key, value in os.environ.items() if key not in hidden} | {
            "PYTHONPATH": os.pathsep.join([str(CLOCK), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "STEP_CLOCK": str(self.clock),
            "OMP_NUM_THREADS": str(self.threads),
            # As lingyu sets them for itself: threads that always sleep cost a step of two a third.
            "OMP_WAIT_POLICY": "PASSIVE",
            "GOMP_SPINCOUNT": "20000",
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": str(self.cache),
            "DISABLE_VERSION_CHECK": "1",
        }
        if turn:
            environment["STEP_TURN"] = str(turn)
        with self.log.open("wb") as file:
            self.began = time.time()
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=environment, stdout=file, stderr=file)

    def end(self) -> Run:
        _, status, used = os.wait4(self.process.pid, 0)
        seconds = time.time() - self.began
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode:
            raise Failed(f"{' '.join(self.command)}: exit status {self.process.returncode}; {self.log} says why", self.log)
        told = json.loads(self.clock.read_text())
        return Run(seconds, told["began"] - self.began, told["steps"], used.ru_maxrss / 2**10, told["gpu"] / 2**30)

    def has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def run(self) -> Run:
        self.begin()
        return self.end()


def in_turn(folder: Path, contestants: list[Contestant]) -> list[Run]:
    """All at once, each taking some steps when the one before has taken its own."""
    turn = folder / "turn"
    turn.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(turn))
        listener.listen()
        for one in contestants:
            one.begin(turn)
        listener.settimeout(1)
        waiting: list[socket.socket] = []
        while len(waiting) < len(contestants):
            with suppress(TimeoutError):
                waiting.append(listener.accept()[0])
            if failed := [one for one in contestants if one.has_ended()]:
                for other in set(contestants) - set(failed):
                    other.process.kill()
                failed[0].end()
    while waiting:
        for asked in list(waiting):
            asked.send(b".")
            if not asked.recv(1):  # it has trained to its end
                asked.close()
                waiting.remove(asked)
    return [one.end() for one in contestants]


def peer_settings(folder: Path, stage: str, more: dict[str, Any]) -> dict[str, Any]:
    """What the peer is told: the recipe of our stage, and the settings that are compared."""
    ours = section(folder, stage)
    steps = -(-len(examples(folder, stage)) // ours["global_batch_size"])
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
        "cutoff_len": ours["max_length"],
        "per_device_train_batch_size": ours["global_batch_size"],
        "per_device_eval_batch_size": ours["global_batch_size"] * 2,
        "gradient_accumulation_steps": ours["gradient_accumulation_steps"],
        "num_train_epochs": ours["num_train_epochs"],
        "learning_rate": ours["learning_rate"],
        "lr_scheduler_type": ours["lr_scheduler_type"],
        "warmup_steps": ours["warmup_ratio"],
        "optim": ours["optim"],
        "adam_beta2": ours["adam_beta2"],
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
        "bf16": ours["precision"] == "bf16",
        "report_to": "none",
        **more,
    }


def section(folder: Path, stage: str) -> dict[str, Any]:
    """The parameters in force of the stage in this project, of its only candidate where it has candidates."""
    from lingyu.stage import layers_of, overlaid

    sections = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params = importlib.import_module(f"stages.{stage}").Params
    values, _ = overlaid(layers_of(sections, stage, next(iter(sections[stage].get("candidates", {})), None), params.shared))
    found: dict[str, Any] = params.model_validate(values).model_dump()
    return found


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


def steps_table(stage: str, count: int, runs: dict[str, list[Run]]) -> Iterable[str]:
    """A line for each contestant: medians, and the ratios of ours to it, round by round, with the least and the greatest."""
    first = runs["lingyu"]
    if not first:
        return
    yield f"\n{stage}: {count:,} tokens, steps in turn, {len(first)} rounds\n"
    yield from heads("", "tokens/s", "ours × its", "tokens a CPU s", "ours × its", "dev loss")
    for name, its in runs.items():
        yield row(
            name,
            f"{count / middle(one.trained for one in its):,.0f}",
            spread(b.trained / a.trained for a, b in zip(first, its, strict=True)),
            f"{count / middle(one.cpu for one in its):,.0f}",
            spread(b.cpu / a.cpu for a, b in zip(first, its, strict=True)),
            spread(one.loss for one in its),
        )


def processes_table(stage: str, runs: dict[str, list[Run]]) -> Iterable[str]:
    first = runs["lingyu"]
    if not first:
        return
    yield f"\n{stage}: whole processes, one after the other, {len(first)} rounds\n"
    yield from heads("", "seconds", "ours / its", "first step after, s", "MB at most", "dev loss")
    for name, its in runs.items():
        yield row(
            name,
            spread(one.seconds for one in its),
            spread(a.seconds / b.seconds for a, b in zip(first, its, strict=True)),
            spread(one.first for one in its),
            f"{middle(one.megabytes for one in its):,.0f}",
            spread(one.loss for one in its),
        )


def heads(*names: str) -> Iterable[str]:
    yield row(*names)
    yield "|" + " --- |" * len(names)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def spread(values: Iterable[float]) -> str:
    """The middle one, and the least and the greatest."""
    found = sorted(values)
    return f"{statistics.median(found):.2f} ({found[0]:.2f}–{found[-1]:.2f})"


if __name__ == "__main__":
    main()
