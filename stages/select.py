"""select: select the winner on the dev items, ask it the test, and report both.

A checkpoint is promoted over the simpler one if its primary metric is significantly better and nothing that is guarded was lost
(lingyu/select/gate.py). The test has no part in that. It is asked once the winner is known: of the winner, of the reference and of
those that the winner is compared with in `pairs`. Each such look at a test is counted.

Reads   out/evaluate                dev predictions, metrics and file hashes of each checkpoint of params.yaml, evaluate.candidates
        out/mix/test                questions, domain, general, preference (.parquet)
        out/reward/model            scores replies to the test as evaluate does
        answers                     what models of others answered to the test, NAME.jsonl; shown beside the rest, never chosen; in
                                    compared/ results of `lingyu compare`, NAME.json, which the report shows
        out/clean/tables            the passages that right answers rest on, for the report
        out/index/retrieval.json    which questions of the retrieval set find their passage
        web/report                  the template of the report
Writes  out/select/model            a copy of the winner
        out/select/winner.json      the winner, the reasons and the tests
        out/select/test             what the checkpoints that were asked made of each test item, NAME.parquet
        out/select/judge.jsonl      what a judge was asked and said of these replies; empty without one
        out/select/metrics.json     the winner's metrics on the test
        out/select/leaderboard.csv  a row for each checkpoint that was asked the test, and metric
        out/select/dev.csv          the same of all checkpoints, on the dev items that the choice rests on
        out/select/stages.csv       the change of each metric between checkpoints on the dev items, with paired intervals
        out/select/retrieval.json   the same, and which of them an earlier run found; read by the next, which fails if one is lost
        out/select/looks.json       which models have been asked which test; read by the next run
        out/select/report.html      the report in Chinese and English, in one file

Models are read from their training folders. These are not dependencies in dvc.yaml, because a stage without candidates has none;
instead, they are compared with the file hashes recorded by evaluate.
evaluate.candidates is ordered from simple to complex: if two checkpoints do not differ significantly, the earlier one is selected.
"""

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from lingyu import last_run, statistics
from lingyu.evaluate import items, judged, metrics, predict, similarity
from lingyu.evaluate.answers import read_answers
from lingyu.evaluate.kept import FOLDER
from lingyu.evaluate.metrics import Change, Measure, Prediction
from lingyu.evaluate.settings import Settings
from lingyu.files import hashes, read_json, read_table, short_hash, write_json, write_table
from lingyu.judge import results, scores
from lingyu.judge.rubric import Judge
from lingyu.records import Question
from lingyu.select import evidence, gate, report, seeds
from lingyu.select import retrieval as searched
from lingyu.select.gate import Round, Rules
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
    weights: dict[str, NonNegativeFloat] = Field(
        {},
        description="Tasks that may be traded against each other, by weight: {fact: 3, classify: 1}. The weighted mean of their metrics "
        "then decides instead of `primary`, and these tasks are not guarded one by one. Without entries every task but the primary is.",
    )
    level: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Significance of a gain, two-sided, after Holm's correction for several challengers; and of having lost less than the "
        "margin, one-sided, for each guarded metric.",
    )
    margin: float = Field(
        0.03,
        gt=0,
        lt=1,
        description="What a guarded metric may lose: three points. To show that, answers that do not change need 88 items, others more. A "
        "metric with fewer items bars only who is significantly worse.",
    )
    margins: dict[str, float] = Field(
        {}, description="Other margins, by metric: {reason_format: 0.1}. A metric that is named here is guarded in any case."
    )
    general_reference: str = Field(
        "base", description="The checkpoint that a winner must not be significantly worse than on any guarded metric; asked the test, too."
    )
    max_general_rise: float = Field(
        0.1,
        ge=0,
        description="Share by which bits per byte of held-out general text may rise over the reference, and over the checkpoint that is "
        "replaced. Fine-tuning loses some of what replayed general text gave; above this the model has forgotten its language. Chosen "
        "after a first run: a quarter over pretrain would have barred sft-full (+44 %), which is at +4 % over base.",
    )
    pairs: list[Pair] = Field(
        [], description="What each stage added, for the report. A pair with a checkpoint that is not evaluated is left out."
    )
    examples: NonNegativeInt = Field(10, description="Wrong answers on the first page of the report: those that hurt most.")
    resamples: PositiveInt = Field(1000, description="Bootstrap resamples behind an interval.")
    seed: NonNegativeInt = Field(0, description="Of the resamples.")


class Params(Section):
    checkpoints: dict[str, str] = Field(min_length=1, description="Name and folder of each of evaluate.candidates, from the simplest on.")
    settings: dict[str, Settings] = Field(description="How evaluate asks each of them, for the test.")

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
        settings = {name: Settings.load("evaluate", name) for name in candidates}
        made = cls(**own.model_dump(), checkpoints=named, settings=settings)
        seeds.check_repeats(seeds.families({name: one.seed_of for name, one in settings.items()}), made.checkpoints, sections)
        return made


