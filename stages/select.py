"""select: select the winner with paired tests on the test set, and report the reasons and the effect of each stage.

Reads   out/evaluate                predictions, metrics and file hashes of each checkpoint of params.yaml, evaluate.candidates
        out/mix/test                questions.parquet, for the examples in the report
        web/report                  the template of the report
Writes  out/select/model            a copy of the winner
        out/select/winner.json      the winner, the reasons and the tests
        out/select/leaderboard.csv  a row for each checkpoint and metric
        out/select/stages.csv       the change of each metric between checkpoints, with paired intervals
        out/select/report.html      the report in Chinese and English, in one file

The winner is copied from its training folder. That folder is not a dependency in dvc.yaml, because a stage without candidates has
none; instead, the copy is compared with the file hashes recorded by evaluate.
evaluate.candidates is ordered from simple to complex: if two checkpoints do not differ significantly, the earlier one is selected.
"""

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu import statistics
from lingyu.evaluate import metrics
from lingyu.evaluate.metrics import Change, Measure, Prediction
from lingyu.files import hashes, read_json, read_table, write_json
from lingyu.records import Question
from lingyu.select import report
from lingyu.stage import StageError, StageParams, mapping_at, read_params, start


class Pair(StageParams):
    """Two checkpoints, before and after a stage."""

    before: str = Field(description="The earlier one, by its name in evaluate.candidates.")
    after: str = Field(description="The later one.")
    zh: str = Field(description="What was added, in Chinese.")
    en: str = Field(description="What was added, in English.")
    guarded: bool = Field(
        False, description="The later one cannot win if it is significantly worse on any metric, by the paired test with Holm's correction."
    )


class Section(StageParams):
    """The section of params.yaml."""

    shown_only: list[str] = Field(
        ["base", "pretrain"], description="Checkpoints that are shown for comparison and cannot win: they do not follow instructions."
    )
    primary: list[str] = Field(
        [
            "fact_exact",
            "cite_exact",
            "recall_char_f1",
            "classify_accuracy",
            "chat_char_f1",
            "choice_exact",
            "domain_bits_per_byte",
            "preferred_char_f1",
        ],
        min_length=1,
        description="The first of these metrics that was measured decides. Answers to questions about facts are what the model is for; a "
        "corpus without facts has articles, or only conversations, exams, prose or preference pairs.",
    )
    level: float = Field(0.05, gt=0, lt=1, description="Significance, two-sided, after Holm's correction for several comparisons.")
    general_reference: str = Field("base", description="The checkpoint that general ability is compared with.")
    max_general_rise: float = Field(
        0.1,
        ge=0,
        description="Share by which bits per byte of held-out general text may rise. Fine-tuning loses some of what replayed general text "
        "gave; above this the model has forgotten its language. Chosen after a first run: a quarter over pretrain would have barred "
        "sft-full (+44 %), which is at +4 % over base.",
    )
    pairs: list[Pair] = Field(
        [], description="What each stage added, for the report. A pair with a checkpoint that is not evaluated is left out."
    )
    examples: NonNegativeInt = Field(10, description="Questions in the report, with the replies of every checkpoint.")
    resamples: PositiveInt = Field(1000, description="Bootstrap resamples behind an interval.")
    seed: NonNegativeInt = Field(0, description="Of the resamples.")


class Params(Section):
    checkpoints: dict[str, str] = Field(min_length=1, description="Name and folder of each of evaluate.candidates, from the simplest on.")

    @classmethod
    def load(cls, section: str, item: str | None = None) -> Self:
        own = Section.load(section, item)
        sections = read_params()
        candidates = mapping_at(sections, "evaluate", "candidates") if "candidates" in mapping_at(sections, "evaluate") else {}
        if not candidates:
            raise StageError("params.yaml lists no checkpoints under evaluate.candidates, so there is nothing to select from.")
        named = {name: mapping_at(sections, "evaluate", "candidates", name).get("checkpoint") for name in candidates}
        if lacking := [name for name, checkpoint in named.items() if not isinstance(checkpoint, str)]:
            raise StageError("\n".join(["params.yaml:", *(f"  evaluate.candidates.{name}.checkpoint: missing" for name in lacking)]))
        return cls(**own.model_dump(), checkpoints=named)


