"""Chinese and Arabic numerals as numbers, read the same way in corpora, retrieval, checks and metrics."""

import re

CHINESE = "〇零一二两三四五六七八九十百千"
"""The characters of Chinese numerals below ten thousand, for use in a character class."""
COUNTED = "一二三四五六七八九十"
"""The characters used to number list items."""

# Digits with 万 or 亿; a Chinese numeral of two characters; one character before a measure word, except 一, 第二 and 两人.
FIGURE = re.compile(
    rf"(?<![a-z\d.])\d+(?:,\d{{3}})*(?:\.\d+)?(?:[百千]?[万亿])?|[{CHINESE}万亿]{{2,}}"
    r"|(?<![第之十百千])(?:[二两三四五六七八九十百](?=个?(?:年|月|日|天|周|小时|分钟|秒|元|米|公里|千米|千克|公斤|吨|倍|级|岁|层(?!面)|度))"
    r"|[三四五六七八九十百](?=个?(?:人|次)))"
)
NO_FIGURE = {"千万", "万一", "一一", "万万", "百千", "千百"}  # words, if they stand alone

WRITTEN = "零一二三四五六七八九"
DIGITS = {character: number for number, character in enumerate(WRITTEN)} | {"〇": 0, "两": 2}
UNITS = {"十": 10, "百": 100, "千": 1000}


def value(numeral: str) -> int:
    """The value of Chinese or Arabic numerals: 12, 十二, 一百零三, 二〇, 两千零一, 三万五千."""
    high, found, low = numeral.rpartition("万")
    if found:
        return 10_000 * (value(high) if high else 0) + (value(low) if low else 0)
    digits = [int(DIGITS.get(character, character)) if character not in UNITS else 0 for character in numeral]
    if not set(numeral) & set(UNITS):
        return int("".join(map(str, digits)))
    total, last = 0, 0
    for character, digit in zip(numeral, digits, strict=True):
        total, last = (total + (last or 1) * UNITS[character], 0) if character in UNITS else (total, digit)
    return total + last


def figure(text: str) -> float:
    """The value of digits or of a Chinese numeral with 万 and 亿: 1.2万, 12,000 and 一万二千 are equal."""
    for mark, unit in (("亿", 1e8), ("万", 1e4)):
        high, found, low = text.rpartition(mark)
        if found:
            return (figure(high) if high else 1) * unit + (figure(low) if low else 0)
    if text[0].isascii():
        return float(text.rstrip("百千").replace(",", "")) * {"百": 100, "千": 1000}.get(text[-1], 1)
    return float(value(text))
