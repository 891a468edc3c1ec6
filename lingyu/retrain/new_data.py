"""What is new in the corpus since an earlier state: documents by file, rows by table and part, and what nobody would notice otherwise.

A state is what data.dvc (and other imports) and dvc.lock name by hash; the content is in DVC's cache.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from lingyu.records import REVIEWS, TABLES
from lingyu.retrain import commits
from lingyu.retrain.cache import listed

LOCK = Path("dvc.lock")
PARTS = ("train", "dev", "test")
KINDS = ("added", "changed", "moved", "gone")
SHOWN = 20  # files by name; the rest is counted
WORDS = {"added": ("new", "新增"), "changed": ("changed", "修改"), "renamed": ("renamed", "改名"), "gone": ("removed", "删除")}
Lines = dict[str, tuple[str, bytes]]  # by id: the part, and a hash of what the row says


@dataclass(frozen=True)
class State:
    """The hashes of the imported files and folders, by path, and of the parts of `split`."""

    imports: Mapping[str, str]
    parts: Mapping[str, str]

    @classmethod
    def of(cls, imports: Sequence[str], lock: str) -> "State":
        """imports: the texts of the .dvc files; lock: that of dvc.lock; "" where there was none."""
        outs = [out for text in imports for out in (yaml.safe_load(text) or {}).get("outs", [])]
        split = (yaml.safe_load(lock) or {}).get("stages", {}).get("split", {})
        made = {out["path"]: out.get("md5", "") for out in split.get("outs", [])}
        return cls({out["path"]: out.get("md5", "") for out in outs}, {part: made.get(f"out/split/{part}", "") for part in PARTS})

    @classmethod
    def now(cls, imports: Sequence[Path]) -> "State":
        return cls.of([path.read_text(encoding="utf-8") for path in imports if path.exists()], text_of(LOCK))

    @classmethod
    def at(cls, commit: str) -> "State":
        """As a commit has it. Raises StageError for one that git does not know."""
        there = commits.git("ls-tree", "-r", "--name-only", commit).splitlines()
        imports = [commits.git("show", f"{commit}:{path}") for path in there if path.endswith(".dvc")]
        return cls.of(imports, commits.git("show", f"{commit}:{LOCK}") if str(LOCK) in there else "")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


@dataclass(frozen=True)
class News:
    """files: paths by what happened to them. rows: by (table, part), how many were added, changed, moved there, or are gone.

    unknown: what could not be compared, because DVC's cache has no longer what it was.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.files or self.rows)

    def total(self, kind: str, *parts: str) -> int:
        return sum(counts[kind] for (_, part), counts in self.rows.items() if not parts or part in parts)

    def title(self) -> str:
        """Such as "3 new documents, 1 changed"; "" if no file differs."""
        counted = [(WORDS[kind][0], len(self.files[kind])) for kind in WORDS if self.files.get(kind)]
        if not counted:
            return ""
        (word, count), *others = counted
        return ", ".join([f"{count} {word} {'document' if count == 1 else 'documents'}", *(f"{n} {name}" for name, n in others)])

    def warnings(self) -> list[str]:
        """What a person should know before trusting a model that was made of this."""
        found = []
        fresh = self.total("added") + self.total("changed")
        if fresh and not self.total("added", "train") + self.total("changed", "train"):
            where = {part: self.total("added", part) + self.total("changed", part) for part in PARTS[1:]}
            named = ", ".join(f"{count} in {part}" for part, count in where.items() if count)
            found.append(
                f"No new row is trained on: of {fresh} new rows {named}. The model cannot have learnt anything of them: add more documents "
                f"(split.tables). 新增的 {fresh} 行全部落入开发集或测试集，没有一行参与训练。"
            )
        if self.silent:
            found.append(
                f"No row came of these documents: {', '.join(self.silent[:SHOWN])}. `lingyu ledger --source FILE` shows why. "
                "以上新文件没有产生任何数据行。"
            )
        return found + [f"Not compared with before: {what}, which is no longer in DVC's cache. 无法与之前比较。" for what in self.unknown]

    def markdown(self) -> str:
        if not self and not self.unknown:
            return "No document changed. 语料没有变化。"
        lines = []
        for kind, (en, zh) in WORDS.items():
            if paths := self.files.get(kind):
                more = f" … ({len(paths)})" if len(paths) > SHOWN else ""
                lines.append(f"- **{len(paths)} {en} {zh}**: {', '.join(f'`{path}`' for path in paths[:SHOWN])}{more}")
        if self.rows:
            head = "| rows 行 | " + " | ".join(f"{part}" for part in PARTS) + " |"
            lines += ["", head, "| --- | " + "---: | " * len(PARTS)]
            for table in TABLES:
                cells = [signs(self.rows.get((table, part), Counter())) for part in PARTS]
                if any(cell != "–" for cell in cells):
                    lines.append(f"| {table} | {' | '.join(cells)} |")
            lines += ["", "Signs 符号: + added 新增, ~ changed 修改, → moved here from another part 由其他部分移入, − gone 删除"]
        return "\n".join([*lines, *(f"\n> ⚠ {warning}" for warning in self.warnings())])

    def plain(self) -> str:
        """For a message of a commit."""
        rows = {kind: self.total(kind) for kind in KINDS}
        parts = [f"{self.total('added', part)} {part}" for part in PARTS if self.total("added", part)]
        added = f" ({', '.join(parts)})" if parts else ""
        counted = (
            f"Rows: {rows['added']} added{added}, {rows['changed']} changed, {rows['moved']} moved, {rows['gone']} gone."
            if self.rows
            else ""
        )
        title = self.title()
        documents = f"Documents: {title}." if title else ""
        return "\n".join(filter(None, [documents, counted, *(f"Warning: {warning}" for warning in self.warnings())]))


