"""The retrieval set: questions with the passage that must be found, a line of any `retrieval_set.jsonl` in the corpus each.

    {"question": "谁可以下令停飞？", "source": "documents/manual.md", "section": "第二章", "text": "停飞"}

source: the file, as ingest calls it. section and text narrow it down; either may be left out. The service adds lines where people vote.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

NAME = "retrieval_set.jsonl"


class Passage(BaseModel):
    """section: one of its headings, or the place in the file. text: words that the passage contains."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    source: str = Field(min_length=1, max_length=1000)
    section: str = Field("", max_length=1000)
    text: str = Field("", max_length=2000)


class Expected(Passage):
    question: str = Field(min_length=1, max_length=2000)

    def key(self) -> tuple[str, ...]:
        return self.question, self.source, self.section, self.text


def read(path: Path) -> Iterator[tuple[str, Expected | str]]:
    """Each line's place, and its question or what is wrong with it."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", Expected.model_validate(json.loads(line))
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc'])) or 'line'}: {fault['msg']}" for fault in error.errors())
            yield f"line {number}", "; ".join(faults)
        except ValueError:
            yield f"line {number}", "is no JSON in UTF-8"
