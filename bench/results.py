"""results: write what the last run came to into README.md and README.zh.md. `python -m bench.results`

Reads   params.yaml                  select: the pairs of checkpoints and what lies between them
        out/select/leaderboard.csv   each checkpoint's metrics
        out/select/stages.csv        how they moved from one checkpoint to the next
        out/select/winner.json       which won, and why
        out/extend/metrics.json, out/reward/metrics.json, out/index/metrics.json
Writes  README.md, README.zh.md      what stands between the marks <!-- results --> and <!-- /results -->
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from lingyu.evaluate.metrics import Change, named
from lingyu.files import read_json
from lingyu.select.names import name_of
from lingyu.select.report import figure, interval, movement, signed
from lingyu.statistics import wilson
from stages.package import read_leaderboard

Language = Literal["zh", "en"]
Measured = dict[str, dict[str, dict[str, Any]]]  # by checkpoint and metric
READMES: dict[Language, str] = {"en": "README.md", "zh": "README.zh.md"}
OPENED, CLOSED = "<!-- results -->", "<!-- /results -->"

# One or two of each thing that is measured; the report has all of them.
METRICS = (
    "fact_exact_taught",
    "fact_exact_documents",
    "cite_exact",
    "classify_macro_f1",
    "reason_exact",
    "reason_format",
    "preferred_exact",
    "preference_accuracy",
    "reward_mean",
    "domain_bits_per_byte",
    "general_bits_per_byte",
)
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "nothing yet": "No results yet: run `make repro`, then `python -m bench.results`.",
        "checkpoint": "checkpoint",
        "winner": "winner",
        "note": "Value (95 % interval); n: test items, the same for every checkpoint; ↓: lower is better.",
        "stage": "stage",
        "added": "what it added",
        "moved": "Moved: value before → after (95 % interval of the paired difference; of shares in points), where the paired test "
        "sees a change (p < {level}, not corrected for their number).",
        "better": "better",
        "worse": "worse",
        "same": "not told apart",
        "between": "; ",
        "extend": "{terms} words as tokens of their own: {before:.3f} → {after:.3f} tokens a character of held-out text (−{gain:.0%})",
        "unextended": "no words: the gain on held-out text was too small",
        "reward": "scores the better reply higher in {share} ({low}–{high}) of {count} held-out pairs, by which its checkpoint was chosen",
        "index": "finds the fact asked for among the first {depth} passages in {share} ({low}–{high}) of {count} questions",
    },
    "zh": {
        "nothing yet": "尚无结果：先运行 `make repro`，再运行 `python -m bench.results`。",
        "checkpoint": "检查点",
        "winner": "胜出",
        "note": "数值（95% 区间）；n 为测试题数，各检查点题目相同；↓ 表示越低越好。",
        "stage": "阶段",
        "added": "带来了什么",
        "moved": "只列出配对检验能看出的变化（p < {level}，未按多重比较校正）：之前 → 之后（配对差的 95% 区间，百分比指标以百分点计）。",
        "better": "变好",
        "worse": "变差",
        "same": "分不出差别",
        "between": "；",
        "extend": "{terms} 个词成为单独的词元：留出文本每字词元数 {before:.3f} → {after:.3f}（−{gain:.0%}）",
        "unextended": "未加词：在留出文本上的收益太小",
        "reward": "在 {count} 对留出的回答中，{share}（{low}–{high}）给更好的一方更高的分；其检查点即按这些数据选出",
        "index": "在 {count} 个问题中，{share}（{low}–{high}）所问的事实排在前 {depth} 段之内",
    },
}
DEPTH = 3  # the passages that a reader of professional mode is shown by default


def main() -> None:
    try:
        for language, name in READMES.items():
            path = Path(name)
            path.write_text(filled(path.read_text(encoding="utf-8"), block(Path(), language)), encoding="utf-8")
    except FileNotFoundError as error:
        sys.exit(f"results: {error.filename} is missing, though out/select/leaderboard.csv is there. Run `make repro`.")


def filled(page: str, made: str) -> str:
    """The page with `made` between its marks."""
    head, opened, rest = page.partition(OPENED)
    _, closed, tail = rest.partition(CLOSED)
    if not closed:
        sys.exit(f"results: no {OPENED} … {CLOSED} to write between. Put both back into {' and '.join(READMES.values())}.")
    return head + opened + made + closed + tail


def block(top: Path, language: Language) -> str:
    """What stands between the marks."""
    words, out = WORDS[language], top / "out"
    if not (out / "select" / "leaderboard.csv").exists():
        return f"\n\n{words['nothing yet']}\n\n"
    measured, verdict = read_leaderboard(out / "select" / "leaderboard.csv"), read_json(out / "select" / "winner.json")
    select = yaml.safe_load((top / "params.yaml").read_text(encoding="utf-8"))["select"]
    parts = [
        verdict["why"][language],
        table(scores(measured, verdict["checkpoint"], language)),
        words["note"],
        table([(words["stage"], words["added"]), *added(out, select, language)]),
        words["moved"].format(level=select["level"]),
    ]
    return "\n\n" + "\n\n".join(parts) + "\n\n"


def scores(measured: Measured, winner: str | None, language: Language) -> Iterator[tuple[str, ...]]:
    """The head, and a row for each checkpoint."""
    words = WORDS[language]
    shown = [metric for metric in METRICS if any(metric in measures for measures in measured.values())]
    yield words["checkpoint"], *(head(metric, measured, language) for metric in shown)
    for checkpoint, measures in measured.items():
        title = f"**`{checkpoint}`** {words['winner']}" if checkpoint == winner else f"`{checkpoint}`"
        yield title, *(cell(measures[metric], metric) if metric in measures else "–" for metric in shown)


def head(metric: str, measured: Measured, language: Language) -> str:
    counts = sorted({measures[metric]["count"] for measures in measured.values() if metric in measures})
    lower = " ↓" if named(metric).better == "lower" else ""
    return f"{title_of(metric, language)}{lower}<br>n = {'–'.join(map(str, {counts[0]: 0, counts[-1]: 0}))}"


def cell(measure: dict[str, Any], metric: str) -> str:
    return f"{figure(measure['value'], metric)} ({interval(measure['low'], measure['high'], metric)})"


def added(out: Path, select: dict[str, Any], language: Language) -> Iterator[tuple[str, str]]:
    """A row for each stage, or step between two checkpoints, on what it changed."""
    words = WORDS[language]
    extended = read_json(out / "extend" / "metrics.json")
    yield (
        "`extend`",
        words["extend" if extended["terms"] else "unextended"].format(
            terms=extended["terms"],
            before=extended["tokens_a_character_before"],
            after=extended["tokens_a_character_after"],
            gain=extended["gain"],
        ),
    )
    moved = read_changes(out / "select" / "stages.csv")
    for pair in select["pairs"]:
        if changes := moved.get((pair["before"], pair["after"])):
            yield f"{pair[language]}<br>`{pair['before']}` → `{pair['after']}`", changed(changes, select["level"], language)
    reward = read_json(out / "reward" / "metrics.json")
    if reward["dev_accuracy"] is not None:
        right = np.arange(reward["dev_pairs"]) < round(reward["dev_accuracy"] * reward["dev_pairs"])
        low, high = wilson(right.astype(float), np.ones(len(right)))
        yield "`reward`", words["reward"].format(**shares(reward["dev_accuracy"], low, high), count=reward["dev_pairs"])
    found = read_json(out / "index" / "metrics.json")[f"fact_of_question_recall@{DEPTH}"]
    if found["count"]:
        told = shares(found["value"], found["low"], found["high"])
        yield "`index`", words["index"].format(**told, count=found["count"], depth=DEPTH)


def changed(changes: dict[str, Change], level: float, language: Language) -> str:
    """The metrics that became better and worse, with their figures, and the names of the others."""
    words = WORDS[language]
    ways: dict[str, list[str]] = {"better": [], "worse": [], "same": []}
    for metric in METRICS:
        if change := changes.get(metric):
            way = movement(change, metric, level)
            ways[way].append(title_of(metric, language) + ("" if way == "same" else f" {step(change, metric)}"))
    return "<br>".join(f"**{words[way]}** {words['between'].join(said)}" for way, said in ways.items() if said)


def step(change: Change, metric: str) -> str:
    reach = f"{signed(change['low'], metric)} … {signed(change['high'], metric)}"
    return f"{figure(change['before_value'], metric)} → {figure(change['after_value'], metric)} ({reach})"


def read_changes(path: Path) -> dict[tuple[str, str], dict[str, Change]]:
    """By both checkpoints, then by metric."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for before, after, metric, *values in islice(csv.reader(file), 1, None):
            found.setdefault((before, after), {})[metric] = dict(zip(Change.__annotations__, map(float, values), strict=True))
    return found


def title_of(metric: str, language: Language) -> str:
    return name_of(metric).zh if language == "zh" else name_of(metric).en


def shares(value: float, low: float, high: float) -> dict[str, str]:
    return {"share": f"{value:.1%}", "low": f"{100 * low:.0f}", "high": f"{100 * high:.0f}"}


def table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    columns = lines[0].count(" | ") + 1
    return "\n".join([lines[0], "|" + " --- |" * columns, *lines[1:]])


if __name__ == "__main__":
    main()
