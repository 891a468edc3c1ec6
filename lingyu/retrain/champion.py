"""Champion and challenger: whether the new winner may replace the last release.

Both must have answered the same test items, scored by the same code. The answers of the champion are in DVC's cache where test, reward
model and scoring have not changed since its release; otherwise its weights are asked. What decides is the gate of `select`: the primary
metric is significantly better, and no guarded metric lost its margin. What cannot be compared is no consent.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingyu.evaluate import metrics
from lingyu.evaluate.metrics import Prediction
from lingyu.files import hashes, short_hash
from lingyu.retrain.cache import listed
from lingyu.select import gate
from lingyu.select.gate import Compared, Outcome, Rules

TEST, ANSWERS, MODEL, REWARD = "out/mix/test", "out/select/test", "out/select/model", "out/reward/model"
KEPT = "answers"  # beside the record of releases
CODE = Path(__file__).parent.parent / "evaluate"

WORDS: dict[Outcome, tuple[str, str]] = {
    "promoted": ("Release recommended: better, and nothing guarded was lost.", "建议发布：有提升，受保护的指标没有下降。"),
    "no difference": ("Release not recommended: the primary metric does not differ significantly.", "不建议发布：主指标差异不显著。"),
    "worse": ("Release not recommended: the primary metric is significantly worse.", "不建议发布：主指标显著变差。"),
    "lost": ("Release not recommended: a guarded metric is significantly worse", "不建议发布：受保护的指标显著变差"),
    "not shown": ("Release not recommended: a guarded metric may have lost its margin", "不建议发布：无法排除受保护的指标下降超过限度"),
}


@dataclass(frozen=True)
class Decision:
    """promote: whether to release. why: the reason in both languages. table: the metrics, as Markdown."""

    promote: bool
    why: str
    table: str = ""


def scoring(settings: Mapping[str, Any]) -> str:
    """A hash of the code and the settings that answers are made and scored with."""
    code = [f"{path} {digest}" for path, digest in hashes(CODE).items() if path.endswith(".py")]
    return short_hash(*code, json.dumps(settings, sort_keys=True, default=str))


def kept_answers(champion: Mapping[str, Any], now: Mapping[str, Mapping[str, str]], scored: str, releases: Path, out: Path) -> Path | None:
    """The answers of the champion to today's test: those kept beside the record, or copied to `out` from DVC's cache. None if they are of
    another test, or not there.

    champion: its entry in releases/released.json. now: the hashes of today's outputs, by stage.
    """
    then = champion.get("stages", {})
    same = all(output(then, path) == output(now, path) for path in (TEST, REWARD)) and champion.get("scoring") == scored
    if not (same and output(then, TEST)):
        return None
    kept = releases / KEPT / f"{champion['version']}.parquet"
    if kept.exists():
        return kept
    if not from_cache(output(then, ANSWERS), out):
        return None
    file = out / f"{champion.get('winner')}.parquet"
    return file if file.exists() else None


def kept_weights(champion: Mapping[str, Any], releases: Path, out: Path) -> Path | None:
    """The model folder of the champion: from DVC's cache, or from the folder of releases; None if neither has it."""
    wanted = {path: digest for path, digest in champion["files"].items() if path.endswith(".safetensors")}
    if from_cache(output(champion.get("stages", {}), MODEL), out) and wanted.items() <= hashes(out).items():
        return out
    released = releases / champion["version"]
    return released if released.is_dir() and wanted.items() <= hashes(released).items() else None


def output(stages: Mapping[str, Mapping[str, str]], path: str) -> str:
    """The hash of an output; "" if no stage has it."""
    return next((outs[path] for outs in stages.values() if path in outs), "")


def from_cache(md5: str, out: Path) -> bool:
    """Copy a folder out of DVC's cache; whether all of it is there."""
    shutil.rmtree(out, ignore_errors=True)
    files = listed(md5)
    for path, (_, source) in (files or {}).items():
        if not source.exists():
            return False
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out / path)
    return files is not None


def decision(before: Sequence[Prediction], after: Sequence[Prediction], rules: Rules, resamples: int = 1000, seed: int = 0) -> Decision:
    """before: what the champion made of the test items; after: the challenger."""
    if [row.id for row in before] != [row.id for row in after]:
        return Decision(False, incomparable(f"the champion answered {len(before)} items, the challenger {len(after)}, not the same ones"))
    counts = [counted(rows) for rows in (before, after)]
    if unequal := sorted(name for name in {*rules.margins, rules.primary} - {gate.SCORE} if counts[0].get(name) != counts[1].get(name)):
        return Decision(False, incomparable(f"{', '.join(unequal)} was not measured on the same number of items"))
    compared = gate.compare(before, after, rules, resamples, seed)
    found = gate.verdict(compared, rules)
    en, zh = WORDS[found.outcome]
    named = ", ".join([*found.lost, *found.unshown])
    why = f"{en} {zh}" if en.endswith(".") else f"{en}: {named}. {zh}：{named}。"
    if found.few:
        why += f" Too few items to show anything: {', '.join(found.few)}. 题目太少，无法判断：{'、'.join(found.few)}。"
    return Decision(found.promoted, why, table(compared, rules))


def counted(rows: Sequence[Prediction]) -> dict[str, int]:
    """The number of items of each metric."""
    found = {metric.name: sum(metric.item(row) is not None for row in rows) for metric in metrics.all_metrics(rows)}
    return {name: count for name, count in found.items() if count}


def incomparable(reason: str) -> str:
    return f"Release not recommended: {reason}, so there is no comparison. 不建议发布：与已发布模型不可比较。"


def table(compared: Compared, rules: Rules) -> str:
    head = ["| metric 指标 | champion 冠军 | challenger 新 | difference 差值 | items 题 | margin 限度 |", "| --- " * 6 + "|"]
    lines = [(rules.primary, compared.primary, "–"), *((name, one.change, f"{one.margin:g}") for name, one in compared.guarded.items())]
    return "\n".join(
        [
            *head,
            *(
                f"| {name} | {change['before_value']:.3f} | {change['after_value']:.3f} | {change['difference']:+.3f} "
                f"[{change['low']:+.3f}, {change['high']:+.3f}] | {change['count']} | {margin} |"
                for name, change, margin in lines
            ),
        ]
    )
