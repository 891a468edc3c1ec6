"""Words that set a limit, an order or a duty: two sentences with the same numbers and another of these say different things."""

import re
import unicodedata

# Each kind with its ways of writing it. (?<!不|得) keeps 不低于 and 不得低于 apart from 低于.
KINDS = {
    "at most": [
        r"不得?(?:超过|超出|高于|大于|多于|晚于)",
        "至多|最[多高大长晚]|上限|以内|以下|之内",
        "(?<![不得])(?:小于|低于|少于|不足|未满)",
        r"\b(?:at most|not? more than|up to|maximum|below|under|less than|within)\b",
    ],
    "at least": [
        r"不得?(?:低于|小于|少于|早于)",
        "至少|最[少低小短]|下限|以上",
        "(?<![不得])(?:大于|高于|多于|超过|超出)",
        r"\b(?:at least|not? (?:less|fewer) than|minimum|above|over|more than)\b|\bexceed",
    ],
    "before": [r"之?前(?![款项条])", r"\bbefore\b|\bprior to\b"],
    "after": ["之?后", r"\bafter\b"],
    "must": ["(?<!不)必须|(?<!不)应当", r"\b(?:must|shall)\b(?! not)"],
    "may": ["(?<!不)可以", r"\bmay\b(?! not)"],
    "all": ["全部|所有|任何|一律", r"\b(?:all|any|every)\b"],
    "except": ["除[^。，]*外", r"\bexcept\b|\bunless\b"],
}
_PATTERNS = {kind: re.compile("|".join(patterns)) for kind, patterns in KINDS.items()}


def limits(text: str) -> frozenset[str]:
    """The kinds of limits, orders and duties in a text."""
    text = unicodedata.normalize("NFKC", text).lower()
    return frozenset(kind for kind, pattern in _PATTERNS.items() if pattern.search(text))
