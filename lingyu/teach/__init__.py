"""Rows for training and testing, made from records. One file a method: records in, rows with their provenance out."""

from typing import Literal

from lingyu.records import Dialogue, Document, Preference, Question, Row

Asked = Literal["reliable", "entity", "seeds", "scenario", "opinion", "retold", "clarify", "replaced", "judged", "nvc"]
"""The methods that ask a teacher; lingyu/teacher/asked.py runs them."""

Method = Literal[
    "given", "fact", "classify", "article", "corruption", "demonstration",
    "exam", "retrieval", "definition", "situation", "keywords", "weak", "turns", Asked,
]  # fmt: skip
"""What records.Made.method can say."""

MADE: dict[str, type[Row]] = {
    "instructions": Dialogue,
    "dev_instructions": Dialogue,
    "preferences": Preference,
    "dev_preferences": Preference,
    "test_preferences": Preference,
    "prompts": Question,
    "questions": Question,
    "statements": Document,
    "dev_statements": Document,
    "test_statements": Document,
}
"""The tables that generate makes and review passes on, by file name."""
