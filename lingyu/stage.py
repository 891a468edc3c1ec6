"""Shared by all stages: typed parameters, and a common way to start and to report errors."""

import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lingyu.errors import FULL, LEFT, UNAVAILABLE, Unavailable, disk_is_full
from lingyu.errors import StageError as StageError
from lingyu.launch import end_with_parent, is_first, launched, take_choice
from lingyu.runtime import fast_process, light_process
from lingyu.runtime.warm import handed_over

PARAMS_FILE = Path("params.yaml")


class StageParams(BaseModel):
    """One section of params.yaml. A misspelt, missing or ill-typed key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    shared: ClassVar[str | None] = None
    """A section whose keys apply unless the stage's own section sets them."""
    renamed: ClassVar[dict[str, str]] = {}
    """Former names of keys, for the error message."""

    @classmethod
    def load(cls, section: str, item: str | None = None) -> Self:
        """The parameters of a stage: from its section, or for an item from `common` and then its entry of `candidates`. Keys that
        are not set keep their defaults."""
        values, places = overlaid(layers_of(read_params(), section, item, cls.shared))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StageError("\n".join([f"{PARAMS_FILE} is not valid for this stage:", *faults(error, places, values, cls)])) from error


Layers = list[tuple[list[str], dict[str, Any]]]


def layers_of(sections: dict[str, Any], section: str, item: str | None = None, shared: str | None = None) -> Layers:
    """The mappings of params.yaml that a stage's values come from, each with its place; later ones take precedence."""
    own = mapping_at(sections, section)
    beneath: Layers = [([shared], mapping_at(sections, shared))] if shared in sections else []
    if item is None:
        return [*beneath, ([section], own)]
    candidates = mapping_at(sections, section, "candidates") if "candidates" in own else {}
    if item not in candidates:
        raise StageError(f"no candidate named {item!r}. Known: {', '.join(candidates)} ({PARAMS_FILE}, section {section}.candidates).")
    common: Layers = [([section, "common"], mapping_at(sections, section, "common"))] if "common" in own else []
    return [*beneath, *common, ([section, "candidates", item], mapping_at(sections, section, "candidates", item))]


def mapping_at(sections: dict[str, Any], *place: str) -> dict[str, Any]:
    """The mapping at this place of params.yaml."""
    found: Any = sections
    for depth, key in enumerate(place, start=1):
        where, write = ".".join(place[:depth]), f"Write `{key}: {{}}` there to leave all its keys at their defaults."
        if key not in found:
            raise StageError(f"{PARAMS_FILE} has no {f'section {where!r}' if depth == 1 else where}. {write}")
        found = found[key]
        if found is None:
            raise StageError(f"{PARAMS_FILE}: {where} is empty (null). {write}")
        if not isinstance(found, dict):
            raise StageError(f"{PARAMS_FILE}: {where} should be a mapping (found {found!r}).")
    return dict(found)


def overlaid(layers: Layers) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The values by key, and the place of each; "" is the place of the stage's own keys."""
    values: dict[str, Any] = {}
    places: dict[str, list[str]] = {}
    for place, mapping in layers:
        values |= mapping
        places |= dict.fromkeys(map(str, mapping), place) | {"": place}
    return values, places


def read_params() -> dict[str, Any]:
    """All of params.yaml, by section."""
    try:
        sections = parsed(PARAMS_FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{PARAMS_FILE} not found in {Path.cwd()}. Run stages from the root of the project.") from None
    except yaml.YAMLError as error:
        raise StageError(f"{PARAMS_FILE} is not valid YAML: {error}") from error
    if not isinstance(sections or {}, dict):
        raise StageError(f"{PARAMS_FILE} should be a mapping of sections (found {type(sections).__name__}).")
    return deepcopy(sections) or {}


@lru_cache(maxsize=1)
def parsed(text: str) -> Any:
    """Parsed YAML, by libyaml if available (ten times as fast), cached because every section of a file is loaded separately."""
    return yaml.load(text, StrictLoader)


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # of either kind
    """Refuses a key that occurs twice in a mapping, such as two candidates of one name: YAML would silently take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} occurs twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """A YAML file of the project that people edit."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{path} not found. `git checkout {path}` restores the project's version.") from None
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not UTF-8 ({error}). Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise StageError(f"{path} is not valid YAML: {error}") from error


