"""Rules for names and addresses of people, where the context makes them clear.

Names in the middle of a sentence are not found, and an office's address looks like a home address. Both rules are therefore off by
default; docs/benchmarks.md reports their recall.
"""

import re
from collections.abc import Iterator

Span = tuple[int, int]

_HAN = r"\u4e00-\u9fff"
# Surnames that are rarely the first character of another word after a role; the others count only with a colon or a sex as context.
_SURE = (
    "王李张刘陈杨赵黄周吴徐孙胡朱林郭罗梁宋郑谢韩唐冯董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范姚谭廖邹熊陆郝孔崔邱秦"
    "史顾侯邵孟龙段雷钱汤尹黎易武乔贺赖龚樊殷施陶翟倪严牛温芦俞章鲁葛韦毕聂焦柳邢岳齐庞庄涂詹"
)
_OTHERS = (
    "高马何于常康江安万方石白金毛洪华向文洋左成欧关苗曲路柴耿尚管童游阮古凌舒柯穆裴卜包查冉隋辛吉简饶应沙屈闫闵阳鄢卓晏宁祝樊骆蒙鲍全车甘项"
    "花喻麻甄宗房习计冀褚娄盛戚单束连景荣席时司卫娟乐于党宫封桂郎蓝栗娄苟莫牟米明木宁农区曲权冉戎佟危闻邬奚冼项幸胥宣燕羊伊印雍尤鱼"
)
_DOUBLE = "欧阳|上官|司马|诸葛|司徒|东方|皇甫|尉迟|公孙|慕容|长孙|宇文|夏侯|端木|令狐|独孤|南宫|轩辕|闻人|百里|呼延"
# 某 means that the name has already been removed.
_GIVEN = rf"(?![某先女])[{_HAN}](?:(?!某)[{_HAN}])?"
# 何 and 高, unless they begin a word that follows a role.
_NO_WORD = (
    "何(?![时在处以种人事况必不尝其等曾如日故去须止方年因为地物者])"
    "|高(?![度级速温空层考校等位峰达压新科管端价额于估喊兴声低烧血危龄热中手质效处薪贵超])"
)
# Non-greedy: the following text decides.
_ROLE_NAME = rf"(?:(?:{_DOUBLE})|[{_SURE}]|{_NO_WORD}){_GIVEN}?"
_ANY_NAME = rf"(?:(?:(?:{_DOUBLE})|[{_SURE}{_OTHERS}]){_GIVEN}|[{_HAN}]{{2,6}}·[{_HAN}]{{2,8}})"
_ROLE = (
    "原告人?|被告人?|上诉人|申请人|被执行人|嫌疑人|驾驶[人员]|当事人|患者|病人|死者|伤者|受害人|被害人|代理人|代表人|负责人|联系人|经办人"
    "|司机|车主|户主|机主|房东|租客|收件人|收货人|寄件人|投诉人|报警人|报案人|证人|监护人|法人|乙方|甲方|男方|女方|本人|我叫|名叫|操控员|飞手"
)
_LABEL = rf"姓名|名字|签名|签字|{_ROLE}"
_NEXT = "性别|电话|手机|身份证|住址|地址|年龄|联系|男|女|出生"
_AFTER = "反持与和诉驾系因于在向对称等及的电手身住将已被报"
_NAMES = re.compile(
    rf"(?:{_LABEL})(?:姓名)?[:：] ?(?P<labelled>{_ANY_NAME})(?=[^{_HAN}]|\Z|{_NEXT})"
    rf"|(?:(?:{_ROLE})|(?<![{_HAN}])|(?<=[系是为]))(?P<sexed>{_ANY_NAME})(?=[,，、（(] ?[男女][,，、。;；）) ])"
    rf"|(?:{_ROLE})(?P<role>{_ROLE_NAME})(?=[,，。、；;:：（( ]|\Z|[{_AFTER}])"
    rf"|(?P<titled>(?:(?:{_DOUBLE})|[{_SURE}何高马白石金毛洪康江万安欧关苗方]){_GIVEN})(?=先生|女士|小姐)"
    r"|(?<![A-Za-z])(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.?|Dear(?! (?:Mr|Ms|Miss|Dr|Prof))) "
    r"(?P<english>[A-Z][a-z]+(?: [A-Z]\.)?(?: [A-Z][a-z'’-]+){0,2})"
    r"|(?<![A-Za-z])(?:[Nn]ame|[Cc]ontact|[Pp]atient|[Aa]ttn|[Ss]igned|[Rr]ecipient|[Dd]river|[Pp]ilot): ?"
    r"(?P<given>[A-Z][a-z]+(?: [A-Z]\.)?(?: [A-Z][a-z'’-]+){1,2})"
)

