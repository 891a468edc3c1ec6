"""The tables that generate makes, and the methods that fill them."""

from collections.abc import Iterable
from typing import Literal, get_args

from lingyu.records import Dialogue, Document, Preference, Question, Row

Asked = Literal["reliable", "entity", "seeds", "scenario", "opinion", "retold", "clarify", "replaced", "judged", "nvc"]
"""The methods that ask a teacher; lingyu/generate/llm/run.py runs them."""

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

METHODS: tuple[str, ...] = get_args(Method)


def fault_of_names(named: Iterable[str]) -> str | None:
    """What is wrong with the methods that a mapping names, or None."""
    unknown = sorted(set(named) - set(METHODS))
    return f"no method is named {', '.join(unknown)}; known: {', '.join(METHODS)}" if unknown else None
