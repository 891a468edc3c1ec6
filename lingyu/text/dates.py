"""Days that names, titles and fields of records tell."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from lingyu.text.normalise import normal

DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:[-./年](\d{1,2})(?:[-./月](\d{1,2}))?|(\d\d)(\d\d))?(?!\d)")
# The day that a date stands for is not in doubt: 2024-05-06T08:00, 2024/5/6, 2024年5月6日, 20240506, 2024-05, May 6, 2024, 31/12/2024.
_FIELD = re.compile(
    r"(?P<year>(?:19|20)\d\d)(?:(?P<mark>[-./年])(?P<month>\d{1,2})(?:[-./月](?P<day>\d{1,2})日?)?月?|(?P<month2>\d\d)(?P<day2>\d\d))"
    r"(?:[T\s].*|Z)?"
)
_WORDS = ("%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%a, %d %b %Y")
_DAY_FIRST = re.compile(r"(\d{1,2})[-./](\d{1,2})[-./]((?:19|20)\d\d)(?:[T\s].*)?")
# Seconds since 1970 of the years 1990 to 2100.
_SECONDS = range(631_152_000, 4_102_444_800)


def days_in(text: str, years: bool = True) -> Iterator[date]:
    """The days that a text tells, in its order; of a month or a year the first. years: whether 2024 and 20240506 count."""
    for year, month, day, month_too, day_too in DATE.findall(normal(text)):
        if (month or years) and (found := day_of(year, month or month_too or 1, day or day_too or 1)):
            yield found


def day_of(year: Any, month: Any, day: Any) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def day_of_field(value: Any) -> date | None:
    """The day that a field of a record says, as a date, a text or a count of seconds; None where that is in doubt."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if value >= _SECONDS.stop else value
        if int(seconds) in _SECONDS:
            return datetime.fromtimestamp(seconds, UTC).date()
        return day_of_text(str(int(value))) if value == int(value) else None
    return day_of_text(normal(value).strip()) if isinstance(value, str) else None


def day_of_text(text: str) -> date | None:
    if found := _FIELD.fullmatch(text):
        return day_of(found["year"], found["month"] or found["month2"], found["day"] or found["day2"] or 1)
    if found := _DAY_FIRST.fullmatch(text):
        first, second, year = map(int, found.groups())
        if first > 12 or second > 12 or first == second:  # else nobody knows which is the month
            return day_of(year, *((second, first) if first > 12 else (first, second)))
    if text.isdigit() and int(text) // (1000 if len(text) == 13 else 1) in _SECONDS:
        return datetime.fromtimestamp(int(text) // (1000 if len(text) == 13 else 1), UTC).date()
    for form in _WORDS:
        try:
            return datetime.strptime(" ".join(text.split()[: 3 + form.startswith("%a")]), form).date()
        except ValueError:
            continue
    return None