def run(
    params: Params,
    made: Path,
    test: Path,
    reward: Path,
    answers: Path,
    tables: Path,
    retrieval: Path,
    template: Path,
    out: Path,
    kept: Path | None = None,
) -> None:
    remove_left_over(made / "evaluate", params.checkpoints)
    about: dict[str, dict[str, Any]] = {name: read_json(made / "evaluate" / name / "checkpoint.json") for name in params.checkpoints}
    predictions = {name: list(read_table(made / "evaluate" / name / "predictions.parquet", Prediction)) for name in params.checkpoints}
    measures: dict[str, dict[str, Measure]] = {name: read_json(made / "evaluate" / name / "metrics.json") for name in params.checkpoints}
    same_items(predictions)
    repeated = seeds.families({name: params.settings[name].seed_of for name in params.checkpoints})
    eligible = [name for name in params.checkpoints if name not in params.shown_only and not params.settings[name].seed_of]
    if not eligible:
        raise StageError(
            f"no checkpoint is eligible: all of evaluate.candidates ({', '.join(measures)}) are in select.shown_only. Remove one."
        )
    pairs = [pair for pair in params.pairs if {pair.before, pair.after} <= set(params.checkpoints)]

    spreads = seeds.spreads(repeated, measures)
    rules = rules_of(params, [measures[name] for name in eligible])
    rules = replace(rules, noise=seeds.floors(spreads, rules.weights, gate.SCORE))
    changes = {(pair.before, pair.after): changed(predictions[pair.before], predictions[pair.after], params) for pair in pairs}
    barred = {name: reasons_to_bar(name, measures, predictions, pairs, changes, rules, params) for name in eligible}
    admitted = [name for name in eligible if not barred[name]]
    winner, rounds = chosen(admitted, predictions, rules, params) if admitted else (None, [])

    asked = {}
    if winner is not None:
        copy_model(made / params.checkpoints[winner] / "model", about[winner]["files"], out / "model", winner)
        asked = ask_test(tested(winner, pairs, params), winner, about, made, test, reward, out, params, kept)
    questions = items.Items.read(test).questions if asked else []
    external, unanswered = others(answers, questions, params) if asked else ({}, {})
    judge = next(iter(params.settings.values())).judge
    scored = scores.scored({**asked, **external}, questions, judge if asked else Judge(), out / "judge.jsonl")
    asked, external = ({name: scored[name] for name in rows} for rows in (asked, external))
    for name, rows in asked.items():
        write_table(out / "test" / f"{name}.parquet", rows, Prediction)
    tests = {name: metrics.measured(rows, params.resamples, params.seed) for name, rows in {**asked, **external}.items()}
    looks = counted_looks(out / "looks.json", test, {name: about[name]["files"] for name in asked})

    why = report.why(winner, rounds, rules, tests, barred, measures, params.max_general_rise, params.general_reference)
    for more in (report.seeds_said(spreads, rules.primary), report.not_part(about)):
        if more:
            why = report.Text(zh=why["zh"] + more["zh"], en=f"{why['en']} {more['en']}".strip())
    print(f"{why['en']}\n{why['zh']}", flush=True)
    verdict = {
        "checkpoint": winner,
        "folder": f"out/{params.checkpoints[winner]}/model" if winner else None,
        "primary": rules.primary,
        "why": why,
        "rounds": gate.as_json(rounds),
        "barred": {name: reasons for name, reasons in barred.items() if reasons},
        "looks": looks["now"],
        "seeds": spreads,
    }
    write_json(out / "winner.json", verdict)
    write_json(out / "looks.json", looks["all"])
    write_json(out / "metrics.json", tests.get(winner or "", {}))
    passages = searched.outcomes(retrieval, out / "retrieval.json")
    write_csv(out / "leaderboard.csv", ("checkpoint", "metric", *Measure.__annotations__), leaderboard(tests))
    write_csv(out / "dev.csv", ("checkpoint", "metric", *Measure.__annotations__), leaderboard(measures))
    write_csv(out / "stages.csv", ("before", "after", "metric", *Change.__annotations__), stage_rows(changes))
    found = evidence.passages(tables, questions)
    shown = evidence.items(questions, {**asked, **external}, winner, found) if winner else []
    page = report.page(
        template / "report.html",
        verdict=verdict,
        rules=rules,
        measures=measures,
        tests=tests,
        shown_only=params.shown_only,
        pairs=[(pair, changes[pair.before, pair.after]) for pair in pairs],
        unanswered=unanswered,
        headline=report.headline(winner, rules, tests, params.general_reference) if winner else None,
        against=report.against(winner, {**asked, **external}, rules.primary, params.level, params.resamples, params.seed),
        curves={name: checkpoint["curve"] for name, checkpoint in about.items() if checkpoint["curve"]},
        confusions={name: metrics.confusion_rows(rows) for name, rows in {**asked, **external}.items()},
        judge=judged_by(judge, {**asked, **external}, tests, params),
        compared=results.read(answers / "compared"),
        passages=passages,
        items=shown,
        calibration=next((checkpoint["similarity"] for checkpoint in about.values() if "similarity" in checkpoint), []),
        worst=evidence.worst(shown, params.examples),
        level=params.level,
    )
    (out / "report.html").write_text(page, encoding="utf-8")
    if winner is None:
        reasons = "\n".join(f"  {name}: {'; '.join(reason['en'] for reason in reasons)}" for name, reasons in barred.items())
        raise StageError(
            f"no checkpoint passed the gate, so there is no winner (see {out / 'report.html'}):\n{reasons}\n"
            "Replay more general text (section mix), lower the learning rate (sft, align), or relax the gate (select.max_general_rise, "
            "select.margins)."
        )
    if refusal := searched.refusal(passages):
        raise StageError(refusal)


