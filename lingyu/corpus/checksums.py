"""What a number must be to be what it looks like: check characters, dates, prefixes of issuers and regions."""

import re
from datetime import date
from ipaddress import AddressValueError, IPv6Address

_PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
    ]
)
_CREDIT_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# Issuers and the lengths of their numbers: UnionPay and older Chinese cards, Visa, Mastercard, JCB, Discover, American Express.
_ISSUERS = re.compile(
    r"62\d{14,17}|(?:9558|955[59]|60[13]|690755)\d{10,15}|4\d{15}|5[1-5]\d{14}|35(?:2[89]|[3-8]\d)\d{12}|6(?:011|4[4-9]\d|5\d\d)\d{12}|3[47]\d{13}"
)
# Mastercard's and Mir's newer ranges and Diners Club: dates written as numbers fall into them.
_LESS_SURE = re.compile(r"2[2-7]\d{14}|3(?:0[0-5]|[68]\d)\d{11}")


def is_day(year: str, month: str, day: str) -> bool:
    """A day of the calendar on which somebody alive or on record may have been born."""
    try:
        return 1880 <= date(int(year), int(month), int(day)).year < 2050
    except ValueError:
        return False


def is_province(code: str) -> bool:
    """GB/T 2260, and 81 to 83 for residents from Hong Kong, Macau and Taiwan."""
    return code in _PROVINCES


def is_resident_id(number: str) -> bool:
    """GB 11643, eighteen characters: a region, a birthday, and the last character the sum of the others modulo 11.

    A foreigner's permanent residence card has a 9 before the province.
    """
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    region = number[1:3] if number[0] == "9" else number[:2]
    total = sum(weight * int(digit) for weight, digit in zip(weights, number, strict=False))
    return is_province(region) and is_day(number[6:10], number[10:12], number[12:14]) and number[17].upper() == "10X98765432"[total % 11]


def is_old_resident_id(number: str) -> bool:
    """Fifteen digits, as issued until 1999: region and birthday, no check character."""
    return is_province(number[:2]) and number[2:6] != "0000" and is_day("19" + number[6:8], number[8:10], number[10:12])


def passes_luhn(digits: str) -> bool:
    """Every second digit from the right doubled, the sum of all digits a multiple of ten."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return len(set(digits)) > 1 and (sum(map(int, digits[::-2])) + doubled) % 10 == 0


def is_issued(digits: str, sure: bool) -> bool:
    """The number begins as an issuer's do, and is as long. sure: something else says that it is a card."""
    return bool(_ISSUERS.fullmatch(digits) or (sure and _LESS_SURE.fullmatch(digits)))


def is_credit_code(code: str) -> bool:
    """GB 32100: the last character makes the sum of all, weighted with powers of three, a multiple of 31."""
    values = [_CREDIT_CODE.find(character) for character in code.upper()]
    total = sum(value * pow(3, place, 31) for place, value in enumerate(values[:17]))
    return min(values) >= 0 and (is_province(code[2:4]) or code[2:4] == "10") and values[17] == -total % 31


def is_ipv6(found: str) -> bool:
    """A valid address that is neither `a::b` of a program, a time, nor the eight pairs of a hardware address."""
    try:
        address = IPv6Address(found)
    except AddressValueError:
        return False
    groups = [group for group in found.split(":") if group]
    if "::" in found:
        public = address.is_global or address.is_private or address.is_link_local or address.is_multicast
        return public and len(groups) > 1 and bool(re.match(r"[23f]\w{3}:|64:ff9b:|::ffff:", found, re.IGNORECASE))
    return any(len(group) > 2 for group in groups)
