"""evaluate: ask a checkpoint the dev items, by which select chooses, and measure what it answers.

Reads   out/${item.checkpoint}/model               the checkpoint, as params.yaml names it
        out/${item.checkpoint}/curves.csv          the losses of its training
        out/reward/model                           scores its replies to what preference pairs ask, else to questions about facts; not a
                                                   model where reward.enabled is false
        out/mix/dev                                questions, domain, general, preference (.parquet)
Writes  out/evaluate/${key}/predictions.parquet    a row for each dev item, in the same order for every checkpoint
        out/evaluate/${key}/confusion.csv          actual, predicted, count of the classification, "invalid" included
        out/evaluate/${key}/judge.jsonl            what a judge was asked and said of the replies; empty without one
        out/evaluate/${key}/checkpoint.json        which checkpoint it is: the hash of each file, its losses, how similarity was calibrated
        out/evaluate/${key}/metrics.json           each metric with its 95 % interval and count

The test items are not read here: select asks them of the winner and of what it is compared with. A metric without items is left out.
A question longer than the checkpoint's context counts as answered wrong.
"""

import csv
from pathlib import Path
from typing import Any

from lingyu.evaluate import items, metrics, similarity
from lingyu.evaluate.kept import FOLDER
from lingyu.evaluate.metrics import Prediction
from lingyu.evaluate.settings import Settings
from lingyu.files import hashes, write_json, write_table
from lingyu.judge import scores
from lingyu.model.load import is_model
from lingyu.stage import StageError, start

LOSSES = ("step", "train_loss", "eval_loss")


class Params(Settings):
    """Those of lingyu/evaluate/settings.py, which select asks the test by as well."""


def run(params: Params, models: Path, reward: Path, dev: Path, out: Path, kept: Path | None = None) -> None:
    asked = items.Items.read(dev)
    if not asked:
        raise StageError(
            f"questions, domain, general and preference of {dev} are empty, so there is nothing to select a checkpoint by. Add data, or "
            "raise the dev share in section split."
        )
    folder = models / params.checkpoint
    answered = items.predictions(folder / "model", reward, asked, params, kept)
    predictions = scores.scored({params.checkpoint: answered}, asked.questions, params.judge, out / "judge.jsonl")[params.checkpoint]
    write_table(out / "predictions.parquet", predictions, Prediction)
    with (out / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("actual", "predicted", "count"), *metrics.confusion_rows(predictions)])
    about: dict[str, Any] = {"checkpoint": params.checkpoint, "rewarded": is_model(reward), "files": hashes(folder / "model")}
    if calibrated := similarity.calibrated(params.similarity):
        about["similarity"] = calibrated[1]
    write_json(out / "checkpoint.json", {**about, "curve": read_curve(folder / "curves.csv")})
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
        dev=Path("out/mix/dev"),
        out=Path("out/evaluate/{item}"),
        kept=FOLDER,
    )
