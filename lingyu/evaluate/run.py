"""`lingyu evaluate` and `lingyu diff`: measuring a model on a file of questions outside the DAG, and what changed between two runs.

A run is a folder: questions.parquet, predictions.parquet, metrics.json, run.json (what was asked of whom, and what was left out).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingyu.evaluate import brought, metrics, outside, predict, similarity
from lingyu.evaluate.answers import read_answers
from lingyu.evaluate.metrics import Change, Measure, Prediction
from lingyu.evaluate.settings import Settings
from lingyu.files import read_table, sha256, write_json, write_table
from lingyu.judge import scores
from lingyu.records import Question
from lingyu.stage import StageError

FEW = 30  # items; below these an interval is so wide that it says little


def evaluate(
    target: str,
    items: Path,
    out: Path,
    settings: Settings,
    task: str = "",
    columns: Mapping[str, str] | None = None,
    model: str = "",
    people: Path | None = None,
) -> dict[str, Any]:
    """Ask a folder with a model, an endpoint or a file of answers the questions of a file. Returns what run.json holds. people: a file of
    their scores of the same replies."""
    asked = brought.read_items(items, task, columns)
    rows, about = answered(target, asked.questions, out, settings, model)
    rows = similarity.add(rows, settings.compared, settings.similarity)
    out.mkdir(parents=True, exist_ok=True)
    if settings.judge.on:
        rows = scores.scored({"": rows}, asked.questions, settings.judge, None, out / "judge.jsonl")[""]
        about |= {"judge": {"model": settings.judge.model, "scale": settings.judge.scale, **scores.summary_of(rows, settings.resamples)}}
        if people:
            about["judge"]["people"] = scores.people_agree(rows, people, settings.judge.points)
    write_table(out / "questions.parquet", asked.questions, Question)
    write_table(out / "predictions.parquet", rows, Prediction)
    write_json(out / "metrics.json", metrics.measured(rows, settings.resamples, settings.seed))
    record = {
        "target": target,
        "items": {"sha256": sha256(items), "asked": len(rows), "left_out": dict(sorted(asked.left.items()))},
        **about,
    }
    write_json(out / "run.json", record)
    return record


def answered(
    target: str, questions: Sequence[Question], out: Path, settings: Settings, model: str
) -> tuple[list[Prediction], dict[str, Any]]:
    if target.startswith(("http://", "https://")):
        if not model:
            raise StageError("which model of the endpoint? Name it with --model.")
        replies = outside.replies(target, model, questions, settings.max_new_tokens.model_dump(), out / "answers.jsonl")
        return predict.given(questions, replies, settings.compared), {"model": model}
    path = Path(target)
    if path.is_file():
        given = read_answers(path, questions)
        return predict.given(questions, given.replies, settings.compared), {
            "not_answered": len(given.lacking),
            "strange_ids": len(given.strange),
        }
    folder = path / "model" if (path / "model" / "config.json").exists() else path
    if not (folder / "config.json").exists():
        raise StageError(f"{target} is no folder with a model (config.json), no file of answers and no address of an endpoint (http://…).")
    from lingyu.evaluate import ask, kept
    from lingyu.model.load import prepare

    prepare(settings.threads)
    checkpoint = ask.load(folder, settings.batch_tokens, settings.precision, kept.FOLDER, settings.keep_mb)
    return predict.answers(checkpoint, questions, settings.max_new_tokens.model_dump(), settings.compared), {}


def table(measured: Mapping[str, Measure], name_of: Callable[[str], str]) -> Iterator[str]:
    """A line for each metric: its name, value, interval and count."""
    for name, measure in measured.items():
        if not metrics.named(name).detail:
            value, low, high = (shown(measure[side], name) for side in ("value", "low", "high"))
            yield f"  {name_of(name):44} {value:>8}  [{low}, {high}]  n = {measure['count']}"


def shown(value: float, metric: str) -> str:
    return f"{100 * value:.1f}%" if metrics.named(metric).unit == "percent" else f"{value:.3f}"


@dataclass(frozen=True)
class Diff:
    """Two runs on the items that both have. fixed, broken: items whose answer became right, or wrong."""

    changes: dict[str, Change]
    fixed: list[tuple[Prediction, Prediction]]
    broken: list[tuple[Prediction, Prediction]]
    shared: int
    only_before: int
    only_after: int


def diff(before: Path, after: Path, resamples: int = 1000, seed: int = 0) -> Diff:
    one, other = ({row.id + row.task: row for row in read_run(path)} for path in (before, after))
    shared = [id_ for id_ in one if id_ in other]
    if not shared:
        raise StageError(f"{before} and {after} have no item in common.")
    rows, later = [one[id_] for id_ in shared], [other[id_] for id_ in shared]
    changed = [id_ for id_ in shared if one[id_].answer != other[id_].answer]
    if changed:
        raise StageError(f"{len(changed)} items have one id and two right answers in {before} and {after}, first {one[changed[0]].id}.")
    moved = {metric.name: metrics.change(metric, rows, later, resamples, seed) for metric in metrics.all_metrics(rows)}
    pairs = [(row, new) for row, new in zip(rows, later, strict=True) if "exact" in row.values and "exact" in new.values]
    return Diff(
        {name: change for name, change in moved.items() if change},
        [(row, new) for row, new in pairs if new.correct and not row.correct],
        [(row, new) for row, new in pairs if row.correct and not new.correct],
        len(shared),
        len(one) - len(shared),
        len(other) - len(shared),
    )


def read_run(path: Path) -> list[Prediction]:
    """The predictions of a run's folder, or of a file of them."""
    file = path if path.is_file() else path / "predictions.parquet"
    if not file.exists():
        raise StageError(f"{path} is no run: it has no predictions.parquet. `lingyu evaluate … --out {path}` makes one.")
    return list(read_table(file, Prediction))


def remarks(record: Mapping[str, Any]) -> Iterator[str]:
    """What a reader of the figures must know."""
    left = record["items"]["left_out"]
    if left:
        yield f"left out: {', '.join(f'{count} {reason}' for reason, count in left.items())}"
    if record.get("not_answered"):
        yield f"{record['not_answered']} items without an answer count as answered wrong"
    if record.get("strange_ids"):
        yield f"{record['strange_ids']} answers have an id that no item has, and are ignored"
    if judge := record.get("judge"):
        yield f"judge {judge['model']}, scale {judge['scale']}: {judge['judged']} replies, {judge['lacking']} without scores"
        for name, agreed in judge.get("people", {}).items():
            told = "–" if agreed["kappa"] is None else f"{agreed['kappa']:.2f} [{agreed['low']:.2f}, {agreed['high']:.2f}]"
            yield f"  {name} and people's scores: quadratic kappa {told}, n = {agreed['count']}"
        for name, length in judge["length"].items():
            if length["value"] is not None:
                yield f"  {name} and length of the reply: rho {length['value']:.2f} [{length['low']:.2f}, {length['high']:.2f}]"
    if record["items"]["asked"] < FEW:
        yield f"{record['items']['asked']} items are few: an interval spans {FEW} points and more"
