"""Single values: dates, sexes, yes and no, kinds of numbers (HL7 v2.5 2.A; tables 0001, 0203)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo

from patient_index.model import IdentifierKind

SEXES: Mapping[str, str] = {
    "": "",
    "M": "M",
    "F": "F",
    "O": "O",
    "U": "U",
    "A": "O",
    "N": "O",
    # GB/T 2261.1 and plain words, as Chinese systems send them.
    "1": "M",
    "2": "F",
    "0": "U",
    "9": "U",
    "男": "M",
    "女": "F",
    "未知": "U",
}
"""What PID-8 may hold (table 0001, and what is sent in its place), and what it means."""

KINDS: Mapping[str, IdentifierKind] = {
    "": IdentifierKind.LOCAL,
    "PI": IdentifierKind.LOCAL,
    "MR": IdentifierKind.LOCAL,
    "PT": IdentifierKind.LOCAL,
    "NNCHN": IdentifierKind.RESIDENT_ID,
    "NI": IdentifierKind.OTHER,
    "HC": IdentifierKind.HEALTH_CARD,
    "SS": IdentifierKind.INSURANCE,
    "MA": IdentifierKind.INSURANCE,
    "MC": IdentifierKind.INSURANCE,
    "MI": IdentifierKind.INSURANCE,
    "PPN": IdentifierKind.PASSPORT,
    "MRT": IdentifierKind.TEMPORARY,
}
"""CX.5 (table 0203) to the region's words; what is not listed is OTHER."""

KIND_CODES: Mapping[IdentifierKind, str] = {
    IdentifierKind.RESIDENT_ID: "NNCHN",
    IdentifierKind.HEALTH_CARD: "HC",
    IdentifierKind.INSURANCE: "SS",
    IdentifierKind.HEALTH_RECORD: "MR",
    IdentifierKind.PASSPORT: "PPN",
    IdentifierKind.LOCAL: "PI",
    IdentifierKind.TEMPORARY: "MRT",
}
"""And back again."""

YES_NO: Mapping[str, bool] = {"Y": True, "N": False}
"""Table 0136."""

_TS = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.\d{1,4})?)?)?)?)?)?"
    r"([+-]\d{4})?"
)
_EARLIEST = 1800


@dataclass(frozen=True)
class TimeStamp:
    """A TS value: `text` is the date as precise as it was sent; `day` is None below a day."""

    text: str
    day: date | None
    clock: time | None
    zone: timezone | None = None

    def moment(self, otherwise: tzinfo | None) -> datetime | None:
        """Return the whole, in the zone `otherwise` where none was sent; None below a day."""
        if self.day is None:
            return None
        return datetime.combine(self.day, self.clock or time(), self.zone or otherwise)

    @property
    def span(self) -> tuple[date, date]:
        """The first and the last day that the value can mean."""
        if self.day is not None:
            return self.day, self.day
        year, month = int(self.text[:4]), int(self.text[4:6] or 0)
        first = date(year, month or 1, 1)
        following = date(year + 1, 1, 1) if month in {0, 12} else date(year, month + 1, 1)
        return first, following - timedelta(days=1)


def read_time_stamp(text: str) -> TimeStamp | None:
    """Return what `YYYY[MM[DD[HH[MM[SS]]]]][+ZZZZ]` says; None when it breaks that form."""
    found = _TS.fullmatch(text.strip())
    if not found:
        return None
    year, month, day, hour, minute, second, zone = found.groups()
    try:
        known = date(int(year), int(month or 1), int(day or 1))
        clock = time(int(hour), int(minute or 0), int(second or 0)) if hour else None
    except ValueError:
        return None
    if known.year < _EARLIEST or known.year > 9998:
        return None
    shown = f"{year}{month or ''}{day or ''}"
    return TimeStamp(shown, known if day else None, clock, _zone(zone))


def _zone(text: str | None) -> timezone | None:
    if not text:
        return None
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    if minutes >= 24 * 60:
        return None
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
