"""Negations and prohibitions. Three lists for three purposes, because a negating character can be part of another word."""

import re

# Negations in a short answer: single characters, since a model may use any word (并非, 未必, 不).
# 无人机, 无线, 非常 and 否则 are not negations.
IN_ANSWERS = re.compile(r"不|未|没|勿|禁|非(?!常)|无(?!人机|线)|否(?!则)|n't|\b(?:not|no|never|none|nor|neither|without|cannot)\b")

# Negation of a whole sentence: words only. A long sentence contains 不同, 未来 and 非机动车, which are not negations, and would
# otherwise differ from a source with the same meaning.
IN_SENTENCES = re.compile(
    r"不得|不可|不能|不应|不准|不要|不予|不必|无需|不需要|严禁|禁止|未经|没有|\b(?:not|never|no|without|cannot|prohibited|forbidden)\b|n't"
)

# Negations that can be replaced to reverse a rule grammatically, with their replacements.
# 不得不, 不可 and 呼之不应 are excluded: they may not be negations.
REVERSIBLE = (
    ("不得(?!不)", "可以"),
    ("严禁", "允许"),
    ("禁止", "允许"),
    ("(?<!之)不应(?![答期求])", "应"),
    ("不准", "准许"),
    (r"\b(must|shall|may|should|do|does|is|are) not\b", r"\1"),
    (r"\bcannot\b", "can"),
    (r"\b[Nn]ever\b", "always"),
)


def denials(text: str) -> int:
    """The number of negations in an answer."""
    return len(IN_ANSWERS.findall(text))


def denies(sentence: str) -> bool:
    """Whether a folded sentence contains a negation or prohibition."""
    return bool(IN_SENTENCES.search(sentence))


def without_negation(text: str) -> str | None:
    """The text without its first negation; None if it has none."""
    found = [(match.start(), pattern, plain) for pattern, plain in REVERSIBLE if (match := re.search(pattern, text))]
    if not found:
        return None
    start, pattern, plain = min(found)
    return text[:start] + re.sub(pattern, plain, text[start:], count=1)
