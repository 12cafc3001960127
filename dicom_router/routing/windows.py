"""Hours of the day on days of the week, as rules, schedules and rate caps name them."""

import re
from dataclasses import dataclass
from datetime import datetime

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])|00:00-24:00")
_DAY_MINUTES = 24 * 60
HOURS_FORM = "HH:MM-HH:MM, as 20:00-06:00"


@dataclass(frozen=True)
class Window:
    """From `start` to `end` in minutes after midnight, on `weekdays` (0 is Monday).

    A window that ends before it starts goes on after midnight and belongs to the day it began: on
    Fridays 20:00-06:00 includes Saturday 03:00. With `start` equal to `end` it is the whole day.
    """

    start: int = 0
    end: int = _DAY_MINUTES
    weekdays: frozenset[int] = frozenset(range(7))

    def contains(self, moment: datetime) -> bool:
        """Tell whether `moment`, in the time zone of the region, lies inside."""
        minute, today = moment.hour * 60 + moment.minute, moment.weekday()
        if self.start < self.end:
            return today in self.weekdays and self.start <= minute < self.end
        if minute >= self.start:
            return today in self.weekdays
        return minute < self.end and (today - 1) % 7 in self.weekdays

    def __str__(self) -> str:
        """The window as `parse` reads it: `fri,sat 20:00-06:00`."""
        days = ",".join(WEEKDAYS[day] for day in sorted(self.weekdays))
        hours = f"{_clock(self.start)}-{_clock(self.end)}"
        return hours if len(self.weekdays) == 7 else f"{days} {hours}"


def window(hours: str = "", weekdays: tuple[str, ...] = ()) -> Window | None:
    """Return the window of these hours on these days; None where neither is given.

    Raises:
        ValueError: says which text is not allowed, and what is.
    """
    if not hours and not weekdays:
        return None
    start, end = _minutes(hours) if hours else (0, _DAY_MINUTES)
    for day in weekdays:
        if day not in WEEKDAYS:
            raise ValueError(f"{day!r} is no weekday; allowed: {', '.join(WEEKDAYS)}")
    days = frozenset(map(WEEKDAYS.index, weekdays)) if weekdays else frozenset(range(7))
    return Window(start, end, days)


def parse(text: str) -> Window | None:
    """Return the window that `str` wrote; None for an empty text."""
    days, _, hours = text.rpartition(" ")
    return window(hours, tuple(days.split(",")) if days else ())


def _minutes(hours: str) -> tuple[int, int]:
    if not _HOURS.fullmatch(hours):
        raise ValueError(f"{hours!r} are no hours; write {HOURS_FORM}")
    start, end = ([int(part) for part in clock.split(":")] for clock in hours.split("-"))
    return start[0] * 60 + start[1], end[0] * 60 + end[1]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
