"""What waits for a person: a row, with the passages that it rests on and what was decided on it before."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lingyu.files import read_batches, read_table
from lingyu.generate.tables import MADE
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Made, Preference, Row, headed
from lingyu.review.review_item import shown, spoken


def made_rows(made: Path) -> Iterator[tuple[str, Row]]:
    """All rows that generate made, with their tables."""
    for table, row_type in MADE.items():
        yield from ((table, row) for row in read_table(made / f"{table}.parquet", row_type))


@dataclass
class Waiting:
    """passage: filled in when all waiting rows are known. earlier: a decision on what the row said before, in words."""

    table: str
    row: Row
    earlier: str = ""
    passage: str = ""

    def references(self) -> list[str]:
        return self.row.references if isinstance(self.row, Made) else []

    def texts(self) -> dict[str, str]:
        """All that a reviewer may want to see, by the names of the columns."""
        says = shown(self.row)
        made = self.row if isinstance(self.row, Made) else None
        return {
            "id": self.row.id,
            "print": says.print(),
            "table": self.table,
            "task": made.task if made else "",
            "method": made.method if made else "",
            "source": self.row.source,
            "place": self.row.place,
            "question": says.question,
            "answer": says.answer,
            "reasoning": says.reasoning,
            "other": says.other,
            "passage": self.passage,
            "earlier": self.earlier,
        }


def add_passages(waiting: Sequence[Waiting], parts: Iterable[Path]) -> None:
    """Give each waiting row the text of the records that it rests on, from the folders that split wrote."""
    wanted = {reference for entry in waiting for reference in entry.references()}
    if not wanted:
        return
    found = passages(wanted, parts)
    for entry in waiting:
        lost = "[{}] 已不在 out/split 中 · no longer among the rows of out/split"
        entry.passage = "\n\n".join(found.get(reference, lost.format(reference)) for reference in entry.references())


def passages(wanted: set[str], parts: Iterable[Path]) -> dict[str, str]:
    """The records of these ids as text, each under its source and place."""
    ids, found = pa.array(sorted(wanted)), dict[str, str]()
    for part in parts:
        for table, row_type in TABLES.items():
            for batch in read_batches(part / f"{table}.parquet"):
                for values in batch.filter(pc.is_in(batch["id"], value_set=ids)).to_pylist():
                    row = row_type.model_validate(values)
                    found.setdefault(row.id, f"[{row.source}, {row.place}]\n{passage_of(row)}")
    return found


def passage_of(row: Row) -> str:
    match row:
        case Document():
            return headed(row.title, row.section, row.text)
        case Fact():
            kind = f"（{row.kind}）" if row.kind else ""
            return f"{row.entity}{kind} · {row.relation}：{'；'.join(row.values)}"
        case Label():
            return f"{row.text}\n→ {row.label}"
        case Exam():
            options = (f"{'✓' if index in row.right else '–'} {option}" for index, option in enumerate(row.options))
            return "\n".join([row.question, *options])
        case Dialogue():
            return spoken(row.messages)
        case Preference():
            return f"{spoken(row.messages)}\n✓ {row.chosen}\n– {row.rejected}"
    raise TypeError(f"{type(row).__name__} is no record")
