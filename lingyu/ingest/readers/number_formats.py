"""A cell's value as Excel shows it by its number format: dates, percents, leading zeros, durations, thousands, fractions."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from lingyu.ingest.readers.numbering import chinese

# Formats that depend on the locale, and format numbers of the Chinese edition only (ECMA-376, 18.8.30, zh-cn).
SYSTEM = {14: "yyyy-mm-dd", 22: "yyyy-mm-dd hh:mm", 30: "yyyy-mm-dd"}
CHINESE = {
    **dict.fromkeys((27, 36, 50, 52, 57), 'yyyy"年"m"月"'),
    **dict.fromkeys((28, 29, 51, 53, 54, 58), 'm"月"d"日"'),
    **dict.fromkeys((34, 55), '上午/下午h"时"mm"分"'),
    **dict.fromkeys((35, 56), '上午/下午h"时"mm"分"ss"秒"'),
    31: 'yyyy"年"m"月"d"日"',
    32: 'h"时"mm"分"',
    33: 'h"时"mm"分"ss"秒"',
}
TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|[\\!](?P<escaped>.)|[_*].|\[(?P<elapsed>h+|m+|s+)\]|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<half>am/pm|a/p|上午/下午)|(?P<general>general)|(?P<part>\.0+(?=[^0#?]*$)|y+|m+|d+|h+|s+|a{3,4}|e(?![+-]))|(?P<sign>.)",
    re.IGNORECASE | re.DOTALL,
)
CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?[\d.]+)")
CURRENCY = re.compile(r"\$([^-]*)(?:-.*)?")
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# fmt: off
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
]
# fmt: on
FIRST = datetime(1899, 12, 30)


@dataclass(frozen=True)
class Section:
    """A section of a format between semicolons: its tokens (kind, text) and its condition."""

    tokens: tuple[tuple[str, str], ...]
    condition: tuple[str, float] | None
    is_date: bool
    numerals: str = ""  # [DBNum1]: 一百二十


@cache
def sections(code: str) -> tuple[Section, ...]:
    if "[$-F800]" in code.upper():
        code = "yyyy-mm-dd"
    if "[$-F400]" in code.upper():
        code = "h:mm:ss"
    parts = re.findall(r'((?:"[^"]*"?|\\.|\[[^\]]*\]|[^;"\\\[]|\[)*)(?:;|$)', code)[:4]
    if len(parts) > 1 and not parts[-1] and not code.endswith(";"):
        parts.pop()
    return tuple(map(section, parts))


def section(text: str) -> Section:
    tokens: list[tuple[str, str]] = []
    condition, numerals = None, ""
    for found in TOKEN.finditer(text):
        kind = found.lastgroup or ""
        said = found[kind] if kind else ""
        if kind == "bracket":
            if match := CONDITION.fullmatch(found["bracket"]):
                condition = (match[1], float(match[2]))
            elif match := CURRENCY.fullmatch(found["bracket"]):
                tokens.append(("text", match[1]))
            elif found["bracket"].lower().startswith("dbnum"):
                numerals = found["bracket"]
        elif kind in ("quoted", "escaped"):
            tokens.append(("text", found[kind]))
        elif kind:
            tokens.append((kind, said.lower() if kind != "sign" else said))
    is_date = any(kind in ("elapsed", "half") or (kind == "part" and not said.startswith(".")) for kind, said in tokens)
    if not is_date:
        tokens = [piece for kind, said in tokens for piece in ([("sign", sign) for sign in said] if kind == "part" else [(kind, said)])]
    return Section(tuple(tokens), condition, is_date, numerals)


def shown(value: Any, code: str, first: datetime = FIRST) -> Any:
    """The value as text if its format changes how it looks, otherwise the value; "" if the format hides it."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return as_text(value, code) if "@" in code and code != "@" else value
    if value is None or (code in ("General", "@") and isinstance(value, int | float)):
        return plain(value)
    number = serial(value, first)
    part = section_for(number, sections(code))
    if part is None:
        return plain(value)
    if part.is_date:
        return as_date(number, part, first) if number >= 0 else plain(value)
    if not isinstance(value, int | float):
        value = number
    text = as_number(value, part, absolute=part is not sections(code)[0] and len(sections(code)) > 1)
    return value if text == str(value) else text


