"""The evaluation report: which checkpoint won and why, the effect of each stage, curves and examples. One HTML file in two languages."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any, Literal, TypedDict

from lingyu.evaluate.metrics import INVALID, Change, Measure, Prediction, all_metrics, change, named
from lingyu.select.gate import Round, Rules
from lingyu.select.names import heading, name_of
from lingyu.select.seeds import Spread
from lingyu.statistics import holm

Curve = list[dict[str, float | None]]
GENERAL = "general_bits_per_byte"
WIDTH, HEIGHT = 320, 150  # of a chart, in its own units
LEFT, BOTTOM = 34, 20


class Text(TypedDict):
    zh: str
    en: str


def page(template: Path, **values: Any) -> str:
    """The report, the same bytes for the same values."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rules: Rules = values["rules"]
    seen = [name for name in (rules.primary, *rules.weights) if any(name in measured for measured in values["measures"].values())]
    environment.filters |= {"figure": figure, "signed": signed, "chance": format_p}
    return environment.get_template(template.name).render(
        **values,
        primary=seen[0],
        name_of=name_of,
        heading=heading,
        named=named,
        chart=chart,
        matrices=matrices,
        reach=reach,
        movement=movement,
        interval=interval,
    )


def why(
    winner: str | None,
    rounds: Sequence[Round],
    rules: Rules,
    tests: Mapping[str, Mapping[str, Measure]],
    barred: Mapping[str, Sequence[Text]],
    measures: Mapping[str, Mapping[str, Measure]],
    max_rise: float,
    reference: str,
) -> Text:
    """The choice in a few sentences, and what the gate could not check. tests: the metrics on the test of those who were asked it."""
    zh, en = [], []
    if winner is None:
        zh.append("没有检查点通过门禁，因此没有胜出模型。")
        en.append("No checkpoint passed the gate, so there is no winner.")
    else:
        metric = rules.primary if rules.primary in tests[winner] else next((name for name in rules.weights if name in tests[winner]), "")
        zh.append(f"选出 {winner}。")
        en.append(f"{winner} is selected.")
        if metric:
            title, measure = name_of(metric), tests[winner][metric]
            score, low, high = (figure(measure[side], metric) for side in ("value", "low", "high"))
            zh.append(f"在未参与选择的测试集上，其{title.zh}为 {score}（95% 置信区间 {low} 至 {high}，{measure['count']} 题）。")
            en.append(f"On the test, which had no part in the choice, its {title.en} is {score} (95% CI {low} to {high}, ")
            en[-1] += f"{measure['count']} items)."
    for each in rounds:
        for one in said_of(each, rules):
            zh.append(one["zh"])
            en.append(one["en"])
    out = [name for name, reasons in barred.items() if reasons]
    if out:
        zh.append(f"未通过门禁：{'、'.join(out)}。")
        en.append(f"Rejected by the gate: {', '.join(out)}.")
    if GENERAL not in measures.get(reference, {}):
        cause_zh = "开发集中没有通用文档" if reference in measures else f"没有评测 {reference}（select.general_reference）"
        cause = (
            "The dev items have no general documents"
            if reference in measures
            else f"{reference} (select.general_reference) was not evaluated"
        )
        zh.append(f"{cause_zh}，因此未测量遗忘程度，模型的通用能力可能有所下降。")
        en.append(f"{cause}, so forgetting was not measured: the model may have lost general ability.")
    else:
        zh.append(f"门禁条件：通用文本 BPB 相对 {reference} 的升幅不超过 {max_rise:.0%}，其他受保护指标不得变差。")
        en.append(
            f"Gate: bits per byte of general text may rise by at most {max_rise:.0%} over {reference}, and no guarded metric may fall."
        )
    return {"zh": "".join(zh), "en": " ".join(en)}


