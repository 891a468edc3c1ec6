"""What a published parameter may not say: where a model of others is asked, with what key, and paths of this machine."""

import re
from typing import Any

# Keys that say where a model of others is asked, with what, or by whom.
PRIVATE = re.compile(r"url$|endpoint|^key|_key$|key_from|token$|secret|password|header|^proxy|^body$")


def public(value: Any) -> Any:
    """The values without endpoints and keys; of an absolute path only its last part."""
    if isinstance(value, dict):
        return {key: public(one) for key, one in value.items() if not (PRIVATE.search(str(key).lower()) or is_address(one))}
    if isinstance(value, list):
        return [public(one) for one in value if not is_address(one)]
    return re.split(r"[\\/]", value.rstrip("\\/"))[-1] if isinstance(value, str) and re.match(r"[/~]|[A-Za-z]:\\", value) else value


def is_address(value: Any) -> bool:
    return isinstance(value, str) and re.match(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:", value) is not None
