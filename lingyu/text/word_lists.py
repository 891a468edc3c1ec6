"""Lists of what a text should be free of, as people read and extend them in words.yaml: the suites warn by them, clean drops by them."""

import re
from functools import cache, cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from lingyu.stage import StageError, faults, read_yaml


class Words(BaseModel):
    """A list of words.yaml. unless: what behind a find makes it none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: list[str] = []
    whole: list[str] = []
    patterns: list[str] = []
    unless: list[str] = []

    @field_validator("patterns", "unless")
    @classmethod
    def readable(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(f"(?:{pattern})")
            except re.error as error:
                raise ValueError(f"not a regular expression: {pattern!r} ({error})") from None
        return patterns

    @property
    def regex(self) -> str:
        """All of the list in one expression; of an empty list what is found nowhere."""
        return "|".join(self._expressions) or "(?!)"

    @property
    def _expressions(self) -> list[str]:
        whole = [rf"^[\W_]*(?:{'|'.join(map(spelt, self.whole))})[\W_]*$"] if self.whole else []
        every = [*map(bordered, self.words), *whole, *self.patterns]
        if self.unless:
            every = [rf"(?:{one})(?![\s\S]*(?:{'|'.join(self.unless)}))" for one in every]
        return list(map(in_any_case, every))

    @cached_property
    def _parts(self) -> list[tuple[str, re.Pattern[str]]]:
        """Each expression with what a text must have for it to be found, "" for anything; those that need something first.

        Apart, because `re` leaps through a text in search of one beginning, not of many.
        """
        signs = {number: word.casefold() for number, word in enumerate(self.words) if LETTER.search(word)}
        parts = ((signs.get(number, ""), re.compile(one)) for number, one in enumerate(self._expressions))
        return sorted(parts, key=lambda part: not part[0])

    def is_in(self, text: str) -> bool:
        """Whether `regex` would find something."""
        folded = text.casefold() if self._parts and self._parts[0][0] else ""
        return any(sign in folded and part.search(text) for sign, part in self._parts)

    def share_of(self, text: str) -> float:
        """How much of a text it is."""
        found = 0
        for _, part in self._parts:
            if part.search(text):
                found += sum(len(find[0]) for find in part.finditer(text))
        return found / max(1, len(text))


def lists_of(path: Path) -> dict[str, Words]:
    """The lists of a file by name. Raises StageError that names every fault in it."""
    try:
        return TypeAdapter(dict[str, Words]).validate_python(read_yaml(path) or {})
    except ValidationError as error:
        raise StageError("\n".join([f"{path} does not hold lists of words (see its head):", *faults(error, {"": []})])) from error


@cache
def own_lists() -> dict[str, Words]:
    """Those of the project, for code that is told of no other file."""
    return lists_of(Path(__file__).with_name("word_lists.yaml"))


LETTER = re.compile("[A-Za-z]")


def in_any_case(pattern: str) -> str:
    """Case counts for letters beyond A to Z, by which a wrong encoding is told, and `re` is several times as fast where it does."""
    return f"(?i:{pattern})" if LETTER.search(re.sub(r"\\u[0-9A-Fa-f]{4}|\\[A-Za-z]", "", pattern)) else pattern


def spelt(words: str) -> str:
    """What matches the words whatever stands between their letters and digits."""
    return r"[\W_]*".join(map(re.escape, re.findall(r"[^\W_]", words)))


def bordered(word: str) -> str:
    """The word where it is not part of a longer one; Chinese has no borders between words."""
    before = "(?<![A-Za-z0-9])" if re.match("[A-Za-z0-9]", word) else ""
    after = "(?![A-Za-z0-9])" if re.search("[A-Za-z0-9]$", word) else ""
    return f"{before}{re.escape(word)}{after}"
