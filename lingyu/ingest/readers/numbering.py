"""Word's automatic numbering: 第一条, 1.1, （一） and similar, which are not in the text of a paragraph but in its style."""

from dataclasses import dataclass, field
from typing import Any

from lingyu.text.numerals import WRITTEN

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


@dataclass
class Level:
    start: int = 1
    form: str = "decimal"
    text: str = ""
    after: str = "tab"
    restart: int | None = None  # the level, from 1, whose next number restarts this one; 0 for none
    plain: bool = False  # numbers of higher levels are shown as 1, 2, 3
    style: str = ""


@dataclass
class List:
    """A numbered list: its levels, and the list it shares its counters with."""

    counts_with: str
    levels: dict[int, Level]
    starts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts paragraph by paragraph, in document order."""

    def __init__(self, numbering: Any, styles: Any) -> None:
        """The roots of numbering.xml and styles.xml; either may be None."""
        self._lists = lists_of(numbering) if numbering is not None else {}
        self._styles = {style.get(f"{W}styleId"): style for style in styles.iter(f"{W}style")} if styles is not None else {}
        self._counts: dict[str, dict[int, int]] = {}
        self._begun: set[tuple[str, int]] = set()

    def label(self, paragraph: Any) -> str:
        """The number that Word shows before the paragraph, with its suffix; "" if there is none."""
        number, depth = self._place(paragraph)
        listed = self._lists.get(number)
        if listed is None or depth not in listed.levels:
            return ""
        counts = self._counts.setdefault(listed.counts_with, {})
        level = listed.levels[depth]
        if depth in listed.starts and (number, depth) not in self._begun:
            counts[depth] = listed.starts[depth]
        else:
            counts[depth] = counts[depth] + 1 if depth in counts else level.start
        self._begun.add((number, depth))
        for deeper in [other for other in counts if other > depth]:
            restart = listed.levels[deeper].restart if deeper in listed.levels else None
            if restart is None or 0 < depth + 1 <= restart:
                del counts[deeper]
        if level.form == "bullet":
            return "- "
        label = level.text
        for place, other in sorted(listed.levels.items(), reverse=True):
            value = counts.get(place, other.start)
            label = label.replace(f"%{place + 1}", numeral(value, "decimal" if level.plain and place != depth else other.form))
        return label + {"nothing": ""}.get(level.after, " ") if label else ""

    def _place(self, paragraph: Any) -> tuple[str, int]:
        """The list and level of a paragraph: its own, or inherited from its style."""
        properties = paragraph.find(f"{W}pPr")
        own = properties.find(f"{W}numPr") if properties is not None else None
        number, depth = value_of(own, "numId"), value_of(own, "ilvl")
        named = value_of(properties, "pStyle")
        seen: set[str] = set()
        while not number and named and named not in seen and (style := self._styles.get(named)) is not None:
            seen.add(named)
            shared = style.find(f"{W}pPr/{W}numPr")
            if number := value_of(shared, "numId"):
                of_style = [place for place, level in self._levels(number).items() if level.style == named]
                depth = depth or value_of(shared, "ilvl") or str(of_style[0] if of_style else 0)
            named = value_of(style, "basedOn")
        return number, int(depth) if depth.isdigit() else 0

    def _levels(self, number: str) -> dict[int, Level]:
        return self._lists[number].levels if number in self._lists else {}


def lists_of(numbering: Any) -> dict[str, List]:
    drawn = {item.get(f"{W}abstractNumId"): item for item in numbering.findall(f"{W}abstractNum")}
    by_style = {value_of(item, "styleLink"): name for name, item in drawn.items() if value_of(item, "styleLink")}
    lists = {}
    for item in numbering.findall(f"{W}num"):
        name = value_of(item, "abstractNumId")
        pattern = drawn.get(name)
        if pattern is not None and (link := value_of(pattern, "numStyleLink")):
            name = by_style.get(link, name)
            pattern = drawn.get(name)
        levels = levels_of(pattern) if pattern is not None else {}
        listed = List(name, levels)
        for change in item.findall(f"{W}lvlOverride"):
            place = int(change.get(f"{W}ilvl") or 0)
            levels.update(levels_of(change))
            if start := value_of(change, "startOverride"):
                listed.starts[place] = int(start)
        lists[item.get(f"{W}numId")] = listed
    return lists


def levels_of(parent: Any) -> dict[int, Level]:
    return {
        int(item.get(f"{W}ilvl") or 0): Level(
            start=int(value_of(item, "start") or 1),
            form=value_of(item, "numFmt") or "decimal",
            text=value_of(item, "lvlText"),
            after=value_of(item, "suff") or "tab",
            restart=int(restart) if (restart := value_of(item, "lvlRestart")) else None,
            plain=item.find(f"{W}isLgl") is not None,
            style=value_of(item, "pStyle"),
        )
        for item in parent.findall(f"{W}lvl")
    }


def value_of(parent: Any, name: str) -> str:
    """The value of the child with this name; "" if there is none."""
    child = parent.find(f"{W}{name}") if parent is not None else None
    return (child.get(f"{W}val") or "") if child is not None else ""


def numeral(number: int, form: str) -> str:
    """A number in one of Word's formats; digits for unknown formats."""
    if form in ("none", "bullet"):
        return ""
    if form in ("chineseCounting", "chineseCountingThousand", "japaneseCounting", "taiwaneseCounting", "taiwaneseCountingThousand"):
        return chinese(number)
    if form in ("ideographDigital", "taiwaneseDigital", "japaneseDigitalTenThousand"):
        return "".join(("〇" + WRITTEN[1:])[int(digit)] for digit in str(number))
    if form in ("chineseLegalSimplified", "ideographLegalTraditional"):
        return chinese(number, "零壹贰叁肆伍陆柒捌玖", "仟佰拾")
    if form == "ideographTraditional" and 0 < number <= 10:
        return "甲乙丙丁戊己庚辛壬癸"[number - 1]
    if form == "ideographZodiac" and 0 < number <= 12:
        return "子丑寅卯辰巳午未申酉戌亥"[number - 1]
    if form in ("decimalEnclosedCircle", "decimalEnclosedCircleChinese") and 0 < number <= 20:
        return chr(ord("①") + number - 1)
    if form in ("upperLetter", "lowerLetter") and number > 0:
        letters = chr(ord("A") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letters if form == "upperLetter" else letters.lower()
    if form in ("upperRoman", "lowerRoman") and 0 < number < 4000:
        return roman(number) if form == "upperRoman" else roman(number).lower()
    return f"{number:02}" if form == "decimalZero" else str(number)


def chinese(number: int, digits: str = WRITTEN, units: str = "千百十") -> str:
    """A number up to 9,999 in Chinese: 十, 二十一, 一百零五, 一千零二十."""
    if not 0 < number < 10000:
        return digits[0] if number == 0 else str(number)
    text, gap = "", False
    for digit, unit in zip(f"{number:04}", [*units, ""], strict=True):
        if digit == "0":
            gap = bool(text)
            continue
        text += (digits[0] if gap else "") + digits[int(digit)] + unit
        gap = False
    return text[1:] if text.startswith("一十") else text


def roman(number: int) -> str:
    text = ""
    signs = "M:1000 CM:900 D:500 CD:400 C:100 XC:90 L:50 XL:40 X:10 IX:9 V:5 IV:4 I:1"
    for sign, _, value in (pair.partition(":") for pair in signs.split()):
        text, number = text + sign * (number // int(value)), number % int(value)
    return text
