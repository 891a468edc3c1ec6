"""One way to train: arguments, resume after a kill, the best checkpoint, curves, progress."""

import csv
import math
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lingyu.launch import is_first
from lingyu.model.load import device
from lingyu.stage import StageError
from lingyu.train import processes
from lingyu.train.checkpoints import continued, last_whole_checkpoint
from lingyu.train.settings import CosineToFloor, Schedule, StableThenDecay, Training

LOGS = 4  # between two evaluations
SLOWER = "Lower learning_rate, or raise warmup_ratio."


def arguments(params: Training, work: Path, examples: int) -> dict[str, Any]:
    """The settings as keyword arguments of TrainingArguments, and of TRL's configurations that extend it."""
    on_gpu = device() != "cpu"
    steps = params.steps(examples)
    every = math.ceil(steps / params.evaluations)
    logging = math.ceil(every / LOGS)
    every -= every % logging  # a checkpoint right after a log: what TRL averages between two logs is in no checkpoint
    return {
        "output_dir": str(work),
        "seed": params.seed,
        "use_cpu": not on_gpu,
        "bf16": params.precision == "bf16",
        "fp16": params.precision == "fp16",
        "use_liger_kernel": device() == "cuda"
        and (params.kernels == "liger" or (params.kernels == "auto" and bool(find_spec("liger_kernel")))),
        "per_device_train_batch_size": params.per_device_train_batch_size,
        "per_device_eval_batch_size": params.per_device_train_batch_size * 2,
        "gradient_accumulation_steps": params.gradient_accumulation_steps,
        "num_train_epochs": params.num_train_epochs,
        "max_steps": steps if steps == params.max_steps else -1,
        "learning_rate": params.learning_rate,
        **scheduler(params.lr_scheduler_type, steps),
        "warmup_steps": params.warmup_ratio,
        "optim": "adamw_torch_fused" if params.optim == "muon" else params.optim,  # muon: see `optimised`
        "adam_beta2": params.adam_beta2,
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
        **processes.arguments(params.processes, params.sharding, device(), params.gradient_checkpointing),
    }


def scheduler(asked: Schedule, steps: float) -> dict[str, Any]:
    if isinstance(asked, StableThenDecay):
        more = {"num_decay_steps": max(1, round(asked.decay_ratio * steps)), "min_lr_ratio": asked.min_lr_ratio}
        return {"lr_scheduler_type": asked.name, "lr_scheduler_kwargs": more}
    if isinstance(asked, CosineToFloor):
        return {"lr_scheduler_type": asked.name, "lr_scheduler_kwargs": {"min_lr_rate": asked.min_lr_rate}}
    return {"lr_scheduler_type": asked}


def causal_trainer(
    model: Any, tokenizer: Any, train: Sequence[Any], dev: Sequence[Any], params: Training, work: Path, label: str, out: Path, **more: Any
) -> Any:
    """A transformers Trainer over examples (train.data) that computes the vocabulary's scores only where they are learnt.

    out: where curves.csv grows while it trains. more: further TrainingArguments.
    """
    from transformers import Trainer, TrainingArguments

    from lingyu.train.data import Padding

    settings = TrainingArguments(
        **{**arguments(params, work, len(train)), **more},
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
        include_num_input_tokens_seen="non_padding",
    )
    flat = str(model.config._attn_implementation).startswith("flash")
    return with_causal_loss(resumable(optimised(Trainer, params)))(
        model=model,
        args=settings,
        train_dataset=train,
        eval_dataset=dev,
        data_collator=Padding(tokenizer.pad_token_id, flat),
        processing_class=tokenizer,
        callbacks=[progress(label, out / "curves.csv", divergence_factor=params.divergence_factor), *boards(params, work, label)],
    )


