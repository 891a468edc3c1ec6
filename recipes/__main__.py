"""Write a recipe into params.yaml: `python -m recipes NAME`; `git diff params.yaml` then shows what it changed.

A recipe is a params.yaml of only what differs, with its reasons. A value of it takes the place of the one in params.yaml,
its comment that of the comment there; what params.yaml does not have is added to its section; null takes an entry out.
All other lines stay as they are. params.yaml must be as git has it: recipes do not add up.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PARAMS, RECIPES = Path("params.yaml"), Path("recipes")


@dataclass
class Entry:
    """A key of a block of YAML: the comment lines above it, its own lines up to the first key under it, the keys under it."""

    comment: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    under: dict[str, "Entry"] = field(default_factory=dict)

    def text(self) -> list[str]:
        return [*self.comment, *self.lines, *(line for entry in self.under.values() for line in entry.text())]


def parsed(text: str) -> Entry:
    """The entries of a YAML of nested blocks, every line in one of them. Lists and flow mappings are lines of their key."""
    root, waiting = Entry(), list[str]()
    path: list[tuple[int, Entry]] = [(-1, root)]
    for line in text.splitlines():
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        key = bare.partition(":")[0]
        if not bare or bare.startswith("#"):
            waiting.append(line)
        elif bare.startswith("- ") or ":" not in bare or in_list(path, indent):
            path[-1][1].lines += [*waiting, line]
            waiting = []
        else:
            while path[-1][0] >= indent:
                path.pop()
            path[-1][1].under[key] = entry = Entry(waiting, [line])
            path.append((indent, entry))
            waiting = []
    path[-1][1].lines += waiting
    return root


def in_list(path: list[tuple[int, Entry]], indent: int) -> bool:
    """Whether a line of this indent belongs to the list that the last key holds."""
    depth, entry = path[-1]
    return len(entry.lines) > 1 and indent > depth


def merged(entry: Entry, recipe: Entry, values: dict[str, Any]) -> None:
    """Write the recipe's entries over those of the same name."""
    for key, new in recipe.under.items():
        old = entry.under.get(key)
        if values[key] is None:
            entry.under.pop(key, None)
        elif old is not None and old.under and new.under:
            old.comment[len(old.comment) - len(said(old)) :] = said(new) or said(old)
            merged(old, new, values[key])
        else:
            above = old.comment[: len(old.comment) - len(said(old))] if old else []
            entry.under[key] = Entry([*above, *(said(new) or (said(old) if old else []))], new.lines, new.under)


def said(entry: Entry) -> list[str]:
    """The comment right above the key: after a blank line, what stands before it speaks of something else."""
    blank = [place for place, line in enumerate(entry.comment) if not line.strip()]
    return entry.comment[blank[-1] + 1 :] if blank else entry.comment


def overlaid(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values that the merged text must have."""
    result = dict(values)
    for key, change in changes.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, dict) and isinstance(result.get(key), dict):
            result[key] = overlaid(result[key], change)
        else:
            result[key] = change
    return result


def written(params: str, recipe: str) -> str:
    """params.yaml with the recipe in it. Raises ValueError where the text does not say what the values are."""
    tree, changes = parsed(params), yaml.safe_load(recipe)
    merged(tree, parsed(recipe), changes)
    text = "\n".join(tree.text()) + "\n"
    if yaml.safe_load(text) != overlaid(yaml.safe_load(params), changes):
        raise ValueError("the recipe cannot be written into params.yaml line by line; write both in nested blocks")
    return text


def known() -> dict[str, str]:
    """Each recipe and the first line that it says of itself."""
    return {path.stem: path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for path in sorted(RECIPES.glob("*.yaml"))}


def main(names: list[str]) -> None:
    recipes = known()
    if len(names) != 1 or names[0] not in recipes:
        listed = "\n".join(f"  {name:12} {about}" for name, about in recipes.items())
        sys.exit(f"recipes: no recipe named {' '.join(names)!r}. There are 有以下配方：\n{listed}\nSay 用法：make recipe NAME=… DATA=…")
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", PARAMS], check=False).returncode:
        sys.exit(
            "recipes: params.yaml holds changes that git does not have; a recipe begins from what git has. "
            "Commit them, or drop them with `git checkout params.yaml`.\n"
            "params.yaml 有尚未提交的改动；请先提交，或用 `git checkout params.yaml` 放弃。"
        )
    text = written(PARAMS.read_text(encoding="utf-8"), (RECIPES / f"{names[0]}.yaml").read_text(encoding="utf-8"))
    PARAMS.write_text(text, encoding="utf-8")
    print(f"params.yaml now follows the recipe {names[0]}; `git diff params.yaml` shows what it changed.")
    print(f"params.yaml 已按配方 {names[0]} 修改；`git diff params.yaml` 可查看改动。")


if __name__ == "__main__":
    main(sys.argv[1:])