_PROVINCE = re.compile(
    "(?:北京|上海|天津|重庆|香港|澳门|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海"
    "|台湾|内蒙古|广西|西藏|宁夏|新疆)(?:省|市|(?:壮族|回族|维吾尔)?自治区)?"
)
# What can precede an address.
_LEADS = re.compile(
    r"现住址?|家住|居住[在于]|住所地?|住址|住在|地址|位于|坐落[在于]|寄[到至往]|送[到至往]|家在|搬[到至]|[住在于至到往去从自的与是为]|和(?!平)|[^\w]"
)
# The part that makes a place one house: a road with a number, or a building with a room.
_ROOM = r"(?: ?\d{1,2} ?单元)?(?: ?\d{1,3}[层楼])?(?: ?[A-Z]?\d{1,5} ?[室房户])?"
_BUILDING = rf" ?[A-Z\d]{{1,3}} ?(?:号楼|号院|[栋幢座]){_ROOM}"
_ESTATE = "(?:小区|花园|公寓|新村|家园|广场|大厦|[苑园里村寨湾城府庭郡])"
_NUMBER = r"\d{1,5}(?:[-—]\d{1,4})?"
_HOUSE = re.compile(
    rf"(?:(?<![管通渠轨频航铁电线网回支公\d])[路道]|[街巷弄]|胡同)[东西南北中]?(?:[一二三四五六七八九十]段)? ?{_NUMBER}"
    r"(?:弄 ?\d{1,4})?[号弄](?!线|公路|令|文|楼道)"
    rf"(?:{_BUILDING}|(?:[{_HAN}]{{2,6}}{_ESTATE})?(?:{_BUILDING}|{_ROOM}))"
    rf"|{_ESTATE}{_BUILDING}|[村寨屯组] ?\d{{1,4}} ?(?:组 ?\d{{1,4}} ?)?号(?!线|公路|令|文)"
)
_STREET = re.compile(
    r"(?<![A-Za-z0-9.])\d{1,5}[A-Za-z]? (?:[NSEW]\.? )?(?:[A-Z][a-z]+ ){1,3}"
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Close|Way|Place|Terrace)\b\.?"
    r"(?:,? (?:Apt|Apartment|Unit|Suite|Flat|#)\.? ?[A-Z\d-]{1,5})?(?:, [A-Z][a-z]+(?: [A-Z][a-z]+)?)?(?:,? [A-Z]{2} \d{5}(?:-\d{4})?)?"
)


def name_in(text: str) -> Iterator[Span]:
    """Names after a label, beside a sex, after a role or before a title."""
    for match in _NAMES.finditer(text):
        yield match.span(match.lastgroup or 0)


def address_in(text: str) -> Iterator[Span]:
    """Addresses down to a house: from the province or the word that leads to it, to the number of house or room."""
    last = 0
    for match in _HOUSE.finditer(text):
        before = max(last, match.start() - 36)
        province = _PROVINCE.search(text, before, match.start())
        leads = list(_LEADS.finditer(text, before, match.start()))
        start = leads[-1].end() if leads else before
        if province and not re.search(r"[^\w]", text[province.start() : match.start()]):
            start = province.start()
        if match.start() - start >= 1:
            yield start, match.end()
            last = match.end()
    yield from (match.span() for match in _STREET.finditer(text))
