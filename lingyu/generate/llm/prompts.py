"""The prompts: prompts/<method>/<step>.<language>.md beside this file, system above the line of dashes, user below it.

{{name}} is a placeholder. What replaces it is never read as a template again, whatever it says.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import get_args

from lingyu.records import Language
from lingyu.stage import StageError

FOLDER = Path(__file__).parent / "prompts"
BLANK = re.compile(r"\{\{(\w+)\}\}")


def messages(name: str, language: Language, fields: dict[str, str], folder: Path = FOLDER) -> list[dict[str, str]]:
    """The prompt as chat messages, every blank filled."""
    roles = zip(("system", "user"), parts(name, language, folder), strict=True)
    return [{"role": role, "content": BLANK.sub(lambda blank: fields[blank[1]], text)} for role, text in roles]


def check(methods: dict[str, Sequence[str]]) -> None:
    """Raise where a step of a method has no prompt in a language, or other blanks in one than in the other: all faults at once."""
    faults = []
    for name in (f"{method}/{step}" for method, steps in methods.items() for step in steps):
        files = {language: FOLDER / f"{name}.{language}.md" for language in get_args(Language)}
        if lacking := [f"{path} is not there" for path in files.values() if not path.is_file()]:
            faults += lacking
            continue
        blanks = {language: set(BLANK.findall("".join(parts(name, language)))) for language in files}
        every = set[str]().union(*blanks.values())
        faults += [f"{files[one]} lacks {{{{{blank}}}}}" for one in files for blank in sorted(every - blanks[one])]
    if faults:
        raise StageError("\n".join(["prompts of methods that generate.asked switches on:", *faults]))


@cache
def parts(name: str, language: Language, folder: Path = FOLDER) -> tuple[str, str]:
    system, _, user = (folder / f"{name}.{language}.md").read_text(encoding="utf-8").partition("\n---\n")
    return system.strip(), user.strip()
