"""Small inputs for the training stages: tables of a handful of rows, and a project folder to run a stage in."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import yaml
from rows import MADE, common, dialogue, document, preference

from lingyu.files import write_table
from lingyu.records import Dialogue, Document, Message, Preference, Question

ROOT = Path(__file__).parent.parent

TRAINING = {
    "seed": 3,
    "threads": 1,
    "processes": 1,
    "sharding": "none",
    "precision": "fp32",
    "kernels": "auto",
    "max_length": 64,
    "global_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 3,
    "learning_rate": 5.0e-3,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "optim": "adamw_torch_fused",
    "adam_beta2": 0.95,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "divergence_factor": 1.5,
    "evaluations": 6,
    "gradient_checkpointing": False,
    "tensorboard": False,
}
SFT = {"loss_on": "replies", "packing": False, "neftune_noise_alpha": 0.0, "task_weights": {}}
LORA = {
    "name": "lora",
    "r": 4,
    "lora_alpha": 8,
    "lora_dropout": 0.0,
    "use_rslora": False,
    "use_dora": False,
    "init_lora_weights": True,
    "trainable_tokens": "none",
    "target_modules": ["q_proj", "v_proj", "down_proj"],
}
DPO = {"name": "dpo", "loss_type": "sigmoid", "beta": 0.1, "label_smoothing": 0.0, "sft_weight": 1.0}
KTO = {"name": "kto", "beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0}
ORPO = {"name": "orpo", "beta": 0.5}
SIMPO = {"name": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0}
CPO = {"name": "cpo", "beta": 0.1, "cpo_alpha": 1.0}
SAMPLING = {"rewards": [{"name": "model", "weight": 1.0}], "max_completion_length": 4, "temperature": 1.0, "dev_prompts": 2}
GRPO = {"name": "grpo", **SAMPLING, "beta": 0.01, "num_generations": 2}
RLOO = {**GRPO, "name": "rloo"}
BEST_OF = {"name": "best_of", **SAMPLING, "num_generations": 4, "sampling_batch_size": 3, "min_reward": None}
PPO = {
    "name": "ppo",
    **SAMPLING,
    "rollout_batch_size": 4,
    "num_ppo_epochs": 2,
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "vf_coef": 0.1,
    "gamma": 1.0,
    "gae_lambda": 0.95,
    "normalize_rewards": True,
    "kl": {"init_kl_coef": 0.05, "target": 2.0, "horizon": 100},
}

SENTENCES = ["fly low", "land soon", "keep off", "look up", "turn back", "stay near"]
ASKED = [("up?", "no"), ("far?", "a bit more"), ("high?", "30 m"), ("wind?", "land now"), ("rain?", "stay"), ("fog?", "wait")]
PAIRS = [("go?", "yes", "no no no"), ("fly?", "yes", "no no"), ("up?", "yes", "no"), ("now?", "yes", "no no"), ("low?", "yes", "no")]


def question(place, text, answer="") -> Question:
    messages = [Message(role="user", content=text)]
    return Question(**common(place), **MADE, task="chat", messages=messages, answer=answer, wrong=[], known="")


def write_mix(folder: Path, texts=SENTENCES, asked=ASKED, pairs=PAIRS) -> None:
    """out/mix as the training stages read it; the held-out rows are the last two of each."""
    for part, some in {"train": slice(None), "dev": slice(-2, None)}.items():
        to = folder / part
        write_table(to / "pretrain.parquet", [document(i, text) for i, text in enumerate(texts[some])], Document)
        write_table(to / "sft.parquet", [dialogue(i, *pair) for i, pair in enumerate(asked[some])], Dialogue)
        write_table(to / "preference.parquet", [preference(i, *pair) for i, pair in enumerate(pairs[some])], Preference)
    write_table(folder / "train" / "prompts.parquet", [question(i, text) for i, (text, _) in enumerate(asked)], Question)


def names(tensor) -> set[str]:
    """The functions that a tensor comes from."""
    found, rest = set(), [tensor.grad_fn]
    while rest:
        one = rest.pop()
        if one is not None and one not in found:
            found.add(one)
            rest += [before for before, _ in one.next_functions]
    return {one.name() for one in found}


def curves(out: Path) -> list[dict[str, str]]:
    with (out / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(model: Path) -> dict:
    from safetensors.numpy import load_file

    return load_file(model / "model.safetensors")


def project(folder: Path, start: Path, scorer: Path | None = None, asked=ASKED, **sections) -> Path:
    """A folder in which `python -m stages.NAME` runs: params.yaml, the mixed tables, out/{start,extend,reward}/model."""
    write_mix(folder / "out" / "mix", asked=asked)
    for name in ("start", "extend"):
        shutil.copytree(start, folder / "out" / name / "model")
    if scorer:
        shutil.copytree(scorer, folder / "out" / "reward" / "model")
    (folder / "params.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    return folder


def begun(folder: Path, *words: str, warm: str = "", **more) -> subprocess.Popen:
    """Python with these words as a process of its own, run in the folder; warm: the socket of the process to fork from."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    for variable in ("PYTHONDONTWRITEBYTECODE", "LINGYU_WARM"):
        environment.pop(variable, None)
    if warm:
        environment["LINGYU_WARM"] = warm
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, text=True, start_new_session=True, **pipes)


# As little as can ask for a fork: the stage's own module takes half a second to import, and then only asks.
ASK = "import sys; from lingyu.runtime.warm import handed_over; sys.exit(handed_over(sys.argv.pop(1)))"


def staged(folder: Path, stage: str, *item: str, warm: str = "", **more) -> subprocess.Popen:
    """A stage as a process of its own, run in the folder; warm: as a fork of the process with this socket."""
    return begun(folder, *(("-c", ASK) if warm else ("-m",)), f"stages.{stage}", *item, warm=warm, **more)


def worker(process: subprocess.Popen, folder: Path) -> int:
    """The number of the process that does a stage's work in the folder: a fork, if one was asked for."""
    found = [each.pid for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(folder) and each.pid != process.pid]
    assert len(found) <= 1
    return found[0] if found else process.pid


def ended(process: subprocess.Popen, said: str = "") -> tuple[int, str, str]:
    """Exit status, stdout and stderr, after `said` on stdin."""
    out, err = process.communicate(said, timeout=300)
    return process.returncode, out, err


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
