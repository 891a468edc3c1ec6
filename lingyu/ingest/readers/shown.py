"""Plain text for content that is not plain characters; and hidden or struck-out text, which is omitted and reported."""

import re
from collections.abc import Iterator

from lingyu.ingest.readers import Fault

TICKED, UNTICKED = "☑", "☐"
MOST = 1000  # characters of the omitted text in the report
_SIGNS = "0123456789+-=()n"
_RAISED = str.maketrans(_SIGNS + "−–i", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ" + "⁻⁻ⁱ")
_LOWERED = str.maketrans("0123456789+-=()−–", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎₋₋")
_CAN_RISE = re.compile(r"[-0-9+=()n−–i]+")
_CAN_SINK = re.compile(r"[-0-9+=()−–]+")
# Raised, but not an exponent: 1st, TM, a note reference in words or brackets.
_NO_POWER = re.compile(r"(?:st|nd|rd|th|TM|SM|er|re|[\[(（【〔].*[\])）】〕]|[®™©*†‡§¶#,，、。；;：:.\s]+)")
_WORDS_OF_ITS_OWN = re.compile(r"[^\x00-\u0fff\u2000-\u245f\u2500-\u2fff]")  # 注, ［1］, ①

REASONS = {
    "hidden_text": "hidden in the document and therefore omitted; unhide it if it is part of the text",
    "struck_text": "struck out or deleted with tracked changes, and therefore omitted",
    "ruby": "pronunciation printed above characters; the characters themselves are kept",
    "watermark": "a watermark behind the text, omitted",
    "comment": "a comment, not part of the text",
    "picture": "a picture in the text; only its name is kept",
    "formula_lost": "a formula stored as a picture or in an unsupported format, or, in a PDF, as single characters; type it as text",
    "unmapped": "a character for which the font names no Unicode value, read as �; compare with the page",
}


class LeftOut:
    """The omitted parts of a file, by place and reason: their number, and the beginning of their text."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[int, str]] = {}

    def add(self, reason: str, text: str, place: str = "") -> None:
        if text.strip():
            count, said = self._found.get((place, reason), (0, ""))
            if len(said) < MOST:
                said += "\n" * bool(said) + " ".join(text[:MOST].split())
            self._found[place, reason] = (count + 1, said)

    def faults(self) -> Iterator[Fault]:
        """One Fault for each place and reason, with the number of parts and their text."""
        for (place, reason), (count, said) in self._found.items():
            yield Fault(place, reason, f"{count} × {REASONS[reason]}", said[:MOST])


def raised(text: str) -> str:
    """Superscript as Unicode superscript characters if all of it has them (10⁹), else after a ^."""
    return _moved(text, _RAISED, _CAN_RISE, "^")


def lowered(text: str) -> str:
    """The same for subscript: CO₂, T_max."""
    return _moved(text, _LOWERED, _CAN_SINK, "_")


def _moved(text: str, table: dict[int, int], can: re.Pattern[str], mark: str) -> str:
    said = text.strip()
    if not said or (_NO_POWER.fullmatch(said) and not can.fullmatch(said)) or _WORDS_OF_ITS_OWN.search(said):
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    shown = said.translate(table) if can.fullmatch(said) else mark + (said if re.fullmatch(r"\w+", said) else f"({said})")
    return before + shown + after
