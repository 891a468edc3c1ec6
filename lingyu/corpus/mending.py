"""The work that cleaning does on each row by itself: mend its texts, judge it, and take the marks by which duplicates are found."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from lingyu.corpus import pii
from lingyu.corpus.duplicates import sameness, statute, subject
from lingyu.corpus.minhash import Numbers, Signatures, signatures
from lingyu.corpus.normalise import key, normal, simplified
from lingyu.corpus.quality import Limits, reason_to_drop
from lingyu.files import schema_of
from lingyu.records import TABLES, Document, Row

# What a person wrote. The other fields are ours, or say where the row came from.
WRITTEN = {
    "title", "section", "text", "entity", "kind", "relation", "values", "messages", "content", "reasoning", "chosen", "rejected",
    "label", "question", "options",
}  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """How rows are mended and judged."""

    limits: Limits
    mask: tuple[str, ...]
    simplified: bool


@dataclass
class Worked:
    """Rows mended. reasons: why each goes, "" for those that stay; the other lists are of those that stay."""

    rows: pa.RecordBatch
    reasons: list[str]
    changes: Counter[tuple[str, str]]  # by source and what was changed
    same: list[bytes] = field(default_factory=list)  # alike where two rows are one
    subjects: list[bytes] = field(default_factory=list)  # alike where two rows are about the same
    keys: list[str] = field(default_factory=list)  # of documents: the text, by which near-duplicates are told
    groups: Numbers = field(default_factory=lambda: np.empty(0, np.uint64))  # of documents: only those of one group are compared
    signs: Signatures | None = None


def work(rules: Rules, table: str, batch: pa.RecordBatch) -> Worked:
    """A batch of a table, mended and judged."""
    row_type = TABLES[table]
    rows: list[Row] = []
    changes: Counter[tuple[str, str]] = Counter()
    for values in batch.to_pylist():
        row, changed = mended(row_type.model_validate(values), rules)
        rows.append(row)
        changes.update({(row.source, change): count for change, count in changed.items()})
    reasons = [reason_to_drop(row, rules.limits) or "" for row in rows]
    stay = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    worked = Worked(
        pa.RecordBatch.from_pylist([row.model_dump() for row in rows], schema_of(row_type)),
        reasons,
        changes,
        same=[digest(*sameness(row)) for row in stay],
        subjects=[digest(*subject(row)) for row in stay],
    )
    documents = [row for row in stay if isinstance(row, Document)]
    if documents:
        worked.keys = [key(row.text) for row in documents]
        worked.groups = np.frombuffer(b"".join(digest(statute(row))[:8] for row in documents), np.uint64)
        worked.signs = signatures(worked.keys)
    return worked


def mended(row: Row, rules: Rules) -> tuple[Row, Counter[str]]:
    """The row with every text a person wrote normalised and masked, and what was changed in it."""
    masked = pii.Mask(row.language, rules.mask)

    def mend(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: mend(getattr(value, name)) for name in type(value).model_fields if name in WRITTEN})
        if isinstance(value, list):
            return [mend(item) for item in value]
        if not isinstance(value, str):
            return value
        text = normal(value)
        if rules.simplified and row.language == "zh":
            text = simplified(text)
        return masked(text)

    clean: Row = mend(row)
    changes = Counter({f"masked {kind}": count for kind, count in masked.counts.items()})
    if clean != row:
        changes["mended rows"] += 1
    return clean, changes


def digest(*parts: str) -> bytes:
    """Sixteen bytes that name these parts."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
