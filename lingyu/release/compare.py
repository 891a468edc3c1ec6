"""Comparing the packaged winner with the last release, by the intervals of their metrics."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lingyu.evaluate.metrics import BY_NAME

Word = Literal["better", "worse", "not told apart", "other test items", "only now", "only before"]
CHINESE: dict[Word, str] = {
    "better": "更好",
    "worse": "更差",
    "not told apart": "无法区分",
    "other test items": "测试题不同",
    "only now": "仅新模型有",
    "only before": "仅旧模型有",
}


class Verdict(NamedTuple):
    metric: str
    before: Mapping[str, float] | None
    now: Mapping[str, float] | None
    word: Word


def verdicts(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Verdict]:
    """For each metric of two manifests, whether their 95 % intervals part.

    Two intervals that touch tell nothing apart. This is stricter than the paired test of `select`, which needs the
    answers of both models to every item; of a release only its numbers are left.
    """
    old, new = before["metrics"], now["metrics"]
    same_items = test_items(before) == test_items(now)
    return [Verdict(name, old.get(name), new.get(name), word(name, old.get(name), new.get(name), same_items)) for name in {**new, **old}]


def test_items(manifest: Mapping[str, Any]) -> Any:
    """What names the frozen items that the metrics were measured on."""
    return manifest["stages"].get("mix", {}).get("out/mix/test")


def word(metric: str, before: Mapping[str, float] | None, now: Mapping[str, float] | None, same_items: bool) -> Word:
    if before is None or now is None:
        return "only now" if before is None else "only before"
    if not same_items:
        return "other test items"
    if now["low"] <= before["high"] and before["low"] <= now["high"]:
        return "not told apart"
    lower_is_better = metric in BY_NAME and BY_NAME[metric].better == "lower"
    return "better" if (now["value"] > before["value"]) != lower_is_better else "worse"


def advice(found: list[Verdict], same_model: bool) -> str:
    """Whether to release, in one sentence a language."""
    words = [verdict.word for verdict in found]
    better = [verdict.metric for verdict in found if verdict.word == "better"]
    worse = [verdict.metric for verdict in found if verdict.word == "worse"]
    if same_model:
        return "The winner is the released model: nothing to release. 胜出者就是已发布的模型，无需发布。"
    if not {"better", "worse", "not told apart"} & set(words):
        return "No metric can be compared, so nothing is advised: look at the report. 没有可比较的指标，不作建议，请看报告。"
    if worse and better:
        return f"Not advised without a look: better in {', '.join(better)}, worse in {', '.join(worse)}. 有得有失，请先查看再决定。"
    if worse:
        return f"A release is not advised: worse in {', '.join(worse)}. 不建议发布。"
    if better:
        return f"A release is advised: better in {', '.join(better)}, worse in nothing. 建议发布。"
    return "A release is not advised: no metric tells the two apart. 不建议发布：两个模型无法区分。"


def table(found: list[Verdict]) -> str:
    rows = [f"| {v.metric} | {shown(v.before)} | {shown(v.now)} | {v.word} {CHINESE[v.word]} |" for v in found]
    return "\n".join(["| metric 指标 | released 已发布 | now 现在 | verdict 结论 |", "| --- | --- | --- | --- |", *rows])


def shown(measure: Mapping[str, float] | None) -> str:
    """A value with its 95 % interval, if it has one."""
    if measure is None:
        return "–"
    return f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}], n = {measure['count']}"


def weights(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What makes a model the same model, whatever its card says."""
    return {path: digest for path, digest in manifest["files"].items() if path.endswith(".safetensors")}
