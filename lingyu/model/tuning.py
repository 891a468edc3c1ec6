"""Tuning methods: which parameters learn, and how what was learnt is merged into one model again."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from lingyu.model.load import save
from lingyu.stage import StageParams


class Full(StageParams):
    """All parameters learn."""

    name: Literal["full"]


class Lora(StageParams):
    """Low-rank adapters on the named projections (Hu et al. 2021); rank-stabilised scaling where asked (Kalajdzievski 2023)."""

    name: Literal["lora"]
    rank: PositiveInt
    alpha: PositiveFloat
    dropout: float = Field(ge=0, lt=1)
    rank_stabilised: bool
    targets: list[str]


Method = Annotated[Full | Lora, Field(discriminator="name")]


def tuned(model: Any, method: Full | Lora) -> Any:
    """The model with the method's parameters set to learn."""
    if isinstance(method, Full):
        return model
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=method.rank,
            lora_alpha=method.alpha,
            lora_dropout=method.dropout,
            use_rslora=method.rank_stabilised,
            target_modules=list(method.targets),
        ),
    )


def merge_and_save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save one model that needs no adapter; where there was one, it is kept under adapter/ too."""
    if hasattr(model, "merge_and_unload"):
        config = model.peft_config["default"]
        config.base_model_name_or_path = ""
        config.target_modules = sorted(config.target_modules)  # a set has another order in every process
        model.save_pretrained(folder / "adapter")
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        model = model.merge_and_unload()
    save(model, tokenizer, folder)
