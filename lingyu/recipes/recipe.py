"""The section `recipe` of recipes/NAME.yaml: what it rebuilds, on which corpus, and what must hold in the end."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lingyu.params.rewrite import ABOUT, ONLY, PROFILES, RECIPES, chain, leaves, parsed, plain, values_of
from lingyu.recipes.checks import AnyCheck
from lingyu.stage import StageError, faults


class Text(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    zh: str
    en: str


class Recipe(BaseModel):
    """corpus: a folder of samples/. beside: more folders, each by its name under data/, such as general/ with everyday text. teacher:
    answers that people wrote, for the methods that ask a language model. second: a recipe of another size that runs first; its answers
    stand beside this one's as those of another model. published: what the original reported, never a bar for the tiny model. extends: the
    recipe whose values come first, usually those of the corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rebuilds: str
    about: Text
    corpus: Path
    beside: dict[str, Path] = {}
    teacher: Path | None = None
    second: str | None = None
    needs: list[str] = []
    published: Text | None = None
    extends: str | None = None
    checks: list[AnyCheck] = Field(min_length=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises StageError where the section does not fit. What it leaves out, the recipe that it extends says."""
        values: dict[str, Any] = {}
        for one in chain(path):
            values |= plain(parsed(one.read_text(encoding="utf-8"), one).get(ABOUT) or {})
        values["name"] = path.stem
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StageError("\n".join([f"{path}:", *faults(error, {"": [ABOUT]}, values, cls)])) from error

    def wanted(self) -> list[str]:
        """What a person needs besides: the original's methods with a teacher ask an endpoint where there are no written answers."""
        return [*(["teacher"] if self.teacher else []), *self.needs]


LARGE = "gpu-80gb"  # whose values hold where a recipe has none of its own


def scaled(path: Path, profile: str = "tiny") -> list[tuple[str, Any, Any]]:
    """What the recipe makes smaller for this profile: key, its own value, and the smaller one."""
    own: dict[tuple[str, ...], Any] = {}
    smaller: dict[tuple[str, ...], Any] = {}
    for one in chain(path):
        own |= values_of(one)
        text = parsed(one.read_text(encoding="utf-8"), one)
        smaller |= leaves((text.get(ONLY) or {}).get(profile) or {})
    sizes = values_of(PROFILES / f"{LARGE}.yaml")
    return [
        (".".join(at), own.get(at, sizes.get(at)), value) for at, value in smaller.items() if at and own.get(at, sizes.get(at)) != value
    ]


def recipes(folder: Path = RECIPES) -> list[Recipe]:
    """Those that can be run and checked; the others are values for a corpus of one's own, or what others extend."""
    return [Recipe.read(path) for path in sorted(folder.glob("*.yaml")) if is_system(path)]


def is_system(path: Path) -> bool:
    about = parsed(path.read_text(encoding="utf-8"), path).get(ABOUT) or {}
    return "checks" in about


def named(name: str, folder: Path = RECIPES) -> Recipe:
    path = folder / f"{name}.yaml"
    if not path.is_file() or not is_system(path):
        raise StageError(f"no recipe to run is named {name!r}. Known 可选: {', '.join(one.name for one in recipes(folder))}.")
    return Recipe.read(path)
