"""One way to train: arguments, resume after a kill, the best checkpoint, curves, progress."""

import csv
import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lingyu.stage import StageError
from lingyu.train.settings import Training

CODE = Path(__file__).parents[1]


def arguments(params: Training, work: Path, examples: int) -> dict[str, Any]:
    """The settings as keyword arguments of TrainingArguments, and of TRL's configurations that extend it."""
    import torch

    on_gpu = torch.cuda.is_available()
    steps = max(1, math.ceil(examples / (params.batch_size * params.accumulation)) * params.epochs)
    every = math.ceil(steps / params.evaluations)
    logging = math.ceil(every / 4)
    every -= every % logging  # a checkpoint right after a log: what TRL averages between two logs is in no checkpoint
    return {
        "output_dir": str(work),
        "seed": params.seed,
        "use_cpu": not on_gpu,
        "bf16": params.precision == "bf16",
        "fp16": params.precision == "fp16",
        "per_device_train_batch_size": params.batch_size,
        "per_device_eval_batch_size": params.batch_size * 2,
        "gradient_accumulation_steps": params.accumulation,
        "num_train_epochs": params.epochs,
        "learning_rate": params.learning_rate,
        "lr_scheduler_type": params.schedule,
        "warmup_steps": params.warmup,
        "optim": "adamw_torch_fused" if params.optimizer == "muon" else params.optimizer,  # muon: see `optimised`
        "adam_beta2": params.beta2,
        "weight_decay": params.weight_decay,
        "max_grad_norm": params.max_grad_norm,
        "activation_checkpointing": params.gradient_checkpointing,
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "logging_steps": logging,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": on_gpu,
        "disable_tqdm": True,
        "report_to": "none",
    }


def causal_trainer(model: Any, tokenizer: Any, train: Sequence[Any], dev: Sequence[Any], params: Training, work: Path, label: str) -> Any:
    """A transformers Trainer over examples (train.data) that computes the vocabulary's scores only where they are learnt."""
    from transformers import Trainer, TrainingArguments

    from lingyu.train.data import Padding

    settings = TrainingArguments(
        **arguments(params, work, len(train)),
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
    )
    return with_causal_loss(resumable(optimised(Trainer, params)))(
        model=model,
        args=settings,
        train_dataset=train,
        eval_dataset=dev,
        data_collator=Padding(tokenizer.pad_token_id),
        processing_class=tokenizer,
        callbacks=[progress(label)],
    )


def with_causal_loss(trainer: Any) -> Any:
    """The class of trainer, with the loss of the next token where it is learnt."""
    import torch

    from lingyu.train.data import NOT_LEARNT

    class Causal(trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            labels = inputs["labels"][:, 1:]
            learnt = labels != NOT_LEARNT
            causal = self.accelerator.unwrap_model(model)
            causal = causal.get_base_model() if hasattr(causal, "get_base_model") else causal
            hidden = getattr(causal, causal.base_model_prefix)(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
            ).last_hidden_state[:, :-1]
            logits = causal.get_output_embeddings()(hidden[learnt])
            total = torch.nn.functional.cross_entropy(logits.float(), labels[learnt], reduction="sum")
            loss = total / (num_items_in_batch if num_items_in_batch is not None else learnt.sum())
            return (loss, {"loss": loss}) if return_outputs else loss

        def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
            with torch.no_grad():
                return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None

    return Causal


def optimised(trainer: Any, params: Training) -> Any:
    """The class of trainer, with the optimiser of the parameters where transformers has no name for it."""
    if params.optimizer != "muon":
        return trainer

    class Optimised(trainer):
        optimizer: Any

        def create_optimizer(self, model: Any = None) -> Any:
            from lingyu.train.muon import Muon

            if self.optimizer is None:
                self.optimizer = Muon(model or self.model, params.learning_rate, params.beta2, params.weight_decay)
            return self.optimizer

    return Optimised


def resumable(trainer: Any) -> Any:
    """The class of trainer, with the order of the rows drawn from seed and epoch alone.

    The samplers that group by length and that repeat prompts draw it from a generator whose state no checkpoint holds.
    """
    import torch

    class Resumable(trainer):
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            sampler = super()._get_train_sampler(dataset)
            sampler.generator = torch.Generator()
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(self.args.seed + epoch)  # accelerate calls it
            return sampler

    return Resumable


def progress(label: str) -> Any:
    """A callback that prints a line now and then, and stops with a clear word when the loss is no number."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.began, self.first = time.monotonic(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
            values = {key: value for key, value in (logs or {}).items() if key in {"loss", "eval_loss", "reward"}}
            if any(not math.isfinite(float(value)) for value in values.values()):
                raise StageError(f"training diverged at step {state.global_step}: {values}. Lower learning_rate, or raise warmup.")
            done = state.global_step - self.first
            left = (time.monotonic() - self.began) / done * (state.max_steps - state.global_step) if done else 0
            if values:
                text = "  ".join(f"{key} {float(value):.3f}" for key, value in values.items())
                print(f"{label}  step {state.global_step}/{state.max_steps}  {text}  {left:.0f} s left", file=sys.stderr, flush=True)

    return Progress()


def train(trainer: Any, label: str) -> dict[str, float]:
    """Train to the end, from the last whole checkpoint if there is one; the model in the trainer is then the best by dev loss."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    work = Path(trainer.args.output_dir)
    checkpoint = last_whole_checkpoint(work)
    if checkpoint is not None:
        print(f"{label}  goes on from {checkpoint.name}", file=sys.stderr, flush=True)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    measure, choose = trainer.args.metric_for_best_model, max if trainer.args.greater_is_better else min
    measured = [entry[measure] for entry in trainer.state.log_history if measure in entry]
    counted = list(trainer.model.parameters())
    return {
        "parameters": sum(parameter.numel() for parameter in counted),
        "trainable_parameters": sum(parameter.numel() for parameter in counted if parameter.requires_grad),
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step or trainer.state.global_step,
        f"best_{measure}": choose(measured) if measured else math.nan,
    }


def last_whole_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint whose last file was written whole; halves that a kill left behind are removed."""
    whole = []
    for folder in work.glob("checkpoint-*"):
        step = int(folder.name.removeprefix("checkpoint-"))
        try:
            finished = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["global_step"] == step
        except (OSError, ValueError, KeyError):
            finished = False
        if finished:
            whole.append((step, folder))
        else:
            shutil.rmtree(folder)
    return max(whole)[1] if whole else None


def workplace(work: Path, params: Training, inputs: Iterable[Path]) -> Path:
    """A folder for checkpoints that belongs to these parameters, inputs and code alone; what others left in `work` is removed."""
    digest = hashlib.sha256(params.model_dump_json().encode())
    files = [file for path in inputs for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
    for file in [*files, *sorted(CODE.glob("model/*.py")), *sorted(CODE.glob("train/*.py"))]:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    mine = work / digest.hexdigest()[:16]
    for other in work.glob("*"):
        if other != mine:
            shutil.rmtree(other)
    mine.mkdir(parents=True, exist_ok=True)
    return mine


def write_curves(history: list[dict[str, Any]], path: Path, extra: Sequence[str] = ()) -> None:
    """The losses by step, and `extra` columns of the trainer's log; an empty cell where nothing was measured."""
    names = {"loss": "train_loss", "eval_loss": "eval_loss", **{name: name for name in extra}}
    steps: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = {names[key]: value for key, value in entry.items() if key in names}
        if row:
            steps.setdefault(entry["step"], {"step": entry["step"]}).update(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["step", *names.values()], lineterminator="\n")
        writer.writeheader()
        writer.writerows(steps[step] for step in sorted(steps))