def plain(value: Any) -> Any:
    """A number rounded to Excel's 15 digits; a date in figures."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.15g}")
    if isinstance(value, datetime):
        return str(value.date()) if value.time() == time() else str(value)
    return str(value) if isinstance(value, date | time | timedelta) else value


def serial(value: Any, first: datetime) -> float:
    """A value as an Excel serial number: days and fractions of a day."""
    if isinstance(value, time):
        value = datetime.combine(first, value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        value = value.replace(tzinfo=None) - first
    return value / timedelta(days=1) if isinstance(value, timedelta) else float(value)


def section_for(number: float, parts: tuple[Section, ...]) -> Section | None:
    if not parts:
        return None
    numeric = parts[:3]
    if any(part.condition for part in numeric):
        for part in numeric:
            if part.condition is None or holds(number, *part.condition):
                return part
        return numeric[-1]
    if len(numeric) == 1 or number > 0 or (number == 0 and len(numeric) < 3):
        return numeric[0]
    return numeric[1] if number < 0 else numeric[2]


def holds(number: float, sign: str, bound: float) -> bool:
    return {
        "<": number < bound,
        ">": number > bound,
        "=": number == bound,
        "<=": number <= bound,
        ">=": number >= bound,
        "<>": number != bound,
    }[sign]


def as_text(value: str, code: str) -> str:
    """A text formatted by the text section of the format."""
    part = next((part for part in reversed(sections(code)) if ("sign", "@") in part.tokens), None)
    return "".join(value if said == "@" and kind == "sign" else said for kind, said in part.tokens) if part else value


def as_number(value: float, part: Section, absolute: bool) -> str:
    number = Decimal(f"{value:.15g}")
    sign = "-" if number < 0 and not absolute else ""
    number = abs(number)
    if any(kind == "general" for kind, _ in part.tokens):
        general = f"{plain(float(number))}"
        if part.numerals and number == int(number):
            general = chinese(int(number), *(("零壹贰叁肆伍陆柒捌玖", "仟佰拾") if part.numerals.endswith("2") else ()))
        return sign + "".join(general if kind == "general" else said for kind, said in part.tokens)
    pattern = "".join(said if kind == "sign" and said in "0#?.,%/Ee+-" else "\0" * bool(said) for kind, said in part.tokens)
    places = [at for at, (kind, said) in enumerate(part.tokens) if kind == "sign" and said in "0#?"]
    if not places:
        return sign * bool(part.tokens) + "".join(said for _, said in part.tokens)
    number *= 100 ** sum(token == ("sign", "%") for token in part.tokens)
    if re.search(r"[0#?][Ee][+-]", pattern):
        return sign + scientific(number, part)
    if re.search(r"[0#?]\s*\x00?/\x00?\s*[0#?\d]", pattern) or re.search(r"[0#?]/", pattern):
        return sign + as_fraction(number, part)
    return sign + digits(number, part, places)


def digits(number: Decimal, part: Section, places: list[int]) -> str:
    tokens = list(part.tokens)
    point = next((at for at, token in enumerate(tokens) if token == ("sign", ".")), None)
    whole = [at for at in places if point is None or at < point]
    after = [at for at in places if point is not None and at > point]
    commas = [at for at, token in enumerate(tokens) if token == ("sign", ",")]
    end = whole[-1] if whole else -1
    scaled = [at for at in commas if at > end and all(tokens[between] == ("sign", ",") for between in range(end + 1, at))] if whole else []
    last = after[-1] if after else None
    scaled += [at for at in commas if last is not None and at > last and all(tokens[b] == ("sign", ",") for b in range(last + 1, at))]
    thousands = any(whole and whole[0] < at < end for at in commas)
    number /= Decimal(1000) ** len(scaled)
    number = number.quantize(Decimal(1).scaleb(-len(after)), ROUND_HALF_UP)
    left, _, right = f"{number:f}".partition(".")
    left = left.lstrip("0")
    filled: dict[int, str] = {}
    for count, at in enumerate(reversed(whole)):
        if count == len(whole) - 1:
            said, left = left, ""
        else:
            said, left = left[-1:], left[:-1]
        said = said or ("0" if tokens[at][1] == "0" else "")
        filled[at] = said
    if thousands:
        joined = "".join(filled[at] for at in whole)
        filled = dict.fromkeys(whole, "")
        filled[whole[-1]] = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", joined)
    elif not whole and left:
        filled[-1] = left
    for at, digit in zip(after, right, strict=False):
        filled[at] = digit
    for at in reversed(after):
        if filled.get(at) != "0" or tokens[at][1] == "0":
            break
        filled[at] = ""
    said = filled.pop(-1, "")
    for at, (kind, text) in enumerate(tokens):
        if kind == "sign" and at in filled:
            said += filled[at]
        elif kind != "sign" or (text != "," and at not in places):
            said += text
    return said.strip()


def scientific(number: Decimal, part: Section) -> str:
    code = "".join(said for kind, said in part.tokens if kind == "sign")
    mantissa, _, power = re.split(r"([Ee][+-])", code, maxsplit=1)
    decimals = len(re.findall(r"[0#?]", mantissa.partition(".")[2]))
    base, _, exponent = f"{number:.{decimals}E}".partition("E")
    width = len(re.findall(r"[0#?]", power))
    return f"{base}E{exponent[0] if '+' in code or exponent[0] == '-' else ''}{exponent[1:].lstrip('0').rjust(width, '0')}"


def as_fraction(number: Decimal, part: Section) -> str:
    code = "".join(said if kind == "sign" else " " for kind, said in part.tokens)
    above, _, below = code.partition("/")
    fixed = re.search(r"[1-9]\d*", below)
    value = Fraction(number)
    has_whole = bool(re.search(r"[0#?]\s+[0#?]", above))
    whole, rest = divmod(value, 1) if has_whole else (0, value)
    if fixed:
        top, bottom = round(rest * int(fixed[0])), int(fixed[0])
    else:
        near = rest.limit_denominator(10 ** max(1, len(re.findall(r"[0#?]", below))) - 1)
        top, bottom = near.numerator, near.denominator
    if has_whole and top == bottom:
        whole, top = whole + 1, 0
    if not top:
        return str(int(whole))
    return f"{int(whole)} {top}/{bottom}" if whole else f"{top}/{bottom}"


def as_date(number: float, part: Section, first: datetime) -> str:
    """A date, a time of day or an elapsed time."""
    finest = next((len(said) - 1 for kind, said in part.tokens if kind == "part" and said.startswith(".")), 0)
    steps = 10**finest
    ticks = round(number * 86400 * steps)  # seconds, or parts of them, since the first day
    try:
        moment = first + timedelta(seconds=ticks // steps)
    except OverflowError:
        return str(number)
    halved = any(kind == "half" for kind, _ in part.tokens)
    marks = [(kind, said) for kind, said in part.tokens if kind in ("part", "elapsed")]
    at, text = -1, ""
    for kind, said in part.tokens:
        if kind in ("part", "elapsed"):
            at += 1
        if kind == "elapsed":
            passed = ticks // steps // {"h": 3600, "m": 60, "s": 1}[said[0]]
            text += str(passed).rjust(len(said), "0")
        elif kind == "half":
            late = moment.hour >= 12
            early_and_late = {"am/pm": "AM PM", "a/p": "A P"}.get(said, "上午 下午").split()
            text += early_and_late[late]
        elif kind == "part":
            before, after = marks[at - 1][1] if at else "", marks[at + 1][1] if at + 1 < len(marks) else ""
            minute = said[0] == "m" and len(said) <= 2 and (before[:1] == "h" or after[:1] == "s")
            text += date_part(moment, said, minute, halved) if said[0] != "." else "." + str(ticks % steps).rjust(finest, "0")
        else:
            text += said
    return text.strip()


def date_part(moment: datetime, said: str, minute: bool, halved: bool) -> str:
    kind, width = said[0], len(said)
    if kind == "y":
        return f"{moment.year % 100:02}" if width <= 2 else f"{moment.year:04}"
    if kind == "e":
        return str(moment.year)
    if kind == "a":
        return ("星期" if width == 4 else "") + "一二三四五六日"[moment.weekday()]
    if kind == "m" and not minute and width > 2:
        name = MONTHS[moment.month - 1]
        return {3: name[:3], 4: name}.get(width, name[0])
    if kind == "d" and width > 2:
        name = DAYS[moment.weekday()]
        return name[:3] if width == 3 else name
    hour = (moment.hour % 12 or 12) if halved else moment.hour
    number = {"m": moment.minute if minute else moment.month, "d": moment.day, "h": hour, "s": moment.second}[kind]
    return str(number).rjust(min(width, 2), "0")
