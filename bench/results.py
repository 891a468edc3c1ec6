"""results: publish the results of a run of the project, and write them into README and docs.

    python -m bench.results            # after `make repro`: out/ of this run becomes docs/results/, and the pages are written
    python -m bench.results --pages    # the pages only, from docs/results/
    python -m bench.results --check    # `make check-release`: all of it is that of dvc.lock, and nothing is stale

A run writes into out/, which is not in git. What is published is in docs/results/, and only this command writes it.

Reads   out/select, out/extend, out/reward, out/index    the measured numbers; params.yaml for the names of the pairs; dvc.yaml
Writes  docs/results/*                                   a copy of them
        README.md, README.zh.md, docs/results.md         what is between the marks <!-- name --> and <!-- /name -->
"""

import argparse
import csv
import hashlib
import shutil
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from ruamel.yaml import YAML

from flows import dag
from lingyu.evaluate.metrics import Change, named
from lingyu.files import read_json, write_json
from lingyu.last_run import locked
from lingyu.params.rewrite import profile_of
from lingyu.select.names import name_of
from lingyu.select.report import figure, interval, movement, signed
from lingyu.stage import PARAMS_FILE
from lingyu.statistics import wilson
from stages.package import read_leaderboard
from stages.select import Section

Language = Literal["zh", "en"]
Measured = dict[str, dict[str, dict[str, Any]]]  # by checkpoint and metric
FOLDER = Path("docs/results")
PUBLISHED = {
    "leaderboard.csv": Path("out/select/leaderboard.csv"),
    "stages.csv": Path("out/select/stages.csv"),
    "winner.json": Path("out/select/winner.json"),
    "extend.json": Path("out/extend/metrics.json"),
    "reward.json": Path("out/reward/metrics.json"),
    "index.json": Path("out/index/metrics.json"),
}
LINES = 120  # of params.yaml: one screen, and a bit
SELECT = "select.json"  # of params.yaml: the pairs of checkpoints, and the level of the tests
READMES: dict[Language, str] = {"en": "README.md", "zh": "README.zh.md"}
PAGE = "docs/results.md"

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
SHORT = ("fact_exact", "classify_macro_f1", "reason_exact", "preferred_exact", "general_bits_per_byte")  # of the README
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "checkpoint": "checkpoint",
        "winner": "winner",
        "metric": "metric",
        "short note": "Value (95% CI); n: test items; ↓: lower is better.",
        "note": "Value (95% CI); n: test items, asked of the winner and of what it is compared with; ↓: lower is better.",
        "stage": "stage",
        "added": "effect",
        "moved": "Effect on dev items: before → after (95% CI of the paired difference, in percentage points for percentages), only "
        "where the paired test is significant (p < {level}, not corrected for multiple comparisons).",
        "better": "better",
        "worse": "worse",
        "same": "no significant difference",
        "between": "; ",
        "extend": "{terms} terms added as tokens: {before:.3f} → {after:.3f} tokens per character of held-out text (−{gain:.0%})",
        "unextended": "no terms added: the gain on held-out text was too small",
        "reward": "prefers the chosen reply in {share} ({low}–{high}) of {count} held-out pairs, which also selected its checkpoint",
        "index": "retrieves the fact among the first {depth} passages for {share} ({low}–{high}) of {count} questions",
    },
    "zh": {
        "checkpoint": "检查点",
        "winner": "胜出",
        "metric": "指标",
        "short note": "数值（95% 置信区间）；n 为测试题数；↓ 表示越低越好。",
        "note": "数值（95% 置信区间）；n 为测试题数，只评测胜出模型及其对比模型；↓ 表示越低越好。",
        "stage": "阶段",
        "added": "效果",
        "moved": "开发集上"
        "仅列出显著的变化（配对检验 p < {level}，未做多重比较校正）：前 → 后（配对差值的 95% 置信区间，百分比指标以百分点计）。",
        "better": "变好",
        "worse": "变差",
        "same": "差异不显著",
        "between": "；",
        "extend": "新增 {terms} 个词作为独立 token：留出文本每字 token 数 {before:.3f} → {after:.3f}（−{gain:.0%}）",
        "unextended": "未新增词：在留出文本上的收益过小",
        "reward": "在 {count} 个留出偏好对中，{share}（{low}–{high}）给更优回答打分更高；检查点也据此选出",
        "index": "{count} 个问题中，{share}（{low}–{high}）能在前 {depth} 段内检索到所问的事实",
    },
}
STAGES_ZH = {
    "ingest": "读入 `data/` 下的每个文件，每行都记录来源",
    "validate": "按期望检查各表；阻断性期望未通过时中止",
    "clean": "规范字符、遮蔽个人信息、丢弃低质量和重复的行，并逐条记录原因",
    "split": "划分训练集、开发集和测试集，并检查互不泄漏",
    "generate": "根据记录生成指令、偏好对和测试题，并注明出处",
    "review": "应用人工审核决定，扣留待审核的行",
    "base": "下载固定版本的基座模型，或训练微型基座",
    "mix": "配比、回放通用文本、检查泄漏、统计行数与 token 数",
    "extend": "把值得加入的领域词加入词表",
    "pretrain": "在领域文本上继续预训练",
    "sft": "指令微调",
    "reward": "用偏好对训练奖励模型",
    "align": "偏好对齐",
    "evaluate": "用同一批留出题目评测每个检查点",
    "select": "按配对检验选出胜出模型，并说明理由",
    "index": "为专业模式切分文档并建立索引",
    "package": "构建 Bento、模型卡和清单",
}
DEPTH = 3  # the passages that a reader of professional mode is shown by default


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.results", description="Publish the results of this run 发布本次结果")
    parser.add_argument("--pages", action="store_true", help="write the pages only, from docs/results/")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is not that of dvc.lock")
    asked = parser.parse_args()
    stale = [] if asked.pages else [f"{name} is stale: run `make repro`" for name in dag.stale()]
    if asked.check:
        faults = [*stale, *not_published(FOLDER), *not_written(FOLDER), *not_shipped(PARAMS_FILE.read_text(encoding="utf-8"))]
    else:
        faults = stale
        if not faults:
            if not asked.pages:
                publish(FOLDER)
            for name, page in pages(FOLDER).items():
                Path(name).write_text(page, encoding="utf-8")
    if faults:
        sys.exit("\n".join(["results:", *(f"  {fault}" for fault in faults)]))


