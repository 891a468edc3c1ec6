"""Chinese and Arabic numerals as numbers: corpora, retrieval, checks and metrics read them alike."""

DIGITS = {character: number for number, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
UNITS = {"十": 10, "百": 100, "千": 1000}


def value(numeral: str) -> int:
    """The number that Chinese or Arabic numerals stand for: 12, 十二, 一百零三, 二〇, 两千零一, 三万五千."""
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
