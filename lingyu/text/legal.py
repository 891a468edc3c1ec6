"""The structure and citation of statutes: articles, units, items and titles; the same patterns for reading, training and metrics."""

import re
import unicodedata
from dataclasses import dataclass
from string import ascii_letters

from lingyu.text.numerals import CHINESE, COUNTED, value

ARTICLE = rf"第\s*[{CHINESE}\d]+\s*条(?:之[{CHINESE}\d]+)?"
"""第五条, 第 28 条之一, as part of a pattern."""
ITEM = rf"[（(][{COUNTED}\d]+[）)]"
"""（三）, (3), as part of a pattern."""
STATUTE_ITEM = rf"[（(][{COUNTED}]{{1,3}}[）)]"
"""（三）, the item numbers of Chinese statutes only, as part of a pattern."""

_NESTED = r"(?:[^《》]|《[^《》]*》)+"  # 《关于修改〈消防法〉的决定》 is often written with 《》 within 《》
TITLE = re.compile(rf"《({_NESTED})》")
ITEM_HEAD = re.compile(rf"^\s*{ITEM}\s*")
_ROMAN = r"(?=[IVXLC])(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_NUMBERED = rf"(?:\d+(?:\.\d+)*[A-Za-z]?|{_ROMAN})(?![\w])"
# At the end of a heading: 第五条, 第十二条之一; Article 5, Section 12a, Sec. 2, § 107.3.
LABEL = re.compile(rf"({ARTICLE}|(?:(?:Article|Art\.|Section|Sec\.) |§ ?){_NUMBERED})$")
# An article of a law with its text, as listed in consultation corpora.
LAW = re.compile(rf"《({_NESTED})》(第[^：:]{{1,12}}?条(?:之[{CHINESE}]+)?)[：:]\s*(.*)", re.DOTALL)
# Treated as one word in indexing and questions: 第二十八条 and 第28条 are the same.
PROVISION = re.compile(rf"第\s*([{CHINESE}]+|\d+)\s*([条章节款项编])")
# An article number, and the title of a law: candidates for single tokens of the vocabulary. Han characters only.
ONE_WORD = re.compile(rf"第[{CHINESE}]+条|(?<=《)[\u3400-\u9fff]+(?=》)")
# References to text outside the sentence.
POINTS_ELSEWHERE = rf"前[款项条]|本[款项条章节](?!例)|[下上]列|第[{CHINESE}\d（(]+[条款项章）)]"

_CITED = re.compile(
    rf"第\s*([{CHINESE}\d]+)\s*条(?:之([{CHINESE}\d]+))?"
    rf"|(?:\b(?:article|section|art\.|sec\.)|§+)\s*(\d+(?:\.\d+)*[a-z]?\b|{_ROMAN.lower()}\b(?<=[a-z][a-z]))"
)

_NUMBER = f"[0-9{CHINESE}]+"
# 第五条 at the start of an article, not a reference to one such as "第五条规定的".
HEADING = re.compile(rf"(第({_NUMBER})条(之{_NUMBER})?)(?=(\s|[:：、*【])|$|(?!规定|的|第|所|和|至|或|，|。|；|》))")
# The same of English law, where a title, a dash or a new sentence follows: "Section 2. Scope", "Article 5 Drones shall";
# not "Section 5 of this Act".
ENGLISH_HEADING = re.compile(
    rf"(Article|ARTICLE|Art\.|ART\.|Section|SECTION|Sec\.|SEC\.|§)\s*({_NUMBERED})"
    r"(?=\s*$|[.:](?:\s|$)|\s*[—–]|\s-\s|\s+[A-Z“\"\[]|\s+\((?!\d))"
)
ENGLISH_UNIT = re.compile(
    rf"((TITLE|Title|BOOK|Book|PART|Part|SUBPART|Subpart|DIVISION|Division|CHAPTER|Chapter|SUBCHAPTER|Subchapter|SCHEDULE|Schedule|ANNEX|Annex)"
    rf"\s+(?:{_NUMBERED}|[A-Z](?!\w)))[\s.:—–-]*(.{{0,80}})"
)
UNIT = re.compile(rf"(第{_NUMBER}(编|分编|章|节))[\s:：、]*(.{{0,40}})")
# A line that starts with this starts an article or unit, whatever precedes it.
PART = re.compile(rf"第{_NUMBER}(?:条(?:之{_NUMBER})?|编|分编|章|节)\s")


@dataclass(frozen=True)
class Heading:
    """The number that heads an article. label: 第五条, Section 2. kind: 条, Article, Section, §. further: 之一, or the a of 12a. apart:
    whether it is set off from what follows."""

    label: str
    kind: str
    number: tuple[int, ...]
    further: str
    apart: bool
    end: int


def heading(text: str) -> Heading | None:
    """The number with which a text begins, if it begins an article; a reference to one does not count."""
    if text[:1] not in "第ASas§" or not text:
        return None
    if found := HEADING.match(text):
        apart = found[4] is not None or not text[found.end() :]
        return Heading(found[1], "条", (value(found[2]),), found[3] or "", apart, found.end())
    if found := ENGLISH_HEADING.match(text):
        kind = {"art.": "Art.", "sec.": "Sec."}.get(found[1].lower(), found[1].capitalize())
        digits = found[2].rstrip(ascii_letters) or str(roman(found[2]))
        further = found[2].removeprefix(digits) if found[2][0].isdigit() else ""
        return Heading(f"{kind} {found[2]}", kind, tuple(map(int, digits.split("."))), further, True, found.end())
    return None


def without_heading(text: str, label: str) -> str:
    """An article's text without the number that heads it."""
    found = ENGLISH_HEADING.match(text)
    if found and not label.startswith("第"):
        return re.sub(r"^[\s.:—–-]+", "", text[found.end() :])
    return re.sub(rf"^{re.escape(label)}[\s:：.]*", "", text)


def roman(numeral: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[letter] for letter in numeral]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))


def bare_title(title: str) -> str:
    """A title without the 《》 around it, but for those that belong to a title within."""
    title = title.strip()
    while (found := TITLE.fullmatch(title)) is not None:
        title = found[1].strip()
    return title


def cited(text: str) -> list[str]:
    """The articles cited by a text, in normalised form: 第二十八条之一 and 第28条之一 are 28-1, Section 12a is 12a."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return [
        in_digits(english) or f"{value(number)}{f'-{value(second)}' if second else ''}"
        for number, second, english in _CITED.findall(folded)
    ]


def in_digits(number: str) -> str:
    return str(roman(number.upper())) if number[:1].isalpha() else number


def without_citations(text: str) -> str:
    """A folded text with each cited article replaced by a space."""
    return _CITED.sub(" ", text)


def titles(text: str) -> frozenset[str]:
    """The titles cited by a text, without the name of the state."""
    return frozenset(title.removeprefix("中华人民共和国").translate(_INNER) for title in TITLE.findall(text))


_INNER = str.maketrans("〈〉", "《》")
