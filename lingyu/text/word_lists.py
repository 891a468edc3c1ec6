"""The word lists of word_lists.yaml for unwanted content: validate warns about matches, clean drops rows."""

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
                raise ValueError(f"invalid regular expression: {pattern!r} ({error})") from None
        return patterns

    @property
    def regex(self) -> str:
        """The whole list as one regular expression; for an empty list one that matches nothing."""
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
        """Each expression with a literal that a matching text must contain ("" if there is none); those with a literal first.

        Kept separate because `re` skips quickly to a single literal prefix, but not to several.
        """
        signs = {number: word.casefold() for number, word in enumerate(self.words) if LETTER.search(word)}
        parts = ((signs.get(number, ""), re.compile(one)) for number, one in enumerate(self._expressions))
        return sorted(parts, key=lambda part: not part[0])

    def is_in(self, text: str) -> bool:
        """Whether `regex` matches."""
        folded = text.casefold() if self._parts and self._parts[0][0] else ""
        return any(sign in folded and part.search(text) for sign, part in self._parts)

    def share_of(self, text: str) -> float:
        """The share of a text that matches."""
        found = 0
        for _, part in self._parts:
            if part.search(text):
                found += sum(len(find[0]) for find in part.finditer(text))
        return found / max(1, len(text))


def lists_of(path: Path) -> dict[str, Words]:
    """The lists of a file by name. Raises StageError with every fault in it."""
    try:
        return TypeAdapter(dict[str, Words]).validate_python(read_yaml(path) or {})
    except ValidationError as error:
        raise StageError("\n".join([f"{path} has invalid word lists (see the comments at its top):", *faults(error, {"": []})])) from error


@cache
def own_lists() -> dict[str, Words]:
    """The lists of the project, for code without a path of its own."""
    return lists_of(Path(__file__).with_name("word_lists.yaml"))


LETTER = re.compile("[A-Za-z]")


def in_any_case(pattern: str) -> str:
    """Case-insensitive for A to Z only: other letters in the patterns detect wrong encodings, and `re` is several times as fast."""
    return f"(?i:{pattern})" if LETTER.search(re.sub(r"\\u[0-9A-Fa-f]{4}|\\[A-Za-z]", "", pattern)) else pattern


def spelt(words: str) -> str:
    """Matches the words with any punctuation between their letters and digits."""
    return r"[\W_]*".join(map(re.escape, re.findall(r"[^\W_]", words)))


def bordered(word: str) -> str:
    """Matches the word if it is not part of a longer one; Chinese has no word boundaries."""
    before = "(?<![A-Za-z0-9])" if re.match("[A-Za-z0-9]", word) else ""
    after = "(?![A-Za-z0-9])" if re.search("[A-Za-z0-9]$", word) else ""
    return f"{before}{re.escape(word)}{after}"
