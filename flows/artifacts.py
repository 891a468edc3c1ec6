"""artifacts: what an operator sees of a run on its page. Verdict first, then what is new, warnings, leaderboard, rows, report.

Reads   out/select/leaderboard.csv, out/validate/report, out/*/ledger.json, the metrics of the stages
Writes  .lingyu/retrain/reports   the reports of the last runs, which `make schedule` serves
"""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.dag import Step
from lingyu import ledger_report
from lingyu.files import read_json
from lingyu.release import compare
from lingyu.select.names import name_of

REPORTS = Path(".lingyu/retrain/reports")
ADDRESS = "LINGYU_REPORTS"  # where REPORTS is served; `make schedule` sets it
KEPT = 20  # reports
SHOWN = 30  # files
OUT = Path("out")


def publish(key: str, markdown: str, description: str) -> None:
    """Write to the log, and store as an artifact. The description is what a list of artifacts shows."""
    get_run_logger().info("%s:\n%s", key, markdown)
    create_markdown_artifact(key=key, markdown=markdown, description=description)


def changes(names: list[str], changed: dict[str, list[Any]]) -> str:
    """A line for each stage that is stale by itself, with what changed."""
    rows = [f"| {name} | {', '.join(described(changed[name]))} |" for name in names if name in changed]
    if not rows:
        return "Everything is up to date. 所有阶段均为最新。"
    return "\n".join(["| stage 阶段 | what changed 变更 |", "| --- | --- |", *rows])


def described(reasons: list[Any]) -> Iterator[str]:
    for reason in reasons:
        if isinstance(reason, str):
            yield reason
        else:
            yield from (f"{path} {how}" for paths in reason.values() for path, how in flat(paths))


def flat(paths: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """DVC nests changed parameters under their file."""
    for path, how in paths.items():
        yield from flat(how) if isinstance(how, dict) else [(path, str(how))]


def metrics_table(steps: list[Step]) -> str:
    """A table for each stage with metrics, a column for each of its items. Ledgers, which count rows, are too long for this."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for step in steps:
        for path in step.metrics:
            if path.exists() and path.name != "ledger.json":
                groups.setdefault(step.stage, {})[step.name.partition("@")[2] or "value"] = dict(named(read_json(path)))
    tables = []
    for stage, columns in groups.items():
        rows = dict.fromkeys(name for values in columns.values() for name in values)
        head = [f"**{stage}**\n", f"| metric 指标 | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
        tables.append(
            "\n".join([*head, *(f"| {row} | {' | '.join(cell(values.get(row)) for values in columns.values())} |" for row in rows)])
        )
    return "\n\n".join(tables) or "No stage has metrics. 没有指标。"


def named(values: dict[str, Any], under: str = "") -> Iterator[tuple[str, Any]]:
    """The metrics under flat names, a.b for b in a; a metric with its interval stays one entry."""
    for name, value in values.items():
        if isinstance(value, dict) and not has_interval(value):
            yield from named(value, f"{under}{name}.")
        else:
            yield under + name, value


def has_interval(value: dict[str, Any]) -> bool:
    return {"value", "low", "high", "count"} <= value.keys()


def cell(value: Any) -> str:
    if isinstance(value, dict):
        return compare.with_interval(value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def warnings_of_validate(out: Path = OUT) -> list[str]:
    """What is broken in the data without stopping the run, a line each."""
    file = out / "validate" / "report" / "warnings.json"
    if not file.exists():
        return []
    return [
        f"{one['expectation']}: {one['en']} {one['zh']}: "
        + (f"{one['broken']} of {one['rows']} rows" if one["broken"] else f"found {one['found']}")
        + "".join(f"; {source}: {count}" for source, count in list(one["files"].items())[:5])
        for one in read_json(file)
    ]


def leaderboard(out: Path = OUT) -> str:
    """The test figures of the checkpoints that were asked, a column for each, the winner's with its interval. A page is narrow."""
    file, winner = out / "select" / "leaderboard.csv", out / "select" / "winner.json"
    if not file.exists():
        return ""
    won = read_json(winner)["checkpoint"] if winner.exists() else ""
    values: dict[str, dict[str, dict[str, str]]] = {}
    with file.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            values.setdefault(row["metric"], {})[row["checkpoint"]] = row
    names = list(dict.fromkeys(checkpoint for by_name in values.values() for checkpoint in by_name))
    lines = [
        f"| {name_of(metric).zh} {name_of(metric).en} | {' | '.join(figure(by_name.get(name), name == won) for name in names)} |"
        for metric, by_name in values.items()
    ]
    return "\n".join([f"| metric 指标 | {' | '.join(names)} |", "| --- " + "| ---: " * len(names) + "|", *lines])


def figure(row: dict[str, str] | None, with_interval: bool) -> str:
    if row is None:
        return "–"
    value = f"{float(row['value']):.3f}"
    return f"**{value}** {float(row['low']):.3f}–{float(row['high']):.3f}" if with_interval else value


def rows(out: Path = OUT) -> str:
    """The rows of each file, from reading to training; the sum first, then the largest files."""
    account = ledger_report.read_account(out)
    if not account.stages:
        return ""
    _, *lines = ledger_report.overview(account, ledger_report.WORDS["en"])
    files = sorted(lines[:-1], key=lambda line: -int(line[1] if line[1].isdigit() else 0))
    # file, read, rejected, clean, train, dev, test, generated, approved, in training, in dev, in test, methods
    shown = [(line[0], line[1], line[3], "/".join(line[4:7]), line[7], "/".join(line[9:12])) for line in (lines[-1], *files[:SHOWN])]
    head = "| file 文件 | read 读入 | clean 清洗后 | train/dev/test | made 生成 | used 使用 |"
    more = f"\n\nThe other {len(files) - SHOWN} files: `lingyu ledger`. 其余文件见该命令。" if len(files) > SHOWN else ""
    return "\n".join([head, "| --- " + "| ---: " * 5 + "|", *(f"| {' | '.join(line)} |" for line in shown)]) + more


def reports(run: str, address: str, out: Path = OUT) -> str:
    """Links to the reports of this run, which are kept; where nothing serves them, their place."""
    found = {"select": ("Report 报告", "report.html"), "validate": ("Data 数据检查", "index.html")}
    sources = {"select": out / "select" / "report.html", "validate": out / "validate" / "report"}
    links = []
    for name, (words, page) in found.items():
        source, target = sources[name], REPORTS / run / name
        if not source.exists():
            continue
        shutil.rmtree(target, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.mkdir(parents=True)
            shutil.copyfile(source, target / page)
        links.append(f"[{words}]({address.rstrip('/')}/{run}/{name}/{page})" if address else f"{words}: `{target / page}`")
    old = sorted((path for path in REPORTS.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime) if REPORTS.exists() else []
    for folder in old[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
    told = "" if address or not links else "\n\nNothing serves them: `make schedule`, or retrain.reports in params.yaml. 尚未提供网页访问。"
    return " · ".join(links) + told


def served_at(address: str) -> str:
    """The address of the reports: what params.yaml says, or what `make schedule` serves."""
    return address or os.environ.get(ADDRESS, "")


def summary(verdict: str, sections: Iterable[tuple[str, str]]) -> str:
    """One page: the verdict, and the sections that say something."""
    return "\n\n".join([f"**{verdict}**", *(f"## {title}\n\n{text}" for title, text in sections if text)])
