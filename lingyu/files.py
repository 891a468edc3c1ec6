"""Reads and writes the files passed between stages: Parquet tables of typed rows, JSON, JSON lines. Same rows, same bytes."""

import hashlib
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from lingyu.records import TABLES, Row

R = TypeVar("R", bound=BaseModel)

BATCH = 8192  # rows in memory at a time, and in a row group


class TableWriter:
    """Writes rows in their order, one batch in memory at a time. A table without rows is a file with a schema."""

    def __init__(self, path: Path, row_type: type[BaseModel]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._schema, self._batch = schema_of(row_type), list[dict[str, Any]]()
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self.count = 0

    def add(self, row: BaseModel) -> None:
        self._batch.append(row.model_dump())
        self.count += 1
        if len(self._batch) == BATCH:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._batch, self._schema))
        self._batch = []


def write_table(path: Path, rows: Iterable[R], row_type: type[R]) -> int:
    """Write rows in order; returns their number."""
    with closing(TableWriter(path, row_type)) as writer:
        for row in rows:
            writer.add(row)
    return writer.count


@contextmanager
def open_tables(folder: Path) -> Iterator[Callable[[str, Row], None]]:
    """Opens all tables of records.TABLES; yields a function that adds a row to a table by name."""
    with ExitStack() as stack:
        writers = {name: stack.enter_context(closing(TableWriter(folder / f"{name}.parquet", kind))) for name, kind in TABLES.items()}
        yield lambda name, row: writers[name].add(row)


def read_table(path: Path, row_type: type[R]) -> Iterator[R]:
    """The rows of a table in order, one batch in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH):
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                yield row_type.model_validate(row)


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """A table as Arrow batches, for work that does not need each row."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH)


def write_batches(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Write batches of any size; the file is identical to the one write_table writes for the same rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting, count = schema.empty_table(), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            waiting, count = pa.concat_tables([waiting, pa.Table.from_batches([batch], schema)]), count + batch.num_rows
            while waiting.num_rows >= BATCH:
                writer.write_table(waiting.slice(0, BATCH).combine_chunks())
                waiting = waiting.slice(BATCH)
        writer.write_table(waiting.combine_chunks())
    return count


def read_tables(folder: Path) -> dict[str, list[Row]]:
    """All tables of a folder, by name (records.TABLES)."""
    return {name: list(read_table(folder / f"{name}.parquet", row_type)) for name, row_type in TABLES.items()}


def write_tables(folder: Path, tables: dict[str, list[Row]]) -> None:
    """All tables of records.TABLES; one that is missing in `tables` is written empty."""
    for name, row_type in TABLES.items():
        write_table(folder / f"{name}.parquet", tables.get(name, []), row_type)


@cache
def schema_of(row_type: type[BaseModel]) -> pa.Schema:
    return pa.schema([(name, arrow_type(field.annotation)) for name, field in row_type.model_fields.items()])


def arrow_type(annotation: Any) -> pa.DataType:
    """The Arrow type of a field: text, numbers, lists, mappings, rows in rows; optional is nullable; Literal of text is text."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return pa.list_(arrow_type(arguments[0]))
    if origin is dict:
        return pa.map_(*map(arrow_type, arguments))
    if origin is typing.Literal:
        return pa.string()
    if origin in {typing.Union, types.UnionType}:
        return arrow_type(next(kind for kind in arguments if kind is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct([(name, arrow_type(field.annotation)) for name, field in annotation.model_fields.items()])
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[annotation]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def short_hash(*parts: str) -> str:
    """A hash of the parts in sixteen hexadecimal digits, used as row id."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of the folder, by its path there."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
