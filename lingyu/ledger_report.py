"""Where the rows went: the ledgers of all stages as one table, from file to training row, and whether they agree."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from yaml import YAMLError

from lingyu.files import read_json
from lingyu.generate.tables import MADE
from lingyu.records import TABLES
from lingyu.stage import parsed

Language = Literal["zh", "en"]
Entry = dict[str, Any]
Counts = Counter[tuple[str, str]]  # by table and source

STAGES = ("ingest", "clean", "split", "generate", "review", "mix")
PARTS = ("train", "dev", "test")
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "file": "file", "read": "read", "rejected": "rejected", "clean": "clean", "train": "train", "dev": "dev", "test": "test",
        "made": "made", "approved": "approved", "mix train": "in training", "mix dev": "in dev", "mix test": "in test",
        "sum": "all", "stage": "stage", "table": "table", "reason": "left out because", "rows": "rows", "in": "in", "out": "out",
        "more": "made", "by": "made by", "less": "left out", "to": "to", "lost": "What was left out, and why",
        "path": "The way of each table",
        "heads": "read … test: rows of the corpus. made, approved: rows made from them. in training … in test: what mix put together of "
        "both.",
        "none": "no ledger in {out}: nothing has run yet. Start with `make repro`.",
        "unmatched": "no ledger speaks of a file like {pattern!r}.",
        "missing": "not run yet: {stages}.",
        "before": "These are the rows of the data before: data.dvc names other data now, which `dvc repro` has not read yet.",
        "right": "Every row is accounted for.",
        "wrong": "The numbers do not add up; rows were lost or doubled between or in these stages. If the stages are not all of one run "
        "(`dvc status`), run `dvc repro`; otherwise please report it:",
    },
    "zh": {
        "file": "文件", "read": "读入", "rejected": "未读", "clean": "清洗后", "train": "训练", "dev": "开发", "test": "测试",
        "made": "生成", "approved": "通过审核", "mix train": "进入训练", "mix dev": "进入开发", "mix test": "进入测试",
        "sum": "合计", "stage": "阶段", "table": "表", "reason": "未留下的原因", "rows": "行数", "in": "进", "out": "出",
        "more": "新增", "by": "生成方法", "less": "未留下", "to": "去向", "lost": "哪些行没有留下，为什么",
        "path": "各表经过的各阶段",
        "heads": "读入至测试：语料中的行；生成、通过审核：由它们生成的行；进入训练至进入测试：mix 由两者合成的行。",
        "none": "{out} 中没有账目：还没有运行过。请先运行 `make repro`。",
        "unmatched": "账目中没有与 {pattern!r} 相符的文件。",
        "missing": "尚未运行：{stages}。",
        "before": "以上是此前数据的账目：data.dvc 现在指向另一份数据，`dvc repro` 尚未读入。",
        "right": "每一行都有去处。",
        "wrong": "账目不平：以下阶段之间或之内有行丢失或重复。如果各阶段不是同一次运行的结果（`dvc status`），请运行 `dvc repro`；"
        "否则请报告此问题：",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Account:
    """The ledgers there are, by stage, of the files that match."""

    stages: dict[str, list[Entry]]

    def count(self, stage: str, field: str, tables: Iterable[str] | None = None) -> Counts:
        """What the field of a stage's ledger says, by table and source; made and dropped as sums."""
        wanted, found = None if tables is None else set(tables), Counter[tuple[str, str]]()
        for entry in self.stages.get(stage, []):
            if wanted is None or entry["table"] in wanted:
                value = entry[field]
                found[entry["table"], entry["source"]] += sum(value.values()) if isinstance(value, dict) else value
        return found

    def moved(self, part: str, tables: Iterable[str]) -> Counts:
        """Rows that split put into a part."""
        wanted = set(tables)
        return Counter(
            {(e["table"], e["source"]): e["changed"].get(f"to {part}", 0) for e in self.stages.get("split", []) if e["table"] in wanted}
        )

    def sources(self) -> list[str]:
        return sorted({entry["source"] for entries in self.stages.values() for entry in entries})


def read_account(out: Path, pattern: str = "*") -> Account:
    """The account of the files whose path matches; * reaches into folders."""
    paths = {stage: out / stage / "ledger.json" for stage in STAGES}
    return Account(
        {
            stage: [entry for entry in read_json(path)["entries"] if fnmatchcase(entry["source"], pattern)]
            for stage, path in paths.items()
            if path.exists()
        }
    )


def of_data_before(project: Path) -> bool:
    """Whether data.dvc names other data than ingest, by dvc.lock, has read."""
    try:
        named, locked = (parsed((project / name).read_text(encoding="utf-8")) for name in ("data.dvc", "dvc.lock"))
        read = next(dep["md5"] for dep in locked["stages"]["ingest"]["deps"] if dep["path"] == "data")
        return bool(named["outs"][0]["md5"] != read)
    except (OSError, LookupError, TypeError, StopIteration, YAMLError):
        return False


def shown(account: Account, language: Language, *, detailed: bool) -> Iterator[str]:
    """The lines of the whole table; detailed: with each file's way through the stages."""
    words = WORDS[language]
    yield from table(overview(account, words))
    yield f"\n{words['heads']}"
    if missing := [stage for stage in STAGES if stage not in account.stages]:
        yield words["missing"].format(stages=", ".join(missing))
    if detailed:
        yield f"\n{words['path']}\n"
        yield from table(way(account, words))
    elif losses := list(lost(account)):
        yield f"\n{words['lost']}\n"
        yield from table([(words["stage"], words["reason"], words["rows"]), *losses])
    yield ""
    if faults := list(disagreements(account)):
        yield words["wrong"]
        yield from (f"  {fault}" for fault in faults)
    else:
        yield words["right"]


