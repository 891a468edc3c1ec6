"""Lists and removes the checkpoints that training left under .lingyu."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from lingyu.ledger_report import width
from lingyu.stage import StageError
from lingyu.train.checkpoints import ROOT, Kept, differences, kept_in, made_with, remove

Language = Literal["zh", "en"]
ALL = "all"
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "heads": "stage|step|size|age|made by|folder",
        "finished": "finished",
        "none": "no checkpoints in {work}.",
        "now": "current code and libraries",
        "unknown": "not recorded",
        "more": "and {count} more",
        "remove": "To remove: python -m lingyu checkpoints --remove STAGE, or all. Parameters, inputs, code and libraries of each are in "
        "made_by.json in its folder.",
        "removed": "removed",
        "used": "in use by a run, not removed",
    },
    "zh": {
        "heads": "阶段|步数|大小|距今|生成条件|目录",
        "finished": "已完成",
        "none": "{work} 中没有训练留下的文件。",
        "now": "当前的代码和库",
        "unknown": "无记录",
        "more": "另有 {count} 处",
        "remove": "删除：python -m lingyu checkpoints --remove 阶段名（或 all）。各次训练的参数、输入、代码和库见其目录下的 made_by.json。",
        "removed": "已删除",
        "used": "正在使用，未删除",
    },
}


def kept_under(work: Path, stage: str = ALL) -> list[Kept]:
    """The checkpoints of a stage, of one of its candidates (sft@lora), or of all stages. Raises StageError if a stage has none."""
    found = [kept for folder in sorted(work.glob("*")) for kept in kept_in(folder) if kept.made_by or kept.checkpoints]
    wanted = [kept for kept in found if stage in (ALL, kept.stage, kept.stage.partition("@")[0])]
    if stage != ALL and not wanted:
        named = ", ".join(dict.fromkeys(kept.stage for kept in found)) or "none"
        raise StageError(f"{work} has no checkpoints of {stage!r}. There are checkpoints of: {named}.")
    return wanted


def shown(found: Sequence[Kept], work: Path, language: Language) -> Iterator[str]:
    """One line per training, newest first."""
    words = WORDS[language]
    if not found:
        yield words["none"].format(work=work)
        return
    rows = [words["heads"].split("|")]
    for kept in sorted(found, key=lambda kept: -kept.changed):
        step = words["finished"] if kept.finished else str(kept.step)
        rows.append(
            [kept.stage, step, f"{kept.size / 2**20:,.1f} MB", age(time.time() - kept.changed), maker(kept, words), str(kept.folder)]
        )
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True)).rstrip()
    yield words["remove"]


def maker(kept: Kept, words: dict[str, str]) -> str:
    """Whether the code and libraries are the current ones; otherwise the differences."""
    stage = ROOT / "stages" / f"{kept.stage.partition('@')[0]}.py"
    if not kept.made_by or not stage.exists():
        return words["unknown"]
    lines = differences(kept.made_by, made_with(stage))
    more = [words["more"].format(count=len(lines) - 2)] if len(lines) > 2 else []
    return "; ".join([*lines[:2], *more]) or words["now"]


def age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def removed(found: Sequence[Kept], language: Language) -> Iterator[str]:
    """Remove them; a line for each."""
    for kept in found:
        line = f"{kept.stage}  {kept.described()}"
        yield f"{WORDS[language]['removed' if remove(kept) else 'used']}: {line}"