def said_of(each: Round, rules: Rules) -> Iterable[Text]:
    """What a round says of its challengers, those of one outcome together."""
    title = name_of(rules.primary)
    same = [name for name, found in each.verdicts.items() if found.outcome == "no difference"]
    worse = [name for name, found in each.verdicts.items() if found.outcome == "worse"]
    for name, found in each.verdicts.items():
        gain, chance = signed(each.compared[name].primary["difference"], rules.primary), format_p(found.corrected)
        if found.promoted:
            yield {
                "zh": f"在开发集上，{name} 的{title.zh}高于 {each.incumbent}（{gain}，校正后 p {chance}），受保护的指标均未变差。",
                "en": f"On the dev items {name} gains {gain} of {title.en} over {each.incumbent} (corrected p {chance}) "
                "and loses nothing that is guarded.",
            }
        elif found.outcome == "lost":
            yield {
                "zh": f"{name} 的{title.zh}更高（{gain}），但与 {each.incumbent} 相比损失了{losses(each, name, found.lost, 'zh')}。",
                "en": f"{name} has a higher {title.en} ({gain}), but lost against {each.incumbent}: "
                f"{losses(each, name, found.lost, 'en')}.",
            }
        elif found.outcome == "not shown":
            yield {
                "zh": f"{name} 的{title.zh}更高（{gain}），但不能证明以下指标相对 {each.incumbent} 的损失小于允许值："
                f"{losses(each, name, found.unshown, 'zh')}。",
                "en": f"{name} has a higher {title.en} ({gain}), but was not shown to have lost less than the margin against "
                f"{each.incumbent}: {losses(each, name, found.unshown, 'en')}.",
            }
    if noise := [name for name, found in each.verdicts.items() if found.outcome == "noise"]:
        gains = [signed(each.compared[name].primary["difference"], rules.primary) for name in noise]
        floor = figure(rules.noise[rules.primary], rules.primary)
        yield {
            "zh": f"{'、'.join(noise)} 的{title.zh}高于 {each.incumbent}（{'、'.join(gains)}），"
            f"但同一训练换随机种子即可相差 {floor}，视为波动。",
            "en": f"{', '.join(noise)}: more {title.en} than {each.incumbent} ({', '.join(gains)}), but no more than seeds of one training "
            f"differ by ({floor}), hence noise.",
        }
    if same:
        yield {
            "zh": f"{'、'.join(same)} 的{title.zh}与更简单的 {each.incumbent} 没有显著差异。",
            "en": f"{', '.join(same)}: no significant difference in {title.en} from the simpler {each.incumbent}.",
        }
    if worse:
        yield {
            "zh": f"{'、'.join(worse)} 的{title.zh}显著低于 {each.incumbent}。",
            "en": f"{', '.join(worse)}: significantly worse in {title.en} than {each.incumbent}.",
        }


def seeds_said(spreads: Mapping[str, Mapping[str, Spread]], primary: str) -> Text:
    """How far seeds of one training differ in the primary metric; nothing where none was repeated."""
    zh, en = [], []
    for name, metrics in spreads.items():
        if primary in metrics:
            title, spread, count = name_of(primary), figure(metrics[primary]["spread"], primary), len(metrics[primary]["values"])
            zh.append(f"{name} 用 {count} 个随机种子训练，开发集上的{title.zh}相差 {spread}；更小的差异不足为据。")
            en.append(f"{count} seeds of {name} differ by {spread} in {title.en} on dev: smaller differences are noise.")
    return {"zh": "".join(zh), "en": " ".join(en)}


def losses(each: Round, name: str, lost: Sequence[str], language: Literal["zh", "en"]) -> str:
    """The metrics with their differences."""
    guarded = each.compared[name].guarded
    told = [f"{getattr(name_of(metric), language)} ({signed(guarded[metric].change['difference'], metric)})" for metric in lost]
    return "、".join(told).replace(" (", "（").replace(")", "）") if language == "zh" else ", ".join(told)


class Move(TypedDict):
    """A metric that the winner has better or worse than another checkpoint on the test, and an item that shows it (its number)."""

    metric: str
    change: Change
    direction: Literal["better", "worse"]
    example: int | None