def run(params: Params, made: Path, test: Path, template: Path, out: Path) -> None:
    remove_left_over(made / "evaluate", params.checkpoints)
    asked: dict[str, dict[str, Any]] = {name: read_json(made / "evaluate" / name / "checkpoint.json") for name in params.checkpoints}
    predictions = {name: list(read_table(made / "evaluate" / name / "predictions.parquet", Prediction)) for name in params.checkpoints}
    measures: dict[str, dict[str, Measure]] = {name: read_json(made / "evaluate" / name / "metrics.json") for name in params.checkpoints}
    same_items(predictions)
    eligible = [name for name in params.checkpoints if name not in params.shown_only]
    if not eligible:
        raise StageError(
            f"no checkpoint is eligible: all of evaluate.candidates ({', '.join(measures)}) are in select.shown_only. Remove one."
        )
    pairs = [pair for pair in params.pairs if {pair.before, pair.after} <= set(params.checkpoints)]

    changes = {(pair.before, pair.after): changed(predictions[pair.before], predictions[pair.after], params) for pair in pairs}
    barred = {name: reasons_to_bar(name, measures, pairs, changes, params) for name in eligible}
    primary = primary_metric(params.primary, [measures[name] for name in eligible])
    admitted = [name for name in eligible if not barred[name]]
    choice = chosen(admitted, primary, measures, predictions, params) if admitted else None
    winner = choice["checkpoint"] if choice else None

    why = report.why(choice, primary, measures, barred, params.max_general_rise, params.general_reference)
    if absent := report.not_part(asked):
        why = report.Text(zh=why["zh"] + absent["zh"], en=f"{why['en']} {absent['en']}")
    print(f"{why['en']}\n{why['zh']}", flush=True)
    verdict = {
        "checkpoint": winner,
        "folder": f"out/{params.checkpoints[winner]}/model" if winner else None,
        "primary": primary,
        "why": why,
        "tests": choice["tests"] if choice else [],
        "barred": {name: reasons for name, reasons in barred.items() if reasons},
    }
    write_json(out / "winner.json", verdict)
    write_csv(out / "leaderboard.csv", ("checkpoint", "metric", *Measure.__annotations__), leaderboard(measures))
    write_csv(out / "stages.csv", ("before", "after", "metric", *Change.__annotations__), stage_rows(changes))
    questions = list(read_table(test / "questions.parquet", Question))
    page = report.page(
        template / "report.html",
        verdict=verdict,
        measures=measures,
        shown_only=params.shown_only,
        pairs=[(pair, changes[pair.before, pair.after]) for pair in pairs],
        curves={name: checkpoint["curve"] for name, checkpoint in asked.items() if checkpoint["curve"]},
        confusions={name: metrics.confusion_rows(predictions[name]) for name in compared(winner, list(measures), params.shown_only)},
        examples=report.examples(questions, predictions, params.examples),
        level=params.level,
    )
    (out / "report.html").write_text(page, encoding="utf-8")
    if winner is None:
        reasons = "\n".join(f"  {name}: {'; '.join(reason['en'] for reason in reasons)}" for name, reasons in barred.items())
        raise StageError(
            f"no checkpoint passed the gate, so there is no winner (see {out / 'report.html'}):\n{reasons}\n"
            "Replay more general text (section mix), lower the learning rate (sft, align), or relax the gate (select.max_general_rise)."
        )
    copy_model(made / params.checkpoints[winner] / "model", asked[winner]["files"], out / "model", winner)


def remove_left_over(folder: Path, checkpoints: Iterable[str]) -> None:
    """Remove outputs of former candidates, which DVC keeps; otherwise dvc.lock would name a folder that no other clone has."""
    for old in folder.iterdir():
        if old.is_dir() and old.name not in checkpoints:
            shutil.rmtree(old)


def same_items(predictions: dict[str, list[Prediction]]) -> None:
    """Raises StageError unless every checkpoint was evaluated on the same items in the same order."""
    items = {name: [row.id for row in rows] for name, rows in predictions.items()}
    first = next(iter(items), None)
    other = [name for name, ids in items.items() if first and ids != items[first]]
    if other:
        raise StageError(
            f"{', '.join(other)} and {first} were evaluated on different test items. Run `dvc repro evaluate` for all of them."
        )


def changed(before: Sequence[Prediction], after: Sequence[Prediction], params: Params) -> dict[str, Change]:
    """The change of each metric that has items."""
    found = {metric.name: metrics.change(metric, before, after, params.resamples, params.seed) for metric in metrics.all_metrics(before)}
    return {name: change for name, change in found.items() if change}


