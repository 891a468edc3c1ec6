"""Text normalisation, and the key under which two texts count as the same."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lingyu.text.symbols import PRIVATE

# Characters that NFKC must not change because they carry meaning: Chinese punctuation, the ellipsis, ①, the 2 of m², ′ and ″.
_FOLDED = re.compile(r"[^，；：？！（）～…′″①-⓿¹²³⁰-₎]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffe\uffff]")
_CJK = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WIDE_MARK = re.compile(rf"[,;:?!](?<=[{_CJK}].)(?=[{_CJK}\s]|$)")  # the mark first, so that the search skips from mark to mark
_WIDE = {",": "，", ";": "；", ":": "：", "?": "？", "!": "！"}

# CJK radicals that PDF fonts produce in place of characters. NFKC replaces the Kangxi block (⽤ → 用) but only two of this one.
# The pairs follow the names and shapes of the Unicode block 2E80–2EF3; components that are not characters are omitted.
_RADICALS = (
    "⺁厂⺄乙⺅亻⺆冂⺈刀⺉刂⺊卜⺌小⺍小⺎兀⺏尣⺐尢⺒巳⺓幺⺔彑⺕彐⺖忄⺘扌⺙攵⺛旡⺜日⺝月⺞歺⺟母⺠民⺡氵⺢氺⺣灬⺤爫⺥爫⺦丬⺧牛⺨犭⺩王⺪疋⺫罒"
    "⺬示⺭礻⺮竹⺯糹⺰纟⺱罓⺲罒⺶羊⺷羊⺸羊⺹耂⺻聿⺼肉⺽臼⺾艹⺿艹⻀艹⻁虎⻂衤⻃覀⻄西⻅见⻆角⻈讠⻉贝⻊足⻋车⻌辶⻍辶⻎辶⻏阝⻐钅⻑長⻒镸⻓长⻔门⻖阝⻗雨⻘青⻙韦⻚页"
    "⻛风⻜飞⻝食⻟飠⻠饣⻢马⻣骨⻤鬼⻥鱼⻦鸟⻧卤⻨麦⻩黄⻪黾⻫斉⻬齐⻭歯⻮齿⻯竜⻰龙⻱龜⻲亀⻳龟"
    # NFKC maps this Kangxi radical to the traditional 戶, but fonts of simplified Chinese mean 户.
    "⼾户"
)
RADICALS = str.maketrans({**dict(zip(_RADICALS[::2], _RADICALS[1::2], strict=True)), "㎡": "m²", "㎥": "m³"}) | PRIVATE


def normal(text: str) -> str:
    """The text in NFKC, with radicals replaced, without control characters and extra spaces, with Chinese punctuation in Chinese."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _unusual().search(text):  # most texts need no change, which one search can tell
        text = text.translate(RADICALS)
        text = _FOLDED.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
        text = _CONTROLS.sub("", text)
    text = _WIDE_MARK.sub(lambda mark: _WIDE[mark[0]], text)
    text = re.sub(r"\(([一二三四五六七八九十]{1,3})\)", r"（\1）", text)  # the numbers of a statute's items
    if "  " in text:
        text = re.sub(r"(?<=\S) {2,}(?=\S)", " ", text)  # inside a line only: at its start spaces are the layout of code and lists
    if " \n" in text or "\t\n" in text:
        text = re.sub(r"[ \t]+(?=\n)", "", text)
    if "\n\n\n" in text:
        text = re.sub(r"\n{3,}", "\n\n", text)
    return text.strip()


@cache
def _unusual() -> re.Pattern[str]:
    """Matches any character that normalisation may change, alone or with its neighbours."""
    every = [*map(chr, [*range(0xD800), *range(0xE000, 0x10000)])]
    changed = {one for one in "".join(_FOLDED.findall("".join(every))) if not unicodedata.is_normalized("NFKC", one)}
    found = changed.union(_CONTROLS.findall("".join(every)), map(chr, RADICALS), map(chr, range(0x1160, 0x1200)))
    # Marks, and parts of Korean syllables, combine with the preceding character.
    points = sorted(map(ord, found.union(one for one in every if unicodedata.category(one)[0] == "M")))
    begins = [point for point, before in zip(points, [-2, *points], strict=False) if point != before + 1]
    ends = [point for point, after in zip(points, [*points[1:], -1], strict=True) if point != after - 1]
    ranges = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in zip(begins, ends, strict=True))
    return re.compile(f"[{ranges}\U00010000-\U0010ffff]")