def against(
    winner: str | None, asked: Mapping[str, Sequence[Prediction]], primary: str, level: float, resamples: int, seed: int
) -> dict[str, list[Move]]:
    """What the winner does better and worse on the test than each other checkpoint that was asked it, by what decides and what is
    guarded: paired tests, Holm-corrected over these metrics."""
    found: dict[str, list[Move]] = {}
    for name, rows in asked.items():
        if winner is None or name == winner:
            continue
        answered = {row.id for row in rows}  # models of others have no likelihoods of texts and preferences
        mine = [row for row in asked[winner] if row.id in answered]
        changes = {one.name: change(one, rows, mine, resamples, seed) for one in all_metrics(rows) if one.guarded or one.name == primary}
        moved = {metric: each for metric, each in changes.items() if each}
        chances = holm({metric: each["chance"] for metric, each in moved.items()})
        directions = {metric: movement({**each, "chance": chances[metric]}, metric, level) for metric, each in moved.items()}
        found[name] = [
            Move(metric=metric, change=moved[metric], direction=direction, example=example(metric, direction, rows, mine))
            for metric, direction in directions.items()
            if direction != "same"
        ]
    return found


def example(metric: str, direction: str, rows: Sequence[Prediction], mine: Sequence[Prediction]) -> int | None:
    """The first item whose value the metric counts, and which became right, or wrong."""
    one = named(metric)
    for place, (before, after) in enumerate(zip(rows, mine, strict=True)):
        if one.item(before) and one.item(after) and before.correct != after.correct and after.correct == (direction == "better"):
            return place
    return None


def headline(winner: str, rules: Rules, tests: Mapping[str, Mapping[str, Measure]], reference: str) -> Text:
    """The result in one sentence: what the winner gets right on the test, beside the reference."""
    metric = rules.primary if rules.primary in tests[winner] else next((name for name in rules.weights if name in tests[winner]), "")
    if not metric:
        return {
            "zh": f"选出 {winner}；测试集中没有主指标的题目。",
            "en": f"{winner} is selected; the test has no items of the primary metric.",
        }
    title, value = name_of(metric), figure(tests[winner][metric]["value"], metric)
    zh, en = f"{winner} 在测试集上的{title.zh}为 {value}", f"{winner} scores {value} in {title.en} on the test"
    if reference != winner and metric in tests.get(reference, {}):
        other = figure(tests[reference][metric]["value"], metric)
        zh, en = f"{zh}，{reference} 为 {other}", f"{en}, {reference} {other}"
    return {"zh": f"{zh}。", "en": f"{en}."}


def not_part(checkpoints: Mapping[str, Mapping[str, Any]]) -> Text | None:
    """The kinds of training that no checkpoint of this run has; None if none is missing. checkpoints: the records of evaluate."""
    by_folder = {str(each["checkpoint"]): each for each in checkpoints.values()}
    pretrained = by_folder.get("pretrain", {}).get("curve")
    parts = [
        ("继续预训练", "continued pretraining", bool(pretrained)),
        ("指令微调", "fine-tuning", any(folder.startswith("sft/") for folder in by_folder)),
        ("对齐", "alignment", any(folder.startswith("align/") for folder in by_folder)),
        ("奖励模型", "a reward model", any(each["rewarded"] for each in checkpoints.values())),
    ]
    absent = [(zh, en) for zh, en, there in parts if not there]
    if not absent:
        return None
    return {
        "zh": f"本次没有评测：{'、'.join(zh for zh, _ in absent)}。",
        "en": f"Not evaluated in this run: {', '.join(en for _, en in absent)}.",
    }


def general_loss(before: float, after: float, reference: str, most: float) -> Text:
    rise = after / before - 1
    return {
        "zh": f"通用文本 BPB 从 {reference} 的 {before:.3f} 升至 {after:.3f}（+{rise:.0%}，上限 +{most:.0%}）",
        "en": f"bits per byte of general text rose from {before:.3f} ({reference}) to {after:.3f} (+{rise:.0%}, limit +{most:.0%})",
    }


def metric_loss(metric: str, change: Change, parent: str) -> Text:
    name = name_of(metric)
    difference, low, high = (signed(change[side], metric) for side in ("difference", "low", "high"))
    return {
        "zh": f"{name.zh}显著低于 {parent}（{difference}，95% 置信区间 {low} 至 {high}）",
        "en": f"{name.en} is significantly worse than {parent} ({difference}, 95% CI {low} to {high})",
    }


