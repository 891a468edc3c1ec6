"""The parameters that every training stage has. Names and meaning are those of transformers' TrainingArguments, where it has them."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Tag, model_validator

from lingyu.stage import StageParams

START = "Folder under out/ whose model it starts from: base, extend, pretrain, sft/NAME or align/NAME."


class StableThenDecay(StageParams):
    """Warm up, hold the rate, and let it fall at the end."""

    renamed: ClassVar = {"decay": "decay_ratio", "floor": "min_lr_ratio"}

    name: Literal["warmup_stable_decay"]
    decay_ratio: float = Field(gt=0, le=1, description="Share of the steps over which the rate falls, at the end.")
    min_lr_ratio: float = Field(ge=0, lt=1, description="Share of the rate that is left at the last step.")


class CosineToFloor(StageParams):
    """Cosine that ends above 0."""

    renamed: ClassVar = {"floor": "min_lr_rate"}

    name: Literal["cosine_with_min_lr"]
    min_lr_rate: float = Field(ge=0, lt=1, description="Share of the rate that is left at the last step.")


def name_of(schedule: Any) -> Any:
    """The word, or the name in a mapping: so that a misspelt one is one fault, not a fault of each kind."""
    return schedule.get("name") if isinstance(schedule, dict) else getattr(schedule, "name", schedule)


Schedule = Annotated[
    Annotated[Literal["linear"], Tag("linear")]
    | Annotated[Literal["cosine"], Tag("cosine")]
    | Annotated[Literal["constant"], Tag("constant")]
    | Annotated[Literal["constant_with_warmup"], Tag("constant_with_warmup")]
    | Annotated[StableThenDecay, Tag("warmup_stable_decay")]
    | Annotated[CosineToFloor, Tag("cosine_with_min_lr")],
    Discriminator(
        name_of,
        custom_error_type="schedule",
        custom_error_message="must be one of linear, cosine, constant, constant_with_warmup; or a mapping whose name is "
        "warmup_stable_decay or cosine_with_min_lr",
    ),
]


class Training(StageParams):
    """Settings of one training run. Those in the section `training` of params.yaml hold for every stage that does not override them."""

    shared: ClassVar = "training"
    renamed: ClassVar = {
        "batch_size": "global_batch_size",
        "per_device_train_batch_size": "global_batch_size",
        "accumulation": "gradient_accumulation_steps",
        "epochs": "num_train_epochs",
        "schedule": "lr_scheduler_type",
        "warmup": "warmup_ratio",
        "optimizer": "optim",
        "beta2": "adam_beta2",
        "stop_above": "divergence_factor",
    }

    seed: NonNegativeInt = Field(17, description="Of the initial weights that are new, the order of the rows, dropout and sampling.")
    threads: PositiveInt = Field(
        2, description="CPU threads of each process. With another number results differ bitwise. As many as cores, shared by the processes."
    )
    processes: PositiveInt = Field(1, description="Processes on this machine, one for each GPU. A CPU needs only one; it has threads.")
    sharding: Literal["none", "fsdp", "zero2", "zero3"] = Field(
        "none",
        description="How a model is divided over processes. none (DDP) where the weights, their gradients and Adam's two numbers for each "
        "weight fit one GPU (16 bytes a weight); else fsdp (PyTorch's FSDP2), or zero2 or zero3 (DeepSpeed).",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32",
        description="Of matrix products; weights stay fp32 on a CPU. bf16 where the processor multiplies in bf16 (AVX512_BF16, AMX, a "
        "GPU): twice as fast there, half as fast elsewhere.",
    )
    kernels: Literal["auto", "none", "liger"] = Field(
        "auto", description="auto: Liger's on a GPU where it is installed, lingyu's fused layers on a CPU. none: transformers' own."
    )
    max_length: PositiveInt = Field(description="Tokens of a row, or of a packed block in pretrain. At most the context of the base.")
    global_batch_size: PositiveInt = Field(
        description="Rows of one optimizer update, over all processes and accumulation steps; so neither of them changes what is learnt. "
        "per_device_train_batch_size is this divided by both."
    )
    gradient_accumulation_steps: PositiveInt = Field(
        1, description="Parts in which the rows of an update are computed, one after the other. Raise it when memory is short."
    )
    num_train_epochs: PositiveFloat = Field(description="Times that the training rows are read.")
    max_steps: PositiveInt | None = Field(
        None,
        description="Updates at most, which bounds the time whatever the corpus; the learning rate falls to its end within them. The rows "
        "are in a random order, so those of a part of an epoch are a sample of all.",
    )
    learning_rate: PositiveFloat = Field(description="The highest rate of the schedule. With muon it is that of the hidden matrices.")
    lr_scheduler_type: Schedule = Field(
        "cosine", description="How the rate falls after the warm-up. Two are mappings with keys of their own."
    )
    warmup_ratio: float = Field(0.05, ge=0, le=1, description="Share of the steps over which the rate rises.")
    optim: Literal["muon", "adamw_torch_fused", "adamw_torch", "adafactor", "lion_32bit", "lion_8bit", "adamw_8bit", "paged_adamw_8bit"] = (
        Field("adamw_torch_fused", description="Names of transformers, and muon (lingyu/train/muon.py), which needs whole matrices.")
    )
    adam_beta2: float = Field(0.95, gt=0, lt=1, description="A short run must forget its first gradients sooner than the usual 0.999.")
    weight_decay: NonNegativeFloat = Field(0.01, description="Decoupled, as in AdamW.")
    max_grad_norm: PositiveFloat = Field(1.0, description="Norm to which gradients are clipped.")
    divergence_factor: float = Field(
        1.5,
        gt=1,
        description="The run stops when its loss has been above this multiple of its first value for as long as between two evaluations. "
        "A run that works is never above its start.",
    )
    evaluations: PositiveInt = Field(2, description="Times that the dev set is measured and a checkpoint written. The best one is kept.")
    gradient_checkpointing: bool = Field(
        False, description="Compute activations again in the backward pass: less memory, a third more time."
    )
    on_shortage: Literal["refuse", "warn"] = Field(
        "refuse",
        description="What follows where the forecast (`lingyu plan`) says that memory or disk are short by more than it may err, 15 %: the "
        "stage ends with the settings that would fit, or goes on.",
    )
    tensorboard: bool = Field(
        False, description="Also write logs for TensorBoard, under .lingyu/tensorboard. `dvc plots show` draws the curves without it."
    )

    def steps(self, examples: int) -> int:
        """Updates, and so many rows are read."""
        steps = max(1, math.ceil(math.ceil(examples / self.global_batch_size) * self.num_train_epochs))
        return min(steps, self.max_steps or steps)

    @property
    def rows_at_once(self) -> int:
        """Rows that are computed together, over all processes."""
        return self.global_batch_size // self.gradient_accumulation_steps

    @property
    def per_device_train_batch_size(self) -> int:
        return self.rows_at_once // self.processes

    @model_validator(mode="after")
    def fits_together(self) -> "Training":
        faults = []
        if self.global_batch_size % (self.processes * self.gradient_accumulation_steps):
            faults.append(
                f"global_batch_size {self.global_batch_size} is no multiple of processes {self.processes} times "
                f"gradient_accumulation_steps {self.gradient_accumulation_steps}"
            )
        if self.sharding != "none" and self.processes == 1:
            faults.append(f"sharding {self.sharding} divides a model over several processes, but processes is 1")
        if self.sharding != "none" and self.optim == "muon":
            faults.append(f"muon needs whole matrices, which sharding {self.sharding} divides: optim adamw_torch_fused, or sharding none")
        if faults:
            raise ValueError("; ".join(faults))
        return self
