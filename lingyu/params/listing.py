"""The values in force: each key of a stage with its value and where it comes from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lingyu.params.fields import value_text
from lingyu.params.rewrite import PROFILES, RECIPES, agrees, leaves, parsed, values_of
from lingyu.stage import PARAMS_FILE, StageParams, layers_of, overlaid

WORDS = {
    "zh": {
        "default": "默认值",
        "profile": "规模配置 {name}",
        "recipe": "配方 {name}",
        "whole": "params.yaml 与 {named} 完全一致。",
        "differs": "params.yaml 最接近 {named}：其 {every} 项取值中有 {other} 项不同。",
    },
    "en": {
        "default": "default",
        "profile": "profile {name}",
        "recipe": "recipe {name}",
        "whole": "params.yaml has all values of {named}.",
        "differs": "params.yaml is nearest to {named}: {other} of its {every} values differ.",
    },
}


@dataclass(frozen=True)
class Setting:
    """place: where params.yaml sets it; empty for a default."""

    key: str
    value: str
    place: str
    description: str


def settings(params: type[StageParams], sections: dict[str, Any], section: str, item: str | None) -> list[Setting]:
    """Every value of a stage. Raises StageError where params.yaml does not fit it."""
    model = params.load(section, item)
    layers = layers_of(sections, section, item, params.shared)
    values, places = overlaid(layers)
    return list(of_model(model, values, [], places))


def of_model(model: BaseModel, given: Any, at: list[str], places: dict[str, list[str]]) -> Iterator[Setting]:
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), [*at, name]
        is_given = isinstance(given, dict) and name in given
        inner = given[name] if is_given else None
        if isinstance(value, BaseModel):
            yield from of_model(value, inner, key, places)
            continue
        place = ".".join([*places.get(key[0], places[""]), *key]) if is_given else ""
        yield Setting(".".join(key), value_text(dumped(value)), place, field.description or "")


def dumped(value: Any) -> Any:
    """Rows of a list without the keys that they leave at their defaults."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, list):
        return [dumped(one) for one in value]
    if isinstance(value, dict):
        return {key: dumped(one) for key, one in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@dataclass(frozen=True)
class Written:
    """A profile or recipe that params.yaml agrees with: the places whose values are the same, and how many it has."""

    kind: str
    name: str
    same: frozenset[str]
    every: int


def written_like() -> list[Written]:
    """The profile that params.yaml is nearest to, and each recipe all of whose values it has."""
    there = leaves(parsed(PARAMS_FILE.read_text(encoding="utf-8"), PARAMS_FILE))
    profiles = [agreement("profile", path, there) for path in sorted(PROFILES.glob("*.yaml"))]
    recipes = [agreement("recipe", path, there) for path in sorted(RECIPES.glob("*.yaml"))]
    nearest = sorted(profiles, key=lambda each: len(each.same) - each.every)[-1:]
    return [*nearest, *(recipe for recipe in recipes if len(recipe.same) == recipe.every)]


def agreement(kind: str, path: Path, there: dict[tuple[str, ...], Any]) -> Written:
    asked = values_of(path)
    same = frozenset(".".join(key) for key, value in asked.items() if agrees(there, key, value))
    return Written(kind, path.stem, same, len(asked))


def shown(found: list[Setting], written: list[Written], language: str, reasons: bool) -> Iterator[str]:
    """A line for each value: key, value, place in params.yaml, and the profile or recipe that has the same."""
    words = WORDS[language]
    wide = [min(most, max((len(getattr(one, name)) for one in found), default=0)) for name, most in (("key", 40), ("value", 48))]
    for one in found:
        named = [words[each.kind].format(name=each.name) for each in written if one.place in each.same]
        origin = " = ".join([one.place, *named]) if one.place else words["default"]
        yield f"  {one.key:{wide[0]}}  {one.value:{wide[1]}}  {origin}"
        if reasons and one.description:
            yield f"      {one.description}"


def headlines(written: list[Written], language: str) -> Iterator[str]:
    words = WORDS[language]
    for one in written:
        named = words[one.kind].format(name=one.name)
        other = one.every - len(one.same)
        yield words["differs" if other else "whole"].format(named=named, every=one.every, other=other)
