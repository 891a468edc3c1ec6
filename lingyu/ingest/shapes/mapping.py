"""Maps a file's field names and values to ours, as configured in params.yaml (ingest.sources)."""

import re
from collections import Counter
from itertools import pairwise
from math import inf, nan
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lingyu.ingest.shapes.values import Misfit, Values, text

ROLE = "role"  # a name under `values` that is not a field: the speaker in a conversation


class Mapping(BaseModel):
    """How to read the records of a file that are not in a known shape, or that are in more than one."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    shape: str = Field("", description="Shape of its records (docs/data.md), where the first one that fits is not the right one.")
    columns: dict[str, str | list[str]] = Field(
        {},
        description="Our field: the file's field. All at once, so that two can be swapped. Several fields in a list are joined by line "
        "breaks; a.b is the field b within a, a.0 the first item of a list, a.-1 the last.",
    )
    values: dict[str, dict[str, str]] = Field({}, description="Our field: {what the file has there: what it means}.")
    bounds: dict[str, dict[str, float | None]] = Field(
        {},
        description="Our field: {class: the greatest number that is of it}, in rising order; null for the last, which has no bound.",
    )
    leave: list[str] = Field([], description="Fields that are left out on purpose.")
    names: list[str] = Field(
        [], description="Names of the columns, for a table whose first row does not have them, or of the items of records that are lists."
    )

    @field_validator("bounds")
    @classmethod
    def rising(cls, bounds: dict[str, dict[str, float | None]]) -> dict[str, dict[str, float | None]]:
        for name, classes in bounds.items():
            limits = [inf if limit is None else limit for limit in classes.values()]
            if len(limits) < 2 or any(one >= other for one, other in pairwise(limits)):
                raise ValueError(f"bounds of {name}: two classes or more, their numbers in rising order, null only for the last")
        return bounds


def mapped(values: Values, mapping: Mapping) -> Values:
    """The values under our names, renamed all at once so that two names can be swapped."""
    theirs = {name: [their] if isinstance(their, str) else their for name, their in mapping.columns.items()}
    if missing := [name for names in theirs.values() for name in names if not found(values, name)]:
        raise Misfit("missing_column", f"no field {', '.join(missing)}, which is mapped in params.yaml, ingest.sources, columns")
    used = {name if name in values else name.partition(".")[0] for names in theirs.values() for name in names}
    rest = {name: value for name, value in values.items() if name not in used and name not in theirs and name not in mapping.leave}
    ours = plain(rest) | {name: joined(values, names) for name, names in theirs.items()}
    for name, meanings in mapping.values.items():
        if name == ROLE and name not in ours:
            continue
        if name not in ours:
            raise Misfit("missing_column", f"no field {name}, which is mapped in params.yaml, ingest.sources, values")
        ours[name] = meaning(ours[name], meanings, name)
    for name, classes in mapping.bounds.items():
        if name not in ours:
            raise Misfit("missing_column", f"no field {name}, which is mapped in params.yaml, ingest.sources, bounds")
        ours[name] = class_of(ours[name], classes, name)
    return ours


def plain(values: Values) -> Values:
    """The values under lower-case names with _ for - and spaces; unchanged if two names would become equal."""
    names = {name: re.sub(r"[\s-]+", "_", str(name).strip().lower()) for name in values}
    times = Counter(names.values())
    return {names[name] if times[names[name]] == 1 else name: value for name, value in values.items()}


def found(values: Values, name: str) -> bool:
    outer, _, inner = name.partition(".")
    return name in values or (bool(inner) and outer in values and found(by_name(values[outer]), inner))


def one(values: Values, name: str) -> Any:
    if name in values:
        return values[name]
    outer, _, inner = name.partition(".")
    return one(by_name(values[outer]), inner)


def by_name(value: Any) -> Values:
    """The value of a key of an object, or of an index of a list, from 0 or, from the end, from -1."""
    if isinstance(value, list):
        return {str(number): item for place, item in enumerate(value) for number in (place, place - len(value))}
    return value if isinstance(value, dict) else {}


def joined(values: Values, names: list[str]) -> Any:
    if len(names) == 1:
        return one(values, names[0])
    parts = [text(one(values, name), name) for name in names]
    return "\n".join(dict.fromkeys(part for part in parts if part.strip()))


def meaning(value: Any, meanings: dict[str, str], name: str) -> Any:
    if isinstance(value, list):
        return [meaning(item, meanings, name) for item in value]
    found_value = text(value, name).strip()
    if found_value not in meanings:
        known = ", ".join(meanings)
        raise Misfit(
            "unmapped_value", f"{name} is {found_value!r}, which is not mapped in params.yaml, ingest.sources, values; mapped: {known}"
        )
    return meanings[found_value]


def class_of(value: Any, classes: dict[str, float | None], name: str) -> str:
    """The first class whose bound the number does not pass."""
    try:
        number = float(text(value, name).strip().removesuffix("%").replace(",", ""))
    except ValueError:
        number = nan
    found = next((label for label, limit in classes.items() if number <= (inf if limit is None else limit)), None)
    if found is None:
        raise Misfit("unmapped_value", f"{name} is {value!r}, which is outside params.yaml, ingest.sources, bounds; mapped: {classes}")
    return found
