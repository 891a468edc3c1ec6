"""What reviewers decided: the files that come back, and which row each decision is about."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any

from lingyu.files import read_json
from lingyu.records import Made, Preference, Row
from lingyu.stage import StageError
from lingyu.teach import label_studio
from lingyu.teach.shown import Shown, edited, even, shown, swapped
from lingyu.teach.workbook import rows_of_workbook

DECISIONS = {"approve": "通过", "edit": "修改", "swap": "对调", "reject": "退回"}
KNOWN = ", ".join(f"{word} {chinese}" for word, chinese in DECISIONS.items())
WORDS = {word: name for name, chinese in DECISIONS.items() for word in (name, chinese)}
VERDICTS = {"approve": "approved", "edit": "edited", "swap": "edited"}
JSON_LINE = 'A line is an object, such as {"id": "…", "decision": "edit", "answer": "…"}.'

UNKNOWN = "no row has this id"
CHANGED = "its row says something else now"
CONTRADICTED = "another decision on the same text contradicts it"
AGAIN = "decided before, with the same word"
REPLACED = "its row was decided on again since it changed"


@dataclass(frozen=True)
class Decision:
    """answer: of an edit the new one, else the one decided on, "" where it is not told. reasoning: the same, None where not told.

    print: of what the reviewer saw (Shown.print), "" where it is not told and cannot be.
    """

    id: str
    decision: str
    answer: str
    file: str
    row: str  # as an editor numbers it
    question: str = ""
    reasoning: str | None = None
    table: str = ""
    print: str = ""
    reviewer: str = ""
    note: str = ""

    @property
    def where(self) -> str:
        return f"{self.file} {self.row}"

    def says(self) -> tuple[str, str, str | None]:
        """What two decisions have in common that do not contradict each other."""
        return (self.decision, even(self.answer), self.reasoning) if self.decision == "edit" else (self.decision, "", None)

    def told(self) -> dict[str, str]:
        """As out/review/dropped.jsonl keeps it."""
        fields = {"decision": self.decision, "answer": self.answer, "reviewer": self.reviewer, "note": self.note, "where": self.where}
        return {name: value for name, value in fields.items() if value or name in {"decision", "answer", "where"}}


def read_decisions(folder: Path) -> list[Decision]:
    """All decisions of a folder's .xlsx, .jsonl and .json files (Label Studio's), in the order of names and rows.

    A row without a decision is not decided yet. Raises StageError with all faults: an unknown word, an edit without an
    answer, no id, two on the same text that contradict each other.
    """
    return decisions_of((path, path.name) for path in files_of(folder))


def files_of(folder: Path) -> list[Path]:
    """The files of decisions, by name. Raises StageError where another lies among them, for nobody would miss it."""
    paths = sorted(path for path in folder.glob("*") if not path.name.startswith((".", "~$")) and path.suffix != ".md")
    if others := [path.name for path in paths if path.suffix.lower() not in READERS]:
        raise StageError(
            f"{folder} holds {', '.join(others)}, which no decision is read from. Save it as .xlsx, .jsonl or Label Studio's .json, "
            "or take it out. 无法读取，请另存为 .xlsx、.jsonl 或 Label Studio 的 .json，或移出该文件夹。"
        )
    return paths


def decisions_of(files: Iterable[tuple[Path, str]]) -> list[Decision]:
    """The decisions of files, each with what messages call it."""
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
        raise StageError("\n".join(["these decisions cannot be applied 以下决定无法采用:", *(f"  {fault}" for fault in faults)]))
    return [decision for several in found.values() for decision in several]


def decision_of(texts: dict[str, str], file: str, row: str) -> Decision:
    words = [WORDS[word] for word in texts["decision"].lower().replace("/", " ").split() if word in WORDS]
    decision = words[0] if len(set(words)) == 1 else texts["decision"]
    seen = texts.get("print", "")
    if not seen and decision != "edit" and texts.get("question") and texts.get("answer"):
        seen = Shown(texts["question"], texts["answer"], texts.get("reasoning", ""), texts.get("other", "")).print()
    names = ("id", "answer", "question", "table", "reviewer", "note")
    fields = {name: texts.get(name, "") for name in names} | {"reviewer": even(texts.get("reviewer", ""))}
    return Decision(**fields, decision=decision, reasoning=texts.get("reasoning"), print=seen, file=file, row=row)


def fault_of(found: Decision, values: dict[str, Any]) -> str | None:
    """What is wrong with a decision, looked at alone. values: as they stand in its row."""
    if not found.id:
        return "a decision without an id; copy the id from the queue."
    if found.decision not in DECISIONS:
        return f"decision {found.decision!r} is none of {KNOWN}."
    if found.decision == "edit" and not found.answer:
        return "edit without an answer; write the new answer beside it."
    if any(isinstance(values.get(name), date | time) for name in ("answer", "reasoning")):
        return "the answer became a date in the workbook; format the cell as text and write it again."
    return None


def contradiction(found: Decision, earlier: Decision) -> str | None:
    """What is wrong with two decisions on one row; not when it said one thing to the one reviewer, and another to the other."""
    if found.says() == earlier.says() or (found.print and earlier.print and found.print != earlier.print):
        return None
    return f"{found.decision} contradicts {earlier.decision} in {earlier.where} for id {found.id}; keep one of them."


def text_of(value: Any) -> str:
    """What a person meant by a cell: 5.0 is how a workbook keeps 5."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Blank lines and a byte order mark, which editors leave, are no fault."""
    faults = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.strip():
            try:
                values = json.loads(line)
            except ValueError as error:
                values = f"({error})"
            if isinstance(values, dict):
                yield f"row {number}", values
            else:
                faults.append(f"{number}" if not isinstance(values, str) else f"{number} {values}")
    if faults:
        raise StageError(f"{path} is not JSON lines of decisions in row {', '.join(faults)}. {JSON_LINE}")


