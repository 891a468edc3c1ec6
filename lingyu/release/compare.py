"""Compares the packaged winner with the last release by the confidence intervals of their metrics."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lingyu.evaluate.metrics import BY_NAME

Outcome = Literal["better", "worse", "no significant difference", "different test set", "new metric", "no longer measured"]
CHINESE: dict[Outcome, str] = {
    "better": "更好",
    "worse": "更差",
    "no significant difference": "差异不显著",
    "different test set": "测试集不同",
    "new metric": "新增指标",
    "no longer measured": "不再测量",
}


class Verdict(NamedTuple):
    metric: str
    before: Mapping[str, float] | None
    now: Mapping[str, float] | None
    outcome: Outcome


def verdicts(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Verdict]:
    """For each metric of two manifests, whether their 95% confidence intervals are disjoint.

    This is stricter than the paired test of `select`, which needs both models' answers to every item; a release keeps
    only the metrics.
    """
    old, new = before["metrics"], now["metrics"]
    same_items = test_items(before) == test_items(now)
    return [Verdict(name, old.get(name), new.get(name), outcome(name, old.get(name), new.get(name), same_items)) for name in {**new, **old}]


def test_items(manifest: Mapping[str, Any]) -> Any:
    """The hash of the test set that the metrics were measured on."""
    return manifest["stages"].get("mix", {}).get("out/mix/test")


def outcome(metric: str, before: Mapping[str, float] | None, now: Mapping[str, float] | None, same_items: bool) -> Outcome:
    if before is None or now is None:
        return "new metric" if before is None else "no longer measured"
    if not same_items:
        return "different test set"
    if now["low"] <= before["high"] and before["low"] <= now["high"]:
        return "no significant difference"
    lower_is_better = metric in BY_NAME and BY_NAME[metric].better == "lower"
    return "better" if (now["value"] > before["value"]) != lower_is_better else "worse"


def advice(found: list[Verdict], same_model: bool) -> str:
    """Whether to release, in one sentence per language."""
    better = [verdict.metric for verdict in found if verdict.outcome == "better"]
    worse = [verdict.metric for verdict in found if verdict.outcome == "worse"]
    if same_model:
        return "The winner is the released model; there is nothing to release. 胜出模型即已发布的模型，无需发布。"
    if not {"better", "worse", "no significant difference"} & {verdict.outcome for verdict in found}:
        return "No metrics can be compared, so there is no recommendation; see the report. 没有可比较的指标，无法给出建议，请查看报告。"
    if worse and better:
        return f"Review before releasing: better on {', '.join(better)}, worse on {', '.join(worse)}. 各有优劣，请先查看报告再决定。"
    if worse:
        return f"Release not recommended: worse on {', '.join(worse)}. 不建议发布：上述指标变差。"
    if better:
        return f"Release recommended: better on {', '.join(better)}, worse on none. 建议发布：上述指标提升，没有指标变差。"
    return "Release not recommended: no significant difference on any metric. 不建议发布：所有指标差异均不显著。"


def table(found: list[Verdict]) -> str:
    rows = [f"| {v.metric} | {with_interval(v.before)} | {with_interval(v.now)} | {v.outcome} {CHINESE[v.outcome]} |" for v in found]
    return "\n".join(["| metric 指标 | released 已发布 | current 当前 | result 结论 |", "| --- | --- | --- | --- |", *rows])


def with_interval(measure: Mapping[str, float] | None) -> str:
    """A value with its 95% confidence interval and count."""
    if measure is None:
        return "–"
    return f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}], n = {measure['count']}"


def weights(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of the weights, which identify a model regardless of its card."""
    return {path: digest for path, digest in manifest["files"].items() if path.endswith(".safetensors")}
