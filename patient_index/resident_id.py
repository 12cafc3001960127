"""The number of the Chinese resident identity card: what it says, what it is worth (GB 11643)."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cache

from stdnum import numdb
from stdnum.cn import ric
from stdnum.exceptions import ValidationError


class NumberKind(StrEnum):
    """What a number that came with a patient is worth as evidence."""

    RESIDENT = "resident-18"
    """18 digits; check digit, region and birth date hold."""
    OLD_RESIDENT = "resident-15"
    """15 digits, without a check digit: any slip of the pen is another person's number."""
    BROKEN_RESIDENT = "resident-broken"
    """Shaped like 18 digits, but the check digit, the region or the birth date is wrong."""
    OTHER = "other"
    """Anything else: an insurance, health-record or card number."""


@dataclass(frozen=True)
class IdentityNumber:
    """A number in its one normal spelling; what it says is empty unless it is a resident's."""

    value: str
    kind: NumberKind
    region: str = ""
    """Administrative division of first registration, six digits (GB/T 2260)."""
    birth_date: date | None = None
    sex: str = ""
    """"M" or "F" (DICOM PS3.3 C.7.1.1), from the parity of the serial number."""


def read_number(text: str, today: date) -> IdentityNumber:
    """Return what a number says; `today` bounds the birth date.

    Full-width digits, spaces, hyphens and a small "x" are forgiven. Never raises.
    """
    value = normal_spelling(text)
    if _EIGHTEEN.fullmatch(value):
        return _read_eighteen(value, today)
    if _FIFTEEN.fullmatch(value):
        return _read_fifteen(value, today)
    return IdentityNumber(value, NumberKind.OTHER)


def normal_spelling(text: str) -> str:
    """Return the spelling under which a number is stored and searched."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text)).upper()


def is_resident_shaped(text: str) -> bool:
    """Say whether someone could take this text for a resident ID number."""
    value = normal_spelling(text)
    return bool(_EIGHTEEN.fullmatch(value) or _FIFTEEN.fullmatch(value))


_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
_EIGHTEEN = re.compile(r"[1-9][0-9]{16}[0-9X]")
_FIFTEEN = re.compile(r"[1-9][0-9]{14}")
_LONGEST_LIFE = timedelta(days=366 * 130)
# Permanent residence cards of foreigners since 2023: 9, then the province that issued the card.
_FOREIGN_RESIDENT = "9"
# Residence permits for people from Taiwan since 2018; the division table knows only 71.
_TAIWAN_RESIDENT = "83"


def _read_eighteen(value: str, today: date) -> IdentityNumber:
    try:
        born = ric.get_birth_date(value)
    except ValidationError:
        born = None
    # ric.validate() also wants the county to have existed in the year of birth. Numbers are
    # assigned at first registration, often decades later, so that would refuse honest old people.
    sound = (
        born is not None
        and today - _LONGEST_LIFE <= born <= today
        and value[-1] == ric.calc_check_digit(value)
        and _province_exists(value)
    )
    if not sound:
        return IdentityNumber(value, NumberKind.BROKEN_RESIDENT)
    return IdentityNumber(value, NumberKind.RESIDENT, value[:6], born, _sex(value[16]))


def _read_fifteen(value: str, today: date) -> IdentityNumber:
    try:
        born = date(1900 + int(value[6:8]), int(value[8:10]), int(value[10:12]))
    except ValueError:
        return IdentityNumber(value, NumberKind.OTHER)
    if born > today or not _province_exists(value):
        return IdentityNumber(value, NumberKind.OTHER)
    return IdentityNumber(value, NumberKind.OLD_RESIDENT, value[:6], born, _sex(value[14]))


def _sex(serial_digit: str) -> str:
    return "M" if int(serial_digit) % 2 else "F"


def _province_exists(value: str) -> bool:
    return _is_province(value[1:3] if value[0] == _FOREIGN_RESIDENT else value[:2])


@cache
def _is_province(code: str) -> bool:
    """Two digits of GB/T 2260; the table ships with stdnum and is read at the first question."""
    if code == _TAIWAN_RESIDENT:
        return True
    return any(properties for _, properties in numdb.get("cn/loc").info(code + "0000"))
