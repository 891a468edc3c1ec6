"""The tables that generate makes."""

from lingyu.records import Dialogue, Document, Preference, Question, Row

MADE: dict[str, type[Row]] = {
    "instructions": Dialogue,
    "dev_instructions": Dialogue,
    "preferences": Preference,
    "dev_preferences": Preference,
    "test_preferences": Preference,
    "prompts": Question,
    "questions": Question,
    "dev_questions": Question,
    "statements": Document,
    "dev_statements": Document,
    "test_statements": Document,
}
"""The tables that generate makes and review passes on, by file name."""
