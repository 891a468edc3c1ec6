"""Reads reviewers' decisions from their files."""

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any

from lingyu.files import read_json
from lingyu.review import label_studio
from lingyu.review.review_item import ReviewItem, normalised
from lingyu.review.workbook import rows_of_workbook
from lingyu.stage import StageError

DECISIONS = {"approve": "通过", "edit": "修改", "swap": "对调", "reject": "退回"}
KNOWN = ", ".join(f"{word} {chinese}" for word, chinese in DECISIONS.items())
WORDS = {word: name for name, chinese in DECISIONS.items() for word in (name, chinese)}
JSON_LINE = 'Each line must be an object such as {"id": "…", "decision": "edit", "answer": "…"}.'


@dataclass(frozen=True)
class Decision:
    """answer: for an edit the new answer, otherwise the answer decided on, "" if not given. reasoning: the same, None if not given.

    print: the fingerprint of what the reviewer saw (ReviewItem.fingerprint), "" if unknown.
    """

    id: str
    decision: str
    answer: str
    file: str
    row: str  # the row number in an editor
    question: str = ""
    reasoning: str | None = None
    table: str = ""
    print: str = ""
    reviewer: str = ""
    note: str = ""

    @property
    def where(self) -> str:
        return f"{self.file} {self.row}"

    def outcome(self) -> tuple[str, str, str | None]:
        """Two decisions agree if these values are equal."""
        return (self.decision, normalised(self.answer), self.reasoning) if self.decision == "edit" else (self.decision, "", None)

    def as_row(self) -> dict[str, str]:
        """The form written to out/review/dropped.jsonl."""
        fields = {"decision": self.decision, "answer": self.answer, "reviewer": self.reviewer, "note": self.note, "where": self.where}
        return {name: value for name, value in fields.items() if value or name in {"decision", "answer", "where"}}


def read_decisions(folder: Path) -> list[Decision]:
    """All decisions in the .xlsx, .jsonl and .json (Label Studio) files of a folder, in the order of names and rows.

    A row without a decision is not decided yet. Raises StageError with all faults: an unknown decision, an edit without an
    answer, a missing id, two contradicting decisions on the same text.
    """
    return decisions_of((path, path.name) for path in files_of(folder))


def files_of(folder: Path) -> list[Path]:
    """The decision files, by name. Raises StageError for any other file, which would otherwise be silently ignored."""
    paths = sorted(path for path in folder.glob("*") if not path.name.startswith((".", "~$")) and path.suffix != ".md")
    if others := [path.name for path in paths if path.suffix.lower() not in READERS]:
        raise StageError(
            f"{folder} contains unsupported files: {', '.join(others)}. Save them as .xlsx, .jsonl or Label Studio's .json, "
            "or remove them. 文件格式不受支持，请另存为 .xlsx、.jsonl 或 Label Studio 的 .json，或将其移出该目录。"
        )
    return paths


def decisions_of(files: Iterable[tuple[Path, str]]) -> list[Decision]:
    """The decisions of files, each with its name in messages."""
    found: dict[str, list[Decision]] = {}
    faults: list[str] = []
    for path, name in files:
        for row, values in READERS[path.suffix.lower()](path):
            if text_of(values.get("decision")):
                decision = decision_of({name: text_of(value) for name, value in values.items()}, name, row)
                several = found.setdefault(decision.id, [])
                fault = fault_of(decision, values) or next(filter(None, (contradiction(decision, earlier) for earlier in several)), None)
                faults += [f"{decision.where}: {fault}"] if fault else []
                several.append(decision)
    if faults:
        raise StageError("\n".join(["these decisions cannot be applied 以下审核决定无法应用:", *(f"  {fault}" for fault in faults)]))
    return [decision for several in found.values() for decision in several]


def decision_of(texts: dict[str, str], file: str, row: str) -> Decision:
    words = [WORDS[word] for word in texts["decision"].lower().replace("/", " ").split() if word in WORDS]
    decision = words[0] if len(set(words)) == 1 else texts["decision"]
    seen = texts.get("print", "")
    if not seen and decision != "edit" and texts.get("question") and texts.get("answer"):
        seen = ReviewItem(texts["question"], texts["answer"], texts.get("reasoning", ""), texts.get("other", "")).fingerprint()
    names = ("id", "answer", "question", "table", "reviewer", "note")
    fields = {name: texts.get(name, "") for name in names} | {"reviewer": normalised(texts.get("reviewer", ""))}
    return Decision(**fields, decision=decision, reasoning=texts.get("reasoning"), print=seen, file=file, row=row)


def fault_of(found: Decision, values: dict[str, Any]) -> str | None:
    """What is wrong with a single decision. values: the cells of its row."""
    if not found.id:
        return "the decision has no id; copy the id from the queue."
    if found.decision not in DECISIONS:
        return f"decision {found.decision!r} must be one of {KNOWN}."
    if found.decision == "edit" and not found.answer:
        return "edit without an answer; enter the new answer in the answer column."
    if any(isinstance(values.get(name), date | time) for name in ("answer", "reasoning")):
        return "the workbook turned the answer into a date; format the cell as text and enter it again."
    return None


def contradiction(found: Decision, earlier: Decision) -> str | None:
    """Whether two decisions on one row contradict each other; not if the reviewers saw different versions of the row."""
    if found.outcome() == earlier.outcome() or (found.print and earlier.print and found.print != earlier.print):
        return None
    return f"{found.decision} contradicts {earlier.decision} in {earlier.where} for id {found.id}; keep one of them."


def text_of(value: Any) -> str:
    """The text of a cell as entered: a workbook stores 5 as 5.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Accepts blank lines and a byte order mark, which editors may add."""
    faults = []
    for number, line in enumerate(path.read_bytes().removeprefix(BOM_UTF8).split(b"\n"), start=1):
        if line.strip():
            try:
                values = json.loads(line)
            except ValueError as error:
                faults.append(f"{number} ({error})")
                continue
            if isinstance(values, dict):
                yield f"row {number}", values
            else:
                faults.append(str(number))
    if faults:
        raise StageError(f"{path} has invalid JSON lines in row {', '.join(faults)}. {JSON_LINE}")


def export(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        tasks = read_json(path)
    except ValueError as error:
        raise StageError(f"{path} is not valid JSON: {error}. Export it from Label Studio again as JSON or JSON-MIN.") from error
    yield from label_studio.rows_of_export(path, tasks)


READERS: dict[str, Callable[[Path], Iterator[tuple[str, dict[str, Any]]]]] = {
    ".xlsx": rows_of_workbook,
    ".jsonl": json_lines,
    ".json": export,
}
