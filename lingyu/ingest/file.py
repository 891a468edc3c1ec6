"""Reads one file of documents or records into rows: the same for a corpus and for a file uploaded to the service."""

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from lingyu.ingest.readers import Block, Fault, Reading, Record, Unreadable
from lingyu.ingest.readers.encoding import encoding_of
from lingyu.ingest.readers.formats import format_of
from lingyu.ingest.sections import Origin, documents, missing_articles
from lingyu.ingest.shapes import SHAPES, TRIPLES, Mapping, Misfit, gathered, merged, rows_of
from lingyu.records import Fact, Row, Scope
from lingyu.text.normalise import normal

DVC_CACHE = ("files", "md5")  # where DVC keeps files if it is configured to link them into data/
UNREAD = ("field ", " not used")


class Source(Mapping):
    """What holds for the files whose path under data/ matches, and how their records are read."""

    pattern: str = Field(description="Of paths under data/; * matches / too. The first entry that matches a file counts.")
    licence: str = Field(description="Of its text. The model card lists it.")
    scope: Scope = Field(description="domain, or general: everyday text and questions, replayed against forgetting.")
    kind: str = Field("", description="What its documents are: rule, form, minutes …; requests to the service can filter by it.")
    department: str = Field("", description="Whose they are; the same.")
    groups: list[str] = Field(
        [],
        description="Groups of keys that may see it in the service; empty: everybody. What the model learns from it, it may tell anybody.",
    )
    task: str = Field("", description="What its questions or labels ask for, where the file does not say it.")
    valid_from: date | None = Field(
        None, description="Day from which its statutes hold, where neither name nor title says it. Of two versions the newer is taught."
    )
    valid_to: date | None = Field(None, description="Last day on which it holds; requests to the service can ask for what is in force.")
    encoding: str = Field("", description="Of its text, where detection fails: utf-8, gb18030, big5, utf-16 and others.")

    @field_validator("shape")
    @classmethod
    def known_shape(cls, shape: str) -> str:
        if shape and shape not in (names := [one.name for one in SHAPES]):
            raise ValueError(f"unknown shape; must be one of {', '.join(names)}")
        return shape

    @field_validator("encoding")
    @classmethod
    def known_encoding(cls, name: str) -> str:
        try:
            return codecs.lookup(name).name if name else ""
        except LookupError:
            raise ValueError("unknown encoding; use for example utf-8, gb18030, big5 or utf-16") from None


@dataclass(frozen=True)
class Limits:
    """Of a file: characters of a section before it is cut, megabytes of a record and of a document."""

    max_chars: int = 1000
    max_record_mb: float = 16
    max_document_mb: float = 100
    ocr: bool = False


def read(
    path: Path, source: str, rule: Source | None, limits: Limits, notes: Counter[str], changes: Counter[tuple[str, str]]
) -> Iterator[tuple[str, str, Row | Fault]]:
    """The rows of a file with their table and shape; a Fault for each part that could not be used.

    Counts remarks on how the file was read in `notes`, and what was left out of records, by table, in `changes`: unused fields, turns
    that are not learnt.
    """
    try:
        if rule is None:
            raise Unreadable("no_rule", "no pattern of params.yaml, ingest.sources matches it; end the list with the pattern '*'")
        check_file(path, source)
        origin = Origin(source, rule.licence, rule.scope, rule.task)
        most = int(limits.max_document_mb * 1_000_000)
        form = format_of(path, most)
        encoding = rule.encoding or (encoding_of(path) if form.text else "")
        if encoding not in ("", "utf-8", "utf-8-sig"):
            notes[f"read as {encoding}"] += 1
        how = Reading(encoding, int(limits.max_record_mb * 1_000_000), most, tuple(rule.names), limits.ocr)
        if form.gives == "blocks":
            yield from read_document(form.reader()(path, how), origin, normal(path.stem), limits.max_chars)
        else:
            yield from read_records(form.reader()(path, how), origin, rule, changes)
    except Unreadable as error:
        yield "", "", Fault("", error.reason, error.detail)


def check_file(path: Path, source: str) -> None:
    """Raises Unreadable unless the path is a non-empty file under data/."""
    if source != path.as_posix()[-len(source) :]:
        raise Unreadable("name", "the file name is not UTF-8; rename the file")
    if path.is_symlink():
        if not path.exists():
            raise Unreadable("unreadable", "broken link: the target file does not exist")
        data, target = path.parents[source.count("/")].resolve(), path.resolve()
        if not target.is_relative_to(data) and target.parts[-4:-2] != DVC_CACHE:
            raise Unreadable("link_outside", "links to targets outside the folder are not followed; copy the file itself here")
        if target.is_dir():
            raise Unreadable("link", "links to folders are not followed; the files are read at their real location")
    if not path.is_file():
        raise Unreadable("unreadable", "not a regular file or folder")
    if path.stat().st_size == 0:
        raise Unreadable("empty_file", "the file is empty")


def read_document(blocks: Iterator[Block | Fault], origin: Origin, title: str, max_chars: int) -> Iterator[tuple[str, str, Row | Fault]]:
    kept, faulty = [], False
    for block in blocks:
        if isinstance(block, Fault):
            faulty = True
            yield "", "", block
        else:
            kept.append(block)
    rows = list(documents(kept, origin, title, max_chars))
    if not rows and not faulty:
        raise Unreadable("empty_file", "the file contains no text")
    yield from (("documents", "section", row) for row in rows)
    if missing := missing_articles(rows):
        yield (
            "",
            "",
            Fault(
                "", "articles_missing", f"articles are missing: {missing}; if Word or a scan dropped the numbers, type them into the file"
            ),
        )


def read_records(
    records: Iterator[Record | Fault], origin: Origin, mapping: Mapping, changes: Counter[tuple[str, str]]
) -> Iterator[tuple[str, str, Row | Fault]]:
    found = False
    triples: list[Fact] = []
    for record, rest in gathered(records, mapping):
        found = True
        if isinstance(record, Fault):
            yield "", "", record
            continue
        try:
            shaped = rows_of(record, origin, rest)
        except Misfit as misfit:
            yield "", "", Fault(record.place, misfit.reason, misfit.detail, printable(record.values))
        else:
            about = shaped.rows[-1][0]
            changes.update((about, name.join(UNREAD)) for name in shaped.unread)
            for note, count in shaped.notes.items():
                changes[about, note] += count
            for table, row in shaped.rows:
                if isinstance(row, Fact) and shaped.shape in TRIPLES:
                    triples.append(row)
                else:
                    yield table, shaped.shape, row
    yield from (("facts", "triples", row) for row in merged(triples))
    if not found:
        raise Unreadable("empty_file", "the file contains no records")


def printable(values: dict[str, Any]) -> dict[str, Any]:
    """The values in a form that JSON can hold: spreadsheets also have dates and times."""
    return {
        name: value if isinstance(value, str | int | float | bool | list | dict | None) else str(value) for name, value in values.items()
    }
