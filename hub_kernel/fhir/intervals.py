"""Dates of search parameters compared as intervals of time (FHIR R4 search.html#date).

Both sides are half-open intervals in UTC: a year, a day, a second stand for all the time in them.
"""

import calendar
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_VALUE = re.compile(
    r"(?P<prefix>eq|ne|gt|lt|ge|le|sa|eb|ap)?(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?P<time>T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?"
)
_APPROXIMATE = 0.1
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Interval:
    """From `start`, included, to `end`, excluded; both are aware."""

    start: datetime
    end: datetime


Test = Callable[[Interval], bool]
"""Tells whether the time of a resource is what was asked for."""


def interval_test(text: str, now: datetime, *, overlaps: bool = False) -> Test | None:
    """Return the test of a search value, None if it is no date.

    With `overlaps`, a value without a prefix asks for any time in common instead of containment.
    """
    found = _VALUE.fullmatch(text)
    if found is None:
        return None
    try:
        asked = _interval(found)
    except (ValueError, OverflowError):
        return None
    prefix = found["prefix"] or ("ap" if overlaps else "eq")
    slack = timedelta(0)
    if found["prefix"] == "ap":
        slack = abs(now - asked.start) * _APPROXIMATE
    return _TESTS[prefix](asked, slack)


def interval_of(text: str) -> Interval | None:
    """Return the interval of a FHIR date, dateTime or instant, None if it is none."""
    found = _VALUE.fullmatch(text)
    if found is None or found["prefix"]:
        return None
    try:
        return _interval(found)
    except (ValueError, OverflowError):
        return None


def _interval(found: "re.Match[str]") -> Interval:
    year, month, day = (int(found[name] or 1) for name in ("year", "month", "day"))
    if not found["time"]:
        start = datetime(year, month, day, tzinfo=UTC)
        days = 1
        if not found["day"]:
            days = calendar.monthrange(year, month)[1]
        if not found["month"]:
            days = 366 if calendar.isleap(year) else 365
        return Interval(start, _after(start, timedelta(days=days)))
    start = datetime.fromisoformat(f"{found[0].removeprefix(found['prefix'] or '')}")
    if start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    lasting = timedelta(minutes=1) if found["time"].count(":") == 1 else timedelta(seconds=1)
    start = start.replace(microsecond=0)
    return Interval(start, _after(start, lasting))


def _after(start: datetime, lasting: timedelta) -> datetime:
    return start + lasting if start <= _LAST - lasting else _LAST


def _contained(asked: Interval) -> Test:
    return lambda told: asked.start <= told.start and told.end <= asked.end


def _overlapping(asked: Interval, slack: timedelta) -> Test:
    return lambda told: told.start < asked.end + slack and told.end > asked.start - slack


_TESTS: Mapping[str, Callable[[Interval, timedelta], Test]] = {
    "eq": lambda asked, _slack: _contained(asked),
    "ne": lambda asked, _slack: lambda told: not _contained(asked)(told),
    "gt": lambda asked, _slack: lambda told: told.end > asked.end,
    "lt": lambda asked, _slack: lambda told: told.start < asked.start,
    "ge": lambda asked, _slack: lambda told: told.end > asked.start,
    "le": lambda asked, _slack: lambda told: told.start < asked.end,
    "sa": lambda asked, _slack: lambda told: told.start >= asked.end,
    "eb": lambda asked, _slack: lambda told: told.end <= asked.start,
    "ap": _overlapping,
}
