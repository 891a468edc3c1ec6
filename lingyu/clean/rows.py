"""The work that cleaning does on each row by itself: mend its texts, judge it, and take the marks by which duplicates are found."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from lingyu.clean import pii
from lingyu.clean.duplicates import sameness, statute, subject
from lingyu.clean.minhash import Numbers, Signatures, signatures
from lingyu.clean.quality import Limits, reason_to_drop
from lingyu.files import schema_of
from lingyu.records import TABLES, Dialogue, Document, Row
from lingyu.text.normalise import key, normal, simplified

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
    ner: str = ""
    near_dialogues: bool = False  # whether near-duplicates among dialogues are looked for
    about: frozenset[str] = frozenset()  # tables in which rows about the same may contradict each other


@dataclass
class Worked:
    """Rows mended. reasons: why each goes, "" for those that stay; the lists after `changes` are of those that stay."""

    reasons: list[str]
    changes: Counter[tuple[str, str]]  # by source and what was changed
    same: list[bytes]  # alike where two rows are one
    subjects: list[bytes]  # alike where two rows are about the same; of tables in which that counts
    keys: list[str]  # of documents, and of dialogues if asked, as the next two: the text by which near-duplicates are told
    groups: Numbers = field(init=False)  # only rows of one group are compared
    signs: Signatures = field(init=False)
    rows: pa.RecordBatch = field(init=False)


def work(rules: Rules, table: str, batch: pa.RecordBatch) -> Worked:
    """A batch of a table, mended and judged."""
    row_type = TABLES[table]
    worked = Worked(reasons=[], changes=Counter(), same=[], subjects=[], keys=[])
    rows, groups = [], []
    for values in batch.to_pylist():  # a row after the other, while its keys are remembered
        row, changed = mended(row_type.model_validate(values), rules)
        rows.append(row.model_dump())
        worked.changes.update({(row.source, change): count for change, count in changed.items()})
        worked.reasons.append(reason_to_drop(row, rules.limits) or "")
        if worked.reasons[-1]:
            continue
        worked.same.append(digest(*sameness(row)))
        if table in rules.about:
            worked.subjects.append(digest(*subject(row)))
        if isinstance(row, Document):
            worked.keys.append(key(row.text))
            groups.append(digest(statute(row))[:8])
        elif isinstance(row, Dialogue) and rules.near_dialogues:
            worked.keys.append(key("\n".join(message.content for message in row.messages)))
            groups.append(digest(row.task)[:8])
    worked.rows = pa.RecordBatch.from_pylist(rows, schema_of(row_type))
    worked.groups = np.frombuffer(b"".join(groups), np.uint64)
    worked.signs = signatures(worked.keys)
    return worked


def mended(row: Row, rules: Rules) -> tuple[Row, Counter[str]]:
    """The row with every text a person wrote normalised and masked, and what was changed in it."""
    masked = pii.Mask(row.language, rules.mask, rules.ner)

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
