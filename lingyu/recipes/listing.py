"""The recipes as a table for the screen."""

from collections.abc import Mapping, Sequence
from unicodedata import east_asian_width

from lingyu.recipes.recipe import Recipe
from lingyu.recipes.run import Verdict

HEAD = {
    "zh": ("名称", "重建的系统", "语料", "需要", "分钟", "上次结果"),
    "en": ("name", "rebuilds", "corpus", "needs", "minutes", "last verdict"),
}
NEVER = {"zh": "未运行", "en": "not run"}


def listed(recipes: Sequence[Recipe], verdicts: Mapping[str, Verdict | None], language: str) -> list[str]:
    rows = [HEAD[language], *(row(recipe, verdicts[recipe.name], language) for recipe in recipes)]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell + " " * (width - columns(cell)) for cell, width in zip(one, widths, strict=True)).rstrip() for one in rows]


def row(recipe: Recipe, verdict: Verdict | None, language: str) -> tuple[str, ...]:
    last = NEVER[language]
    if verdict:
        held = sum(check["holds"] for check in verdict["checks"])
        last = f"{'✓' if verdict['holds'] else '✗'} {held}/{len(recipe.checks)}"
    minutes = f"{verdict['minutes']:.1f}" if verdict else "-"
    return recipe.name, recipe.rebuilds, str(recipe.corpus), ", ".join(recipe.wanted()) or "-", minutes, last


def columns(text: str) -> int:
    """Of a terminal: two for a Chinese character."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
