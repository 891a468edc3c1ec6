"""Personal data that rules can tell for certain: found, masked and counted, never kept."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass


def is_resident_id(found: str) -> bool:
    """GB 11643: a date in the middle, and the last character the sum of the others modulo 11."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, found, strict=False))
    return found[17].upper() == "10X98765432"[total % 11] and "01" <= found[10:12] <= "12" and "01" <= found[12:14] <= "31"


def is_bank_card(found: str) -> bool:
    """Luhn: every second digit from the right doubled, the sum of all digits a multiple of ten."""
    digits = [int(digit) for digit in re.sub(r"\D", "", found)]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return len(digits) >= 13 and len(set(digits)) > 1 and (sum(digits[::-2]) + doubled) % 10 == 0


def is_address(found: str) -> bool:
    """Four numbers up to 255, one of them above 31: lower ones are more often the number of a section, 3.2.1.4."""
    numbers = [int(number) for number in found.split(".")]
    return 31 < max(numbers) <= 255


@dataclass(frozen=True)
class Rule:
    """A shape, what must hold besides, and what stands in its place in Chinese and in English."""

    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    names: dict[str, str]


_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
# In this order: the surest first, so that a resident ID is not read as a card, nor part of a card as a mobile number.
RULES = {
    "email": Rule(
        re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
        lambda found: True,
        {"zh": "[邮箱]", "en": "[e-mail]"},
    ),
    "resident_id": Rule(
        re.compile(r"(?<![\dA-Za-z])[1-9]\d{5}(?:18|19|20)\d{9}[\dXx](?![\dA-Za-z])"),
        is_resident_id,
        {"zh": "[身份证号]", "en": "[resident ID]"},
    ),
    "bank_card": Rule(
        re.compile(r"(?<![\d.])[3-6]\d{3}(?:[ -]?\d{4}){2,3}(?:[ -]?\d{1,3})?(?!\.?\d)"),
        is_bank_card,
        {"zh": "[银行卡号]", "en": "[bank card]"},
    ),
    "mobile": Rule(
        re.compile(r"(?<![\d.])(?:\+?86[ -]?)?1[3-9]\d(?:[ -]?\d{4}){2}(?!\d)"),
        lambda found: True,
        {"zh": "[手机号]", "en": "[mobile number]"},
    ),
    "plate": Rule(
        re.compile(
            rf"[{_PROVINCES}][A-HJ-NP-Z][·・ ]?(?:[A-HJ-NP-Z0-9]{{6}}|[A-HJ-NP-Z0-9]{{5}}|[A-HJ-NP-Z0-9]{{4}}[学警挂])(?![A-Za-z0-9])"
        ),
        lambda found: sum(map(str.isdigit, found)) >= 2,
        {"zh": "[车牌号]", "en": "[licence plate]"},
    ),
    "ip": Rule(
        re.compile(r"(?<![A-Za-z0-9_.])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9_]|\.\d)"),
        is_address,
        {"zh": "[IP地址]", "en": "[IP address]"},
    ),
}


def mask(text: str, language: str, kinds: list[str]) -> tuple[str, Counter[str]]:
    """The text with each find replaced by the name of its kind, and how many of each kind there were."""
    counts: Counter[str] = Counter()
    for kind, rule in RULES.items():
        if kind not in kinds:
            continue
        finds = [match for match in rule.pattern.finditer(text) if rule.holds(match[0])]
        for match in reversed(finds):
            text = text[: match.start()] + rule.names[language] + text[match.end() :]
        counts[kind] += len(finds)
    return text, +counts
