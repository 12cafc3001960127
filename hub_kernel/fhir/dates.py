"""Dates of search parameters with their prefixes, as ranges (FHIR R4 search.html#date)."""

import calendar
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

Range = tuple[date | None, date | None]
"""First and last day, both included; None is open."""

_DATE = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d{4})(?:-(\d\d)(?:-(\d\d)(T[0-9:.Z+-]{5,24})?)?)?"
)
_MOMENT = re.compile(
    r"(eq|gt|lt|ge|le|sa|eb)?(\d{4}-\d\d-\d\d(?:T[0-9:.]{5,15}(?:Z|[+-]\d\d:\d\d))?)"
)
_DAY = timedelta(days=1)
_APPROXIMATE = 0.1


def date_range(text: str, today: date) -> tuple[Range, ...] | None:
    """Return the days a value stands for, one range or, for `ne`, two; None if it is no date.

    A shorter date is all of its year or month. `ap` widens by a tenth of the time until `today`.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    prefix, year, month, day, _time = found.groups()
    try:
        first, last = _span(int(year), month, day)
        return _RANGES[prefix or "eq"](first, last, today)
    except (ValueError, OverflowError):
        return None


def moment_range(text: str) -> Callable[[datetime | None], bool] | None:
    """Return what tells whether a moment is in the range of a value, None if it is none.

    A date is the whole of that day in UTC.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    prefix, written = found.groups()
    try:
        first = datetime.fromisoformat(written)
    except ValueError:
        return None
    if first.tzinfo is None:
        first = first.replace(tzinfo=UTC)
    return _within(prefix or "eq", first, _DAY if "T" not in written else timedelta(seconds=1))


def _within(prefix: str, first: datetime, lasting: timedelta) -> Callable[[datetime | None], bool]:
    after = first + lasting
    tests: dict[str, Callable[[datetime], bool]] = {
        "eq": lambda at: first <= at < after,
        "gt": lambda at: at >= after,
        "sa": lambda at: at >= after,
        "ge": lambda at: at >= first,
        "lt": lambda at: at < first,
        "eb": lambda at: at < first,
        "le": lambda at: at < after,
    }
    test = tests[prefix]
    return lambda at: at is not None and test(at)


def _span(year: int, month: str | None, day: str | None) -> tuple[date, date]:
    if month is None:
        return date(year, 1, 1), date(year, 12, 31)
    if day is None:
        return date(year, int(month), 1), date(
            year, int(month), calendar.monthrange(year, int(month))[1]
        )
    only = date(year, int(month), int(day))
    return only, only


def _approximately(first: date, last: date, today: date) -> tuple[Range, ...]:
    slack = abs(today - first) * _APPROXIMATE
    return ((first - slack, last + slack),)


_RANGES: dict[str, Callable[[date, date, date], tuple[Range, ...]]] = {
    "eq": lambda first, last, _today: ((first, last),),
    "ne": lambda first, last, _today: ((None, first - _DAY), (last + _DAY, None)),
    "gt": lambda _first, last, _today: ((last + _DAY, None),),
    "sa": lambda _first, last, _today: ((last + _DAY, None),),
    "ge": lambda first, _last, _today: ((first, None),),
    "lt": lambda first, _last, _today: ((None, first - _DAY),),
    "eb": lambda first, _last, _today: ((None, first - _DAY),),
    "le": lambda _first, last, _today: ((None, last),),
    "ap": _approximately,
}