@lru_cache(maxsize=1 << 13)  # the rules and searches of a stage repeatedly need the keys of the same texts
def key(text: str) -> str:
    """What stays when width, case, punctuation and spaces do not count, by which two texts are the same.

    Digits stay apart: 3–5 is not 35. Signs that a reader would not overlook stay: >5 and <5, CD4+ and CD4-, C# and C, 5% and 5,
    10⁹ and 10⁻⁹, 👍 and 👎 differ. A hyphen within a word or a range is punctuation: Wi-Fi is WiFi, 3-5 is 3~5.
    """
    if len(text) >= LONG and (quick := quick_key(text)) is not None:
        return quick
    return exact_key(text)


def exact_key(text: str) -> str:
    """The key of any text, by regular expressions."""
    text = normal(text).casefold()
    if not _MARKED.search(text):
        return "".join(_WORDS.findall(text))
    text = re.sub(r",(?<=\d,)(?=\d{3}(?!\d))", "", text)
    kept, end = [], -1  # end: of the last piece, where that is a digit
    for piece in _kept().finditer(text):
        start = piece.start()
        if 0 <= end < start and text[start].isdecimal():
            kept.append("." if text[end:start] == "." else " ")
        kept.append(_SAME_SIGN.get(piece[0], piece[0]))
        end = piece.end() if text[piece.end() - 1].isdecimal() else -1
    return "".join(kept)


def quick_key(text: str) -> str | None:
    """The same by table lookup, eight times as fast for a long text; None if the text has an unusual character."""
    text = text.strip()
    units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16)
    kept = _kept_units()[units]
    if not kept.size or kept.max() == _UNUSUAL_UNIT:
        return None
    doubtful = np.flatnonzero(kept == _DOUBTFUL_UNIT)
    if doubtful.size:
        if "  " in text:  # normal() collapses spaces, and the neighbours of a sign matter
            return None
        kept[doubtful] = [ord(_SAME_SIGN.get(sign[0], sign[0])) if (sign := _sign().match(text, at)) else 0 for at in doubtful.tolist()]
    is_digit = kept - np.uint16(ord("0")) < 10
    if is_digit.any():
        shown = np.flatnonzero(kept)
        apart = np.flatnonzero(is_digit[shown[1:]] & is_digit[shown[:-1]] & (shown[1:] - shown[:-1] > 1))
        for last, first in zip(shown[apart].tolist(), shown[apart + 1].tolist(), strict=True):
            gap = text[last + 1 : first]
            if gap != "," or not _THOUSAND.match(text, first):
                kept[last + 1] = ord("." if gap == "." else " ")
    return kept[kept > 0].tobytes().decode("utf-16-le")


@cache
def _kept_units() -> npt.NDArray[np.uint16]:
    """For each UTF-16 unit its character in a key, 0 for none, and a mark if regular expressions must decide."""
    table = np.full(1 << 16, _UNUSUAL_UNIT, np.uint16)
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 1 << 16)]))
    unusual, digits, words = (set("".join(pattern.findall(every))) for pattern in (_unusual(), _DIGIT, _WORDS))
    for character in every:
        folded = character.casefold()
        if len(folded) == 1 and character not in unusual and (folded not in digits or character in "0123456789"):
            table[ord(character)] = ord(folded) if folded in words else 0
    signs = _ALWAYS.findall("".join(map(chr, range(0xD800))))
    for kept, characters in ((signs, signs), (_DOUBTFUL, [chr(_DOUBTFUL_UNIT)] * len(_DOUBTFUL))):
        for sign, unit in zip(kept, characters, strict=True):
            if table[ord(sign)] != _UNUSUAL_UNIT:
                table[ord(sign)] = ord(unit)
    return table


# Signs that are always significant: comparison and arithmetic, superscript signs, arrows, marks of yes, no and
# rating, emoji without their skin tones. Left out: what is used as a dot, a bullet or a dash.
_ALWAYS = re.compile("[+±<>=^×÷⁺⁻⁼₊₋₌←-⇿∀-∑∓∔√-∵∽-⋄⋆-⋮⋰-⋿▲△▼▽☀-⛿✅✈-✍✓-✘✚❌❎❓❤➕-➗⩽⩾\U0001f1e6-\U0001f3fa\U0001f400-\U0001faff]")
# Signs that are significant depending on their neighbours.
_DOUBTFUL = "-−‐–#%‰°′″$¥€£*"
_BESIDE = rf"\d[{_CJK}]"
_SIGN = "|".join(
    [
        # A minus, unless it is the hyphen of a range (3-5, 3月-5月, 5%-8%) or of a word (COVID-19).
        r"(?<![0-9A-Za-z%‰°′″\-−‐–—~～])(?<!\d )"
        rf"(?<!{_BESIDE})(?<!{_BESIDE}[{_CJK}])(?<!{_BESIDE} )(?<!{_BESIDE}[{_CJK}] )[-−‐–](?=\d)",
        r"(?<=\d[eE])[-−](?=\d)",
        # A sign behind a name: CD4-, type A-.
        rf"(?<=[0-9A-Za-z])[-−](?=[{_CJK}，。；、：？！）”’」』】,.;:?!)\]\"']|\Z)",
        r"(?:(?<![0-9A-Za-z].)(?<=[A-Za-z])|(?<=[A-Za-z]\d))[-−](?= (?!\s*\n))",
        r"(?<=[(（\[【“‘「『\"'])[-−](?=[)）\]】”’」』\"'])",
        r"(?<=[0-9A-Za-z])#(?![0-9A-Za-z])",
        r"(?<=\d)[%‰°′″]|(?<=\d )[%‰°]",
        r"[$¥€£](?= ?\d)|(?<=\d)[$¥€£]",
        r"(?<=\d)\*(?=\d)",
    ]
)