def publish(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, source in PUBLISHED.items():
        shutil.copyfile(source, folder / name)
    select = Section.load("select")
    write_json(folder / SELECT, select.model_dump(include={"level", "pairs"}))


def not_published(folder: Path) -> Iterator[str]:
    """The published files that are not the outputs that dvc.lock names."""
    for name, source in PUBLISHED.items():
        path = folder / name
        if not path.exists() or md5(path) != locked(source):
            yield f"{path} is not the {source} of dvc.lock: run `python -m bench.results`"


def md5(path: Path) -> str:
    """As dvc.lock names a file."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def not_written(folder: Path) -> Iterator[str]:
    """The pages that show other numbers than the folder has."""
    for name, page in pages(folder).items():
        if Path(name).read_text(encoding="utf-8") != page:
            yield f"{name} does not show {folder}: run `python -m bench.results --pages`"


def not_shipped(params: str) -> Iterator[str]:
    """What makes a params.yaml one that the project does not ship."""
    if profile_of(params) != "tiny":
        yield f"{PARAMS_FILE} has not the sizes of the profile tiny: run `make profile NAME=tiny`"
    if (lines := len(params.splitlines())) > LINES:
        yield f"{PARAMS_FILE} has {lines} lines, more than {LINES}: what few people set is a default in the stage's Params"
    if YAML(typ="safe", pure=True).load(params) != yaml.safe_load(params):
        yield f"{PARAMS_FILE} is read otherwise by DVC (YAML 1.2) and by the stages (YAML 1.1): write 2.0e-4, not 2e-4"


def pages(folder: Path) -> dict[str, str]:
    """Every page as it should be."""
    blocks = {
        **{name: {"results": short(folder, language)} for language, name in READMES.items()},
        PAGE: {"results-en": full(folder, "en"), "results-zh": full(folder, "zh"), "stages": stages()},
    }
    made = {}
    for name, parts in blocks.items():
        made[name] = Path(name).read_text(encoding="utf-8")
        for mark, text in parts.items():
            made[name] = filled(made[name], mark, text, name)
    return made


def filled(page: str, mark: str, text: str, name: str) -> str:
    """The page with the text between its marks."""
    opened, closed = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    head, first, rest = page.partition(opened)
    _, last, tail = rest.partition(closed)
    if not (first and last):
        sys.exit(f"results: {name} has no {opened} … {closed} to write between. Put both back.")
    return f"{head}{opened}\n\n{text}\n\n{closed}{tail}"


def short(folder: Path, language: Language) -> str:
    """For the README: a row for each metric, with the base beside the winner."""
    words, measured, verdict = WORDS[language], read_leaderboard(folder / "leaderboard.csv"), read_json(folder / "winner.json")
    columns = {name: measured[name] for name in ("base", verdict["checkpoint"]) if name in measured}
    heads = (f"{words['winner']} `{name}`" if name == verdict["checkpoint"] else f"`{name}`" for name in columns)
    return "\n\n".join([table([(words["metric"], *heads), *short_rows(columns, language)]), words["short note"]])


def short_rows(columns: Measured, language: Language) -> Iterator[tuple[str, ...]]:
    for metric in SHORT:
        counts = [str(measures[metric]["count"]) for measures in columns.values() if metric in measures]
        if counts:
            cells = (cell(measures[metric], metric) if metric in measures else "–" for measures in columns.values())
            lower = " ↓" if named(metric).better == "lower" else ""
            yield f"{title_of(metric, language)}{lower} (n = {counts[-1]})", *cells


def full(folder: Path, language: Language) -> str:
    """Every checkpoint and metric, and what each stage added."""
    words = WORDS[language]
    measured, verdict = read_leaderboard(folder / "leaderboard.csv"), read_json(folder / "winner.json")
    select = read_json(folder / SELECT)
    parts = [
        verdict["why"][language],
        table(scores(measured, verdict["checkpoint"], language)),
        words["note"],
        table([(words["stage"], words["added"]), *added(folder, select, language)]),
        words["moved"].format(level=select["level"]),
    ]
    return "\n\n".join(parts)


def stages() -> str:
    """A row for each stage of dvc.yaml: what it does, reads and writes."""
    rows = [("stage 阶段", "what it does 做什么", "reads 读取", "writes 写出")]
    for name, stage in yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].items():
        block = stage.get("do", stage)
        reads = [path for path in paths(block, "deps") if path.startswith(("out/", "data", "web/"))]
        writes = [path.removeprefix(f"out/{name}/") for path in paths(block, "outs", "metrics", "plots")]
        what = block["desc"].replace(" (${key})", "")
        cells = (", ".join(f"`{path.removeprefix('out/')}`" for path in found) for found in (reads, writes))
        shown = f"`{name}`" + ("@…" if "foreach" in stage else "")
        rows.append((shown, f"{what}<br>{STAGES_ZH[name]}", *cells))
    return table(rows)


def paths(block: dict[str, Any], *kinds: str) -> list[str]:
    """The paths of an entry of dvc.yaml. `<…>` in place of `${…}`, which is filled in for each candidate."""
    entries = [entry for kind in kinds for entry in block.get(kind, [])]
    found = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    return [path.replace("${key}", "<name>").replace("${item.", "<").replace("${", "<").replace("}", ">") for path in found]


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


def added(folder: Path, select: dict[str, Any], language: Language) -> Iterator[tuple[str, str]]:
    """A row for each stage, or step between two checkpoints, on what it changed."""
    words = WORDS[language]
    extended = read_json(folder / "extend.json")
    yield (
        "`extend`",
        words["extend" if extended["terms"] else "unextended"].format(
            terms=extended["terms"],
            before=extended["tokens_a_character_before"],
            after=extended["tokens_a_character_after"],
            gain=extended["gain"],
        ),
    )
    moved = read_changes(folder / "stages.csv")
    for pair in select["pairs"]:
        if changes := moved.get((pair["before"], pair["after"])):
            yield f"{pair[language]}<br>`{pair['before']}` → `{pair['after']}`", changed(changes, select["level"], language)
    reward = read_json(folder / "reward.json")
    if reward["dev_accuracy"] is not None:
        right = np.arange(reward["dev_pairs"]) < round(reward["dev_accuracy"] * reward["dev_pairs"])
        low, high = wilson(right.astype(float), np.ones(len(right)))
        yield "`reward`", words["reward"].format(**shares(reward["dev_accuracy"], low, high), count=reward["dev_pairs"])
    found = read_json(folder / "index.json")[f"fact_of_question_recall@{DEPTH}"]
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
