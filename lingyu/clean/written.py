"""The text of a row as everything after clean reads it: normalised, and its personal data masked."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from lingyu.clean import pii
from lingyu.records import Row
from lingyu.text.normalise import normal, simplified

# Fields with text of the corpus. The other fields are metadata and provenance.
WRITTEN = {
    "title", "section", "text", "entity", "kind", "relation", "values", "messages", "content", "reasoning", "chosen", "rejected",
    "label", "question", "options",
}  # fmt: skip


def normalised(row: Row, mask: Sequence[str], to_simplified: bool, ner: str = "") -> tuple[Row, Counter[str]]:
    """The row with all its corpus text normalised and masked, and the changes made."""
    masked = pii.Mask(row.language, mask, ner)

    def cleaned(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: cleaned(getattr(value, name)) for name in type(value).model_fields if name in WRITTEN})
        if isinstance(value, list):
            return [cleaned(item) for item in value]
        if not isinstance(value, str):
            return value
        text = normal(value)
        if to_simplified and row.language == "zh":
            text = simplified(text)
        return masked(text)

    result: Row = cleaned(row)
    changes = Counter({f"masked {kind}": count for kind, count in masked.counts.items()})
    if result != row:
        changes["normalised rows"] += 1
    return result, changes
