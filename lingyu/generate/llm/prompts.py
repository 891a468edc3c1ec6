"""The prompts: prompts/<method>/<step>.<language>.md beside this file, system above the line of dashes, user below it.

{{name}} stands for what is filled in. What is filled in is never read as a prompt again, whatever it says.
"""

import re
from functools import cache
from pathlib import Path

from lingyu.records import Language

FOLDER = Path(__file__).parent / "prompts"
BLANK = re.compile(r"\{\{(\w+)\}\}")


def messages(name: str, language: Language, fields: dict[str, str]) -> list[dict[str, str]]:
    """The prompt as chat messages, every blank filled."""
    roles = zip(("system", "user"), parts(name, language), strict=True)
    return [{"role": role, "content": BLANK.sub(lambda blank: fields[blank[1]], text)} for role, text in roles]


@cache
def parts(name: str, language: Language) -> tuple[str, str]:
    system, _, user = (FOLDER / f"{name}.{language}.md").read_text(encoding="utf-8").partition("\n---\n")
    return system.strip(), user.strip()
