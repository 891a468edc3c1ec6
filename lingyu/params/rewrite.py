"""Write a profile or a recipe into params.yaml; comments and all other lines stay as they are.

Both are a params.yaml with only what differs. A value takes the place of the one there; a key that params.yaml does not have is added
with its comment, next to its neighbours in the profile or recipe; null takes an entry out. What a recipe has under `profiles` is for
params.yaml with the values of that profile only: rates and lengths that were tried with it; under `sample`, for its sample corpus only,
whose files a corpus of one's own does not have. Its section `recipe` is about itself (lingyu/recipes); the values of the recipe that it
extends come first.
"""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.tokens import CommentToken

from lingyu.stage import StageError

PROFILES, RECIPES = Path("profiles"), Path("recipes")
ABOUT, ONLY, SAMPLE = "recipe", "profiles", "sample"  # sections of a recipe that are no sections of params.yaml
KINDS = ("method", "lr_scheduler_type")  # mappings whose name says what keys they have: one of another name takes their place


@dataclass(frozen=True)
class Change:
    """A value that was set, or taken out (new is None); old is None where there was none."""

    key: str
    old: Any
    new: Any


def known(folder: Path) -> dict[str, str]:
    """Each profile or recipe of a folder, and the first line that it says of itself."""
    paths = sorted(folder.glob("*.yaml"), key=lambda path: path.stem)
    return {path.stem: path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for path in paths}


def chain(path: Path) -> list[Path]:
    """The recipe and those that it extends, the first of them first. Raises StageError where one is not there or extends itself."""
    found = [path]
    while extended := (parsed(found[0].read_text(encoding="utf-8"), found[0]).get(ABOUT) or {}).get("extends"):
        under = found[0].with_name(f"{extended}.yaml")
        if not under.is_file() or under in found:
            raise StageError(f"{found[0]} extends {extended!r}, which {'extends it' if under in found else 'is not there'}.")
        found.insert(0, under)
    return found


def changes_of(path: Path, params: str, *, sample: bool = False) -> tuple[CommentedMap, str]:
    """What a profile or recipe sets in this params.yaml, and the lines that its comments are taken from."""
    text = path.read_text(encoding="utf-8")
    found = parsed(text, path)
    found.pop(ABOUT, None)
    own, only = found.pop(SAMPLE, None), found.pop(ONLY, None) or {}
    if sample and own:
        lay_over(found, own)
    for name, section in only.items():
        if name == profile_of(params):
            lay_over(found, section)
    return found, text


def lay_over(under: CommentedMap, over: CommentedMap) -> None:
    """Two sets of changes as one."""
    for key, value in over.items():
        if isinstance(value, CommentedMap) and isinstance(under.get(key), CommentedMap):
            lay_over(under[key], value)
        else:
            under[key] = value


def rewritten(params: str, path: Path, *, sample: bool = False) -> tuple[str, list[Change]]:
    """params.yaml with the profile or recipe in it, and what it changed. sample: data/ is the recipe's sample corpus."""
    target = parsed(params, Path("params.yaml"))
    made: list[Change] = []
    for one in chain(path):
        changes, text = changes_of(one, params, sample=sample)
        merge(target, changes, text.splitlines(), (), made)
    buffer = StringIO()
    yaml().dump(target, buffer)
    written = buffer.getvalue()
    if (found := plain(parsed(written, path))) != plain(target):  # comments in a place that hides a value
        raise StageError(f"{path} cannot be written into params.yaml: it would read {found!r}.")
    return written, made


def merge(target: CommentedMap, changes: CommentedMap, lines: list[str], at: tuple[str, ...], made: list[Change]) -> str:
    """Set the values, and note which were others before. Comments below the last value that found no place are handed back."""
    left = ""
    for key, new in changes.items():
        there, old, where = key in target, target.get(key), (*at, str(key))
        below, beside = "", key
        if new is None:
            if there:
                made.append(Change(".".join(where), plain(old), None))
                beside, below = take_out(target, key)
        elif isinstance(new, CommentedMap) and isinstance(old, CommentedMap) and not (key in KINDS and new.get("name") != old.get("name")):
            if not old:
                old.fa.set_block_style()
            below = merge(old, new, lines, where, made)
        elif isinstance(new, CommentedMap) and not isinstance(old, CommentedMap) and not new.fa.flow_style():
            below = put(target, key, CommentedMap(), changes)
            comment_on(target, key, comment_above(changes, key, lines), len(at), new=not there)
            below = merge(target[key], new, lines, where, made) or below
        elif not there or plain(new) != plain(old):
            made.append(Change(".".join(where), plain(old), plain(new)))
            below = put(target, key, copied(new), changes)
            comment_on(target, key, comment_above(changes, key, lines), len(at), new=not there)
        left = hand_on(target, beside, below) or left
    return left


def put(target: CommentedMap, key: Any, value: Any, changes: CommentedMap) -> str:
    """Set a value; the comments below the place are handed back. A new key stands before the next one, or after the last one, that the
    changes name too."""
    if key in target:
        below = taken_below(target, key)
        target[key] = value
        return below
    order, there = list(changes), list(target)
    after = next((one for one in order[order.index(key) + 1 :] if one in target), None)
    before = next((one for one in reversed(order[: order.index(key)]) if one in target), None)
    place = there.index(after) if after is not None else there.index(before) + 1 if before is not None else len(there)
    below = taken_below(target, there[-1]) if there and place == len(there) else ""
    target.insert(place, key, value)
    return below


def take_out(target: CommentedMap, key: Any) -> tuple[Any, str]:
    """Remove a key and the comment above it. The key before it and the comments below it are handed back."""
    place = list(target).index(key)
    below = taken_below(target, key)
    del target[key]
    target.ca.items.pop(key, None)
    return list(target)[place - 1] if place else None, below


