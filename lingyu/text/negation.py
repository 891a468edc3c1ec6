"""What denies or forbids. Three lists for three questions, for a character that denies in one text is part of a word in another."""

import re

# How often a short answer denies its value: single characters, since a model may deny in any words (并非, 未必, 不).
# 无人机 and 无线 deny nothing, nor do 非常 and 否则.
IN_ANSWERS = re.compile(r"不|未|没|勿|禁|非(?!常)|无(?!人机|线)|否(?!则)|n't|\b(?:not|no|never|none|nor|neither|without|cannot)\b")

# Whether a sentence forbids or denies as a whole: words only. A long sentence has 不同, 未来 and 非机动车 that deny nothing, and
# would be told from a source that says the same.
IN_SENTENCES = re.compile(
    r"不得|不可|不能|不应|不准|不要|不予|不必|无需|不需要|严禁|禁止|未经|没有|\b(?:not|never|no|without|cannot|prohibited|forbidden)\b|n't"
)

# What can be taken out of a rule so that it says the opposite in good language, and what stands in its place.
# 不得不, 不可 and 呼之不应 are left alone: they may deny nothing.
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
    """How often an answer denies."""
    return len(IN_ANSWERS.findall(text))


def denies(sentence: str) -> bool:
    """Whether a folded sentence forbids or denies."""
    return bool(IN_SENTENCES.search(sentence))


def without_negation(text: str) -> str | None:
    """The text without its first negation; None where it has none."""
    found = [(match.start(), pattern, plain) for pattern, plain in REVERSIBLE if (match := re.search(pattern, text))]
    if not found:
        return None
    start, pattern, plain = min(found)
    return text[:start] + re.sub(pattern, plain, text[start:], count=1)