def signs(counts: Counter[str]) -> str:
    told = [f"{sign}{counts[kind]}" for kind, sign in zip(KINDS, ("+", "~", "→", "−"), strict=True) if counts[kind]]
    return " ".join(told) or "–"


def compared(before: State, after: State) -> News:
    """What differs. Rows are those of `split`; without it before or after, only files are compared."""
    unknown: list[str] = []
    files = file_changes(before, after, unknown)
    rows: dict[tuple[str, str], Counter[str]] = {}
    if before.parts == after.parts or not any(after.parts.values()):
        return News(files, rows, [], unknown)
    seen: set[str] = set()
    for table in TABLES:
        earlier, _ = lines_of(table, before.parts, unknown)
        later, sources = lines_of(table, after.parts, unknown)
        seen |= sources
        for (part, what), count in row_changes(earlier, later).items() if earlier is not None and later is not None else ():
            rows.setdefault((table, part), Counter())[what] += count
    fresh = [path for kind in ("added", "changed") for path in files.get(kind, []) if not path.startswith((f"{REVIEWS}/", "."))]
    return News(files, rows, [] if unknown else [path for path in fresh if path not in seen], list(dict.fromkeys(unknown)))


def file_changes(before: State, after: State, unknown: list[str]) -> dict[str, list[str]]:
    """Paths under the imported folders, without the folder's own name, as rows name their source."""
    was, now = files_of(before.imports, unknown), files_of(after.imports, unknown)
    if was is None or now is None:
        return {}
    gone, added = sorted(was.keys() - now), sorted(now.keys() - was)
    by_hash = {was[path]: path for path in gone}
    renamed = [path for path in added if now[path] in by_hash]
    left = {by_hash[now[path]] for path in renamed}
    found = {
        "added": [path for path in added if path not in renamed],
        "changed": sorted(path for path in was.keys() & now if was[path] != now[path]),
        "renamed": renamed,
        "gone": [path for path in gone if path not in left],
    }
    return {kind: paths for kind, paths in found.items() if paths}


def files_of(imports: Mapping[str, str], unknown: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for path, md5 in imports.items():
        files = listed(md5) if md5.endswith(".dir") else {}
        if files is None:
            unknown.append(path)
            return None
        found |= {name: digest for name, (digest, _) in files.items()} if md5.endswith(".dir") else {path: md5}
    return found


def lines_of(table: str, parts: Mapping[str, str], unknown: list[str]) -> tuple[Lines | None, set[str]]:
    """The rows of a table in all parts, and the files they are from; None if the cache has them no longer."""
    lines: Lines = {}
    sources: set[str] = set()
    for part, md5 in parts.items():
        if not md5:
            continue
        file = (listed(md5) or {}).get(f"{table}.parquet", ("", Path()))[1]
        if not file.is_file():
            unknown.append(f"out/split/{part}")
            return None, sources
        for row in rows_in(file):
            sources.add(row.pop("source"))
            lines[row.pop("id")] = (part, hashlib.blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=8).digest())
    return lines, sources


def rows_in(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).drop_columns(["place"]).to_pylist()
    return rows


def row_changes(before: Lines, after: Lines) -> Counter[tuple[str, str]]:
    """(part, what happened): changed and moved rows count in the part where they are now."""
    found: Counter[tuple[str, str]] = Counter()
    for id, (part, said) in after.items():
        if id not in before:
            found[part, "added"] += 1
        elif before[id][1] != said:
            found[part, "changed"] += 1
        elif before[id][0] != part:
            found[part, "moved"] += 1
    for id in before.keys() - after.keys():
        found[before[id][0], "gone"] += 1
    return found
