"""The rows of a table that stay together in one part, and how many are held out."""

from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lingyu.files import read_table, short_hash
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Preference, Row
from lingyu.split.parts import Part, Size
from lingyu.text.dates import days_in
from lingyu.text.normalise import key, without_signs
from lingyu.text.questions import question_of

PARTS: tuple[Part, ...] = ("train", "dev", "test")
UNDATED = "no_date"
BY = "What stays together."
SIZE = (
    "How much is held out: below 1 a share, from 1 on a count of what `by` names; with `by: time` the day from which it begins "
    "('2026-01-01'), found in a date column, file name, title or headings."
)
Unit = Literal["row", "source", "section", "dialogue", "paragraph", "time", "auto"]


class Parting(BaseModel):
    """The unit that stays together, and how much is held out: a share, a count, or everything from a date on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Unit = Field(description=BY)
    dev: float | int | date = Field(description=SIZE)
    test: float | int | date = Field(description=SIZE)
    undated: Literal["leave_out", "train"] = Field(
        "leave_out", description="With by: time, rows without a date. train: such as a set of labels that says nothing of when."
    )

    @model_validator(mode="after")
    def is_valid(self) -> "Parting":
        sizes = [("dev", self.dev), ("test", self.test)]
        if self.by == "time":
            if not isinstance(self.dev, date) or not isinstance(self.test, date) or self.dev > self.test:
                raise ValueError(f"with by: time, dev and test must be their start dates, dev first; found {self.dev}, {self.test}")
            return self
        for name, size in sizes:
            if isinstance(size, date) or size < 0 or (isinstance(size, float) and size >= 1):
                raise ValueError(f"{name} {size} must be a share below 1 or a count; a date requires `by: time`")
        if sum(size for _, size in sizes if isinstance(size, float)) >= 1:
            raise ValueError(f"dev {self.dev} and test {self.test} leave no training data")
        return self

    def sizes(self) -> tuple[Size, Size]:
        """The sizes of dev and test; none is a share of 0."""

        def share(size: Size | date) -> Size:
            return 0.0 if isinstance(size, date) else size or 0.0

        return share(self.dev), share(self.test)


class Documents(Parting):
    """How documents are split."""

    by: Literal["auto", "source", "section", "time"] = Field(
        description="auto: by file where a scope has min_files of them, else by section. source: a file stays together."
    )


class Rows(Parting):
    """How facts, labels and exams are split."""

    by: Literal["row", "source", "time"] = Field(description="row: by the question or text. source: a file stays together.")


class Talks(Parting):
    """How dialogues and preferences are split."""

    by: Literal["row", "source", "dialogue", "paragraph", "time"] = Field(
        description="row: by the question. source: a file stays together. dialogue: all that begin alike, where one continues another. "
        "paragraph: all that rest on one record."
    )


class Tables(BaseModel):
    """What stays together, and how much of it is held out, for each table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: Documents = Field(
        Documents(by="auto", dev=0.1, test=0.12),
        description="Only for losses and bits per byte: a few files are enough text, and the rest is needed to train on.",
    )
    facts: Rows = Field(
        Rows(by="row", dev=0.05, test=0.25),
        description="Facts of dev and test are only in the documents; no question asks them. A quarter of the sample gives 150 test "
        "items, an interval of about ±8 points.",
    )
    dialogues: Talks = Field(Talks(by="row", dev=0.1, test=0.15), description="Questions that came with the corpus.")
    labels: Rows = Field(Rows(by="row", dev=0.1, test=0.2), description="Ten or more test texts for each of four classes.")
    exams: Rows = Field(Rows(by="row", dev=0.1, test=0.2), description="Exam items.")
    preferences: Talks = Field(Talks(by="row", dev=0.1, test=0.15), description="Pairs of a better and a worse reply.")


NONE = 255


def units_of(table: str, tables: Path, min_files: int, before: dict[str, str], texts: set[str]) -> dict[str, str]:
    """The unit by scope: as before while any previously held-out text is present, else by file if there are enough, else by section."""
    files: dict[str, set[str]] = defaultdict(set)
    units: dict[str, str] = {}
    for row in read_table(tables / f"{table}.parquet", TABLES[table]):
        files[row.scope].add(row.source)
        if row.scope in before and row.scope not in units and short_hash(place_key(text_of_row(row))) in texts:
            units[row.scope] = before[row.scope]
    return {scope: "source" if len(names) >= min_files else "section" for scope, names in files.items()} | units


def place_key(text: str) -> str:
    """By what a text gets its part: texts that differ in punctuation or in a sign only (>5, <5) have the same."""
    return without_signs(key(text))


def key_of(row: Row, unit: str, min_opening: int) -> str:
    """The key that decides the part: rows with the same key stay together."""
    match row, unit:
        case _, "source":
            return row.source
        case Document(), _:
            return f"{row.source}\0{row.section or place_key(row.text)}"
        case Dialogue() | Preference(), "dialogue":
            return opening(row, min_opening)
        case Dialogue() | Preference(), "paragraph":
            return paragraphs_of(row)[0]
        case Fact(), _:
            return f"{place_key(row.entity)}\0{place_key(row.relation)}"
        case Dialogue() | Preference(), _:
            return place_key(question_of(row.messages))
        case Label(), _:
            return place_key(row.text)
        case Exam(), _:
            return place_key(row.question)
    raise TypeError(f"no such row: {type(row)}")


def group_of(row: Row) -> str:
    """The stratum of a row: each group is split by the same shares."""
    match row:
        case Document():
            return f"{row.scope}\0{row.language}"
        case Fact():
            return row.language
        case Dialogue() | Preference():
            return f"{row.task}\0{row.scope}"
        case Label():
            return f"{row.task}\0{row.label}"
    return row.scope


def opening(row: Dialogue | Preference, least: int) -> str:
    """The first user turns, up to one that distinguishes the dialogue: a greeting does not."""
    text = ""
    for message in row.messages:
        if message.role == "user" and len(text) < least:
            text += place_key(message.content)
    return text


def paragraphs_of(row: Dialogue | Preference) -> list[str]:
    """The source paragraphs of a row: the records it refers to, else its place."""
    return sorted(row.references) or [f"{row.source}\0{row.place}"]


def date_of(row: Row) -> str | None:
    """The date in its place, file name, title or headings, whichever has one first.

    A month or a year means its first day. In a place, 2024 or 20240506 is a row number; a full date is that of the record.
    """
    for text in (row.place, *reversed(Path(row.source).parts), getattr(row, "title", ""), getattr(row, "section", "")):
        if day := next(days_in(text, years=text is not row.place), None):
            return day.isoformat()
    return None


def text_of_row(row: Row) -> str:
    """The text of a row for comparison."""
    match row:
        case Document() | Label():
            return row.text
        case Exam():
            return row.question
        case Dialogue() | Preference():
            return question_of(row.messages)
        case Fact():
            return f"{row.entity}\n{row.relation}"
    raise TypeError(f"no such row: {type(row)}")
