"""The per-row work of clean: normalise and mask the texts, apply the quality rules, and compute keys for deduplication."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from lingyu.clean.duplicates import sameness, statute, subject
from lingyu.clean.minhash import Numbers, Signatures, signatures
from lingyu.clean.quality import Limits, reason_to_drop
from lingyu.clean.written import normalised
from lingyu.files import schema_of
from lingyu.records import TABLES, Dialogue, Document
from lingyu.text.normalise import key


@dataclass(frozen=True)
class Rules:
    """The settings for normalising, masking and judging rows."""

    limits: Limits
    mask: tuple[str, ...]
    simplified: bool
    ner: str = ""
    near_dialogues: bool = False  # whether to find near-duplicates among dialogues
    about: frozenset[str] = frozenset()  # tables whose rows can contradict each other


@dataclass
class Worked:
    """Normalised rows. reasons: why each is dropped, "" if kept; the lists after `changes` are for kept rows only."""

    reasons: list[str]
    changes: Counter[tuple[str, str]]  # by source and kind of change
    same: list[bytes]  # equal for duplicates
    subjects: list[bytes]  # equal for rows with the same subject; only for tables in `about`
    keys: list[str]  # for documents, and dialogues if enabled, like the next two: the text compared for near-duplicates
    groups: Numbers = field(init=False)  # only rows of one group are compared
    signs: Signatures = field(init=False)
    rows: pa.RecordBatch = field(init=False)


def work(rules: Rules, table: str, batch: pa.RecordBatch) -> Worked:
    """A batch of a table, normalised and judged."""
    row_type = TABLES[table]
    worked = Worked(reasons=[], changes=Counter(), same=[], subjects=[], keys=[])
    rows, groups = [], []
    for values in batch.to_pylist():  # row by row, while its keys are cached
        row, changed = normalised(row_type.model_validate(values), rules.mask, rules.simplified, rules.ner)
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


def digest(*parts: str) -> bytes:
    """A hash of the parts in sixteen bytes."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
