"""Chinese and Arabic numerals as numbers: corpora, retrieval and checks read them alike."""


def value(numeral: str) -> int:
    """The number that a Chinese or Arabic numeral up to the thousands stands for."""
    units = {"十": 10, "百": 100, "千": 1000}
    digits = {character: str("〇零一二三四五六七八九".index(character) - 1) for character in "零一二三四五六七八九"} | {
        "〇": "0",
        "两": "2",
    }
    if not any(character in units for character in numeral):
        return int("".join(digits.get(character, character) for character in numeral))
    total, last = 0, 0
    for character in numeral:
        if character in units:
            total, last = total + (last or 1) * units[character], 0
        else:
            last = int(digits.get(character, character))
    return total + last
