"""What params.yaml says by method: a mapping that names each method once, and no other."""

from collections.abc import Iterable
from typing import get_args

from lingyu.teach import Method

METHODS: tuple[str, ...] = get_args(Method)


def fault_of_names(named: Iterable[str], needed: Iterable[str] = METHODS) -> str | None:
    """What is wrong with the methods that a mapping names, or None: one that does not exist, one that it needs and lacks."""
    given = set(named)
    unknown, missing = sorted(given - set(METHODS)), sorted(set(needed) - given)
    faults = [
        *([f"no method is named {', '.join(unknown)}; known: {', '.join(METHODS)}"] if unknown else []),
        *([f"a line is missing for {', '.join(missing)}"] if missing else []),
    ]
    return "; ".join(faults) or None
