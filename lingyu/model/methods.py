"""The tuning methods that `method` may name, with their parameters. Names are those of PEFT's configurations, where it has them."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lingyu.stage import StageParams

Targets = Annotated[list[str], Field(min_length=1)]
ALL_LINEAR: Final = "all-linear"  # PEFT's name for it
TARGETS = "Last part of the names of the linear layers to adapt. all-linear: every one but the head, whatever the family names them."
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Full(StageParams):
    """All parameters are trained."""

    name: Literal["full"] = "full"


class Adapting(StageParams):
    """What all other methods share."""

    renamed: ClassVar = {"vocabulary": "trainable_tokens"}

    trainable_tokens: Literal["none", "new", "all"] = Field(
        "none",
        description="Rows of the embeddings and of the head that are trained beside the method's own parameters. new: the words that "
        "extend added, which began as a mean of their pieces; not needed where pretrain has trained them.",
    )


class Freeze(Adapting):
    """The last layers are trained, all others stay as they are."""

    name: Literal["freeze"]
    layers: PositiveInt = Field(2, description="Layers to train, counted from the last.")


class LowRank(Adapting):
    """Low-rank matrices beside linear layers (Hu et al. 2021)."""

    renamed: ClassVar = {
        **Adapting.renamed,
        "rank": "r",
        "alpha": "lora_alpha",
        "dropout": "lora_dropout",
        "rank_stabilised": "use_rslora",
        "decomposed": "use_dora",
        "begin": "init_lora_weights",
        "targets": "target_modules",
    }

    r: PositiveInt = Field(16, description="Rank of the matrices.")
    lora_alpha: PositiveFloat = Field(32, description="The update is scaled by lora_alpha / r.")
    lora_dropout: Dropout = Field(0.0, description="Share of the inputs that the adapter does not see in a training step.")
    use_rslora: bool = Field(False, description="Scale by the root of r instead (Kalajdzievski 2023): for a large r.")
    use_dora: bool = Field(False, description="Train the length of each row of weights apart from its direction, DoRA (Liu et al. 2024).")
    target_modules: Literal["all-linear"] | Targets = Field(ALL_LINEAR, description=TARGETS)


class Lora(LowRank):
    """LoRA."""

    name: Literal["lora"]
    init_lora_weights: Literal[True, "pissa"] = Field(
        True,
        description="true: the adapter changes nothing at first. pissa: it begins with the largest singular values of the weights (Meng et "
        "al. 2024), which are computed at every start.",
    )

    @model_validator(mode="after")
    def pissa_alone(self) -> "Lora":
        if self.init_lora_weights == "pissa" and (self.use_rslora or self.use_dora):
            raise ValueError(
                "init_lora_weights: pissa works with neither use_rslora nor use_dora: what it learnt is saved as LoRA matrices of twice "
                "the rank, which would then be scaled, or divided into length and direction, differently"
            )
        return self


class Qlora(LowRank):
    """LoRA over weights held in 4 or 8 bits (Dettmers et al. 2023), on a GPU."""

    name: Literal["qlora"]
    bits: Literal[4, 8] = Field(4, description="4: NF4 with double quantisation, as in the paper. 8: LLM.int8().")


class Ia3(Adapting):
    """A factor for each channel of the targets' outputs, or of their inputs (Liu et al. 2022)."""

    renamed: ClassVar = {**Adapting.renamed, "targets": "target_modules", "feedforward": "feedforward_modules"}

    name: Literal["ia3"]
    target_modules: Targets = Field(["k_proj", "v_proj", "down_proj"], description="Linear layers to scale; the default is the paper's.")
    feedforward_modules: list[str] = Field(["down_proj"], description="Those of target_modules whose inputs are scaled, not their outputs.")

    @model_validator(mode="after")
    def feedforward_among_targets(self) -> "Ia3":
        if others := sorted(set(self.feedforward_modules) - set(self.target_modules)):
            raise ValueError(f"feedforward_modules names {', '.join(others)}, which are not in target_modules")
        return self


class Oft(Adapting):
    """The targets' weights are turned by an orthogonal matrix, in blocks along their inputs (Qiu et al. 2023)."""

    renamed: ClassVar = {
        **Adapting.renamed,
        "block_size": "oft_block_size",
        "dropout": "module_dropout",
        "targets": "target_modules",
    }

    name: Literal["oft"]
    oft_block_size: int = Field(32, ge=2, description="Inputs of a block; it must divide the inputs of every target.")
    module_dropout: Dropout = Field(0.0, description="Share of the blocks that are left out of a training step.")
    target_modules: Literal["all-linear"] | Targets = Field(ALL_LINEAR, description=TARGETS)


class Before(Adapting):
    """Virtual tokens before every text."""

    renamed: ClassVar = {**Adapting.renamed, "tokens": "num_virtual_tokens", "text": "prompt_tuning_init_text"}

    num_virtual_tokens: PositiveInt = Field(20, description="Positions before the text.")
    prompt_tuning_init_text: str = Field("", description="Words that they begin as, repeated to fill them. Empty: random words.")


class Prompt(Before):
    """Prompt tuning: the embeddings of virtual tokens are trained (Lester et al. 2021)."""

    name: Literal["prompt"]


class Ptuning(Before):
    """P-tuning: the same embeddings, computed by a small network (Liu et al. 2021)."""

    renamed: ClassVar = {**Before.renamed, "encoder": "encoder_reparameterization_type", "encoder_size": "encoder_hidden_size"}

    name: Literal["ptuning"]
    encoder_reparameterization_type: Literal["MLP", "LSTM"] = Field("MLP", description="The kind of that network.")
    encoder_hidden_size: PositiveInt = Field(128, description="Its width.")


class Prefix(Before):
    """Prefix tuning: keys and values of virtual tokens are trained in every layer (Li and Liang 2021)."""

    name: Literal["prefix"]


class PtuningV2(Before):
    """P-tuning v2: the same keys and values, computed by a small network (Liu et al. 2022)."""

    renamed: ClassVar = {**Before.renamed, "encoder_size": "encoder_hidden_size"}

    name: Literal["ptuning_v2"]
    encoder_hidden_size: PositiveInt = Field(128, description="Width of that network.")


class Bottleneck(Adapting):
    """A narrow layer after a part of each layer; after both (Houlsby et al. 2019), or the feed-forward one (Pfeiffer et al. 2021)."""

    name: Literal["bottleneck"]
    size: PositiveInt = Field(64, description="Width of the narrow layer.")
    activation: Literal["relu", "gelu", "silu"] = Field("gelu", description="Its activation.")
    after: Annotated[list[Literal["attention", "feedforward"]], Field(min_length=1)] = Field(
        ["feedforward"], description="Parts of a layer that one follows."
    )


Method = Annotated[
    Full | Freeze | Lora | Qlora | Ia3 | Oft | Prompt | Ptuning | Prefix | PtuningV2 | Bottleneck,
    Field(discriminator="name"),
]
