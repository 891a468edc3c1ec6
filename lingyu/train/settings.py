"""What every training stage lets a person turn."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from lingyu.stage import StageParams


class Training(StageParams):
    """Names and meaning are those of transformers' TrainingArguments, where it has them.

    threads: CPU threads; another number gives other bits. precision: of the matrix products, weights stay fp32 on a CPU.
    warmup: share of the steps. evaluations: how often the dev set is measured and a checkpoint written.
    max_length: tokens a row or block. optimizer: also muon (lingyu.train.muon), whose rates are for the hidden matrices.
    """

    seed: NonNegativeInt
    threads: PositiveInt
    precision: Literal["fp32", "bf16", "fp16"]
    max_length: PositiveInt
    batch_size: PositiveInt
    accumulation: PositiveInt
    epochs: PositiveFloat
    learning_rate: PositiveFloat
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_min_lr", "warmup_stable_decay"]
    warmup: float = Field(ge=0, le=1)
    optimizer: Literal["muon", "adamw_torch_fused", "adamw_torch", "adafactor", "lion_32bit", "lion_8bit", "adamw_8bit"]
    beta2: float = Field(gt=0, lt=1)
    weight_decay: NonNegativeFloat
    max_grad_norm: PositiveFloat
    evaluations: PositiveInt
    gradient_checkpointing: bool
