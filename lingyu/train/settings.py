"""What every training stage lets a person turn."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Tag, model_validator

from lingyu.stage import StageParams


class StableThenDecay(StageParams):
    """Warm up, hold the rate, and let it fall over the last `decay` of the steps to `floor` of itself."""

    name: Literal["warmup_stable_decay"]
    decay: float = Field(gt=0, le=1)
    floor: float = Field(ge=0, lt=1)


class CosineToFloor(StageParams):
    """Cosine that ends at `floor` of the rate instead of nothing."""

    name: Literal["cosine_with_min_lr"]
    floor: float = Field(ge=0, lt=1)


def name_of(schedule: Any) -> Any:
    """The word, or the name in a mapping: so that one that is misspelt is told once, not as a fault of each kind."""
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
        custom_error_message="no such schedule. Known: linear, cosine, constant, constant_with_warmup; "
        "as mappings with a name and keys, warmup_stable_decay and cosine_with_min_lr",
    ),
]


class Training(StageParams):
    """Names and meaning are those of transformers' TrainingArguments, where it has them.

    threads: CPU threads a process; another number gives other bits. precision: of the matrix products, weights stay fp32 on a CPU.
    batch_size: rows an update sees before accumulation, over all processes. warmup: share of the steps. evaluations: how often
    the dev set is measured and a checkpoint written. max_length: tokens a row or block. optimizer: also muon (lingyu.train.muon),
    whose rates are for the hidden matrices. processes, sharding: lingyu.train.processes. kernels: auto is Liger's on a GPU and
    lingyu.train.kernels on a CPU; none is transformers' own.
    tensorboard: logs under .lingyu/tensorboard. stop_above: a loss so many times its first one, for as long as between two
    evaluations, ends the run.
    """

    seed: NonNegativeInt
    threads: PositiveInt
    processes: PositiveInt
    sharding: Literal["none", "fsdp", "zero2", "zero3"]
    precision: Literal["fp32", "bf16", "fp16"]
    kernels: Literal["auto", "none", "liger"]
    max_length: PositiveInt
    batch_size: PositiveInt
    accumulation: PositiveInt
    epochs: PositiveFloat
    learning_rate: PositiveFloat
    schedule: Schedule
    warmup: float = Field(ge=0, le=1)
    optimizer: Literal["muon", "adamw_torch_fused", "adamw_torch", "adafactor", "lion_32bit", "lion_8bit", "adamw_8bit", "paged_adamw_8bit"]
    beta2: float = Field(gt=0, lt=1)
    weight_decay: NonNegativeFloat
    max_grad_norm: PositiveFloat
    stop_above: float = Field(gt=1)
    evaluations: PositiveInt
    gradient_checkpointing: bool
    tensorboard: bool

    @model_validator(mode="after")
    def fits_together(self) -> "Training":
        faults = []
        if self.batch_size % self.processes:
            faults.append(f"batch_size {self.batch_size} is no multiple of processes {self.processes}")
        if self.sharding != "none" and self.processes == 1:
            faults.append(f"sharding {self.sharding} parts a model over several processes, but processes is 1")
        if self.sharding != "none" and self.optimizer == "muon":
            faults.append(f"muon needs whole matrices, which sharding {self.sharding} parts: optimizer adamw_torch_fused, or sharding none")
        if faults:
            raise ValueError("; ".join(faults))
        return self
