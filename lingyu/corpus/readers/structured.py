"""JSON and JSON lines: a record an object, whatever list it stands in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.corpus.readers import Fault, Record, Unreadable
from lingyu.corpus.readers.encoding import decoded


def records(path: Path) -> Iterator[Record | Fault]:
    text = decoded(path.read_bytes())[0]
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON lines under the ending of JSON
            yield from from_lines(text)
            return
        raise Unreadable("unreadable", f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Unreadable("unreadable", "JSON nested too deep") from None
    for number, item in enumerate(flat(value), 1):
        if isinstance(item, dict):
            yield Record(whole(item), f"row {number}")
        else:
            yield Fault(f"row {number}", "unknown_shape", "not an object with named fields", item)


def lines(path: Path) -> Iterator[Record | Fault]:
    text = decoded(path.read_bytes())[0]
    if text.lstrip().startswith("["):  # a JSON list under the ending of JSON lines
        yield from records(path)
    else:
        yield from from_lines(text)


def from_lines(text: str) -> Iterator[Record | Fault]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Fault(f"line {number}", "not_json", str(error), line[:1000])
            continue
        if isinstance(value, dict):
            yield Record(whole(value), f"line {number}")
        else:
            yield Fault(f"line {number}", "unknown_shape", "not an object with named fields", value)


def whole(value: Any) -> Any:
    """The value with halves of characters ("\\ud83d" by itself), which JSON can write and no encoding can, as �."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole(item) for item in value]
    return {whole(name): whole(item) for name, item in value.items()} if isinstance(value, dict) else value


def flat(value: Any) -> Iterator[Any]:
    """The items of lists in lists, and of an object that holds nothing but one list of objects ({"data": [...]})."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if isinstance(inner, list) and inner and isinstance(inner[0], dict) and name not in {"messages", "conversations"}:
            value = inner
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        if isinstance(item, list):
            yield from flat(item)
        else:
            yield item
