"""What kind of thing a question asks for – who, where, when, how many – and whether a sentence has one.

"谁负责检查电池" is not answered by how often batteries are checked, however close the words. Wide on purpose: a sentence is only
turned away where nothing in it can be what was asked for.
"""

import re
import unicodedata

from lingyu.text.legal import ITEM_HEAD, without_citations
from lingyu.text.numerals import CHINESE

_COUNTED = r"(?=\s*(?:个|名|位|人|[次回趟遍条张台架件种类层年月天日周号点秒元块米斤吨倍度岁级]|小时|分钟?|公[里斤]|千[米克]))"
_FIGURE = (
    rf"\d|[{CHINESE}万亿半双]"
    r"|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|hundred|thousand|half|twice|once|no|none)\b"
)
_TIME = (
    r"[年月日天周时秒分]|每|定期|随时|立即|及时|前|后|期"
    r"|\b(?:before|after|during|until|every|each|daily|weekly|monthly|at once|immediately)\b"
)
_WHO = (
    r"由(?![此于来])|(?<![无载客有])人(?!群|口|流|次|工智)|[员者师]|[站队厂机班组店校院所处科局部市县区会船]长|经理|主任|机[关构]|部门|单位|政府|公安|派出所"
    r"|委员会|企业|公司|法院|[队组局]|业主|代表|客户|住户|居民|家长|老板|岗"
)
_WHO_IN_ENGLISH = (
    r"\b(?:\w+(?:er|or|ist|ant|ian)s?|person|people|pilot|lead|chief|staff|team|crew|authority|authorities|police|office|station|company"
    r"|nobody|everyone|everybody|anyone|who|you|they|he|she|we|one)\b"
)
_WHERE = r"[处区室库场站点所楼层路线院内外上下旁边向至到于在地]|周围"
_WHERE_IN_ENGLISH = r"\b(?:at|in|on|to|near|from|under|over|above|beside|within|inside|outside|between|by)\b"

_N = (
    rf"(?:[\d{CHINESE}半双两]|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|hundred)\s)"
    rf"[\d.,{CHINESE}万亿\s]*(?:个|多|以?上|以?下)?"
)
# A number without any unit: of a table, say.
_BARE = r"(?<![\d.])\d[\d.,]*(?!\s*[a-z\u4e00-\u9fff%℃°\d.,])"
# What is measured: how it is asked for, and the units of an answer.
_MEASURES = {
    "money": (
        r"多少钱|罚(?:款)?多少|多少(?:罚款|费用|元)|价格|售价|收费"
        r"|\bhow much (?:is|does \w+(?: \w+)? cost|must|will|would|money|fine)\b|\bwhat (?:fine|fee)\b|\bprice\b",
        rf"(?:{_FIGURE})[^，。；]*?[元倍万]|免费|无偿|费用|收取|免[收缴]|{_BARE}"
        r"|\b(?:free|fee|charged|cost|yuan|dollars?|euros?)\b|[$€¥￥]",
    ),
    "area": (
        r"面积|多少(?:平方|亩|公顷)|\bwhat area\b|\bhow many square\b",
        rf"平方|{_N}(?:亩|公顷|㎡|m2)|{_BARE}|\b(?:square|hectares?|acres?)\b",
    ),
    "speed": (
        r"时速|速度(?:是|有|为)?多|最快速度|\bspeed\b",
        rf"[每/]\s*(?:小?时|秒|分钟?)|时速|马赫|{_BARE}|\b(?:km/h|m/s|mph|knots?|per (?:second|hour)|a second)\b",
    ),
    "weight": (
        r"多重(?!要)|[几多少](?:公斤|千克|斤|吨)|重量(?:是|有|为)?多少|\bhow heavy\b|\bweight\b",
        rf"{_N}(?:公?斤|[千毫]?克|吨)|{_BARE}|\d\s*(?:kg|g|t|lb|tonnes?|kilo\w*|grams?|pounds?)\b|重",
    ),
    "distance": (
        r"多[高远宽深](?!的[价温学])|[几多少](?:公里|千米|米|厘米|海里)|\bhow (?:high|far|tall|wide|deep)\b"
        r"|\bhow many (?:metres|meters|feet|kilomet\w+)\b",
        rf"{_N}(?:公?里|[千厘毫]?米|海里)|{_BARE}|全部|所有|任何|不限"
        r"|\d\s*(?:m|km|cm|mm|ft|feet|foot|miles?|kilomet\w+)\b|\b(?:any|unlimited|met(?:re|er)s?)\b",
    ),
    "temperature": (r"多少度|几度|多少摄氏度|\btemperature\b", rf"{_N}(?:摄氏)?度|℃|°|{_BARE}|\bdegrees?\b"),
    "people": (
        r"几个?人|多少人|几名|\bhow many (?:people|persons|pilots|crew)\b",
        r"人|名|员|[一两二三四五六七八九十]飞|\b(?:people|persons?|pilots?|crew|staff|alone|nobody)\b",
    ),
}