def export(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        tasks = read_json(path)
    except ValueError as error:
        raise StageError(f"{path} is not JSON: {error}. Export it from Label Studio again, as JSON or JSON-MIN.") from error
    yield from label_studio.rows_of_export(path, tasks)


READERS: dict[str, Callable[[Path], Iterator[tuple[str, dict[str, Any]]]]] = {
    ".xlsx": rows_of_workbook,
    ".jsonl": json_lines,
    ".json": export,
}


class Rulings:
    """Which decision is about which row. First every row is `seen`, then `settle` is called, then rows ask with `on`.

    A decision is about the row of its id while that says what the reviewer saw; else about the rows that say it now.
    """

    def __init__(self, decisions: list[Decision]) -> None:
        self.decisions = decisions
        self.unmet: dict[Decision, str] = {}  # with the reason
        self._by_id: dict[str, list[Decision]] = defaultdict(list)
        for decision in decisions:
            self._by_id[decision.id].append(decision)
        self._prints = {decision.print for decision in decisions if decision.print}
        self._ids: set[str] = set()  # those of decisions that a row has
        self._standing: dict[str, list[Decision]] = defaultdict(list)  # by id: the decisions on what its row says
        self._there: dict[str, list[str]] = defaultdict(list)  # by print that a decision looks for: the tables where a row says it
        self._moved: dict[tuple[str, str], Decision] = {}

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def seen(self, table: str, row: Row) -> str:
        """Note the row; the print of what it says, "" where no decision asks for it."""
        seen = self.print_of(row)
        if row.id in self._by_id:
            self._ids.add(row.id)
            self._standing[row.id] += [decision for decision in self._by_id[row.id] if about(decision, row, seen)]
        if seen in self._prints and table not in self._there[seen]:
            self._there[seen].append(table)
        return seen

    def print_of(self, row: Row) -> str:
        return shown(row).print() if self._prints else ""

    def settle(self) -> None:
        """Find the rows of those decisions whose id no row has, or one that says something else."""
        loose: dict[tuple[str, str], list[Decision]] = defaultdict(list)
        for row_id, several in self._by_id.items():
            standing = self._standing.get(row_id, [])
            self.unmet |= dict.fromkeys(standing[1:], AGAIN)
            for decision in (decision for decision in several if decision not in standing):
                tables = [table for table in self._there.get(decision.print, []) if decision.table in ("", table)]
                for table in tables:
                    loose[table, decision.print].append(decision)
                if not tables:
                    self.unmet[decision] = UNKNOWN if row_id not in self._ids else REPLACED if standing else CHANGED
        for place, found in loose.items():
            if len({decision.says() for decision in found}) > 1:
                self.unmet |= dict.fromkeys(found, CONTRADICTED)
            else:
                self._moved[place] = found[0]
                self.unmet |= dict.fromkeys(found[1:], AGAIN)

    def on(self, table: str, row_id: str, seen: str) -> Decision | None:
        """The decision about a row, given the print of what it says."""
        standing = self._standing.get(row_id)
        return standing[0] if standing else self._moved.get((table, seen))

    def outdated(self, row_id: str) -> Decision | None:
        """The last decision on what the row said before."""
        several = [decision for decision in self._by_id.get(row_id, []) if self.unmet.get(decision) == CHANGED]
        return several[-1] if several else None

    def moved(self, decision: Decision) -> bool:
        """Whether the decision found its row under another id."""
        return decision not in self.unmet and decision not in self._standing.get(decision.id, ())


def about(decision: Decision, row: Row, seen: str) -> bool:
    """Whether a decision is about what its row says; where it does not tell what the reviewer saw, its id is believed."""
    if decision.print:
        return decision.print == seen
    return decision.decision == "edit" or even(decision.answer) in ("", even(shown(row).answer))


def applied(row: Row, decision: Decision | None) -> Row:
    """The row as a decision that lets it pass leaves it, with the verdict and who gave it."""
    if decision and decision.decision == "edit":
        row = edited(row, decision.answer, decision.reasoning)
    if decision and decision.decision == "swap" and isinstance(row, Preference):
        row = swapped(row)
    if not isinstance(row, Made):
        return row
    by = f" by {decision.reviewer}" if decision and decision.reviewer else ""
    return row.model_copy(update={"review": f"{VERDICTS[decision.decision]}{by}" if decision else "auto"})


def misfits(rows: Iterable[tuple[str, Row]], rulings: Rulings) -> list[str]:
    """A line for each decision that changes something that its word does not ask for: the change would be lost."""
    return list(
        dict.fromkeys(
            f"  {decision.where}: {fault}"
            for table, row in rows
            if (decision := rulings.on(table, row.id, rulings.print_of(row))) and (fault := misfit(row, decision))
        )
    )


def misfit(row: Row, decision: Decision) -> str | None:
    """What is wrong with a decision, looked at beside its row."""
    says = shown(row)
    if decision.decision == "swap" and not isinstance(row, Preference):
        return "swap is for pairs of replies; approve, edit or reject."
    if decision.decision == "reject" or not decision.print:
        return None
    if decision.question and even(decision.question) != even(says.question):
        return "the question was changed, and only answers can be; put it back, or reject the row and say why in the note."
    texts = [(decision.answer, says.answer)] if decision.answer else []
    texts += [(decision.reasoning, says.reasoning)] if decision.reasoning is not None else []
    changed = any(even(given) != even(was) for given, was in texts)
    if changed and decision.decision != "edit":
        return f"{decision.decision}, but the answer beside it was changed; write edit to take the change, or put it back."
    if decision.decision == "edit" and not changed:
        return "edit, but the answer is the one that was there; change it, or write approve."
    return None