@cache
def _sign() -> re.Pattern[str]:
    """One such sign, at a place; made when it is needed, which takes its time."""
    return re.compile(_SIGN)


_SAME_SIGN = {"−": "-", "‐": "-", "–": "-", "*": "×", "≦": "≤", "≧": "≥", "⩽": "≤", "⩾": "≥"}

LONG = 200  # characters; regular expressions are faster for shorter texts
_UNUSUAL_UNIT, _DOUBTFUL_UNIT = np.uint16(0xFFFF), np.uint16(0xFFFE)
_THOUSAND = re.compile(r"\d{3}(?!\d)")
_DIGIT = re.compile(r"\d")
_WORDS = re.compile(r"[^\W_]+")
_MARKED = re.compile(rf"\d|{_ALWAYS.pattern}|[{re.escape(_DOUBTFUL)}]")


@cache
def _kept() -> re.Pattern[str]:
    return re.compile(rf"[^\W_]+|{_ALWAYS.pattern}|{_SIGN}")


def without_signs(keyed: str) -> str:
    """A key without its signs, for what is to stay together whichever sign it has. A minus before a number stays."""
    if not _ANY_SIGN.search(keyed):
        return keyed
    return _SIGNS.sub(lambda signs: " " if _BETWEEN_DIGITS.match(keyed, max(0, signs.start() - 1), signs.end() + 1) else "", keyed)


_SIGNS = re.compile(rf"(?:{_ALWAYS.pattern}|[#%‰°′″$¥€£]|-(?!\d))+")
_ANY_SIGN = re.compile(rf"[{_ALWAYS.pattern[1:-1]}#%‰°′″$¥€£-]")
_BETWEEN_DIGITS = re.compile(r"\d\D+\d")


def simplified(text: str) -> str:
    """The text in simplified characters, converted by words: 乾隆 and 著名 stay, 乾燥 becomes 干燥."""
    return text if text.isascii() else str(_converter().convert(text))


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")


_HAN = re.compile(rf"[{_CJK}⺀-⿕]+")
_LATIN = re.compile(r"[A-Za-z]{2,}")


def language_of(text: str, otherwise: Literal["zh", "en"] = "zh") -> Literal["zh", "en"]:
    """Chinese if the text has at least as many Chinese characters as Latin words; `otherwise` if it has neither."""
    characters, words = sum(map(len, _HAN.findall(text))), len(_LATIN.findall(text))
    if characters == words == 0:
        return otherwise
    return "zh" if characters >= words else "en"


def joined(first: str, second: str) -> str:
    """Two lines of a paragraph joined: without a space next to Chinese, and with a hyphen at the line end removed."""
    if not first or not second:
        return first + second
    if first[-1] == "-" and "a" <= first[-2:-1] <= "z" and second[0].islower():
        return first[:-1] + second
    beside = first[-1] + second[0]
    return first + ("" if re.search(rf"[{_CJK}⺀-⿕\u3000-\u303f\uff00-\uffef“”‘’…—]", beside) else " ") + second


class Joined:
    """Lines put together as `joined` does, in a time that grows with their length and not with its square."""

    def __init__(self, first: str) -> None:
        self._parts = [first]
        self.length = len(first)

    def add(self, line: str) -> None:
        """The next line of the paragraph."""
        seam = joined(self.last, line)
        self.length += len(seam) - len(self.last)
        if line:
            self._parts[-1:] = [seam[: len(seam) - len(line)], line]

    def below(self, line: str) -> None:
        """A line that stays one of its own."""
        self._parts += ["\n", line]
        self.length += 1 + len(line)

    @property
    def last(self) -> str:
        """The end of what there is, the last line or more of it."""
        return self._parts[-1]

    def __str__(self) -> str:
        return "".join(self._parts)