def figure(value: float, metric: str) -> str:
    return f"{100 * value:.1f}%" if named(metric).unit == "percent" else f"{value:.3f}"


def signed(value: float, metric: str) -> str:
    return f"{100 * value:+.1f}" if named(metric).unit == "percent" else f"{value:+.3f}"


def interval(low: float, high: float, metric: str) -> str:
    if named(metric).unit == "percent":
        return f"{100 * low:.0f}–{100 * high:.0f}"
    return f"{low:.2f} … {high:.2f}" if low < 0 else f"{low:.2f}–{high:.2f}"  # a dash would look like a minus sign


def format_p(chance: float) -> str:
    return "< 0.001" if chance < 0.001 else f"= {chance:.3f}"


def movement(change: Change, metric: str, level: float) -> Literal["better", "worse", "same"]:
    """Whether a metric became significantly "better" or "worse" in its paired test; else "same"."""
    if change["chance"] >= level:
        return "same"
    return "better" if (change["difference"] > 0) == (named(metric).better == "higher") else "worse"


def matrices(rows: Iterable[tuple[str, str, int]]) -> list[dict[str, Any]]:
    """Confusion matrices as tables, one for each set of classes: its columns, and for each cell count and share of its row."""
    counts = {(actual, called): count for actual, called, count in rows}
    sets: dict[tuple[str, ...], list[str]] = {}
    for actual in dict.fromkeys(actual for actual, _ in counts):
        sets.setdefault(tuple(called for one, called in counts if one == actual), []).append(actual)
    tables = []
    for columns, classes in sets.items():
        totals = {actual: sum(counts[actual, called] for called in columns) or 1 for actual in classes}
        lines = [
            (actual, [(counts[actual, called], counts[actual, called] / totals[actual], called == actual) for called in columns])
            for actual in classes
        ]
        tables.append({"columns": [column for column in columns if column != INVALID], "lines": lines})
    return tables


def chart(curve: Curve) -> dict[str, Any]:
    """The lines, last values and ticks of a loss curve, in the units of an SVG of WIDTH by HEIGHT; empty if there are no losses."""
    lines = {
        name: [(row["step"] or 0.0, loss) for row in curve if (loss := row.get(name)) is not None] for name in ("train_loss", "eval_loss")
    }
    points = [point for line in lines.values() for point in line]
    if not points:
        return {}
    last = max(step for step, _ in points) or 1.0
    low, high = min(0.0, *(loss for _, loss in points)), max(0.0, *(loss for _, loss in points))  # a policy's loss may fall below zero
    high = high if high > low else 1.0

    def across(step: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 12) * step / last, 1)

    def down(loss: float) -> float:
        return round(8 + (HEIGHT - BOTTOM - 8) * (1 - (loss - low) / (high - low)), 1)

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "lines": {name: " ".join(f"{across(step)},{down(loss)}" for step, loss in line) for name, line in lines.items()},
        "dots": [(across(step), down(loss)) for step, loss in lines["eval_loss"]],
        "last": {name: line[-1][1] for name, line in lines.items() if line},
        "losses": [(down(loss), f"{loss:.3g}") for loss in ticks(low, high)],
        "steps": [(across(step), f"{step:.0f}") for step in ticks(0.0, last)],
    }


def ticks(low: float, high: float) -> list[float]:
    """At most six round numbers from `low` to `high`, including zero if it lies between."""
    rough = (high - low) / 4
    unit = 10.0 ** floor(log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [step * turn for turn in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def reach(measures: Mapping[str, Mapping[str, Measure]], metric: str) -> tuple[float, float]:
    """The range of a metric's intervals; percentages always have the range 0 to 1."""
    if named(metric).unit == "percent":
        return 0.0, 1.0
    found = [measured[metric] for measured in measures.values() if metric in measured]
    low, high = min(measure["low"] for measure in found), max(measure["high"] for measure in found)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