# Which words ask for it. The first that is found counts: 多少钱 asks for money, not for a count.
ASKS = {
    "who": r"(?<!谁[\u4e00-\u9fff])谁(?![\u4e00-\u9fff]谁|先)|何人|什么人|哪[个些家]?(?:部门|单位|机构|机关|岗位|人|官员)|\bwho(?:m|se)?\b",
    **{name: asks for name, (asks, _) in _MEASURES.items()},
    "how long": r"多久|多长时间|多少[天年月日周]|几(?:[天年月日周秒]|小时|分钟|个月)|\bhow (?:long|often|soon)\b",
    "how many": rf"多少(?!钱)|几{_COUNTED}|多[高重大远快深宽长]|\bhow (?:many|much|high|heavy|far|fast|old|large|big|deep|wide)\b",
    "when": r"什么时[候间]|何时|哪一?[天年日月]|几[点号月]|\b(?:when|what time|which day)\b(?! (?:i|we|you|the|a|my|it|there)\b)",
    "where": r"哪里|哪儿|何处|在哪|什么地[方点]|\bwhere\b",
}
# What may be it, in a sentence without the numbers of articles and items.
HAS = {
    "who": f"{_WHO}|{_WHO_IN_ENGLISH}",
    **{name: has for name, (_, has) in _MEASURES.items()},
    "how long": rf"{_BARE}|{_TIME}|次|\b(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|times|flights?|cycles?|always|never)\b",
    "how many": rf"{_FIGURE}|全部|所有|任何|不限|\b(?:all|any|every|each|unlimited)\b",
    "when": rf"{_FIGURE}|{_TIME}|夜|晚|白天|\b(?:when|while|night|dawn|dusk|\w+day)\b",
    "where": f"{_WHERE}|{_WHERE_IN_ENGLISH}",
}
_ASKS = {kind: re.compile(pattern) for kind, pattern in ASKS.items()}
_HAS = {kind: re.compile(pattern) for kind, pattern in HAS.items()}


def asked_for(question: str) -> str | None:
    """who, a measure, how long, how many, when or where; None if the question asks for none of them."""
    text = folded(question)
    return next((kind for kind, pattern in _ASKS.items() if pattern.search(text)), None)


def without_asking(text: str) -> str:
    """A question in folded text without the words that ask: 飞多高 leaves 飞."""
    return re.sub("|".join(f"(?:{pattern})" for pattern in ASKS.values()), " ", text)


def has(kind: str, sentence: str, exactly: bool = True) -> bool:
    """Whether something in the sentence may be what a question of this kind asks for.

    exactly: of a measure, a figure in a unit of it; else any figure.
    """
    text = without_citations(ITEM_HEAD.sub("", folded(sentence)))
    return bool(_HAS[kind].search(text) or (not exactly and kind in _MEASURES and _HAS["how many"].search(text)))


def folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
