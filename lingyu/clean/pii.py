"""Personal data found by rules: masked and counted, never stored.

A pattern is not enough: one in ten order numbers looks like a bank card. A number must also have a valid check character, must not
be called something else by the preceding words (订单号, version), and must not be an amount. Texts are expected in the form of
`normalise.normal`. Chinese has no word boundaries, so the boundaries of every pattern are explicit, in ASCII.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import NamedTuple

from lingyu.clean.checksums import is_credit_code, is_day, is_ipv6, is_issued, is_old_resident_id, is_resident_id, passes_luhn
from lingyu.clean.names import Span, address_in, name_in
from lingyu.clean.ner import tagger
from lingyu.records import Language

# Words before a number that name its kind; the nearest decides. Chinese words first, then English ones, matched as whole words.
_CALLED = {
    "phone": (
        "电话|手机|座机|热线|传真|联系|微信|致电|拨打|来电|短信|号主|机主|先生|女士|老师|客户|用户|员|收件人|收货人|本人",
        "tel|telephone|phone|mobile|cell|cellphone|fax|call|called|text|whatsapp|wechat|sms|contact|m|t|p|ph|tel no",
    ),
    "card": (
        "银行卡|信用卡|储蓄卡|借记卡|卡号|账号|帐号|账户|帐户|银联|工行|建行|农行|招行|中行",
        "card|account|acct|visa|mastercard|unionpay|amex",
    ),
    "id": ("身份证|身份号|证件|公民身份|居民证|驾驶证|驾照|社保|医保", "resident id|id card|identity|id number|id no|national id|id"),
    "code": ("信用代码|信用码|税号|识别号|营业执照", "uscc|credit code|taxpayer"),
    "passport": ("护照|通行证|旅行证|台胞证|回乡证", "passport|travel document"),
    "net": (
        "地址|服务器|主机|网关|路由|域名|端口|终端|网段|掩码",
        "ip|ipv4|ipv6|address|host|server|dns|ping|ssh|gateway|login|client|node|subnet|router|from|src|dst",
    ),
    "other": (
        "订单|单号|运单|快递号|流水|交易号|编号|序列号|序号|批号|批次|型号|货号|料号|零件号|条码|条形码|合同号|合同编|发票|凭证|档案号|案号"
        "|文号|学号|工号|工单|保单|任务号|设备号|设备码|串号|注册号|商品|版本|固件|内核|升级|补丁|时间戳|坐标|经度|纬度|金额|价格|合计|总额|余额|主键|哈希|校验和|房间号"
        "|航班|车次|标准号|账单号|参考号|追踪号|取件码|验证码|会议号|计数",
        "imei|imsi|sn|s/n|isbn|issn|ean|upc|gtin|sku|serial|order|tracking|invoice|batch|lot|part|replaces|model|version|ver|build|firmware|release|kernel"
        "|receipt|ticket|ref|reference|transaction|trace|timestamp|epoch|hash|sha|md5|uuid|longitude|latitude|lat|lon|lng|amount|total|product|item|parcel"
        "|shipment|waybill|case|doi|pmid|patent|build|commit|rev|revision|flight|issue"
        "|user id|order id|product id|item id|device id|session|sequence|seq",
    ),
    "section": ("第|章|节|条|款|图|表|附录|见|§", "v|section|sec|clause|article|chapter|figure|fig|table|appendix|annex|see|oid"),
}


def _callers() -> dict[str, re.Pattern[str]]:
    """The words above by first letter: a single expression would try every word at every position."""
    by_first: dict[str, list[str]] = {}
    for name, (chinese, english) in _CALLED.items():
        for words, form in ((chinese, "(?:{})(?:编号)?"), (english, "(?<![a-z])(?:{})s?(?![a-z])")):
            same_first: dict[str, list[str]] = {}
            for word in words.split("|"):
                same_first.setdefault(word[0], []).append(word)
            for first, some in same_first.items():
                by_first.setdefault(first, []).append(f"(?P<{name}>{form.format('|'.join(some))})")
    return {first: re.compile("|".join(some)) for first, some in by_first.items()}


_CALLED_BY = _callers()
_TO_STOP = re.compile(r".*(?:[，。；,;!?！？\n]|[0-9]{4})", re.DOTALL)
_AMOUNT = re.compile(
    r"\s?(?:元(?!旦)|圆|万(?!分|一)|亿|块钱|美元|欧元|人民币|吨|公斤|千克|毫升|米|公里|平方|字节|次|人次|条记录|字(?!第)|bytes?|units|shares|people|dollars|yuan|[KMG]i?B(?![A-Za-z])|%|‰|°|/[A-Za-z]|RMB|CNY|USD)"
)
_GLUE = frozenset(string.ascii_letters + string.digits + "-_/=")
_GLUED = re.compile(r"([A-Za-z0-9]+)[-_/=]?\Z")
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s，。；）\u4e00-\u9fff]*\Z")


def called(match: re.Match[str]) -> str:
    """The kind named by the words right before the match: phone, card, id … or other; "" if none."""
    text, start = match.string, match.start()
    first = max(0, start - 28)
    stop = _TO_STOP.match(text, first, start)
    return last_word(text[stop.end() if stop else first : start])


@lru_cache(maxsize=256)  # the rules check the same positions
def last_word(before: str) -> str:
    before, place, name = before.lower(), 0, ""
    while place < len(before):
        words = _CALLED_BY.get(before[place])
        if found := words and words.match(before, place):
            place, name = found.end(), found.lastgroup or ""
        else:
            place += 1
    return name


def is_separate(match: re.Match[str]) -> bool:
    """The number is not part of a word, a URL or an amount."""
    text, start = match.string, match.start()
    if start and (text[start - 1] in "¥$€£" or (text[start - 1] == " " and text[start - 2 : start - 1] in set("¥$€£"))):
        return False
    glued = text[start - 1 : start] in _GLUE and _GLUED.search(text, max(0, start - 16), start)
    if glued and not (called(match) in {"phone", "card", "id"} and glued[1].isalpha()) and not (glued[1].isdigit() and len(glued[1]) > 6):
        return False
    in_address = "/" in text[max(0, start - 200) : start] and _ADDRESS.search(text, max(0, start - 200), start)
    return not in_address and not _AMOUNT.match(text, match.end())


def bare(found: str) -> str:
    """A number without separators."""
    return found.replace(" ", "").replace("-", "")


def resident_id(match: re.Match[str]) -> bool:
    number = bare(match[0])
    if not (is_resident_id(number) if len(number) == 18 else is_old_resident_id(number)):
        return False
    name = called(match)
    return name != "other" and (len(number) == 18 or name not in {"card", "phone"}) and is_separate(match)


def bank_card(match: re.Match[str]) -> bool:
    digits = bare(match[0])
    if not passes_luhn(digits):
        return False
    name = called(match)
    sure = name == "card" or len(digits) < len(match[0])
    return name not in {"other", "id", "code"} and is_issued(digits, sure) and is_separate(match)


def mobile(match: re.Match[str]) -> bool:
    return called(match) not in {"other", "id"} and is_separate(match)


def landline(match: re.Match[str]) -> bool:
    """With area code; without it only if the text says that it is a telephone number."""
    name = called(match)
    digits = bare(match["local"] or "")
    named = name == "phone" or (digits and name != "other" and not (len(digits) == 8 and is_day(digits[:4], digits[4:6], digits[6:])))
    return bool(named) and is_separate(match)


def foreign_phone(match: re.Match[str]) -> bool:
    """With country code; North American numbers also without, but not toll-free numbers."""
    digits, name = re.sub(r"\D", "", match[0]), called(match)
    if match[0].startswith("+"):
        return 9 <= len(digits) <= 15 and name not in {"other", "net"} and not _AMOUNT.match(match.string, match.end())
    free = re.match(r"1?(?:[2-9](?:00|11)|8(?:33|44|55|66|77|88))", digits)
    return not free and name != "other" and is_separate(match)


def credit_code(match: re.Match[str]) -> bool:
    return is_credit_code(bare(match[0])) and called(match) != "other"


_ORDINARY = re.compile(r"E[A-HJ-NP-Z]\d{7}|[EG]\d{8}")


def passport(match: re.Match[str]) -> bool:
    """Ordinary Chinese passports by their format; permits and others only if the text names them."""
    name, number = called(match), match[0].upper()
    if name == "passport":
        return not is_day(number[:4], number[4:6], number[6:])
    return bool(_ORDINARY.fullmatch(number)) and name in {"", "id", "phone"} and not is_day(number[1:5], number[5:7], number[7:9])


def plate(match: re.Match[str]) -> bool:
    """At least three digits, as in the standard; six characters for new-energy vehicles."""
    number = match["number"].upper()
    return sum(map(str.isdigit, number)) >= (3 if len(number) == 5 and number.isascii() else 2)


_WORD_BEFORE = re.compile(r"[A-Za-z_]+/?\Z")
_PORT = re.compile(r":\d{2,5}(?!\d)|/\d{1,2}(?!\d)")


def ip_address(match: re.Match[str]) -> bool:
    """Version numbers and sections look the same: small numbers count only if the text is about a network.

    Loopback and unspecified addresses and netmasks are not masked.
    """
    found, name = match[0], called(match)
    if ":" in found:
        return found.strip(":") not in {"", "1"} and is_ipv6(found)
    if name in {"other", "section"}:
        return False
    numbers = found.split(".")
    values = list(map(int, numbers))
    if max(values) > 255 or values[0] in {0, 127, 255} or any(len(number) > 1 and number[0] == "0" for number in numbers):
        return False
    glued = _WORD_BEFORE.search(match.string, max(0, match.start() - 8), match.start())
    if glued and glued[0].lower() not in {"ip", "ipv4"}:
        return False
    return max(values) > 31 or name == "net" or bool(_PORT.match(match.string, match.end()))


# File extensions in place of a top-level domain: icon@2x.png.
_FILES = r"(?:png|jpe?g|gif|svg|webp|ico|css|js|ts|map|jar|zip|gz|whl|md|txt|json|ya?ml)(?![A-Za-z0-9-])"


def email(match: re.Match[str]) -> bool:
    """Not the user in a repository URL: git@host:path."""
    text = match.string
    return not (match[0].lower().startswith("git@") and text[match.end() : match.end() + 1] in {":", "/"}) and not text.endswith(
        "://", 0, match.start()
    )


@dataclass(frozen=True)
class Shape:
    """The pattern of a kind of personal data, and an additional check."""

    pattern: re.Pattern[str]
    holds: Callable[[re.Match[str]], bool]

    def __call__(self, text: str) -> Iterator[Span]:
        return (match.span() for match in self.pattern.finditer(text) if self.holds(match))


@dataclass(frozen=True)
class Marked(Shape):
    """A Shape that contains a rare mark: the pattern is only tried next to that mark.

    lead: the pattern before the mark, up to it, in at most `reach` characters.
    """

    mark: re.Pattern[str]
    lead: re.Pattern[str]
    reach: int

    def __call__(self, text: str) -> Iterator[Span]:
        end = 0
        for mark in self.mark.finditer(text):
            place = mark.start()
            if place < end:
                continue
            lead = self.lead.search(text, max(end, place - self.reach), place)
            if lead and (match := self.pattern.match(text, lead.start())):
                end = match.end()
                if self.holds(match):
                    yield match.span()


def either(*shapes: Shape) -> Callable[[str], Iterator[Span]]:
    """Matches of any of the shapes."""
    return lambda text: chain.from_iterable(shape(text) for shape in shapes)


@dataclass(frozen=True)
class Rule:
    """Finds personal data of a kind, with its placeholder in Chinese and English.

    sign: a cheap pattern that every match contains and most texts do not.
    """

    finds: Callable[[str], Iterable[Span]]
    names: dict[Language, str]
    sign: re.Pattern[str]


# Seven digits with optional separators; two numbers with a dot between, or hexadecimal ones with colons.
_NUMBER = re.compile(r"[0-9](?:[ ()（）.—–+-]{0,3}[0-9]){6}")
_NETWORK = re.compile(r"[.:](?:(?<=[0-9]\.)[0-9]{1,3}\.[0-9]|(?<=:)(?::[0-9A-Fa-f]|[0-9A-Fa-f]{1,4}:))")
# The area codes in use, without their leading 0.
_CITY = (
    r"(?:10|2[0-57-9]|3(?:1\d|35|49|5\d|7\d|9[1-8])|4(?:1\d|2[179]|3\d|40|5\d|6[4-9]|7\d|8[23])|5(?:1\d|2[37]|3\d|4[36]|5\d|6[1-6]|7\d|80|9\d)"
    r"|6(?:3[1-5]|6[0-38]|9[12])|7(?:01|1\d|2[248]|3\d|4[3-6]|[5-7]\d|9\d)|8(?:1[2-9]|2[5-7]|3\d|[5-7]\d|8[3678]|9\d)|9(?:0[1-9]|1\d|3\d|4[13]|5[1-5]|[79]\d))"
)
_REGIONS = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_MOBILE = r"(?:3\d|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])"
_C = "[0-9A-HJ-NPQRTUWXYa-hj-npqrtuwxy]"
_AMERICAN = (
    r"[(1-9](?<![0-9][(1-9])(?<!\+[1-9])(?<![0-9][.-][(1-9])"
    r"(?:(?<=1)[ -](?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}-)|(?<=\()[2-9][0-9]{2}\) ?|(?<=[2-9])[0-9]{2}-)[2-9][0-9]{2}"
)
_LOCAL = "(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}"
_ascii = partial(re.compile, flags=re.ASCII)  # \d is 0 to 9 only, and faster
# A pattern matches its first character before its lookbehind, so that `re` skips quickly to candidates: three times as fast.
# In order of certainty, so that a resident ID is not read as a card, nor part of a card as a mobile number.
RULES = {
    "email": Rule(
        Marked(
            _ascii(
                rf"{_LOCAL}(?:@| ?[\[(（]at[\])）] ?)"
                rf"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{{0,62}}[A-Za-z0-9])?\.){{1,5}}(?!{_FILES})[A-Za-z]{{2,18}}(?![A-Za-z0-9])"
            ),
            email,
            _ascii(r"[@\[(（](?:(?<=@)|at[\])）])"),
            _ascii(rf"{_LOCAL} ?\Z"),
            reach=65,
        ),
        {"zh": "[邮箱]", "en": "[e-mail]"},
        _ascii(r"[@\[(（](?:(?<=@)|at[\])）])"),
    ),
    "credit_code": Rule(
        Shape(
            _ascii(
                rf"[1-9A-GNYa-gny](?<![0-9A-Za-z][0-9A-Za-z])[1-9]"
                rf"(?:([ -]?)\d{{6}}\1{_C}{{9}}\1{_C}|\d\d([ -])\d{{4}}\2{_C}{{4}}\2{_C}{{4}}\2{_C}{{2}})(?![0-9A-Za-z])"
            ),
            credit_code,
        ),
        {"zh": "[统一社会信用代码]", "en": "[credit code]"},
        _NUMBER,
    ),
    "resident_id": Rule(
        Shape(
            _ascii(
                r"[1-9](?<![0-9][0-9])(?<![0-9]\.\d)\d{5}"
                r"(?:([ -]?)(?:18|19|20)\d\d([ -]?)[01]\d[0-3]\d(?:\1|\2)\d{3}[ -]?[0-9Xx]|\d\d[01]\d[0-3]\d{4})(?![0-9A-Za-z])(?!-\d|\.\d)"
            ),
            resident_id,
        ),
        {"zh": "[身份证号]", "en": "[resident ID]"},
        _NUMBER,
    ),
    "bank_card": Rule(
        Shape(
            _ascii(
                r"[2-9](?<![0-9][0-9])(?<![0-9][.-][0-9])(?:\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?"
                r"|(?<=3)\d{3}([ -]?)\d{6}\2\d{4,5}|\d{5}([ -])\d{10,13})(?![0-9])(?![.-][0-9])"
            ),
            bank_card,
        ),
        {"zh": "[银行卡号]", "en": "[bank card]"},
        _NUMBER,
    ),
    "mobile": Rule(
        Shape(
            _ascii(
                r"[01+8(（](?<![0-9+][01+8(（])(?<![0-9][.-][01+8(（])"
                r"(?:(?<=1)|(?:(?<=[(（])(?:\+|00)?86[)）]|(?<=\+)86|(?<=0)086|(?<=8)6)[ -]?1)"
                rf"{_MOBILE}(?:\d{{8}}|([ -])\d{{4}}\1\d{{4}}|\d([ -])\d{{4}}\2?\d{{3}}|([ -])\d{{3}}\3\d{{5}}"
                r"|\d{4}[ -]\d{4}|[ -]\d{8})"
                r"(?![0-9])(?![.-][0-9])"
            ),
            mobile,
        ),
        {"zh": "[手机号]", "en": "[mobile number]"},
        _NUMBER,
    ),
    "foreign_phone": Rule(
        either(
            Shape(
                _ascii(r"\+(?<![A-Za-z0-9+]\+)(?<![0-9][.-]\+)(?!86)[1-9]\d{0,2}(?:[ .-]?\(?\d{1,5}\)?){2,6}(?![0-9])"),
                foreign_phone,
            ),
            Marked(
                _ascii(rf"{_AMERICAN}-\d{{4}}(?: ?(?:ext\.?|x) ?\d{{1,5}})?(?![0-9-])"),
                foreign_phone,
                _ascii(r"-(?=\d{4}(?![0-9-]))"),
                _ascii(rf"{_AMERICAN}\Z"),
                reach=14,
            ),
        ),
        {"zh": "[境外电话]", "en": "[foreign phone number]"},
        _NUMBER,
    ),
    "landline": Rule(
        Shape(
            _ascii(
                rf"[02-8+(（](?<![0-9][02-8+(（])(?<![0-9.][.-][02-8+(（])"
                rf"(?:(?:(?:(?<=\+)86|(?<=0)086|(?<=8)6)[ -]?(?:[(（]0?{_CITY}[)）]|{_CITY})"
                rf"|(?<=0){_CITY}|(?<=[(（])0{_CITY}[)）])(?: ?[-—–] ?| )?"
                r"(?P<local>[2-8]\d{2,3}[ -]?\d{4})|(?<=[2-8])(?<![-.+][2-8])(?<![0-9][ )）][2-8])\d{2,3}[ -]?\d{4})"
                r"(?: ?(?:转|分机|ext\.?|x) ?\d{1,5}|-\d{3,4}(?!\d))?(?![0-9])(?![.-][0-9])"
            ),
            landline,
        ),
        {"zh": "[电话号码]", "en": "[phone number]"},
        _NUMBER,
    ),
    "plate": Rule(
        Shape(
            _ascii(
                rf"[{_REGIONS}] ?[A-HJ-NP-Za-hj-np-z][ ·・•.-]?"
                r"(?P<number>[DABCEFGHJKdabcefghjk][A-HJ-NP-Za-hj-np-z0-9]\d{4}|\d{5}[DABCEFGHJKdabcefghjk]"
                r"|[A-HJ-NP-Za-hj-np-z0-9]{5}|[A-HJ-NP-Za-hj-np-z0-9]{4}[学警挂港澳使领])(?![A-Za-z0-9]|\.\d)"
            ),
            plate,
        ),
        {"zh": "[车牌号]", "en": "[licence plate]"},
        _ascii(r"[0-9]"),
    ),
    "passport": Rule(
        Marked(
            _ascii(r"[A-Za-z0-9](?<![A-Za-z0-9_./=-][A-Za-z0-9])(?:(?<=[A-Za-z])[A-Za-z]?|(?<=[0-9]))\d{7,8}(?![A-Za-z0-9_=-]|\.\d)"),
            passport,
            _ascii(r"[0-9](?<![0-9][0-9])\d{6,8}(?![A-Za-z0-9_=-]|\.\d)"),
            _ascii(r"[A-Za-z]{0,2}\Z"),
            reach=2,
        ),
        {"zh": "[护照号]", "en": "[passport number]"},
        _NUMBER,
    ),
    "ip": Rule(
        either(
            Marked(
                _ascii(
                    r"[0-9A-Fa-f:](?<![0-9A-Za-z_:.][0-9A-Fa-f:])(?:(?<=:)|[0-9A-Fa-f]{0,3}:)(?:[0-9A-Fa-f]{0,4}:){1,6}"
                    r"(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{1,4}|(?<=::))(?![0-9A-Za-z_]|:[0-9A-Fa-f:]|\.\d)"
                ),
                ip_address,
                _ascii(":(?=[0-9A-Fa-f]{0,4}:)"),
                _ascii(r"[0-9A-Fa-f]{0,4}\Z"),
                reach=4,
            ),
            Marked(
                _ascii(r"[0-9](?<![0-9_.][0-9])(?<![0-9]-[0-9])\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![A-Za-z0-9_]|\.\d|-\d)"),
                ip_address,
                _ascii(r"\.(?=\d{1,3}\.\d)"),
                _ascii(r"\d{1,3}\Z"),
                reach=3,
            ),
        ),
        {"zh": "[IP地址]", "en": "[IP address]"},
        _NETWORK,
    ),
    "address": Rule(address_in, {"zh": "[住址]", "en": "[address]"}, re.compile(r"[0-9]")),
    "name": Rule(name_in, {"zh": "[姓名]", "en": "[name]"}, re.compile("")),
}


class Find(NamedTuple):
    """The span and kind of personal data."""

    start: int
    end: int
    kind: str


def finds(text: str, kinds: Iterable[str], ner: str = "") -> list[Find]:
    """Personal data of these kinds, in order; if matches overlap, the rule that is earlier in RULES wins.

    ner: the folder of a model for names and addresses; rules take precedence over it.
    """
    found: list[tuple[int, int, str]] = []
    wanted = set(kinds)
    signs: dict[str, bool] = {}  # by expression string: hashing a compiled one takes a microsecond
    for kind, rule in RULES.items():
        if kind not in wanted:
            continue
        sign = rule.sign.pattern
        if sign not in signs:
            signs[sign] = bool(rule.sign.search(text))
        found_by = [rule.finds] if signs[sign] else []
        if ner and kind in BY_MODEL:
            found_by.append(partial(tagger(ner).finds, kind=kind))
        parts, end = [], 0
        for start, stop in sorted(span for find in found_by for span in find(text)):
            if start >= end and TAKEN not in text[start:stop]:
                found.append((start, stop, kind))
                parts += [text[end:start], TAKEN * (stop - start)]
                end = stop
        if parts:
            text = "".join([*parts, text[end:]])
    return list(map(Find._make, sorted(found)))


BY_MODEL = ("address", "name")
TAKEN = "\ue000"  # a private-use character; keeps the positions of what follows


class Mask:
    """Masks the texts of one row: a repeated value gets the same placeholder, a second value of the kind a numbered one.

    Values are only held while the row is processed. A placeholder derived from the value, such as a hash, could be reversed by trial.
    """

    def __init__(self, language: Language, kinds: Iterable[str], ner: str = "") -> None:
        self.counts: Counter[str] = Counter()
        self._language, self._kinds, self._ner = language, tuple(kinds), ner
        self._seen: dict[str, dict[str, int]] = {}

    def __call__(self, text: str) -> str:
        parts, end = [], 0
        for start, stop, kind in finds(text, self._kinds, self._ner):
            parts += [text[end:start], self._placeholder(kind, text[start:stop])]
            end = stop
            self.counts[kind] += 1
        return "".join([*parts, text[end:]])

    def _placeholder(self, kind: str, value: str) -> str:
        seen = self._seen.setdefault(kind, {})
        number = seen.setdefault(same(kind, value), len(seen) + 1)
        name = RULES[kind].names[self._language]
        return name if number == 1 else f"{name[:-1]}{number}]"


_BETWEEN = re.compile(r"[^0-9A-Za-z\u4e00-\u9fff]")


def same(kind: str, value: str) -> str:
    """A normal form of a value, equal for different spellings."""
    if kind in {"email", "ip", "name", "address"}:
        return "".join(value.split()).casefold()
    value = (value if value.isalnum() else _BETWEEN.sub("", value)).upper()
    return value[-11:] if kind == "mobile" else value  # without 86


def mask(text: str, language: Language, kinds: Iterable[str], ner: str = "") -> tuple[str, Counter[str]]:
    """The text with matches replaced by placeholders, and the number of matches by kind."""
    masked = Mask(language, kinds, ner)
    return masked(text), masked.counts
