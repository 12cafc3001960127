"""Times between DTM and FHIR dateTime (ITI TF-3 4.2.3.1.7, FHIR R4 datatypes.html#dateTime).

A DTM is in UTC. A day, month or year stays what it is; FHIR has no hour without minutes and
seconds, so a shorter time is written as its first second.
"""

import re
from datetime import UTC, datetime

from xds_registry.model import dtm

_SHORT = {4: "%Y", 6: "%Y-%m", 8: "%Y-%m-%d"}
_FHIR_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_FRACTION = re.compile(r"\.\d+")


def date_time(text: str) -> str:
    """Return a DTM as FHIR dateTime; empty where it is empty or in no calendar."""
    moment = moment_of(text)
    if moment is None:
        return ""
    if len(text) in _SHORT:
        # strftime pads no years before 1000 on every platform.
        return "-".join(part for part in (text[:4], text[4:6], text[6:8]) if part)
    return _zulu(moment)


def instant(text: str) -> str:
    """Return the first second of a DTM as FHIR instant; empty where there is none."""
    moment = moment_of(text)
    return "" if moment is None else _zulu(moment)


def dtm_of(text: str) -> str:
    """Return a FHIR date, dateTime or instant as DTM in UTC, without parts of seconds.

    Raises:
        ValueError: it is none of these, or in no calendar.
    """
    if _FHIR_DATE.fullmatch(text):
        return text.replace("-", "")
    moment = datetime.fromisoformat(_FRACTION.sub("", text).replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("a time of day needs its offset")
    return dtm(moment).zfill(14)


def moment_of(text: str) -> datetime | None:
    """Return the first second of a DTM, None where it is empty or in no calendar."""
    if not text:
        return None
    padded = text + "00010101000000"[len(text) :]
    try:
        return datetime.strptime(padded, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _zulu(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"