def judged_by(
    judge: Judge, asked: Mapping[str, Sequence[Prediction]], tests: Mapping[str, Mapping[str, Measure]], params: Params
) -> dict[str, Any] | None:
    """What the report says of a judge and its scores; None where there was none."""
    told = {name: scores.summary_of(rows, params.resamples, params.seed) for name, rows in asked.items()}
    told = {name: each for name, each in told.items() if each["judged"]}
    names = dict.fromkeys(metric for name in told for metric in tests[name] if judged.is_score(metric))
    return {"model": judge.model, "scale": judge.scale, "metrics": list(names), "told": told} if told else None


def rules_of(params: Params, measured: Sequence[Mapping[str, Measure]]) -> Rules:
    """What decides and what is guarded: of the metrics that all eligible checkpoints have."""
    common = [name for name in measured[0] if all(name in measures for measures in measured)]
    if unknown := [name for name in params.margins if name not in metrics.BY_NAME and name not in common]:
        raise StageError(f"select.margins: no metric is named {', '.join(unknown)}. Measured: {', '.join(common)}.")
    own = {"general_bits_per_byte": params.max_general_rise, **{name: value for name, value in params.margins.items() if name in common}}
    margins = gate.margins_of(common, params.margin, {name: value for name, value in own.items() if name in common})
    weights = gate.weights_of(common, params.weights)
    if params.weights and not weights:
        raise StageError(
            f"select.weights names {', '.join(params.weights)}, but none of these tasks was measured. Measured: {', '.join(common)}."
        )
    primary = gate.SCORE if weights else primary_metric(params.primary, common)
    return Rules(primary, margins, weights, params.level)


def primary_metric(wanted: Sequence[str], measured: Sequence[str]) -> str:
    """The first metric that was measured for every eligible checkpoint."""
    for name in wanted:
        if name in measured:
            return name
    raise StageError(f"none of select.primary ({', '.join(wanted)}) was measured. Measured: {', '.join(measured)}. Use one of these.")


def chosen(admitted: Sequence[str], predictions: Mapping[str, list[Prediction]], rules: Rules, params: Params) -> tuple[str, list[Round]]:
    """The winner of the admitted, and how it came about."""
    return gate.tournament(
        admitted,
        lambda incumbent, other: gate.compare(predictions[incumbent], predictions[other], rules, params.resamples, params.seed),
        rules,
    )


def tested(winner: str, pairs: Iterable[Pair], params: Params) -> list[str]:
    """Who is asked the test: the winner, the reference, and what the winner is compared with in `pairs`."""
    parents = {pair.before for pair in pairs if pair.after == winner}
    return [name for name in params.checkpoints if name in {winner, params.general_reference, *parents}]


def ask_test(
    names: Iterable[str],
    winner: str,
    about: Mapping[str, Mapping[str, Any]],
    made: Path,
    test: Path,
    reward: Path,
    out: Path,
    params: Params,
    kept: Path | None,
) -> dict[str, list[Prediction]]:
    """What these checkpoints make of each test item."""
    found, asked = {}, items.Items.read(test)
    if not asked:
        raise StageError(
            f"all tables of {test} are empty, so the winner cannot be tested. Add data, or raise the test share in section split."
        )
    for name in names:
        folder = out / "model" if name == winner else made / params.checkpoints[name] / "model"
        if name != winner:
            check_model(folder, about[name]["files"], name)
        found[name] = items.predictions(folder, reward, asked, params.settings[name], kept)
    return found


