"""The exported tables of mix by name and part, and the texts of a row for other trainers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lingyu.files import read_table
from lingyu.model.chat import THINK, THINK_END
from lingyu.records import Dialogue, Document, Made, Message, Preference, Question, Row
from lingyu.stage import StageError


@dataclass(frozen=True)
class Table:
    """A table of mix. name and part: its exported name."""

    path: str
    name: str
    part: str
    row_type: type[Row]


TRAINING = (
    Table("train/pretrain", "pretrain", "train", Document),
    Table("dev/pretrain", "pretrain", "validation", Document),
    Table("train/sft", "sft", "train", Dialogue),
    Table("dev/sft", "sft", "validation", Dialogue),
    Table("train/preference", "preference", "train", Preference),
    Table("dev/preference", "preference", "validation", Preference),
    Table("train/prompts", "prompts", "train", Question),
)
TEST = (
    Table("test/domain", "pretrain", "test", Document),
    Table("test/general", "general", "test", Document),
    Table("test/preference", "preference", "test", Preference),
    Table("test/questions", "questions", "test", Question),
)


def tables_of(mixed: Path, test: bool) -> list[Table]:
    """The non-empty tables."""
    tables = [*TRAINING, *(TEST if test else ())]
    if missing := [table.path for table in tables if not (mixed / f"{table.path}.parquet").exists()]:
        raise StageError(f"{mixed} has no {', '.join(missing)}. Run `make repro`, or `dvc repro mix`, first.")
    found = [table for table in tables if any(rows_of(mixed, table))]
    if not found:
        raise StageError(f"all tables of {mixed} are empty; there is nothing to export.")
    return found


def rows_of(mixed: Path, table: Table) -> Iterator[Row]:
    return read_table(mixed / f"{table.path}.parquet", table.row_type)


def create_empty(folder: Path) -> None:
    """Create the folder. Raises StageError if it is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StageError(f"{folder} is not empty. Name a new folder; nothing was written.")
    folder.mkdir(parents=True, exist_ok=True)


def with_reasoning(messages: list[Message]) -> list[Message]:
    """The messages with the last reply's reasoning between think tags before it, as in our chat template; the reasoning of
    earlier replies is omitted, as there."""
    *before, last = (message.model_copy(update={"reasoning": None}) for message in messages)
    reasoning = messages[-1].reasoning
    thought = f"{THINK}\n{reasoning}\n{THINK_END}\n\n" if reasoning else ""
    return [*before, last.model_copy(update={"content": thought + last.content})]


def is_masked(row: Row) -> bool:
    return isinstance(row, Dialogue) and row.is_masked


def origin(row: Row) -> dict[str, str]:
    """The provenance of a row. The reviewer's name is personal and not exported."""
    made = row if isinstance(row, Made) else None
    return {
        "id": row.id,
        "task": made.task if made else "",
        "method": made.method if made else "",
        "teacher": made.teacher if made else "",
        "review": made.review.partition(" by ")[0] if made else "",
        "source": row.source,
        "place": row.place,
        "licence": row.licence,
        "scope": row.scope,
        "language": row.language,
    }
