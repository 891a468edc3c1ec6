"""The structure and citation of statutes: articles, units, items and titles; the same patterns for reading, training and metrics."""

import re
import unicodedata

from lingyu.text.numerals import CHINESE, COUNTED, value

ARTICLE = rf"第\s*[{CHINESE}\d]+\s*条(?:之[{CHINESE}\d]+)?"
"""第五条, 第 28 条之一, as part of a pattern."""
ITEM = rf"[（(][{COUNTED}\d]+[）)]"
"""（三）, (3), as part of a pattern."""
STATUTE_ITEM = rf"[（(][{COUNTED}]{{1,3}}[）)]"
"""（三）, the item numbers of Chinese statutes only, as part of a pattern."""

TITLE = re.compile(r"《([^《》]+)》")
ITEM_HEAD = re.compile(rf"^\s*{ITEM}\s*")
# At the end of a heading: 第五条, 第十二条之一; Article 5, Section 12a.
LABEL = re.compile(rf"({ARTICLE}|(?:Article|Section) \d+[a-z]?)$")
# An article of a law with its text, as listed in consultation corpora.
LAW = re.compile(rf"《(.+?)》(第[^：:]{{1,12}}?条(?:之[{CHINESE}]+)?)[：:]\s*(.*)", re.DOTALL)
# Treated as one word in indexing and questions: 第二十八条 and 第28条 are the same.
PROVISION = re.compile(rf"第\s*([{CHINESE}]+|\d+)\s*([条章节款项编])")
# An article number, and the title of a law: candidates for single tokens of the vocabulary. Han characters only.
ONE_WORD = re.compile(rf"第[{CHINESE}]+条|(?<=《)[\u3400-\u9fff]+(?=》)")
# References to text outside the sentence.
POINTS_ELSEWHERE = rf"前[款项条]|本[款项条章节](?!例)|[下上]列|第[{CHINESE}\d（(]+[条款项章）)]"

_CITED = re.compile(rf"第\s*([{CHINESE}\d]+)\s*条(?:之([{CHINESE}\d]+))?|\b(?:article|section|art\.)\s*(\d+[a-z]?)\b")

_NUMBER = f"[0-9{CHINESE}]+"
# 第五条 at the start of an article, not a reference to one such as "第五条规定的".
HEADING = re.compile(rf"(第({_NUMBER})条(之{_NUMBER})?)(?=(\s|[:：、*【])|$|(?!规定|的|第|所|和|至|或|，|。|；|》))")
UNIT = re.compile(rf"(第{_NUMBER}(编|分编|章|节))[\s:：、]*(.{{0,40}})")
# A line that starts with this starts an article or unit, whatever precedes it.
PART = re.compile(rf"第{_NUMBER}(?:条(?:之{_NUMBER})?|编|分编|章|节)\s")


def cited(text: str) -> list[str]:
    """The articles cited by a text, in normalised form: 第二十八条之一 and 第28条之一 are 28-1, Section 12a is 12a."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return [english or f"{value(number)}{f'-{value(second)}' if second else ''}" for number, second, english in _CITED.findall(folded)]


def without_citations(text: str) -> str:
    """A folded text with each cited article replaced by a space."""
    return _CITED.sub(" ", text)


def titles(text: str) -> frozenset[str]:
    """The titles cited by a text, without the name of the state."""
    return frozenset(title.removeprefix("中华人民共和国") for title in TITLE.findall(text))
