"""The fields of parameter classes: key, type, bounds, default and description, for the documentation and the listing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lingyu.stage import tags_of

NAMES: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    Path: "path",
    Any: "any value",
    dict: "mapping",
}


@dataclass(frozen=True)
class Row:
    """key: dotted, with [] after a list and .* for the keys of a mapping."""

    key: str
    type: str
    default: str
    description: str


def rows(model: type[BaseModel], at: str = "", without: frozenset[str] = frozenset()) -> Iterator[Row]:
    """A row for each field of a class, those of classes within it after it."""
    for name, field in model.model_fields.items():
        if name in without or (name == "name" and tags_of(model) == get_args(field.annotation)):
            continue
        key = f"{at}{name}"
        inner, step = within(field.annotation)
        one = inner[0] if len(inner) == 1 else None
        if one is None or field.is_required() or step:
            yield Row(
                key,
                "mapping" if one and not step else type_text(field.annotation, field.metadata),
                default_text(field),
                field.description or "",
            )
        if one is not None:
            yield from rows(one, f"{key}{step}.")


def kinds(model: type[BaseModel], at: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The classes of which a field of the class takes one, by the name that a mapping has: (key, class)."""
    for name, field in model.model_fields.items():
        inner, step = within(field.annotation)
        if len(inner) > 1:
            for kind in inner:
                yield f"{at}{name}{step}", kind
                yield from kinds(kind, f"{at}{name}{step}.")
        elif inner:
            yield from kinds(inner[0], f"{at}{name}{step}.")


def within(annotation: Any) -> tuple[list[type[BaseModel]], str]:
    """The classes that a value of this type may be of, and how they are reached."""
    annotation = plain(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation], ""
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return [kind for one in arguments for kind in within(one)[0]], ""
    if get_origin(annotation) in (list, dict):
        found, step = within(arguments[-1])
        return found, ("[]" if get_origin(annotation) is list else ".*") + step if found else ""
    return [], ""


def plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def type_text(annotation: Any, metadata: Any = ()) -> str:
    """A type as people read it: `integer > 0`, `one of fp32, bf16`."""
    metadata = [*metadata]
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += [one for each in more for one in (each.metadata if isinstance(each, FieldInfo) else [each])]
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " \\| ".join(value_text(value) for value in arguments)
    if get_origin(annotation) in (Union, UnionType):
        parts = [type_text(one, metadata) for one in arguments if one is not NoneType]
        return " \\| ".join(dict.fromkeys([*parts, *(["null"] if NoneType in arguments else [])]))
    if get_origin(annotation) is list:
        return f"list of {type_text(arguments[0])}"
    if get_origin(annotation) is dict:
        return f"{{…: {type_text(arguments[1])}}}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return " \\| ".join(map(str, tags_of(annotation))) or "mapping"
    bounds = [f"{sign} {getattr(one, name)}" for one in metadata for kind, sign, name in BOUNDS if isinstance(one, kind)]
    return " ".join([NAMES.get(annotation, getattr(annotation, "__name__", str(annotation))), ", ".join(bounds)]).strip()


BOUNDS = [(Gt, ">", "gt"), (Ge, "≥", "ge"), (Lt, "<", "lt"), (Le, "≤", "le")]


def default_text(field: FieldInfo) -> str:
    """The default as it is written in YAML; empty for a required key."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default is PydanticUndefined else value_text(default)


def value_text(value: Any) -> str:
    """A value as it is written in YAML, on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case BaseModel():
            return value_text(value.model_dump())
        case dict():
            return "{" + ", ".join(f"{key}: {value_text(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(value_text, value)) + "]"
        case float():
            return number_text(value)
        case str() if not value or re.search(r"[:#{}\[\],&*!|>'\"%@`]|^[\s\d~?-]|\s$|^(true|false|null|yes|no|on|off)$", value):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def number_text(value: float) -> str:
    """With a point in the mantissa: YAML 1.1 reads 2e-4 as text."""
    text = repr(value)
    return re.sub(r"^(-?\d+)e", r"\1.0e", text)
