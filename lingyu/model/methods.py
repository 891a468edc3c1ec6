"""The tuning methods that `sft.candidates.X.method` may name, with what each lets a person turn."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lingyu.stage import StageParams

Targets = Annotated[list[str], Field(min_length=1)]


class Full(StageParams):
    """All parameters learn."""

    name: Literal["full"]


class Adapting(StageParams):
    """What all other methods share. vocabulary: which rows of the embeddings, and of the head, learn beside the method's own parameters.

    new: those of the words that `extend` added, which began as a mean of their pieces.
    """

    vocabulary: Literal["none", "new", "all"]


class Freeze(Adapting):
    """The last layers learn, all before them stay as they are."""

    name: Literal["freeze"]
    layers: PositiveInt


class LowRank(Adapting):
    """Low-rank matrices beside the named projections (Hu et al. 2021).

    rank_stabilised: scaled by the root of the rank (Kalajdzievski 2023). decomposed: the length of each row of weights learns apart
    from its direction, DoRA (Liu et al. 2024).
    """

    rank: PositiveInt
    alpha: PositiveFloat
    dropout: float = Field(ge=0, lt=1)
    rank_stabilised: bool
    decomposed: bool
    targets: Targets


class Lora(LowRank):
    """begin: zero, which changes nothing at first; or pissa, the largest singular values of the weights (Meng et al. 2024)."""

    name: Literal["lora"]
    begin: Literal["zero", "pissa"]

    @model_validator(mode="after")
    def pissa_alone(self) -> "Lora":
        if self.begin == "pissa" and (self.rank_stabilised or self.decomposed):
            raise ValueError(
                "begin: pissa goes with neither rank_stabilised nor decomposed: what it learnt is written down as LoRA matrices of twice "
                "the rank, which would then be scaled, or parted into length and direction, differently"
            )
        return self


class Qlora(LowRank):
    """LoRA over weights held in 4 or 8 bits (Dettmers et al. 2023), on a GPU."""

    name: Literal["qlora"]
    bits: Literal[4, 8]


class Ia3(Adapting):
    """A factor for each channel of the targets' outputs, of the inputs where they are in feedforward too (Liu et al. 2022)."""

    name: Literal["ia3"]
    targets: Targets
    feedforward: list[str]

    @model_validator(mode="after")
    def feedforward_among_targets(self) -> "Ia3":
        if others := sorted(set(self.feedforward) - set(self.targets)):
            raise ValueError(f"feedforward names {', '.join(others)}, which are not in targets")
        return self


class Oft(Adapting):
    """The targets' weights are turned by an orthogonal matrix, in blocks along their inputs (Qiu et al. 2023)."""

    name: Literal["oft"]
    block_size: int = Field(ge=2)
    dropout: float = Field(ge=0, lt=1)
    targets: Targets


class Before(Adapting):
    """So many positions before every text. text: what they say at first, repeated to fill them; empty: words by chance."""

    tokens: PositiveInt
    text: str


class Prompt(Before):
    """The embeddings of words before the text learn (Lester et al. 2021)."""

    name: Literal["prompt"]


class Ptuning(Before):
    """The same embeddings, as a small network makes them (Liu et al. 2021)."""

    name: Literal["ptuning"]
    encoder: Literal["mlp", "lstm"]
    encoder_size: PositiveInt


class Prefix(Before):
    """Keys and values before the text learn, in every layer (Li and Liang 2021)."""

    name: Literal["prefix"]


class PtuningV2(Before):
    """The same keys and values, as a small network makes them (Liu et al. 2022)."""

    name: Literal["ptuning_v2"]
    encoder_size: PositiveInt


class Bottleneck(Adapting):
    """A narrow layer after a part of each layer; after both (Houlsby et al. 2019), or the feed-forward one (Pfeiffer et al. 2021)."""

    name: Literal["bottleneck"]
    size: PositiveInt
    activation: Literal["relu", "gelu", "silu"]
    after: Annotated[list[Literal["attention", "feedforward"]], Field(min_length=1)]


Method = Annotated[
    Full | Freeze | Lora | Qlora | Ia3 | Oft | Prompt | Ptuning | Prefix | PtuningV2 | Bottleneck,
    Field(discriminator="name"),
]