def reasons_to_bar(
    name: str,
    measures: dict[str, dict[str, Measure]],
    pairs: Iterable[Pair],
    changes: dict[tuple[str, str], dict[str, Change]],
    params: Params,
) -> list[report.Text]:
    """Why a checkpoint is rejected, in both languages: general ability lost, or significantly worse than its parent on a metric."""
    reasons = []
    before, after = measures.get(params.general_reference, {}).get(report.GENERAL), measures[name].get(report.GENERAL)
    if before and after and after["value"] > before["value"] * (1 + params.max_general_rise):
        reasons.append(report.general_loss(before["value"], after["value"], params.general_reference, params.max_general_rise))
    for pair in pairs:
        if pair.guarded and pair.after == name:
            # Fine-tuning on replies may reduce the likelihood of texts; the gate above limits by how much.
            moved = {metric: change for metric, change in changes[pair.before, name].items() if not metric.endswith("_bits_per_byte")}
            chances = statistics.holm({metric: change["chance"] for metric, change in moved.items()})
            lost = [metric for metric, change in moved.items() if change["difference"] < 0 and chances[metric] < params.level]
            reasons += [report.metric_loss(metric, moved[metric], pair.before, chances[metric]) for metric in lost]
    return reasons


def primary_metric(wanted: Sequence[str], measured: Sequence[dict[str, Measure]]) -> str:
    """The first metric that was measured for every eligible checkpoint."""
    for name in wanted:
        if all(name in measures for measures in measured):
            return name
    raise StageError(f"none of select.primary ({', '.join(wanted)}) was measured. Measured: {', '.join(measured[0])}. Use one of these.")


def chosen(
    admitted: Sequence[str], primary: str, measures: dict[str, dict[str, Measure]], predictions: dict[str, list[Prediction]], params: Params
) -> dict[str, Any]:
    """The simplest checkpoint that is not significantly worse than the best, and the tests of the best against all others."""
    metric = metrics.named(primary)
    sign = 1 if metric.better == "higher" else -1
    best = max(admitted, key=lambda name: (sign * measures[name][primary]["value"], -admitted.index(name)))
    moved = {
        name: metrics.change(metric, predictions[name], predictions[best], params.resamples, params.seed)
        for name in admitted
        if name != best
    }
    tests = {name: change for name, change in moved.items() if change}
    chances = statistics.holm({name: change["chance"] for name, change in tests.items()})
    winner = next(name for name in admitted if name == best or chances.get(name, 1.0) >= params.level)
    return {
        "checkpoint": winner,
        "best": best,
        "tests": [
            {
                "metric": primary,
                "challenger": best,
                "against": name,
                **change,
                "corrected_chance": chances[name],
                "beaten": chances[name] < params.level,
            }
            for name, change in tests.items()
        ],
    }


def compared(winner: str | None, names: Sequence[str], shown_only: Sequence[str]) -> list[str]:
    """The checkpoints whose confusion matrices are shown: the first reference checkpoint, and the winner."""
    first = next((name for name in names if name in shown_only), None)
    return [name for name in (first, winner) if name]


def leaderboard(measures: dict[str, dict[str, Measure]]) -> Iterable[tuple[Any, ...]]:
    for name, measured in measures.items():
        for metric, measure in measured.items():
            yield name, metric, *fields_of(measure, Measure)


def stage_rows(changes: dict[tuple[str, str], dict[str, Change]]) -> Iterable[tuple[Any, ...]]:
    for (before, after), moved in changes.items():
        for metric, change in moved.items():
            yield before, after, metric, *fields_of(change, Change)


def fields_of(values: Mapping[str, object], shape: type) -> list[object]:
    return [values[field] for field in shape.__annotations__]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def copy_model(source: Path, files: dict[str, str], target: Path, name: str) -> None:
    """Copy the winner. Raises StageError if the files are not those that were evaluated."""
    if target.exists():
        shutil.rmtree(target)
    if missing := [path for path in files if not (source / path).exists()]:
        raise StageError(f"{source} is missing {', '.join(missing)}. Fetch it: dvc pull {source}")
    shutil.copytree(source, target)
    found = hashes(target)
    if altered := [path for path in found if files.get(path) != found[path]]:
        raise StageError(
            f"{source} is not the model that evaluate@{name} evaluated: {', '.join(altered)} changed. Run `dvc repro evaluate@{name}`."
        )


if __name__ == "__main__":
    start(
        run,
        Params,
        made=Path("out"),
        test=Path("out/mix/test"),
        template=Path("web/report"),
        out=Path("out/select"),
    )
