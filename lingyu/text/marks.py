"""The marks by which a text shows its structure: sentence ends, list items, the units and articles of a statute."""

import re

from lingyu.text.normalise import normal

_NUMBER = "[0-9〇零一二三四五六七八九十百千]+"
# 第五条, apart from what follows or followed by what no reference to an article would be ("第五条规定的" is one).
ARTICLE = re.compile(rf"(第({_NUMBER})条(之{_NUMBER})?)(?=(\s|[:：、*【])|$|(?!规定|的|第|所|和|至|或|，|。|；|》))")
UNIT = re.compile(rf"(第{_NUMBER}(编|分编|章|节))[\s:：、]*(.{{0,40}})")
# A line that begins so begins an article or a unit, whatever stands before it.
PART = re.compile(rf"第{_NUMBER}(?:条(?:之{_NUMBER})?|编|分编|章|节)\s")
LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)、]|[（(][一二三四五六七八九十\d]+[)）])\s*")
ENDS = tuple("。！？；：!?;:.”》）)")


def bare(text: str) -> str:
    """The start of a text as its marks are recognised: normal, without emphasis."""
    return re.sub(r"^[*_#\s]+", "", normal(text[:200]))