def with_causal_loss(trainer: Any) -> Any:
    """The class of trainer, with the loss of the next token where it is learnt."""
    import torch

    from lingyu.train.data import NOT_LEARNT

    class Causal(trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            total, count = self.loss_of(model, inputs)
            loss = total / (num_items_in_batch if num_items_in_batch is not None else count)
            if num_items_in_batch is not None and self.args.world_size > 1:
                loss = loss * self.args.world_size  # the gradients are averaged over processes, but the items are those of all
            return (loss, {"loss": loss}) if return_outputs else loss

        def loss_of(self, model: Any, inputs: Any) -> tuple[Any, Any]:
            """The sum of the losses, each by its weight, and how many tokens are learnt."""
            with self.accelerator.autocast():  # which accelerate only puts round the outermost forward
                return self.summed(model, inputs)

        def summed(self, model: Any, inputs: Any) -> tuple[Any, Any]:
            from lingyu.train.kernels import summed_loss

            inputs = dict(inputs)
            labels, weights = inputs.pop("labels")[:, 1:], inputs.pop("weights", None)
            learnt = labels != NOT_LEARNT
            seen = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
            shares = None if weights is None else weights[:, 1:][learnt]
            plain = self.accelerator.unwrap_model(model)
            # What several processes hang onto forward must be called.
            if model is not plain or self.args.world_size > 1 or self.scores is None:
                logits = model(**seen, use_cache=False).logits[:, :-1][learnt]
                losses = torch.nn.functional.cross_entropy(logits.float(), labels[learnt], reduction="none")
                return (losses if shares is None else losses * shares).sum(), learnt.sum()
            causal = plain.get_base_model() if hasattr(plain, "get_base_model") else plain
            hidden = getattr(causal, causal.base_model_prefix)(**seen, use_cache=False).last_hidden_state[:, :-1]
            return summed_loss(hidden[learnt], causal.get_output_embeddings(), labels[learnt], shares, self.scores), learnt.sum()

        @cached_property
        def scores(self) -> Any:
            """How the model makes scores of its head's products; None where that is not known, and it must be asked for them."""
            from lingyu.train.kernels import scores_of

            plain = self.accelerator.unwrap_model(self.model)
            return scores_of(plain.get_base_model() if hasattr(plain, "get_base_model") else plain)

        def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
            with torch.no_grad():
                total, count = self.loss_of(model, self._prepare_inputs(inputs))
                if self.args.world_size > 1:
                    total, count = (self.accelerator.reduce(value, "sum") for value in (total, count))
                return (total / count).detach(), None, None

    return Causal


def optimised(trainer: Any, params: Training) -> Any:
    """The class of trainer, with the optimiser of the parameters where transformers has no name for it."""
    if params.optim != "muon":
        return trainer

    rates = (params.learning_rate, params.adam_beta2, params.weight_decay)

    class Optimised(trainer):
        optimizer: Any

        def create_optimizer(self, model: Any = None) -> Any:
            from lingyu.train.muon import Muon

            if self.optimizer is None:
                self.optimizer = Muon(model or self.model, *rates)
            return self.optimizer

    return Optimised


def resumable(trainer: Any) -> Any:
    """The class of trainer, with the order of the rows drawn from seed and epoch alone, whatever the number of processes.

    The samplers that group by length and that repeat prompts draw it from a generator whose state no checkpoint holds. And a checkpoint
    is there until every process has written its part of the next one.
    """
    import torch

    class Resumable(trainer):
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            sampler = super()._get_train_sampler(dataset)
            sampler.generator = torch.Generator()
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(self.args.seed + epoch)  # accelerate calls it
            if hasattr(sampler, "lengths"):
                sampler.lengths = list(sampler.lengths)  # out of the table, which is slow to ask for one
                sampler.batch_size *= self.args.world_size
                sampler.__class__ = mixed(type(sampler), self.args.train_batch_size * self.args.world_size)
            return sampler

        def _save_rng_state(self, output_dir: str) -> None:
            super()._save_rng_state(output_dir)
            if self.args.world_size > 1:
                torch.distributed.barrier()  # the first removes the checkpoint before as soon as its own part of this one is written

    return Resumable


def mixed(sampler: Any, rows: int) -> Any:
    """The class of sampler that groups rows by length, with the groups of so many rows in a random order, after the longest.

    It goes from long rows to short ones, and in a small table does so twice or four times in all: a model of one kind of rows at a time
    forgets the others, and the one that is kept is what the last evaluation happened upon.
    """
    import torch

    class Mixed(sampler):
        def __iter__(self) -> Iterator[int]:
            order = list(super().__iter__())
            parts = [order[first : first + rows] for first in range(0, len(order), rows)]
            whole = len(order) // rows  # what is left over stays last
            drawn = [0, *(1 + torch.randperm(max(0, whole - 1), generator=self.generator)).tolist(), *range(max(1, whole), len(parts))]
            return (index for part in drawn[: len(parts)] for index in parts[part])

    return Mixed


def progress(label: str, curves: Path | None = None, columns: Sequence[str] = (), divergence_factor: float = math.inf) -> Any:
    """A callback that prints a line now and then, writes the curves so far, and stops with a clear word when the loss runs away.

    divergence_factor: how many times its first value the loss may be, for as long as between two evaluations; infinite where a loss says
    nothing, as one about rewards does, which begins at 0 or below.
    """
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.began, self.first, self.seen = time.monotonic(), state.global_step, state.num_input_tokens_seen

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
            values = {key: value for key, value in (logs or {}).items() if key in {"loss", "eval_loss", "reward"}}
            if any(not math.isfinite(float(value)) for value in values.values()):
                raise StageError(f"training diverged at step {state.global_step}: {values}. {SLOWER}")
            if curves and values and is_first():
                write_curves(state.log_history, curves, columns)
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            if len(losses) > LOGS and divergence_factor < math.inf and min(losses[-LOGS:]) > divergence_factor * losses[0]:
                raise StageError(
                    f"training diverged: the loss, {losses[0]:.3f} at first, is {losses[-1]:.3f} at step {state.global_step} and has been "
                    f"above {divergence_factor} times its start (divergence_factor) for {LOGS * args.logging_steps:.0f} steps. {SLOWER}"
                )
            if values and is_first():
                self.tell(state, values)

        def tell(self, state: Any, values: dict[str, Any]) -> None:
            seconds, done = time.monotonic() - self.began, state.global_step - self.first
            left = seconds / done * (state.max_steps - state.global_step) if done else 0
            speed = f"  {(state.num_input_tokens_seen - self.seen) / seconds:,.0f} tokens/s" if state.num_input_tokens_seen else ""
            text = "  ".join(f"{key} {float(value):.3f}" for key, value in values.items())
            print(f"{label}  step {state.global_step}/{state.max_steps}  {text}{speed}  {left:.0f} s left", file=sys.stderr, flush=True)

    return Progress()


def boards(params: Training, work: Path, label: str) -> list[Any]:
    """TensorBoard's log, where it is asked for: beside the checkpoints, for it holds the time of day."""
    if not params.tensorboard:
        return []
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return [TensorBoardCallback(SummaryWriter(work.parents[1] / "tensorboard" / label))]


def train(trainer: Any, label: str, kernels: str) -> dict[str, float]:
    """Train to the end, from the last whole checkpoint if there is one; the model in the trainer is then the best by dev loss."""
    from transformers.trainer_callback import PrinterCallback

    from lingyu.train.kernels import put_under

    if kernels == "auto" and trainer.args.device.type == "cpu":
        put_under()
    trainer.remove_callback(PrinterCallback)
    work = Path(trainer.args.output_dir)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in trainer.model.parameters()]
    with trainer.accelerator.main_process_first():
        checkpoint = last_whole_checkpoint(work, trainer.args.world_size)
    if checkpoint is not None and is_first():
        print(f"{label}  goes on from {checkpoint.name}", file=sys.stderr, flush=True)
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    whole = processes.outline(trainer.model) if sharded else None
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except RuntimeError as error:
        if fault := fault_of(error):
            raise StageError(f"{fault} (step {trainer.state.global_step})") from error
        raise
    if trainer.args.world_size > 1:
        trainer.model = processes.gathered(trainer, whole)
    measure, choose = trainer.args.metric_for_best_model, max if trainer.args.greater_is_better else min
    measured = [entry[measure] for entry in trainer.state.log_history if measure in entry]
    return {
        "parameters": sum(size for size, _ in sizes),
        "trainable_parameters": sum(size for size, learns in sizes if learns),
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step or trainer.state.global_step,
        f"best_{measure}": choose(measured) if measured else math.nan,
        **{f"code_changed_{number}": step for number, step in enumerate(continued(work), 1)},
    }


def fault_of(error: RuntimeError) -> str | None:
    """What a person can fix of an error of torch; None for the rest."""
    from torch.distributed import DistError

    if "probability tensor contains" in str(error):  # a policy is sampled from before its loss is logged
        return f"training diverged: the model gives no probabilities any more. {SLOWER}"
    if isinstance(error, DistError) or "gloo/transport" in str(error):
        return "another process of this training was lost. Start it again, on every node: it goes on from the last whole checkpoint."
    return None


def write_curves(history: list[dict[str, Any]], path: Path, extra: Sequence[str] = ()) -> None:
    """The losses by step, and `extra` columns of the trainer's log; an empty cell where nothing was measured."""
    names = {"loss": "train_loss", "eval_loss": "eval_loss", **{name: name for name in extra}}
    steps: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = {names[key]: value for key, value in entry.items() if key in names}
        if row:
            steps.setdefault(entry["step"], {"step": entry["step"]}).update(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")  # whoever draws it while it grows sees no half of it
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["step", *names.values()], lineterminator="\n")
        writer.writeheader()
        writer.writerows(steps[step] for step in sorted(steps))
    part.replace(path)