def faults(error: ValidationError, places: dict[str, list[str]], values: Any = None, model: type[BaseModel] | None = None) -> Iterator[str]:
    """A line for each fault, with the key as written in the file and the value found.

    places: the place of each key in the file; "" for all others. values: the invalid values. model: the expected model.
    """
    for fault in error.errors():
        place = as_written(fault["loc"], values)
        if fault["type"] == "missing":
            text = "missing"
        elif fault["type"] == "extra_forbidden":
            text = "unknown key" + meant(fault["loc"], model)
        elif fault["type"] == "union_tag_not_found":  # the mapping's `name` selects its type
            place, text = [*place, "name"], "missing"
        elif fault["type"] == "union_tag_invalid":
            place, text = [*place, "name"], f"must be one of {fault['ctx']['expected_tags']} (found {fault['ctx']['tag']!r})"
        else:
            text = fault["msg"].removeprefix("Value error, ").replace("Input should", "should").partition(", unable to parse")[0]
            if fault["type"] in {"model_type", "model_attributes_type", "dict_type"}:
                text = "should be a mapping"
            if not (fault["type"] == "value_error" and isinstance(fault["input"], dict)):  # it already names the incompatible keys
                text += f" (found {fault['input']!r})"
        where = places.get(str(place[0]) if place else "", places[""])
        yield f"  {'.'.join(map(str, (*where, *place)))}: {text}"


def meant(place: Sequence[str | int], model: type[BaseModel] | None) -> str:
    """A hint for an unknown key: its new name, or a similar key."""
    *into, last = place
    there = type_at(model, into) if model else None
    if not (isinstance(there, type) and issubclass(there, BaseModel)):
        return ""
    if new := getattr(there, "renamed", {}).get(last):
        return f"; it is now called {new}"
    near = get_close_matches(str(last), there.model_fields, 1)
    return f"; did you mean {near[0]}?" if near else ""


def type_at(annotation: Any, place: Sequence[str | int]) -> Any:
    """The type of the value at this pydantic location of a model; None if there is none."""
    for key in place:
        annotation = type_under(annotation, key)
    return annotation


def type_under(annotation: Any, key: str | int) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    inner = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        tagged = [one for one in inner if isinstance(key, str) and key in tags_of(one)]
        return tagged[0] if tagged else next((found for one in inner if (found := type_under(one, key)) is not None), None)
    if get_origin(annotation) in (list, dict):
        return inner[-1]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and key in annotation.model_fields:
        return annotation.model_fields[str(key)].annotation
    return None


def tags_of(annotation: Any) -> tuple[Any, ...]:
    """The `name` tags of a discriminated union member."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    named = getattr(annotation, "model_fields", {}).get("name")
    return get_args(named.annotation) if named else ()


def as_written(place: Sequence[str | int], values: Any) -> list[str | int]:
    """The path of keys to a fault, without the union tags that pydantic inserts."""
    keys: list[str | int] = []
    for key in place:
        if isinstance(values, dict) and values.get("name") == key and key not in values:
            continue
        keys.append(key)
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            values = None
    return keys


def start(run: Callable[..., None], params: type[StageParams], *, heavy: bool = False, **paths: Any) -> None:
    """Run a stage as `python -m stages.<name> [item]`, its parameters from the section of that name.

    `{item}` in a path is replaced by the item. heavy: the stage imports torch, and runs in the warm process if there is
    one (lingyu.runtime.warm). A StageError ends in one message and exit status 1, or UNAVAILABLE.
    """
    with fast_process() if heavy else light_process():
        run_stage(run, params, heavy=heavy, paths=paths)


def run_stage(run: Callable[..., None], params: type[StageParams], *, heavy: bool, paths: dict[str, Any]) -> None:
    name = Path(sys.argv[0]).stem
    reports = True
    if heavy:
        take_choice()
        end_with_parent()
        reports = is_first()  # all processes of a stage fail with the same error
        if (status := handed_over(f"stages.{name}")) is not None:
            sys.exit(status)
    item = sys.argv[1] if len(sys.argv) > 1 else None
    label = f"{name}@{item}" if item else name
    try:
        values = params.load(name, item)
        if heavy and (status := launched(f"stages.{name}", getattr(values, "processes", 1))) is not None:
            sys.exit(status)
        run(values, **{key: filled(path, item) for key, path in paths.items()})
    except Unavailable as error:
        if reports:
            print(f"{label}: {error}\n{LEFT}", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    except StageError as error:
        sys.exit(f"{label}: {error}\n{LEFT}" if reports else 1)
    except Exception as error:
        if not disk_is_full(error):
            raise
        sys.exit(f"{label}: {FULL}\n{LEFT}" if reports else 1)


def filled(path: Any, item: str | None) -> Any:
    """A path, or a list of paths, with `{item}` replaced by the item."""
    return [filled(one, item) for one in path] if isinstance(path, list) else Path(str(path).format(item=item))
