"""The marks by which a text shows its structure: sentence ends, list items, the units and articles of a statute."""

import re

from lingyu.corpus.normalise import normal

_NUMBER = "[0-9〇零一二三四五六七八九十百千]+"
# 第五条, apart from what follows or followed by what no reference to an article would be ("第五条规定的" is one).
ARTICLE = re.compile(rf"(第({_NUMBER})条(之{_NUMBER})?)(?=(\s|[:：、*【])|$|(?!规定|的|第|所|和|至|或|，|。|；|》))")
UNIT = re.compile(rf"(第{_NUMBER}(编|分编|章|节))[\s:：、]*(.{{0,40}})")
LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)、]|[（(][一二三四五六七八九十\d]+[)）])\s*")
ENDS = tuple("。！？；：!?;:.”》）)")


def bare(text: str) -> str:
    """The start of a text as its marks are recognised: normal, without emphasis."""
    return re.sub(r"^[*_#\s]+", "", normal(text[:200]))


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
