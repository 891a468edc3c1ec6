"""Validity checks for numbers: check characters, dates, issuer and region prefixes."""

import re
from datetime import date
from ipaddress import AddressValueError, IPv6Address
from operator import mul

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
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # of a resident ID
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))  # with the digits summed
_CREDIT_CODE = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_VALUES = bytes(max(_CREDIT_CODE.find(bytes([byte]).upper()), -1) % 256 for byte in range(256))
_POWERS = (*(pow(3, place, 31) for place in range(17)), 1)
# Issuers and the lengths of their numbers: UnionPay and older Chinese cards, Visa, Mastercard, JCB, Discover, American Express.
_ISSUERS = re.compile(
    r"62\d{14,17}|(?:9558|955[59]|60[13]|690755)\d{10,15}|4\d{15}|5[1-5]\d{14}|35(?:2[89]|[3-8]\d)\d{12}|6(?:011|4[4-9]\d|5\d\d)\d{12}|3[47]\d{13}"
)
# Newer Mastercard and Mir ranges and Diners Club, which also match dates written as numbers.
_LESS_SURE = re.compile(r"2[2-7]\d{14}|3(?:0[0-5]|[68]\d)\d{11}")


def is_day(year: str, month: str, day: str) -> bool:
    """A plausible date of birth."""
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
    region = number[1:3] if number[0] == "9" else number[:2]
    total = sum(map(mul, _WEIGHTS, number[:17].encode())) - ord("0") * sum(_WEIGHTS)
    return number[17].upper() == "10X98765432"[total % 11] and is_province(region) and is_day(number[6:10], number[10:12], number[12:14])


def is_old_resident_id(number: str) -> bool:
    """Fifteen digits, as issued until 1999: region and birthday, no check character."""
    return is_province(number[:2]) and number[2:6] != "0000" and is_day("19" + number[6:8], number[8:10], number[10:12])


def passes_luhn(digits: str) -> bool:
    """Every second digit from the right doubled, the sum of all digits a multiple of ten."""
    code = digits.encode()
    single, doubled = code[::-2], code[-2::-2].translate(_DOUBLED)
    return (sum(single) - ord("0") * len(single) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def is_issued(digits: str, sure: bool) -> bool:
    """The number has the prefix and length of an issuer. sure: the context says that it is a card."""
    return bool(_ISSUERS.fullmatch(digits) or (sure and _LESS_SURE.fullmatch(digits)))


def is_credit_code(code: str) -> bool:
    """GB 32100: the last character makes the sum of all, weighted with powers of three, a multiple of 31."""
    if not (is_province(code[2:4]) or code[2:4] == "10"):
        return False
    values = code.encode().translate(_VALUES)
    return max(values) < 31 and sum(map(mul, _POWERS, values)) % 31 == 0


_BEGINS = re.compile(r"[23f]\w{3}:|64:ff9b:|::ffff:", re.IGNORECASE)


def is_ipv6(found: str) -> bool:
    """A valid address that is not `a::b` in code, a time, or a hardware address of eight pairs."""
    groups = [group for group in found.split(":") if group]
    if "::" in found and (len(groups) < 2 or not _BEGINS.match(found)):
        return False
    if max(map(len, groups), default=0) < 3:
        return False
    try:
        IPv6Address(found)
    except AddressValueError:
        return False
    return True