def overview(account: Account, words: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """A line a file, and their sum; a dash where the stage has not run."""
    columns: list[tuple[str, str, Counts]] = [
        ("read", "ingest", account.count("ingest", "out", TABLES)),
        ("rejected", "ingest", account.count("ingest", "in", ["rejected"])),
        ("clean", "clean", account.count("clean", "out", TABLES)),
        *((part, "split", account.moved(part, TABLES)) for part in PARTS),
        ("made", "generate", given(account)),
        ("approved", "review", account.count("review", "out", MADE)),
        *((f"mix {part}", "mix", mixed(account, part)) for part in PARTS),
    ]
    yield words["file"], *(words[name] for name, _, _ in columns), words["by"]
    by_source = [(stage, Counter[str]()) for _, stage, _ in columns]
    for (_, sums), (_, _, counts) in zip(by_source, columns, strict=True):
        for (_, source), count in counts.items():
            sums[source] += count
    for source in account.sources():
        yield source, *(str(sums[source]) if stage in account.stages else "–" for stage, sums in by_source), told(methods(account, source))
    yield words["sum"], *(str(sums.total()) if stage in account.stages else "–" for stage, sums in by_source), ""


def methods(account: Account, source: str) -> dict[str, int]:
    """How many rows were made of the file by each method."""
    entries = [entry for entry in account.stages.get("generate", []) if entry["source"] == source]
    return dict(sorted(sum((Counter(entry["made"]) for entry in entries), Counter[str]()).items()))


def given(account: Account) -> Counts:
    """What generate made, by the names that review has for the tables."""
    counts = account.count("generate", "out")
    return Counter({(name.removeprefix("made/"), source): count for (name, source), count in counts.items() if name.startswith("made/")})


def mixed(account: Account, part: str) -> Counts:
    return Counter({place: count for place, count in account.count("mix", "out").items() if place[0].startswith(f"{part}/")})


def lost(account: Account) -> Iterator[tuple[str, str, str]]:
    """Rows left out by stage and reason, in the order of the stages, the most first."""
    for stage, entries in account.stages.items():
        reasons = sum((Counter(entry["dropped"]) for entry in entries), Counter[str]())
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            yield stage, reason, str(count)


def way(account: Account, words: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """A line for each file, stage and table: what came, was made, was left out and went on, and where to."""
    yield tuple(words[name] for name in ("file", "stage", "table", "in", "more", "less", "out", "to"))
    for source in account.sources():
        for stage, entries in account.stages.items():
            for entry in (entry for entry in entries if entry["source"] == source):
                yield (
                    source, stage, entry["table"], str(entry["in"]), told(entry["made"]), told(entry["dropped"]), str(entry["out"]),
                    told(entry["changed"]),
                )  # fmt: skip


def told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


# What mix reads into each group of its tables: the part of split's documents, and review's tables.
MIXED: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    (("train/pretrain",), "train", ("statements",)),
    (("dev/pretrain",), "dev", ("dev_statements",)),
    (("test/domain", "test/general"), "test", ("test_statements",)),
    (("train/sft",), "", ("instructions",)),
    (("dev/sft",), "", ("dev_instructions",)),
    (("train/preference",), "", ("preferences",)),
    (("dev/preference",), "", ("dev_preferences",)),
    (("test/preference",), "", ("test_preferences",)),
    (("train/prompts",), "", ("prompts",)),
    (("test/questions",), "", ("questions",)),
]


def disagreements(account: Account) -> Iterator[str]:
    """Each place where a stage's numbers do not add up, or where one stage took in other rows than the one before gave."""
    for stage, entries in account.stages.items():
        for e in entries:
            made, less = sum(e["made"].values()), sum(e["dropped"].values())
            if e["in"] + made != e["out"] + less:
                yield f"{stage}: {e['table']} of {e['source']}: in {e['in']} + made {made} is not out {e['out']} + left out {less}"
    for before, after in (("ingest", "clean"), ("clean", "split"), ("split", "generate"), ("generate", "review")):
        if before in account.stages and after in account.stages:
            gave = given(account) if after == "review" else account.count(before, "out", TABLES)
            took = account.count(after, "in", MADE if after == "review" else TABLES)
            yield from differences(f"{before} → {after}", gave, took)
    if {"split", "review", "mix"} <= set(account.stages):
        for tables, part, made in MIXED:
            gave = account.moved(part, ["documents"]) + account.count("review", "out", made)
            name = " + ".join(tables)
            yield from differences("split, review → mix", called(name, gave), called(name, account.count("mix", "in", tables)))


def called(name: str, counts: Counts) -> Counts:
    """The counts of several tables as those of one."""
    sums: Counts = Counter()
    for (_, source), count in counts.items():
        sums[name, source] += count
    return sums


def differences(step: str, gave: Counts, took: Counts) -> Iterator[str]:
    """Where what one stage gave is not what the next one took."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for side, counts in enumerate((gave, took)):
        for (name, source), count in counts.items():
            sums[name, source][side] += count
    for (name, source), (out, into) in sorted(sums.items()):
        if out != into:
            yield f"{step}: {name} of {source}: {out} out, {into} in"


def table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Columns side by side: text to the left, numbers to the right, Chinese characters as two."""
    lines = list(rows)
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            pad + cell if cell.lstrip("-").isdigit() or cell == "–" else cell + pad
            for cell, most in zip(line, widths, strict=True)
            for pad in [" " * (most - width(cell))]
        )
        yield "  ".join(cells).rstrip()


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
