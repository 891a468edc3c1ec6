"""ingest: read every file under data/ into typed rows that record their source.

Reads   data                        any folders of files; params.yaml says what licence and scope each has
Writes  out/ingest/tables           one table a kind of row (lingyu.records.TABLES), in the order of the files
        out/ingest/rejected.jsonl   files and parts of files that could not be used, each with its reason
        out/ingest/ledger.json      rows by file and shape, and what was rejected by reason
"""

import codecs
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from lingyu.files import open_tables, read_table, write_table
from lingyu.ingest.readers import Block, Fault, Reading, Record, Unreadable, scans
from lingyu.ingest.readers.encoding import encoding_of
from lingyu.ingest.readers.formats import format_of
from lingyu.ingest.sections import Origin, documents, missing_articles
from lingyu.ingest.shapes import SHAPES, TRIPLES, Mapping, Misfit, gathered, merged, rows_of
from lingyu.ingest.versions import Statute, Superseded, superseded
from lingyu.ledger import Ledger
from lingyu.records import REVIEWS, Document, Fact, Row, Scope
from lingyu.stage import StageError, StageParams, start
from lingyu.text.normalise import normal

DVC_CACHE = ("files", "md5")  # where DVC keeps files if it is configured to link them into data/
DATA = Path("data")
UNREAD = ("field ", " not used")
# Not `dvc update data.dvc`: by then DVC has recorded the empty folder and considers it up to date.
EMPTY = (
    "data/ contains no files. Add your documents with `make data FROM=folder`, or the sample with `make data FROM=samples/drone`.\n"
    "data/ 中没有文件：请用 `make data FROM=目录` 导入自己的文件，或用 `make data FROM=samples/drone` 导入样例。"
)


class Source(Mapping):
    """What holds for the files whose path under data/ matches, and how their records are read."""

    pattern: str = Field(description="Of paths under data/; * matches / too. The first entry that matches a file counts.")
    licence: str = Field(description="Of its text. The model card lists it.")
    scope: Scope = Field(description="domain, or general: everyday text and questions, replayed against forgetting.")
    task: str = Field("", description="What its questions or labels ask for, where the file does not say it.")
    valid_from: date | None = Field(
        None, description="Day from which its statutes hold, where neither name nor title says it. Of two versions the newer is taught."
    )
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


class Params(StageParams):
    max_chars: PositiveInt = Field(
        1000,
        description="A longer section is cut at the ends of sentences. Articles of statutes rarely reach it, and a piece still fits one "
        "window of retrieval.",
    )
    max_record_mb: PositiveFloat = Field(
        16, description="Size of a record or of a row. Beyond it a file has lost its line breaks, and would fill the memory."
    )
    max_document_mb: PositiveFloat = Field(
        100, description="Size of a document, which needs ten times as much memory; for DOCX, XLSX and PPTX the size of their contents."
    )
    max_rejected: float = Field(0.2, ge=0, le=1, description="Share of files that may give no rows before the stage fails.")
    ocr: bool = Field(
        False,
        description="Read scanned pages by OCR (pip install 'lingyu[ocr]'; some seconds a page). Off: they are listed as rejected, because "
        "OCR misreads a number now and then, and nobody sees it in the text.",
    )
    sources: list[Source] = Field(min_length=1, description="What holds for which files. docs/data.md has the shapes and examples.")


def run(params: Params, data: Path, out: Path) -> None:
    files = files_of(data)
    if not files:
        raise StageError(EMPTY)
    if params.ocr and not scans.is_there():
        raise StageError(
            f"ocr: true requires the package rapidocr: {scans.EXTRA}. Or set ocr: false; scanned pages are then listed as rejected."
        )

    failed: dict[str, str] = {}
    ledger = Ledger()
    statutes: list[Statute] = []
    with open_tables(out / "tables") as add, (out / "rejected.jsonl").open("w", encoding="utf-8") as rejected:
        for path in files:
            source = printable_name(path.relative_to(data).as_posix())
            made, refused, notes, changes = Counter[str](), Counter[str](), Counter[str](), Counter[tuple[str, str]]()
            ids: set[str] = set()
            statute = Statute(source, valid_from(source, params))
            why = ""
            for table, shape, row in read(path, source, params, notes, changes):
                if isinstance(row, Fault):
                    refused[row.reason] += 1
                    why = row.detail
                    fault = {"source": source, "place": row.place, "reason": row.reason, "detail": row.detail, "row": row.row}
                    rejected.write(json.dumps(fault, ensure_ascii=False) + "\n")
                    ledger.read("rejected", source)
                    ledger.dropped("rejected", source, row.reason)
                elif row.id not in ids:  # an article cited by many questions of a file is one row
                    ids.add(row.id)
                    made[table] += 1
                    add(table, row)
                    ledger.made(table, source, shape)
                    ledger.kept(table, source)
                    if isinstance(row, Document) and shape == "section":
                        statute.add(row)
            if statute.articles:
                statutes.append(statute)
            for note in notes:
                for table, count in made.items():
                    ledger.changed(table, source, note, count)
            for (table, change), count in changes.items():
                ledger.changed(table, source, change, count)
            if not made:
                failed[source] = why
            unread = {change[len(UNREAD[0]) : -len(UNREAD[1])] for _, change in changes if change.startswith(UNREAD[0])}
            other = Counter({change: count for (_, change), count in changes.items() if not change.startswith(UNREAD[0])})
            summary = [
                format_counts(made) or "no rows",
                f"rejected {format_counts(refused)}" if refused else "",
                *notes,
                format_counts(other),
                f"unused fields: {', '.join(sorted(unread))}" if unread else "",
            ]
            print(f"{source}: {'; '.join(filter(None, summary))}", flush=True)

    leave_out(superseded(statutes), out, ledger)
    ledger.write(out / "ledger.json")
    if len(failed) > params.max_rejected * len(files):
        listed = "\n".join(f"  {source}: {detail}" for source, detail in failed.items())
        raise StageError(
            f"{len(failed)} of {len(files)} files under {data}/ produced no rows, more than max_rejected {params.max_rejected} allows "
            f"(params.yaml, section ingest):\n{listed}\nFix or remove them, or raise max_rejected; {out}/rejected.jsonl lists every reason."
        )


