"""Where sentences and clauses end, in Chinese and English alike."""

import re

STOPS = "。！？!?；;"
"""The marks that end a sentence wherever they stand, to be put between brackets. An English full stop ends one only before a space: 3.5."""
PAUSES = "，、,"
CLOSERS = ("。", "！", "？", "；", "：", "!", "?", ";", ":", ".", "”", "》", "）", ")")
"""What a line ends with that is not cut in the middle of a sentence."""

# With what follows it up to the next; closing quotes included.
_SENTENCE = re.compile(rf"[^{STOPS}\n]*?(?:[{STOPS}]+[”’」』）)\"']*|\.(?=\s|$)[\"')]*|\n|$)", re.DOTALL)
_CLAUSE = re.compile(rf"[^{PAUSES}：:\s]*(?:[{PAUSES}：:]|\s|$)")
# Without its mark, and with a word in it. A Chinese text has no full stop inside a number that would cut one.
BARE = re.compile(rf"[^{STOPS}\n]*\w[^{STOPS}\n]*")
ENDED = re.compile(rf"[{STOPS}\n]|\.\s")
# Of a folded answer: what one value is told in.
ANSWER_CLAUSE = re.compile(rf"[{STOPS}，,]|\.(?!\d)")
# The sentence of a rule: 。 ends it, ； parts it into rules, and English has its full stop.
RULE = {"zh": re.compile(r"[^。\n]+"), "en": re.compile(r"[^.\n]+(?:\.(?=\d)[^.\n]*)*")}
# Where a text may be cut, the best place first: each pattern ends there. Within a record a full stop must have a space after it,
# or the cut may come inside 3.5; the part of a text that is cut in two halves may begin with the space.
CUTS = (re.compile(r"\n"), re.compile(rf"[{STOPS}]|\.(?=\s)"), re.compile(rf"[{PAUSES}\s]"))
HALVES = (r"\n\s*\n", r"\n", rf"(?<=[{STOPS}.])\s*", rf"(?<=[{PAUSES}])\s*|\s+", r"")


def sentences(text: str) -> list[str]:
    """The sentences with what follows them up to the next, so that together they are the text."""
    return [sentence for sentence in _SENTENCE.findall(text) if sentence]


def clauses(sentence: str) -> list[str]:
    """The same of a sentence."""
    return _CLAUSE.findall(sentence)
