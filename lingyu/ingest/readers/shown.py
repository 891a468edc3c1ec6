"""What is shown otherwise than by plain characters, as plain text; and what a page hides or strikes out, which is left out and reported."""

import re
from collections.abc import Iterator

from lingyu.ingest.readers import Fault

TICKED, UNTICKED = "☑", "☐"
MOST = 1000  # characters of what was left out, which a person is shown
_SIGNS = "0123456789+-=()n"
_RAISED = str.maketrans(_SIGNS + "−–i", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ" + "⁻⁻ⁱ")
_LOWERED = str.maketrans("0123456789+-=()−–", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎₋₋")
_CAN_RISE = re.compile(r"[-0-9+=()n−–i]+")
_CAN_SINK = re.compile(r"[-0-9+=()−–]+")
# Raised, but no power: 1st, TM, a note's mark in words or brackets.
_NO_POWER = re.compile(r"(?:st|nd|rd|th|TM|SM|er|re|[\[(（【〔].*[\])）】〕]|[®™©*†‡§¶#,，、。；;：:.\s]+)")
_WORDS_OF_ITS_OWN = re.compile(r"[^\x00-\u0fff\u2000-\u245f\u2500-\u2fff]")  # 注, ［1］, ①

REASONS = {
    "hidden_text": "hidden where the file is opened, and so left out; show it there if it is part of the text",
    "struck_text": "struck out or deleted with changes tracked, and so left out",
    "ruby": "how characters are read, printed above them; the characters themselves stay",
    "watermark": "printed across the page behind the text, and so left out",
    "comment": "a comment beside the text, no part of it",
    "picture": "a picture within the text, of which only the name stays",
    "formula_lost": "a formula kept as a picture or in a form that is not read; write it as text",
}


class LeftOut:
    """What of a file is left out, by place and reason: how many parts, and the beginning of what they say."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[int, str]] = {}

    def add(self, reason: str, text: str, place: str = "") -> None:
        if text.strip():
            count, said = self._found.get((place, reason), (0, ""))
            if len(said) < MOST:
                said += "\n" * bool(said) + " ".join(text[:MOST].split())
            self._found[place, reason] = (count + 1, said)

    def faults(self) -> Iterator[Fault]:
        """One for each place and reason, which says how many parts it stands for and shows them."""
        for (place, reason), (count, said) in self._found.items():
            yield Fault(place, reason, f"{count} × {REASONS[reason]}", said[:MOST])


def raised(text: str) -> str:
    """Superscript as characters of its own where all of it has some (10⁹), else behind a ^."""
    return _moved(text, _RAISED, _CAN_RISE, "^")


def lowered(text: str) -> str:
    """Subscript, likewise: CO₂, T_max."""
    return _moved(text, _LOWERED, _CAN_SINK, "_")


def _moved(text: str, table: dict[int, int], can: re.Pattern[str], mark: str) -> str:
    said = text.strip()
    if not said or (_NO_POWER.fullmatch(said) and not can.fullmatch(said)) or _WORDS_OF_ITS_OWN.search(said):
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    shown = said.translate(table) if can.fullmatch(said) else mark + (said if re.fullmatch(r"\w+", said) else f"({said})")
    return before + shown + after
