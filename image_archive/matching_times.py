"""Turn ranges of dates and times into conditions on the index (DICOM PS3.4 C.2.2.2.5).

A time is compared as text: of two TM values the later one is the greater text, once the zeros that
a writer may leave out are off the lower bound and the upper bound is filled up with nines.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sqlalchemy import ColumnElement, and_, or_, true

from image_archive.errors import InvalidQueryError
from image_archive.rows import time_key
from image_archive.tables import SERIES, STUDY

Condition = ColumnElement[bool]

_ONE_DAY = timedelta(days=1)
_EARLIEST = "000000.000000"
_LATEST = "235959.999999"


@dataclass(frozen=True)
class Zones:
    """Offsets from UTC as `+0800`: the asker's, and that of datasets which do not say theirs."""

    asked: str
    own: str


@dataclass(frozen=True)
class Moment:
    """A date and the time of that day, as columns."""

    day: ColumnElement[date]
    at: ColumnElement[str]


STUDY_MOMENT = Moment(STUDY.c.study_date, STUDY.c.study_time_key)
SERIES_MOMENT = Moment(SERIES.c.series_date, SERIES.c.series_time)
PERFORMED_MOMENT = Moment(SERIES.c.performed_start_date, SERIES.c.performed_start_time)

# Every offset in civil use; a dataset that says another is compared as if it had said none.
OFFSETS = (
    *(f"-{hour:02}00" for hour in range(12, 0, -1)), "-0930", "-0330",
    *(f"+{hour:02}00" for hour in range(15)),
    "+0330", "+0430", "+0530", "+0545", "+0630", "+0845", "+0930", "+1030", "+1245",
)  # fmt: skip


def date_condition(column: ColumnElement[date], value: str) -> Condition:
    """Match one date, or a range `a-b`, `a-`, `-b`.

    Raises:
        InvalidQueryError: a bound is no date.
    """
    low, high = _bounds(value)
    if low == high:
        return column == _date(low)
    conditions = []
    if low:
        conditions.append(column >= _date(low))
    if high:
        conditions.append(column <= _date(high))
    return and_(true(), *conditions)


def time_condition(column: ColumnElement[str], value: str) -> Condition:
    """Match one time as far as it is given, or a range.

    Raises:
        InvalidQueryError: a bound is no time.
    """
    low, high = _bounds(value)
    conditions = [column != ""]
    if low:
        conditions.append(column >= _shortest(_time(low)))
    if high:
        conditions.append(column <= _latest(high))
    return and_(*conditions)


def moment_condition(moment: Moment, date_value: str, time_value: str) -> Condition:
    """Match a range of dates and a range of times as one range of date-times.

    Raises:
        InvalidQueryError: a bound is no date or no time.
    """
    low, high = _moments(date_value, time_value)
    return _between(moment, low, high)


def zoned_condition(moment: Moment, zones: Zones, date_value: str, time_value: str) -> Condition:
    """Match like `moment_condition` a range that the asker gives in its own time zone.

    Raises:
        InvalidQueryError: a bound is no date or no time.
    """
    low, high = _moments(date_value, time_value)
    alternatives = [
        and_(_written_in(offset, zones.own), _between(moment, *_moved(low, high, zones, offset)))
        for offset in OFFSETS
    ]
    # No two offsets lie more than a day and two hours apart; this part can use an index.
    widest = _between(moment, low and low - 2 * _ONE_DAY, high and high + 2 * _ONE_DAY)
    return and_(widest, or_(*alternatives))


def shifted(day: date, at: str, minutes: int) -> tuple[date, str]:
    """Return a date and a DICOM TM moved by so many minutes; `at` keeps as many digits as it had.

    What has no time, or none of minutes, is not moved: nobody knows whether it is another day.
    """
    key = time_key(at)
    digits = at.replace(":", "").strip()
    if not key or len(digits) < len("HHMM"):
        return day, at
    moved = _moment(day, key) + timedelta(minutes=minutes)
    return moved.date(), moved.strftime("%H%M%S.%f")[: len(digits)]


def offset_minutes(offset: str) -> int:
    """Return how many minutes `+0800` is ahead of UTC."""
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return -minutes if offset[0] == "-" else minutes


def is_offset(text: str) -> bool:
    """Tell whether `text` is an offset from UTC in civil use, as `+0800`."""
    return text in OFFSETS


def _written_in(offset: str, own: str) -> Condition:
    if offset != own:
        return STUDY.c.timezone_offset == offset
    return STUDY.c.timezone_offset.not_in([other for other in OFFSETS if other != own])


def _moved(
    low: datetime | None, high: datetime | None, zones: Zones, offset: str
) -> tuple[datetime | None, datetime | None]:
    shift = timedelta(minutes=offset_minutes(offset) - offset_minutes(zones.asked))
    return low and low + shift, high and high + shift


def _between(moment: Moment, low: datetime | None, high: datetime | None) -> Condition:
    day, at = moment.day, moment.at
    conditions: list[Condition] = [true()]
    if low:
        earliest = _shortest(f"{low:%H%M%S.%f}")
        conditions += [day >= low.date(), or_(day > low.date(), at >= earliest)]
    if high:
        conditions += [day <= high.date(), or_(day < high.date(), at <= f"{high:%H%M%S.%f}")]
    return and_(*conditions)


def _moments(date_value: str, time_value: str) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last moment of both ranges together, None where it is open."""
    first, last = _bounds(date_value)
    early, late = _bounds(time_value) if time_value else ("", "")
    low = _moment(_date(first), _time(early) if early else _EARLIEST) if first else None
    high = _moment(_date(last), _latest(late) if late else _LATEST) if last else None
    return low, high


def _moment(day: date, key: str) -> datetime:
    """Join them; a leap second is the last moment before it."""
    seconds = min(int(key[4:6]), 59)
    return datetime.combine(day, time(int(key[:2]), int(key[2:4]), seconds, int(key[7:13])))


def _bounds(value: str) -> tuple[str, str]:
    """Return the two bounds of a range, both the same for a single value, "" where it is open."""
    low, dash, high = value.strip().partition("-")
    if not dash:
        return low, low
    if not (low or high).strip() or "-" in high:
        raise InvalidQueryError("a range is written as a-b, a- or -b")
    return low.strip(), high.strip()


def _date(text: str) -> date:
    digits = text.replace(".", "") if len(text) == 10 else text
    try:
        if re.fullmatch(r"[0-9]{8}", digits):
            found = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
            if 1 < found.year < 9999:  # there is a day before and after it
                return found
    except ValueError:
        pass
    raise InvalidQueryError("a date is written as YYYYMMDD")


def _time(text: str) -> str:
    key = time_key(text)
    if not key or key[:2] > "23" or key[2:4] > "59" or key[4:6] > "60":
        raise InvalidQueryError("a time is written as HHMMSS.FFFFFF")
    return key


def _shortest(key: str) -> str:
    return key.rstrip("0").rstrip(".").rstrip("0")


def _latest(text: str) -> str:
    """Return the last moment that `text`, as far as it goes, can mean."""
    earliest, given = _time(text), text.replace(":", "").strip()
    if "." in given:
        return f"{given[:13]:9<13}"
    return earliest[: len(given)] + _LATEST[len(given) :]
