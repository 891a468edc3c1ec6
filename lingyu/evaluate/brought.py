"""Test items that people bring: files of questions with right answers.

Questions are read as ingest reads a corpus: CSV, XLSX, JSON Lines or JSON, in any shape of docs/data.md that holds a question and its
answer or an exam item. What cannot be asked is left out by a named reason, and counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lingyu.evaluate.answers import ID, records_of
from lingyu.evaluate.scorers import exams as scored
from lingyu.files import read_table
from lingyu.generate.rules import classify, exams, given
from lingyu.ingest.readers import Fault, Record
from lingyu.ingest.sections import Origin
from lingyu.ingest.shapes import Mapping as Columns
from lingyu.ingest.shapes import Misfit, gathered, rows_of
from lingyu.records import Dialogue, Exam, Label, Question
from lingyu.stage import StageError

TASK = "own"


@dataclass
class Brought:
    """Questions, and by reason how many items were left out, with their places."""

    questions: list[Question]
    left: Counter[str] = field(default_factory=Counter)
    places: list[tuple[str, str, str]] = field(default_factory=list)  # reason, place, detail

    def leave(self, reason: str, place: str, detail: str = "") -> None:
        self.left[reason] += 1
        self.places.append((reason, place, detail))


def read_items(path: Path, task: str = "", columns: Mapping[str, Any] | None = None) -> Brought:
    """The questions of a file. task: what they are called where the file does not say. Raises StageError where there are none."""
    if path.suffix == ".parquet":
        return Brought(list(read_table(path, Question)))
    found, asked, ids, read = Brought([]), set[str](), set[str](), list[tuple[Record, list[Any]]]()
    for record, rest in gathered(records_of(path), Columns(columns=dict(columns or {}))):
        if isinstance(record, Fault):
            found.leave(record.reason, record.place, record.detail)
            continue
        try:
            made = rows_of(record, Origin(path.name, "unstated", "domain", task or TASK), rest).rows
        except Misfit as misfit:
            found.leave(misfit.reason, record.place, misfit.detail)
            continue
        read.append((record, [row for _, row in made]))
    known = classify.classes_of((row for _, rows in read for row in rows if isinstance(row, Label)), 0)
    for record, rows in read:
        for question in questions_of(rows, record, found, known):
            if question.messages[-1].content in asked or question.id in ids:
                found.leave("asked twice", record.place, question.messages[-1].content)
                continue
            asked.add(question.messages[-1].content)
            ids.add(question.id)
            found.questions.append(question)
    if not found.questions:
        why = "; ".join(f"{count} {reason}" for reason, count in found.left.items()) or "the file has no records"
        detail = next((detail for _, _, detail in found.places if detail), "")
        raise StageError(f"{path} has no question that can be asked: {why}. {detail}".strip())
    return found


def questions_of(rows: Sequence[Any], record: Record, found: Brought, known: Mapping[Any, classify.Classes]) -> Iterator[Question]:
    """known: the classes of the file, from which a labelled text is to be given one."""
    own = str(next((record.values[name] for name in ID if record.values.get(name) not in (None, "")), ""))
    for row in rows:
        if isinstance(row, Exam):
            if reason := exams.unfit(row):
                found.leave(reason, record.place)
                continue
            made = list(exams.questions([row], 1))
        elif isinstance(row, Dialogue):
            made = list(given.questions([row], 1))
        elif isinstance(row, Label) and len(known[row.task, row.language].options) > 1:
            made = list(classify.questions([row], dict(known), 0, 0))
        else:
            # What a question came with, such as the articles that it rests on, is no item by itself.
            if not any(isinstance(other, Exam | Dialogue) for other in rows):
                found.leave("no question with an answer", record.place, type(row).__name__)
            continue
        for question in made:
            if not question.answer.strip():
                found.leave("no answer", record.place)
            elif question.task == scored.TASK and not scored.right_options(question):
                found.leave("right option not among the options", record.place, question.answer)
            else:
                yield question.model_copy(update={"id": own or question.id})
