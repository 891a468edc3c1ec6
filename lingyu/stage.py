"""What every stage shares: typed parameters, one way to start, one way to fail."""

import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lingyu.errors import FULL, LEFT, disk_is_full
from lingyu.errors import StageError as StageError
from lingyu.launch import end_with_parent, is_first, launched, take_choice
from lingyu.runtime import fast_process
from lingyu.runtime.warm import handed_over

PARAMS_FILE = Path("params.yaml")


class StageParams(BaseModel):
    """One section of params.yaml. A missing, extra or ill-typed key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def load(cls, section: str, item: str | None = None) -> Self:
        """The section; with an item, what the section has in `common`, overlaid with what `candidates` has of that item."""
        values = read_params().get(section)
        if values is None:
            raise StageError(f"{PARAMS_FILE} has no section {section!r}.")
        where = [section]
        if item is not None:
            candidates = values.get("candidates") or {}
            if item not in candidates:
                raise StageError(
                    f"no candidate named {item!r}. Known: {', '.join(candidates)} ({PARAMS_FILE}, section {section}.candidates)."
                )
            values = {**(values.get("common") or {}), **candidates[item]}
            where = [section, "candidates", item]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StageError("\n".join([f"{PARAMS_FILE} does not fit this stage:", *faults(error, where, values)])) from error


def read_params() -> dict[str, Any]:
    """All of params.yaml, by section."""
    try:
        sections = parsed(PARAMS_FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{PARAMS_FILE} is not in {Path.cwd()}. Start stages from the top of the project.") from None
    except yaml.YAMLError as error:
        raise StageError(f"{PARAMS_FILE} is not YAML: {error}") from error
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


def faults(error: ValidationError, where: list[str], values: Any = None) -> Iterator[str]:
    """A line for each fault, with the key as a person writes it and the value found there. values: those that do not fit."""
    found = error.errors()
    places = [as_written(fault["loc"], values) for fault in found]
    missing = [place for place, fault in zip(places, found, strict=True) if fault["type"] == "missing"]
    for place, fault in zip(places, found, strict=True):
        *into, last = place or ("",)
        if fault["type"] == "missing":
            text = "missing"
        elif fault["type"] == "extra_forbidden":
            meant = get_close_matches(str(last), [str(key) for *within, key in missing if within == into], 1)
            text = "there is no such key" + (f"; {meant[0]} is meant?" if meant else "")
        elif fault["type"] == "union_tag_not_found":  # of which kind a mapping is, its name tells
            place, text = [*place, "name"], "missing"
        elif fault["type"] == "union_tag_invalid":
            place, text = [*place, "name"], f"should be one of {fault['ctx']['expected_tags']} (found {fault['ctx']['tag']!r})"
        else:
            text = fault["msg"].removeprefix("Value error, ").replace("Input should", "should").partition(", unable to parse")[0]
            if fault["type"] in {"model_type", "model_attributes_type", "dict_type"}:
                text = "should be a mapping of keys to values"
            if not (fault["type"] == "value_error" and isinstance(fault["input"], dict)):  # of keys that do not go together, which it names
                text += f" (found {fault['input']!r})"
        yield f"  {'.'.join(map(str, (*where, *place)))}: {text}"


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
