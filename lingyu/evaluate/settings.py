"""How a checkpoint is asked: what changes its answers, or the time they take."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.judge.rubric import Judge
from lingyu.retrieve.embedders import EmbedderChoice
from lingyu.stage import StageParams


class NewTokens(StageParams):
    """Tokens of the longest reply of each task: half as long again as the longest right one of the default corpus, with either vocabulary.
    A model that never ends a reply, as the base, writes all of them, so more cost time."""

    fact: PositiveInt = Field(24, description="Questions about facts.")
    preferred: PositiveInt = Field(24, description="What preference pairs ask.")
    classify: PositiveInt = Field(10, description="Texts to classify.")
    reason: PositiveInt = Field(64, description="Questions to answer after reasoning, which counts too.")
    recall: PositiveInt = Field(192, description="Articles to recall.")
    cite: PositiveInt = Field(48, description="Articles to cite.")
    chat: PositiveInt = Field(24, description="Questions that came with the corpus.")
    other: PositiveInt = Field(64, description="All other tasks.")


class Settings(StageParams):
    """The section evaluate of params.yaml: of `common`, and of each candidate."""

    renamed: ClassVar = {"new_tokens": "max_new_tokens"}

    checkpoint: str = Field(description="Folder under out/ whose model is measured: base, extend, pretrain, sft/NAME or align/NAME.")
    seed_of: str = Field(
        "",
        description="The candidate that this one repeats with another seed of its training. It shows how far results differ by chance, and "
        "never wins.",
    )
    threads: PositiveInt = Field(
        2, description="CPU threads. Sums over floats depend on their number: another may change the last digit of a likelihood."
    )
    seed: NonNegativeInt = Field(0, description="Of the resamples.")
    resamples: PositiveInt = Field(
        1000, description="Bootstrap resamples behind an interval; 1,000 settle the second digit of a 95 % bound."
    )
    batch_tokens: PositiveInt = Field(
        4096,
        description="Tokens computed at once (rows times length). On two cores 65,536 take four times as long as 4,096; a GPU needs "
        "65,536 and more.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="On a CPU. With bf16 the tiny model was slower, because its weights are converted at every token. A GPU uses what the "
        "checkpoint was saved in.",
    )
    stride: PositiveInt = Field(
        128, description="Texts longer than the context are read in windows; each token has at least so many before it."
    )
    max_new_tokens: NewTokens = Field(NewTokens(), description="Tokens of the longest reply of each task.")
    keep_mb: NonNegativeInt = Field(
        1024,
        description="Of what all checkpoints answered, under .lingyu/answers: what was asked before is not asked again. 0 keeps nothing.",
    )
    compared: list[str] = Field(
        ["recall"],
        description="Tasks whose replies are compared with the reference by BLEU-1 to 4, ROUGE-1, 2, L and F1 by words as well. jieba's "
        "dictionary takes a second to load.",
    )
    judge: Judge = Field(
        Judge(),
        description="A language model that scores replies by a rubric. Its scores are metrics, and decide only where `primary` names one.",
    )
    similarity: EmbedderChoice = Field(
        EmbedderChoice(name="none"),
        description="An embedder that tells how similar the replies of these tasks are to the reference in meaning. It is calibrated, "
        "and refused where it rates negated sentences, wrong numbers or unrelated ones like paraphrases.",
    )
