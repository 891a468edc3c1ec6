"""ingest: read every file under data/ into typed rows that record their source.

Reads   data                        any folders of files; params.yaml says what licence and scope each has
Writes  out/ingest/tables           one table a kind of row (lingyu.records.TABLES), in the order of the files
        out/ingest/rejected.jsonl   files and parts of files that could not be used, each with its reason
        out/ingest/retrieval.jsonl  questions with the passage that must be found, of the files retrieval_set.jsonl in the corpus
        out/ingest/metadata.json    what is known of a file beside its text, by its path: from its sidecar NAME.meta.yaml, else params.yaml
        out/ingest/ledger.json      rows by file and shape, and what was rejected by reason
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError

from lingyu.files import open_tables, read_table, sha256, write_json, write_jsonl, write_table
from lingyu.ingest import expected
from lingyu.ingest.expected import Expected
from lingyu.ingest.file import UNREAD, Limits, Source, read
from lingyu.ingest.readers import Fault, scans
from lingyu.ingest.versions import Statute, Superseded, superseded
from lingyu.ledger import Ledger
from lingyu.metadata import SIDECAR, Metadata, beside, faults_of
from lingyu.records import REVIEWS, Document, Row
from lingyu.stage import StageError, StageParams, start

DATA = Path("data")
RETRIEVAL = "questions of the retrieval set"
# Not `dvc update data.dvc`: by then DVC has recorded the empty folder and considers it up to date.
EMPTY = (
    "data/ contains no files. Add your documents with `make data FROM=folder`, or the sample with `make data FROM=samples/drone`.\n"
    "data/ 中没有文件：请用 `make data FROM=目录` 导入自己的文件，或用 `make data FROM=samples/drone` 导入样例。"
)


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

    limits = Limits(params.max_chars, params.max_record_mb, params.max_document_mb, params.ocr)
    failed: dict[str, str] = {}
    ledger = Ledger()
    statutes: list[Statute] = []
    must_find: dict[tuple[str, ...], Expected] = {}
    with open_tables(out / "tables") as add, (out / "rejected.jsonl").open("w", encoding="utf-8") as rejected:
        for path in files:
            source = printable_name(path.relative_to(data).as_posix())
            made, refused, notes, changes = Counter[str](), Counter[str](), Counter[str](), Counter[tuple[str, str]]()
            ids: set[str] = set()
            statute = Statute(source, valid_from(source, params))
            why = ""
            for table, shape, row in rows_of(path, source, rule_of(source, params), limits, notes, changes):
                if isinstance(row, Expected):
                    made[RETRIEVAL] += row.key() not in must_find
                    must_find[row.key()] = row
                elif isinstance(row, Fault):
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
            if not made and path.name != expected.NAME:
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

    write_jsonl(out / "retrieval.jsonl", (one.model_dump() for one in must_find.values()))
    write_json(out / "metadata.json", metadata_of(files, data, params, {one.source: one.since for one in statutes}))
    leave_out(superseded(statutes), out, ledger)
    ledger.write(out / "ledger.json")
    if len(failed) > params.max_rejected * len(files):
        listed = "\n".join(f"  {source}: {detail}" for source, detail in failed.items())
        raise StageError(
            f"{len(failed)} of {len(files)} files under {data}/ produced no rows, more than max_rejected {params.max_rejected} allows "
            f"(params.yaml, section ingest):\n{listed}\nFix or remove them, or raise max_rejected; {out}/rejected.jsonl lists every reason."
        )


def rows_of(
    path: Path, source: str, rule: Source | None, limits: Limits, notes: Counter[str], changes: Counter[tuple[str, str]]
) -> Iterator[tuple[str, str, Row | Fault | Expected]]:
    if path.name == expected.NAME and path.is_file() and not path.is_symlink():
        for place, found in expected.read(path):
            yield "", "", Fault(place, "retrieval_set", found) if isinstance(found, str) else found
    else:
        yield from read(path, source, rule, limits, notes, changes)


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


def metadata_of(files: list[Path], data: Path, params: Params, since: dict[str, date | None]) -> dict[str, dict[str, Any]]:
    """By path under data/: the hash of the file, and its metadata. since: of statutes, the day of their version."""
    found, faults = {}, []
    for path in files:
        source = printable_name(path.relative_to(data).as_posix())
        rule = rule_of(source, params)
        said = {name: getattr(rule, name) for name in Metadata.model_fields} if rule else {}
        said["valid_from"] = said.get("valid_from") or since.get(source)
        try:
            told = Metadata.model_validate({**said, **beside(path)}).filled()
        except (StageError, ValidationError) as error:
            faults.append(str(error) if isinstance(error, StageError) else f"{source}: {faults_of(error)}")
            continue
        if path.is_file():
            found[source] = {"sha256": sha256(path), **told}
    if faults:
        raise StageError("metadata of documents:\n" + "\n".join(faults))
    return found


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
        found += [Path(folder, name) for name in names if not name.startswith((".", "~$")) and not name.endswith((".dvc", SIDECAR))]
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(data)))


def printable_name(name: str) -> str:
    """A file name as text, even if it is not UTF-8, as unpacked by zip programs of old Windows versions."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    start(run, Params, data=DATA, out=Path("out/ingest"))
