"""The suites in YAML, and their translation to Great Expectations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lingyu.stage import StageError, faults, read_yaml
from lingyu.text.word_lists import Words, lists_of
from lingyu.validate.columns import once

# The conditions, of which an entry has one, and their phrases in the report.
PHRASES = {
    "filled": ("is not blank", "不为空"),
    "unique": ("is unique", "不重复"),
    "free_of": ("contains nothing from the list", "不含清单中的内容"),
    "never_says": ("does not contain", "不含"),
    "one_of": ("is", "取值为"),
    "between": ("is between", "介于"),
    "chars": ("has a length in characters of", "字数为"),
    "expect": ("", ""),
}


class Why(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    en: str
    zh: str


class Expectation(BaseModel):
    """An entry of a suite. Extra fields are arguments of `expect`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    column: str | list[str]
    filled: bool = False
    unique: bool = False
    free_of: list[str] = []
    never_says: list[str] = []
    one_of: list[Any] = []
    between: tuple[float | None, float | None] | None = None
    chars: tuple[int | None, int | None] | None = None
    expect: str = ""
    share: float = Field(default=1, gt=0, le=1)
    files: str = ""
    stop: bool
    why: Why

    @model_validator(mode="after")
    def has_one_condition(self) -> "Expectation":
        given = [word for word in PHRASES if getattr(self, word)]
        if len(given) != 1:
            raise ValueError(f"must have exactly one of {', '.join(PHRASES)}; found {', '.join(given) or 'none'}")
        if self.model_extra and not self.expect:
            raise ValueError(f"unknown field {', '.join(self.model_extra)}; only expect takes extra fields")
        if isinstance(self.column, list) and not (self.unique or self.expect):
            raise ValueError("only unique takes several columns")
        return self

    @property
    def columns(self) -> list[str]:
        return [self.column] if isinstance(self.column, str) else self.column

    @property
    def word(self) -> str:
        return next(word for word in PHRASES if getattr(self, word))

    @property
    def sentence(self) -> Why:
        """The expectation in words."""
        value = getattr(self, self.word)
        english, chinese = PHRASES[self.word]
        columns, where = " + ".join(self.columns), f" ({self.files})" if self.files else ""
        en, zh = [columns, english, listed(value, "yes", "no")], [columns, chinese, listed(value, "是", "否")]
        share = ("", "") if self.share == 1 else (f", in at least {self.share:.0%} of the rows", f"，至少 {self.share:.0%} 的行")
        return Why(en=" ".join(filter(None, en)) + share[0] + where, zh=" ".join(filter(None, zh)) + share[1] + where)


def listed(value: Any, yes: str, no: str) -> str:
    """The value of a condition in words."""
    match value:
        case True:
            return ""
        case str():
            return value
        case tuple():
            return " … ".join("" if bound is None else f"{bound:g}" for bound in value).strip()
    return ", ".join(yes if one is True else no if one is False else str(one) for one in value)


@dataclass(frozen=True)
class Suite:
    """The expectations of a table, in order, and the word lists they refer to."""

    table: str
    expectations: list[Expectation]
    lists: dict[str, Words]

    def regex(self, one: Expectation) -> str:
        """The pattern that must not match; "" for other conditions."""
        if one.never_says:
            return Words(words=one.never_says).regex
        return "|".join(self.lists[name].regex for name in one.free_of) if one.free_of else ""

    def gx_call(self, one: Expectation) -> tuple[str, dict[str, Any]]:
        """The name of the expectation in Great Expectations, and its arguments."""
        share = {} if one.share == 1 else {"mostly": one.share}
        column = {"column": one.columns[0]}
        match one.word:
            case "filled":
                return "expect_column_values_to_match_regex", {**column, "regex": r"\S", **share}
            case "unique":  # counted over the whole table before it is checked in pieces
                return "expect_column_values_to_be_in_set", {"column": once(one.columns), "value_set": [True], **share}
            case "free_of" | "never_says":
                return "expect_column_values_to_not_match_regex", {**column, "regex": self.regex(one), **share}
            case "one_of":
                return "expect_column_values_to_be_in_set", {**column, "value_set": one.one_of, **share}
            case "between" | "chars":
                low, high = getattr(one, one.word)
                kind = "expect_column_values_to_be_between" if one.word == "between" else "expect_column_value_lengths_to_be_between"
                bounds = {"min_value": low, "max_value": high}
                return kind, {**column, **{name: bound for name, bound in bounds.items() if bound is not None}, **share}
        columns = column if len(one.columns) == 1 else {"column_list": one.columns}
        return one.expect, {**columns, **(one.model_extra or {}), **share}


def suite_of(folder: Path, words: Path, table: str) -> Suite:
    """The suite of a table. Raises StageError with every fault in it."""
    path = folder / f"{table}.yaml"
    expectations: list[Expectation] = []
    wrong: list[str] = []
    for number, entry in enumerate(read_yaml(path) or []):
        try:
            expectations.append(Expectation.model_validate(entry))
        except ValidationError as error:
            name = entry.get("name", number) if isinstance(entry, dict) else number
            wrong += faults(error, {"": [str(name)]})
    lists = lists_of(words)
    names = [one.name for one in expectations]
    wrong += [f"  {name}: more than one expectation has this name" for name in sorted({*names}) if names.count(name) > 1]
    wrong += [
        f"  {one.name}: unknown list {name}; {words} has {', '.join(lists)}. Use never_says for individual words"
        for one in expectations
        for name in one.free_of
        if name not in lists
    ]
    if wrong:
        raise StageError("\n".join([f"{path} has invalid expectations (see the comments in documents.yaml):", *wrong]))
    return Suite(table, expectations, lists)