def leave_out(older: list[Superseded], out: Path, ledger: Ledger) -> None:
    """Take the older versions of statutes out of the table of documents; rejected.jsonl keeps their rows, and says which file is newer."""
    details = {one.source: one.detail for one in older if one.certain}
    path, kept = out / "tables/documents.parquet", out / "tables/kept.parquet"

    def in_force(write: Callable[[str, str, str, str, Any], None]) -> Iterator[Document]:
        for row in read_table(path, Document):
            if row.source not in details:
                yield row
                continue
            write(row.source, row.place, "superseded", details[row.source], row.model_dump())
            ledger.kept("documents", row.source, -1)
            ledger.dropped("documents", row.source, "superseded")

    with (out / "rejected.jsonl").open("a", encoding="utf-8") as rejected:

        def write(source: str, place: str, reason: str, detail: str, row: Any) -> None:
            fault = {"source": source, "place": place, "reason": reason, "detail": detail, "row": row}
            rejected.write(json.dumps(fault, ensure_ascii=False) + "\n")

        for one in older:
            print(f"{one.source}: {one.detail}", flush=True)
            if not one.certain:
                write(one.source, "", "versions_unclear", one.detail, None)
                ledger.read("rejected", one.source)
                ledger.dropped("rejected", one.source, "versions_unclear")
        if details:
            write_table(kept, in_force(write), Document)
            kept.replace(path)


def rule_of(source: str, params: Params) -> Source | None:
    return next((rule for rule in params.sources if fnmatchcase(source, rule.pattern)), None)


def valid_from(source: str, params: Params) -> date | None:
    rule = rule_of(source, params)
    return rule.valid_from if rule else None


def files_of(data: Path) -> list[Path]:
    """Every file under data/ in sorted order, including links to folders, without hidden files and reviewers' decisions."""
    found = []
    for folder, folders, names in os.walk(data):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(folder, name) != data / REVIEWS]
        found += [Path(folder, name) for name in folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name) for name in names if not name.startswith((".", "~$")) and not name.endswith(".dvc")]
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(data)))


def printable_name(name: str) -> str:
    """A file name as text, even if it is not UTF-8, as unpacked by zip programs of old Windows versions."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read(
    path: Path, source: str, params: Params, notes: Counter[str], changes: Counter[tuple[str, str]]
) -> Iterator[tuple[str, str, Row | Fault]]:
    """The rows of a file with their table and shape; a Fault for each part that could not be used.

    Counts remarks on how the file was read in `notes`, and what was left out of records, by table, in `changes`: unused fields, turns
    that are not learnt.
    """
    rule = rule_of(source, params)
    try:
        if rule is None:
            raise Unreadable("no_rule", "no pattern of params.yaml, ingest.sources matches it; end the list with the pattern '*'")
        check_file(path, source)
        origin = Origin(source, rule.licence, rule.scope, rule.task)
        most = int(params.max_document_mb * 1_000_000)
        form = format_of(path, most)
        encoding = rule.encoding or (encoding_of(path) if form.text else "")
        if encoding not in ("", "utf-8", "utf-8-sig"):
            notes[f"read as {encoding}"] += 1
        how = Reading(encoding, int(params.max_record_mb * 1_000_000), most, tuple(rule.names), params.ocr)
        if form.gives == "blocks":
            yield from read_document(form.reader()(path, how), origin, normal(path.stem), params.max_chars)
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


def format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    start(run, Params, data=DATA, out=Path("out/ingest"))
