"""evaluate: ask a checkpoint the frozen test items, and measure what it answers.

Reads   out/${item.checkpoint}/model               the checkpoint, as params.yaml names it
        out/${item.checkpoint}/curves.csv          the losses of its training
        out/reward/model                           scores its replies to what preference pairs ask, else to questions about facts; not a
                                                   model where reward.enabled is false
        out/mix/test                               questions, domain, general, preference (.parquet)
Writes  out/evaluate/${key}/predictions.parquet    a row for each test item, in the same order for every checkpoint
        out/evaluate/${key}/confusion.csv          actual, predicted, count of the classification, "invalid" included
        out/evaluate/${key}/checkpoint.json        which checkpoint it is: the hash of each file, and its losses
        out/evaluate/${key}/metrics.json           each metric with its 95 % interval and count

A metric without test items is left out. A question longer than the checkpoint's context counts as answered wrong.
"""

import csv
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.evaluate import ask, metrics, predict
from lingyu.evaluate.metrics import Prediction
from lingyu.files import hashes, read_table, write_json, write_table
from lingyu.model.load import is_model, prepare
from lingyu.records import Document, Preference, Question
from lingyu.stage import StageError, StageParams, start

LOSSES = ("step", "train_loss", "eval_loss")


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


class Params(StageParams):
    renamed: ClassVar = {"new_tokens": "max_new_tokens"}

    checkpoint: str = Field(description="Folder under out/ whose model is measured: base, extend, pretrain, sft/NAME or align/NAME.")
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


def run(params: Params, models: Path, reward: Path, test: Path, out: Path) -> None:
    questions = list(read_table(test / "questions.parquet", Question))
    texts = {scope: list(read_table(test / f"{scope}.parquet", Document)) for scope in ("domain", "general")}
    preferences = list(read_table(test / "preference.parquet", Preference))
    if not (questions or preferences or any(texts.values())):
        raise StageError(
            f"all tables of {test} are empty, so there is nothing to measure. Add data, or raise the test share in section split."
        )

    prepare(params.threads)
    checkpoint = ask.load(models / params.checkpoint / "model", params.batch_tokens, params.precision)
    answered = predict.answers(checkpoint, questions, params.max_new_tokens.model_dump())
    rewarded = is_model(reward)
    if rewarded:
        answered = predict.with_rewards(answered, questions, reward, checkpoint.model.device)
    likely = [row for scope, rows in texts.items() for row in predict.likelihoods(checkpoint, rows, scope, params.stride)]
    preferred = predict.choices(checkpoint, preferences)

    predictions = [*answered, *likely, *preferred]
    write_table(out / "predictions.parquet", predictions, Prediction)
    with (out / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("actual", "predicted", "count"), *metrics.confusion_rows(predictions)])
    folder = models / params.checkpoint
    asked = {"checkpoint": params.checkpoint, "rewarded": rewarded, "files": hashes(folder / "model")}
    write_json(out / "checkpoint.json", {**asked, "curve": read_curve(folder / "curves.csv")})
    write_json(out / "metrics.json", metrics.measured(predictions, params.resamples, params.seed))


def read_curve(path: Path) -> list[dict[str, float | None]]:
    """Step and losses of each line; nothing where no training took place."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(line[name]) if line[name] else None for name in LOSSES} for line in csv.DictReader(file)]


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        models=Path("out"),
        reward=Path("out/reward/model"),
        test=Path("out/mix/test"),
        out=Path("out/evaluate/{item}"),
    )
