"""The suites as YAML has them, and the columns that a table gives them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lingyu.corpus.duplicates import question_of
from lingyu.corpus.normalise import key, language_of
from lingyu.records import Dialogue, Document, Exam, Fact, Preference, Row
from lingyu.stage import StageError, faults


class Why(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    en: str
    zh: str


class Expectation(BaseModel):
    """An expectation under our name and by that of Great Expectations; fields beyond these are what it takes."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    expect: str
    blocking: bool
    why: Why
    column: str = ""
    column_list: list[str] = []

    @property
    def arguments(self) -> dict[str, Any]:
        own = {"column": self.column, "column_list": self.column_list}
        return {name: value for name, value in own.items() if value} | (self.model_extra or {})


@dataclass(frozen=True)
class Outcome:
    """How an expectation fared on a table. broken: how many rows, of how many; examples: places and values."""

    table: str
    expectation: Expectation
    blocking: bool
    met: bool
    broken: int
    rows: int
    observed: str
    examples: list[str]


def suite_of(path: Path) -> list[Expectation]:
    """The expectations of a suite. Raises StageError that names every fault in it."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except yaml.YAMLError as error:
        raise StageError(f"{path} is not YAML: {error}") from error
    suite: list[Expectation] = []
    wrong: list[str] = []
    for number, entry in enumerate(entries):
        try:
            suite.append(Expectation.model_validate(entry))
        except ValidationError as error:
            wrong += faults(error, [str(number)])
    names = [one.name for one in suite]
    wrong += [f"  {name}: more than one expectation has this name" for name in sorted({*names}) if names.count(name) > 1]
    if wrong:
        raise StageError("\n".join([f"{path} does not hold expectations (see the head of documents.yaml):", *wrong]))
    return suite


def columns_of(row: Row) -> dict[str, Any]:
    """A row as flat columns, with those added that expectations ask about."""
    columns = {name: value for name, value in row.model_dump().items() if isinstance(value, str | int | float)}
    match row:
        case Document():
            return columns | {"text_chars": len(key(row.text))}
        case Fact():
            return columns | {"values": "; ".join(row.values), "values_count": len(row.values)}
        case Dialogue():
            question, answer = question_of(row.messages), row.messages[-1].content
            same = language_of(question) == language_of(answer, language_of(question))
            return columns | {"question": question, "answer": answer, "same_language": same}
        case Exam():
            return columns | {"options_count": len(row.options), "right_count": len(row.right)}
        case Preference():
            return columns | {"question": question_of(row.messages), "different": key(row.chosen) != key(row.rejected)}
    return columns
