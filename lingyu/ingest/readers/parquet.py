"""Parquet: one record per row, a few rows in memory at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Fault, Reading, Record, Unreadable

ROWS = 256


def records(path: Path, how: Reading) -> Iterator[Record | Fault]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS, use_threads=False):
                for values in batch.to_pylist():
                    number += 1
                    try:
                        yield Record({name: as_text(value) for name, value in values.items()}, f"row {number}")
                    except UnicodeDecodeError:
                        yield Fault(f"row {number}", "encoding", "contains bytes that are not UTF-8 text", str(values)[:1000])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        where = f" after row {number}" if number else ""
        raise Unreadable("unreadable", f"cannot be read as Parquet{where} ({type(error).__name__}: {error})") from error


def as_text(value: Any) -> Any:
    """Decodes text that was stored as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else value
