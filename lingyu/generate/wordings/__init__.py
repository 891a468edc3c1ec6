"""The wordings of questions, answers and statements, for people to read and change: a YAML file a method beside this one.

A file has a part in each language, and under `skills` by task what a system message says of that kind of task. It is read and checked
when it is first used: every key, both languages, and in each text its placeholders, no more and no fewer.
"""

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from string import Formatter
from typing import Any, Generic, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from lingyu.records import Language
from lingyu.stage import StageError, faults, read_yaml

FOLDER = Path(__file__).parent


class Phrases(BaseModel):
    """The wordings of one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)


W = TypeVar("W", bound=Phrases)


class Wordings(Mapping[Language, W], Generic[W]):
    """By language, the wordings of a file."""

    def __init__(self, name: str, kind: type[W]) -> None:
        self._name, self._kind = name, kind

    @cached_property
    def _by_language(self) -> dict[Language, W]:
        fields: dict[str, Any] = dict.fromkeys(get_args(Language), (self._kind, ...))
        shape = create_model("File", __base__=Phrases, skills=(dict[str, dict[Language, str]], {}), **fields)
        found = checked(self._name, TypeAdapter(shape), shape)
        return {language: getattr(found, language) for language in get_args(Language)}

    def __getitem__(self, language: Language) -> W:
        return self._by_language[language]

    def __iter__(self) -> Iterator[Language]:
        return iter(self._by_language)

    def __len__(self) -> int:
        return len(self._by_language)


@cache
def skills() -> dict[str, dict[Language, str]]:
    """By task, what the system message says, from all files."""
    kind = TypeAdapter(dict[str, dict[Language, str]])
    found: dict[str, dict[Language, str]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        of_file: dict[str, dict[Language, str]] = checked(path.stem, kind, None, "skills")
        for task, by_language in of_file.items():
            if lacking := [language for language in get_args(Language) if not by_language.get(language)]:
                raise StageError(f"{path}: skills.{task} lacks {', '.join(lacking)}. Write it in both languages.")
            found[task] = by_language
    return found


def checked(name: str, kind: TypeAdapter[Any], model: type[BaseModel] | None, part: str = "") -> Any:
    """What a file, or a part of it, says; every fault in it with its key."""
    path = FOLDER / f"{name}.yaml"
    values = read(path)
    values = values.get(part, {}) if part else values
    try:
        return kind.validate_python(values)
    except ValidationError as error:
        found = faults(error, {"": [part] if part else []}, values, model)
        raise StageError("\n".join([f"{path} does not hold the wordings that are needed (see its head):", *found])) from error


@cache
def read(path: Path) -> dict[str, Any]:
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise StageError(f"{path} should be a mapping of keys to values (found {type(found).__name__}).")
    return found


def blanks(*needed: str, may: tuple[str, ...] = (), or_empty: bool = False) -> AfterValidator:
    """Of a text, or of each text in a list: it has these placeholders, and of others only those that it may have."""

    def check(found: Any) -> Any:
        for text in [found] if isinstance(found, str) else found:
            if text or not or_empty:
                check_text(text, needed, may)
        return found

    return AfterValidator(check)


def blanks_of(**needed: tuple[str, ...]) -> AfterValidator:
    """Of lists of texts by key: it has these keys, and the texts of each have these placeholders."""

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if lacking := [key for key in needed if not found.get(key)]:
            raise ValueError(f"{', '.join(lacking)}: missing")
        if unknown := [key for key in found if key not in needed]:
            raise ValueError(f"{', '.join(unknown)}: unknown key; known: {', '.join(needed)}")
        for key, texts in found.items():
            for text in texts:
                check_text(text, needed[key], ())
        return found

    return AfterValidator(check)


def check_text(text: str, needed: tuple[str, ...], may: tuple[str, ...]) -> None:
    try:
        found = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; write {{{{ and }}}} for braces") from None
    if lacking := [name for name in needed if name not in found]:
        raise ValueError(f"{text!r} lacks {', '.join(f'{{{name}}}' for name in lacking)}")
    if unknown := sorted(found - {*needed, *may}):
        raise ValueError(f"{text!r} has {', '.join(f'{{{name}}}' for name in unknown)}, which nothing is put in for")