def others(folder: Path, questions: Sequence[Question], params: Params) -> tuple[dict[str, list[Prediction]], dict[str, int]]:
    """What models of others answered, one a file; and how many questions each left unanswered, which count as wrong."""
    found, unanswered = {}, {}
    for path in sorted(path for path in folder.glob("*") if path.suffix in {".jsonl", ".json", ".csv", ".tsv", ".xlsx"}):
        if path.stem in params.checkpoints or path.stem in found:
            raise StageError(f"{path}: {path.stem} is the name of another candidate. Rename the file.")
        given = read_answers(path, questions)
        how = next(iter(params.settings.values()))
        found[path.stem] = similarity.add(predict.given(questions, given.replies, how.compared), how.compared, how.similarity)
        unanswered[path.stem] = len(given.lacking)
        if given.lacking or given.strange:
            print(
                f"{path}: {len(given.lacking)} items without an answer count as wrong, {len(given.strange)} ids are of no item", flush=True
            )
    return found, unanswered


def counted_looks(path: Path, test: Path, models: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """All looks at a test so far, one for each model and test; and how many models this test has been asked."""
    before = last_run.left(path)
    looks: list[dict[str, str]] = read_json(before) if before else []
    name = short_hash(*items.hashes_of(test).values())
    for checkpoint, files in models.items():
        look = {"test": name, "model": short_hash(*(f"{path} {digest}" for path, digest in files.items())), "checkpoint": checkpoint}
        if look not in looks:
            looks.append(look)
    ever = {look["model"] for look in looks if look["test"] == name}
    return {"all": looks, "now": {"test": name, "asked": list(models), "models_ever_asked": len(ever)}}


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
    predictions: Mapping[str, list[Prediction]],
    pairs: Iterable[Pair],
    changes: dict[tuple[str, str], dict[str, Change]],
    rules: Rules,
    params: Params,
) -> list[report.Text]:
    """Why a checkpoint is rejected, in both languages: general ability lost, or significantly worse than the reference or its parent."""
    reasons, reference = [], params.general_reference
    before, after = measures.get(reference, {}).get(report.GENERAL), measures[name].get(report.GENERAL)
    if before and after and after["value"] > before["value"] * (1 + params.max_general_rise):
        reasons.append(report.general_loss(before["value"], after["value"], reference, params.max_general_rise))
    if reference in predictions and reference != name:
        every = Rules(rules.primary if rules.primary in metrics.BY_NAME else next(iter(rules.weights)), rules.margins, level=rules.level)
        found = gate.compare(predictions[reference], predictions[name], every, params.resamples, params.seed)
        lost = gate.verdict(found, every).lost
        if found.fell and found.primary["chance"] < params.level:
            reasons.append(report.metric_loss(every.primary, found.primary, reference))
        lost = [one for one in lost if one != report.GENERAL and can_be_worse(one, measures[reference])]
        reasons += [report.metric_loss(one, found.guarded[one].change, reference) for one in lost]
    for pair in pairs:
        if pair.guarded and pair.after == name and pair.before != reference:
            # Fine-tuning on replies may reduce the likelihood of texts; the gate above limits by how much.
            moved = {metric: change for metric, change in changes[pair.before, name].items() if not metric.endswith("_bits_per_byte")}
            chances = statistics.holm({metric: change["chance"] for metric, change in moved.items()})
            fallen = [metric for metric, change in moved.items() if change["difference"] < 0 and chances[metric] < params.level]
            reasons += [report.metric_loss(metric, moved[metric], pair.before) for metric in fallen]
    return reasons


def can_be_worse(name: str, reference: Mapping[str, Measure]) -> bool:
    """Whether a loss against the reference speaks against a checkpoint. Of a task in which the reference gets nothing right, faults do not:
    a base that never cites an article invents none."""
    metric = metrics.named(name)
    if metric.better == "higher" or not metric.task:
        return True
    of_task = [
        reference[one]["value"]
        for one in reference
        if (other := metrics.named(one)).task == metric.task and other.guarded and other.better == "higher"
    ]
    return not of_task or any(of_task)


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
    check_model(source, files, name)
    shutil.copytree(source, target)


def check_model(folder: Path, files: dict[str, str], name: str) -> None:
    """Raises StageError if the files are not those that were evaluated."""
    if missing := [path for path in files if not (folder / path).exists()]:
        raise StageError(f"{folder} is missing {', '.join(missing)}. Fetch it: dvc pull {folder}")
    found = hashes(folder)
    if altered := [path for path in found if files.get(path) != found[path]]:
        raise StageError(
            f"{folder} is not the model that evaluate@{name} evaluated: {', '.join(altered)} changed. Run `dvc repro evaluate@{name}`."
        )


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        made=Path("out"),
        test=Path("out/mix/test"),
        reward=Path("out/reward/model"),
        answers=Path("answers"),
        tables=Path("out/clean/tables"),
        retrieval=Path("out/index/retrieval.json"),
        template=Path("web/report"),
        out=Path("out/select"),
        kept=FOLDER,
    )