def comment_on(target: CommentedMap, key: Any, comment: str, depth: int, *, new: bool) -> None:
    """A key that is new brings its comment; one that was there keeps the one it has."""
    if new and comment and not target.fa.flow_style():
        target.yaml_set_comment_before_after_key(key, before=comment, indent=2 * depth)


def taken_below(target: Any, key: Any) -> str:
    """The comments and blank lines below the last value under a key, taken from it: they belong to what follows."""
    value = target[key]
    if is_block(value):
        if value.ca.end:
            text = "".join(token.value for token in value.ca.end)
            value.ca.end = []
            return text
        return taken_below(value, last_of(value))
    slot, at = target.ca.items.get(key), 2 if isinstance(target, CommentedMap) else 0
    if not slot or slot[at] is None:
        return ""
    beside, _, text = str(slot[at].value).partition("\n")
    if text:
        slot[at] = CommentToken(f"{beside}\n", slot[at].start_mark, None) if beside else None
    return text


def hand_on(target: Any, key: Any, text: str) -> str:
    """Put comments and blank lines below the last value under this key, or else above the next key; handed back where there is none."""
    if not text or key is None:
        return text
    value = target[key]
    if is_block(value):
        last = last_of(value)
        if isinstance(value, CommentedSeq) and isinstance(value[last], CommentedMap | CommentedSeq) and not is_block(value[last]):
            value.ca.comment = value.ca.comment or [None, None]  # without it what comes at the end is not written
            value.ca.end = [token_of(text)]
            return ""
        text = hand_on(value, last, text)
    elif not isinstance(value, CommentedMap | CommentedSeq):
        at, width = (2, 4) if isinstance(target, CommentedMap) else (0, 2)
        slot = target.ca.items.setdefault(key, [None] * width)
        slot[at] = CommentToken((slot[at].value if slot[at] else "\n") + text, slot[at].start_mark if slot[at] else CommentMark(0), None)
        return ""
    keys = list(target) if isinstance(target, CommentedMap) else []
    if text and key in keys[:-1]:
        slot = target.ca.items.setdefault(keys[keys.index(key) + 1], [None] * 4)
        slot[1] = [token_of(text), *(slot[1] or [])]
        return ""
    return text


def is_block(value: Any) -> bool:
    """Whether it is a mapping or a list over several lines."""
    return isinstance(value, CommentedMap | CommentedSeq) and bool(value) and not value.fa.flow_style()


def last_of(value: Any) -> Any:
    return next(reversed(value)) if isinstance(value, CommentedMap) else len(value) - 1


def token_of(text: str) -> CommentToken:
    return CommentToken(text, CommentMark(0), None)


def comment_above(changes: CommentedMap, key: Any, lines: list[str]) -> str:
    """The comment lines right above a key in the file that it comes from."""
    if key not in (changes.lc.data or {}):
        return ""
    first, column = changes.lc.key(key)
    if lines[first][:column].strip():  # in the middle of a line, whose comment is another key's
        return ""
    start = first
    while start > 0 and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return "\n".join(line.strip().removeprefix("#").strip() for line in lines[start:first]) if start else ""


def copied(value: Any) -> Any:
    """A value without the comments around it in its own file."""
    made: CommentedMap | CommentedSeq
    if isinstance(value, CommentedMap):
        made = CommentedMap((key, copied(one)) for key, one in value.items())
    elif isinstance(value, CommentedSeq):
        made = CommentedSeq(copied(one) for one in value)
    else:
        return value
    if value.fa.flow_style():
        made.fa.set_flow_style()
    return made


def profile_of(params: str) -> str | None:
    """The profile all of whose values this params.yaml has."""
    there = leaves(parsed(params, Path("params.yaml")))
    for path in sorted(PROFILES.glob("*.yaml")):
        if all(agrees(there, key, value) for key, value in values_of(path).items()):
            return path.stem
    return None


def agrees(there: dict[tuple[str, ...], Any], key: tuple[str, ...], value: Any) -> bool:
    """Whether params.yaml has this value; None, whether it has nothing there."""
    return not any(one[: len(key)] == key for one in there) if value is None else there.get(key) == value


def values_of(path: Path) -> dict[tuple[str, ...], Any]:
    """What a profile, or a recipe in any case, sets, by its place; None where it takes an entry out."""
    return {
        key: value
        for key, value in leaves(parsed(path.read_text(encoding="utf-8"), path), nulls=True).items()
        if key[0] not in {ABOUT, ONLY, SAMPLE}
    }


def leaves(values: Any, at: tuple[str, ...] = (), nulls: bool = False) -> dict[tuple[str, ...], Any]:
    """Every value by its place. With nulls also the places that have none."""
    if isinstance(values, CommentedMap):
        return {key: value for name, one in values.items() for key, value in leaves(one, (*at, str(name)), nulls).items()}
    return {at: plain(values)} if values is not None or nulls else {}


def plain(value: Any) -> Any:
    """A value of ruamel.yaml as Python's own types."""
    if isinstance(value, CommentedMap):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, CommentedSeq):
        return [plain(one) for one in value]
    return next((kind(value) for kind in (bool, int, float, str) if isinstance(value, kind)), value)


def parsed(text: str, path: Path) -> CommentedMap:
    try:
        found = yaml().load(text)
    except YAMLError as error:
        raise StageError(f"{path} is not YAML: {error}") from error
    if not isinstance(found, CommentedMap):
        raise StageError(f"{path} should be a mapping of sections.")
    return found


def yaml() -> YAML:
    """Reads and writes params.yaml as it stands: quotes, indents, long lines."""
    made = YAML()
    made.preserve_quotes = True
    made.width = 4096
    made.indent(mapping=2, sequence=4, offset=2)
    return made
