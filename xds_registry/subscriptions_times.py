"""Times of WS-BaseNotification: an xsd:dateTime, or an xsd:duration from now."""

import calendar
import re
from datetime import UTC, datetime, timedelta

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_DURATION = re.compile(
    r"P(?=[\dT])(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})D)?"
    r"(?:T(?=\d)(?:(\d{1,8})H)?(?:(\d{1,8})M)?(?:(\d{1,9})(?:\.\d{1,12})?S)?)?",
    re.ASCII,
)


def moment_of(text: str, now: datetime) -> datetime | None:
    """Return the moment `text` means, in UTC; None where it is neither a time nor a duration.

    A time without a zone is UTC. A duration counts from `now`, months by the calendar.
    """
    try:
        if _DATE_TIME.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        found = _DURATION.fullmatch(text)
        return _after(now, [int(part or 0) for part in found.groups()]) if found else None
    except (ValueError, OverflowError):
        return None


def xsd_time(moment: datetime) -> str:
    """Return an aware time as an xsd:dateTime in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _after(now: datetime, parts: list[int]) -> datetime:
    years, months, days, hours, minutes, seconds = parts
    month = now.year * 12 + now.month - 1 + years * 12 + months
    year, month = month // 12, month % 12 + 1
    day = min(now.day, calendar.monthrange(year, month)[1])
    start = now.replace(year=year, month=month, day=day)
    return start + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
