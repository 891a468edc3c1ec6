"""Sentence and clause boundaries, in Chinese and English."""

import re

STOPS = "。！？!?；;"
"""Sentence-ending marks, for use in a character class. An English full stop only ends a sentence before a space: 3.5."""
PAUSES = "，、,"
CLOSERS = ("。", "！", "？", "；", "：", "!", "?", ";", ":", ".", "”", "》", "）", ")")
"""The ends of lines that are not broken in the middle of a sentence."""

# With everything up to the next one, including closing quotes.
_SENTENCE = re.compile(rf"[^{STOPS}\n]*?(?:[{STOPS}]+[”’」』）)\"']*|\.(?=\s|$)[\"')]*|\n|$)", re.DOTALL)
_CLAUSE = re.compile(rf"[^{PAUSES}：:\s]*(?:[{PAUSES}：:]|\s|$)")
# Without the mark, and with at least one word.
BARE = re.compile(rf"[^{STOPS}\n]*\w[^{STOPS}\n]*")
ENDED = re.compile(rf"[{STOPS}\n]|\.\s")
# Of a folded answer: the part that states one value.
ANSWER_CLAUSE = re.compile(rf"[{STOPS}，,]|\.(?!\d)")
# The sentence of a rule: 。 ends it, ； separates rules, and English uses the full stop.
RULE = {"zh": re.compile(r"[^。\n]+"), "en": re.compile(r"[^.\n]+(?:\.(?=\d)[^.\n]*)*")}
# Where a text can be split, best place first: each pattern ends there. Within a record a full stop must be followed by a space,
# otherwise 3.5 could be split; a half of a text may begin with the space.
CUTS = (re.compile(r"\n"), re.compile(rf"[{STOPS}]|\.(?=\s)"), re.compile(rf"[{PAUSES}\s]"))
HALVES = (r"\n\s*\n", r"\n", rf"(?<=[{STOPS}.])\s*", rf"(?<=[{PAUSES}])\s*|\s+", r"")

# A line that introduces a list, and a line that is an item of one. An item without a mark follows one that ends in a semicolon.
INTRODUCES = re.compile(r"[：:]\s*$")
ITEM = re.compile(r"\s*(?:[-*•·]\s|[（(]?[一二三四五六七八九十\d]{1,3}(?:[)）]|[、.．](?!\d)))")
MORE_ITEMS = re.compile(r"[；;]\s*(?:and|or|以及|或者?|和|及)?\s*$")


def sentences(text: str) -> list[str]:
    """The sentences with everything up to the next one, so that joined they are the text."""
    return [sentence for sentence in _SENTENCE.findall(text) if sentence]


def clauses(sentence: str) -> list[str]:
    """The same for the clauses of a sentence."""
    return _CLAUSE.findall(sentence)
