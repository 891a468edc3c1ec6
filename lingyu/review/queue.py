"""The review queue: rows with their source passages and earlier decisions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lingyu.files import read_batches, read_table
from lingyu.generate.tables import MADE
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Made, Preference, Row, headed
from lingyu.review.review_item import item_of, transcript


def made_rows(made: Path) -> Iterator[tuple[str, Row]]:
    """All generated rows, with their tables."""
    for table, row_type in MADE.items():
        yield from ((table, row) for row in read_table(made / f"{table}.parquet", row_type))


@dataclass
class Waiting:
    """passage: filled in once all waiting rows are known. earlier: an earlier decision on a previous version of the row, as text."""

    table: str
    row: Row
    earlier: str = ""
    passage: str = ""

    def references(self) -> list[str]:
        return self.row.references if isinstance(self.row, Made) else []

    def texts(self) -> dict[str, str]:
        """The texts for the reviewer, by column name."""
        item = item_of(self.row)
        made = self.row if isinstance(self.row, Made) else None
        return {
            "id": self.row.id,
            "print": item.fingerprint(),
            "table": self.table,
            "task": made.task if made else "",
            "method": made.method if made else "",
            "source": self.row.source,
            "place": self.row.place,
            "question": item.question,
            "answer": item.answer,
            "reasoning": item.reasoning,
            "other": item.other,
            "passage": self.passage,
            "earlier": self.earlier,
        }


def add_passages(waiting: Sequence[Waiting], parts: Iterable[Path]) -> None:
    """Add to each waiting row the text of its source records, from the folders written by split."""
    wanted = {reference for entry in waiting for reference in entry.references()}
    if not wanted:
        return
    found = passages(wanted, parts)
    for entry in waiting:
        lost = "[{}] 已不在 out/split 中 · no longer in out/split"
        entry.passage = "\n\n".join(found.get(reference, lost.format(reference)) for reference in entry.references())


def passages(wanted: set[str], parts: Iterable[Path]) -> dict[str, str]:
    """The records with these ids as text, each with its source and place."""
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
            return transcript(row.messages)
        case Preference():
            return f"{transcript(row.messages)}\n✓ {row.chosen}\n– {row.rejected}"
    raise TypeError(f"{type(row).__name__} is not a source record")
