"""What every stage shares: typed parameters, one way to start, one way to fail."""

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

from lingyu.errors import FULL, LEFT, disk_is_full
from lingyu.errors import StageError as StageError
from lingyu.launch import end_with_parent, is_first, launched, take_choice
from lingyu.runtime import fast_process
from lingyu.runtime.warm import handed_over

PARAMS_FILE = Path("params.yaml")


class StageParams(BaseModel):
    """One section of params.yaml. A misspelt, missing or ill-typed key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    shared: ClassVar[str | None] = None
    """A section whose keys hold where the stage's own section does not set them."""
    renamed: ClassVar[dict[str, str]] = {}
    """Former names of keys, so that whoever still writes one learns the new name."""

    @classmethod
    def load(cls, section: str, item: str | None = None) -> Self:
        """The values of a stage: of its section; with an item, of `common` and then `candidates` there. What the file does not set
        keeps its default."""
        values, places = overlaid(layers_of(read_params(), section, item, cls.shared))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StageError("\n".join([f"{PARAMS_FILE} does not fit this stage:", *faults(error, places, values, cls)])) from error


Layers = list[tuple[list[str], dict[str, Any]]]


def layers_of(sections: dict[str, Any], section: str, item: str | None = None, shared: str | None = None) -> Layers:
    """The mappings of params.yaml that a stage's values come from, each with its place; what stands in a later one wins."""
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
    """What params.yaml has at this place, which must be a mapping."""
    found: Any = sections
    for depth, key in enumerate(place, start=1):
        where, write = ".".join(place[:depth]), f"Write `{key}: {{}}` there to leave all its keys at their defaults."
        if key not in found:
            raise StageError(f"{PARAMS_FILE} has no {f'section {where!r}' if depth == 1 else where}. {write}")
        found = found[key]
        if found is None:
            raise StageError(f"{PARAMS_FILE}: {where} is empty (null). {write}")
        if not isinstance(found, dict):
            raise StageError(f"{PARAMS_FILE}: {where} should be a mapping of keys to values (found {found!r}).")
    return dict(found)


def overlaid(layers: Layers) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The values by key, and the place that each comes from; under "" the place of the stage's own keys."""
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
        raise StageError(f"{PARAMS_FILE} is not in {Path.cwd()}. Start stages from the top of the project.") from None
    except yaml.YAMLError as error:
        raise StageError(f"{PARAMS_FILE} is not YAML: {error}") from error
    if not isinstance(sections or {}, dict):
        raise StageError(f"{PARAMS_FILE} should be a mapping of sections (found {type(sections).__name__}).")
    return deepcopy(sections) or {}


@lru_cache(maxsize=1)
def parsed(text: str) -> Any:
    """What YAML says, by libyaml where it is built in: ten times as fast. Whoever reads all sections of one file parses it once."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_yaml(path: Path) -> Any:
    """A file of the project that people edit."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{path} is not there. `git checkout {path}` brings back the one of the project.") from None
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not UTF-8 ({error}). Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise StageError(f"{path} is not YAML: {error}") from error


def faults(error: ValidationError, places: dict[str, list[str]], values: Any = None, model: type[BaseModel] | None = None) -> Iterator[str]:
    """A line for each fault, with the key as a person writes it and the value found there.

    places: of each key in the file, and under "" that of all others. values: those that do not fit. model: what they should fit.
    """
    for fault in error.errors():
        place = as_written(fault["loc"], values)
        if fault["type"] == "missing":
            text = "missing"
        elif fault["type"] == "extra_forbidden":
            text = "unknown key" + meant(fault["loc"], model)
        elif fault["type"] == "union_tag_not_found":  # of which kind a mapping is, its name tells
            place, text = [*place, "name"], "missing"
        elif fault["type"] == "union_tag_invalid":
            place, text = [*place, "name"], f"must be one of {fault['ctx']['expected_tags']} (found {fault['ctx']['tag']!r})"
        else:
            text = fault["msg"].removeprefix("Value error, ").replace("Input should", "should").partition(", unable to parse")[0]
            if fault["type"] in {"model_type", "model_attributes_type", "dict_type"}:
                text = "should be a mapping of keys to values"
            if not (fault["type"] == "value_error" and isinstance(fault["input"], dict)):  # of keys that do not go together, which it names
                text += f" (found {fault['input']!r})"
        where = places.get(str(place[0]) if place else "", places[""])
        yield f"  {'.'.join(map(str, (*where, *place)))}: {text}"


def meant(place: Sequence[str | int], model: type[BaseModel] | None) -> str:
    """What the person may have meant by an unknown key: its new name, or one that is spelt like it."""
    *into, last = place
    there = type_at(model, into) if model else None
    if not (isinstance(there, type) and issubclass(there, BaseModel)):
        return ""
    if new := getattr(there, "renamed", {}).get(last):
        return f"; it is now called {new}"
    near = get_close_matches(str(last), there.model_fields, 1)
    return f"; did you mean {near[0]}?" if near else ""


def type_at(annotation: Any, place: Sequence[str | int]) -> Any:
    """The type of the value at this place of a model, as pydantic names places; None where it has none."""
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
    """The names of a kind, where a mapping says by `name` of which kind it is."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    named = getattr(annotation, "model_fields", {}).get("name")
    return get_args(named.annotation) if named else ()


def as_written(place: Sequence[str | int], values: Any) -> list[str | int]:
    """The keys down to a fault, without the names of kinds that pydantic puts in between."""
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

    `{item}` in a path stands for the item. heavy: the stage imports torch, and runs in the warm process if there is
    one (lingyu.runtime.warm). What a person can put right ends in one message and exit status 1.
    """
    if heavy:
        with fast_process():
            run_stage(run, params, heavy=True, paths=paths)
    else:
        run_stage(run, params, heavy=False, paths=paths)


def run_stage(run: Callable[..., None], params: type[StageParams], *, heavy: bool, paths: dict[str, Any]) -> None:
    name = Path(sys.argv[0]).stem
    speaks = True
    if heavy:
        take_choice()
        end_with_parent()
        speaks = is_first()  # of several processes, all of which stumble over the same
        if (status := handed_over(f"stages.{name}")) is not None:
            sys.exit(status)
    item = sys.argv[1] if len(sys.argv) > 1 else None
    label = f"{name}@{item}" if item else name
    try:
        values = params.load(name, item)
        if heavy and (status := launched(f"stages.{name}", getattr(values, "processes", 1))) is not None:
            sys.exit(status)
        run(values, **{key: filled(path, item) for key, path in paths.items()})
    except StageError as error:
        sys.exit(f"{label}: {error}\n{LEFT}" if speaks else 1)
    except Exception as error:
        if not disk_is_full(error):
            raise
        sys.exit(f"{label}: {FULL}\n{LEFT}" if speaks else 1)


def filled(path: Any, item: str | None) -> Any:
    """A path, or a list of them, with the item in place of `{item}`."""
    return [filled(one, item) for one in path] if isinstance(path, list) else Path(str(path).format(item=item))
