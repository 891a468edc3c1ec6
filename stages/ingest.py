"""ingest: read every file under data/ into typed rows that know their source.

Reads   data                        any folders of files; params.yaml says what licence and scope each has
Writes  out/ingest/tables           one table a kind of row (lingyu.records.TABLES), in the order of the files
        out/ingest/rejected.jsonl   files and parts of files that could not be used, each with its reason
        out/ingest/ledger.json      rows made by file and shape, and what was rejected by reason
"""

import os
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from lingyu.corpus.normalise import normal
from lingyu.corpus.readers import DOCUMENTS, RECORDS, Fault, Unreadable, blocks_of, records_of
from lingyu.corpus.sections import Origin, documents
from lingyu.corpus.shapes import TRIPLES, Misfit, rows_of, together
from lingyu.files import write_jsonl, write_tables
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Fact, Row, Scope
from lingyu.stage import StageError, StageParams, start

REVIEWS = "reviews"  # data/reviews holds people's decisions, which review reads


class Source(BaseModel):
    """What holds for the files whose path under data/ matches; * reaches into folders. columns: our field: the file's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: str
    licence: str
    scope: Scope
    task: str = ""
    columns: dict[str, str] = {}


class Params(StageParams):
    max_chars: PositiveInt
    max_rejected: float = Field(ge=0, le=1)
    sources: list[Source] = Field(min_length=1)


def run(params: Params, data: Path, out: Path) -> None:
    files = files_of(data)
    if not files:
        raise StageError(
            f"no file under {data}/. Bring back the sample with `dvc update data.dvc`, or your own documents with "
            f"`make data FROM=folder`.\n{data}/ 里没有文件：用 `dvc update data.dvc` 恢复样例，或用 `make data FROM=目录` 放入自己的文件。"
        )

    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    rejected: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    ledger = Ledger()
    for path in files:
        source = path.relative_to(data).as_posix()
        made, refused = Counter[str](), Counter[str]()
        ids: set[str] = set()
        for table, shape, row in read(path, source, params):
            if isinstance(row, Fault):
                refused[row.reason] += 1
                rejected.append({"source": source, "place": row.place, "reason": row.reason, "detail": row.detail, "row": row.row})
                ledger.came("rejected", source)
                ledger.dropped("rejected", source, row.reason)
            elif row.id not in ids:  # an article that many questions of a file refer to is one row
                ids.add(row.id)
                made[table] += 1
                tables[table].append(row)
                ledger.made(table, source, shape)
                ledger.left(table, source)
        if not made:
            failed[source] = rejected[-1]["detail"]
        print(f"{source}: {told(made) or 'nothing'}" + (f"; rejected {told(refused)}" if refused else ""), flush=True)

    write_tables(out / "tables", tables)
    write_jsonl(out / "rejected.jsonl", rejected)
    ledger.write(out / "ledger.json")
    if len(failed) > params.max_rejected * len(files):
        listed = "\n".join(f"  {source}: {detail}" for source, detail in failed.items())
        raise StageError(
            f"{len(failed)} of {len(files)} files under {data}/ gave no rows, more than max_rejected {params.max_rejected} allows "
            f"(params.yaml, section ingest):\n{listed}\nMend or remove them, or raise max_rejected; {out}/rejected.jsonl has every reason."
        )


def files_of(data: Path) -> list[Path]:
    """Every file under data/ in sorted order, without hidden ones and people's decisions."""
    found = []
    for folder, folders, names in os.walk(data):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(folder, name) != data / REVIEWS]
        found += [Path(folder, name) for name in names if not name.startswith((".", "~$")) and not name.endswith(".dvc")]
    return sorted(found, key=lambda path: path.relative_to(data).as_posix())


def read(path: Path, source: str, params: Params) -> Iterator[tuple[str, str, Row | Fault]]:
    """The rows of a file with their table and the shape they had; faults where something could not be used."""
    rule = next((rule for rule in params.sources if fnmatchcase(source, rule.pattern)), None)
    try:
        if rule is None:
            raise Unreadable("no_rule", "no pattern of params.yaml, ingest.sources matches it; end the list with the pattern '*'")
        origin = Origin(source, rule.licence, rule.scope, rule.task)
        ending = path.suffix.lower()
        if path.is_symlink() and not path.exists():
            raise Unreadable("unreadable", "a link to a file that is not there")
        if path.stat().st_size == 0:
            raise Unreadable("empty_file", "the file is empty")
        if ending in DOCUMENTS:
            yield from read_document(path, origin, params.max_chars)
        elif ending in RECORDS:
            yield from read_records(path, origin, rule.columns)
        else:
            raise Unreadable("unknown_ending", f"{ending or 'no ending'} is none of {', '.join([*DOCUMENTS, *RECORDS])}")
    except Unreadable as error:
        yield "", "", Fault("", error.reason, error.detail)


def read_document(path: Path, origin: Origin, max_chars: int) -> Iterator[tuple[str, str, Row | Fault]]:
    blocks = []
    for block in blocks_of(path):
        if isinstance(block, Fault):
            yield "", "", block
        else:
            blocks.append(block)
    rows = list(documents(blocks, origin, normal(path.stem), max_chars))
    if not rows:
        raise Unreadable("empty_file", "no text in it")
    yield from (("documents", "section", row) for row in rows)


def read_records(path: Path, origin: Origin, columns: dict[str, str]) -> Iterator[tuple[str, str, Row | Fault]]:
    found = False
    triples: list[Fact] = []
    for record in records_of(path):
        found = True
        if isinstance(record, Fault):
            yield "", "", record
            continue
        try:
            shape, rows = rows_of(record, origin, columns)
        except Misfit as misfit:
            yield "", "", Fault(record.place, misfit.reason, misfit.detail, printable(record.values))
        else:
            for table, row in rows:
                if isinstance(row, Fact) and shape in TRIPLES:
                    triples.append(row)
                else:
                    yield table, shape, row
    yield from (("facts", "triples", row) for row in together(triples))
    if not found:
        raise Unreadable("empty_file", "no record in it")


def printable(values: dict[str, Any]) -> dict[str, Any]:
    """The values as JSON can hold them: a spreadsheet also has dates and times."""
    return {
        name: value if isinstance(value, str | int | float | bool | list | dict | None) else str(value) for name, value in values.items()
    }


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    start(run, Params, data=Path("data"), out=Path("out/ingest"))
