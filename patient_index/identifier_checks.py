"""What a number proves by its shape alone: each kind is checked as far as its rules are published.

Resident ID GB 11643; health record: 17 digits (the national norm for residents' health records);
health card: the holder's resident ID number, or the 64 hexadecimal digits of the electronic card;
passport: ICAO 9303, 6 to 9 letters and digits. What has no published rule is kept unchecked.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum

from patient_index.model import IdentifierKind, TypedIdentifier
from patient_index.resident_id import NumberKind, normal_spelling, read_number


class Worth(StrEnum):
    """How far a number may be trusted to have been written down right."""

    VERIFIED = "verified"
    """Its check digit holds."""
    PLAUSIBLE = "plausible"
    """It has the shape of its kind; nothing in it can be checked."""
    UNCHECKED = "unchecked"
    """Nothing is published about its kind."""
    BROKEN = "broken"
    """It cannot be a number of its kind: kept as stated, and never used to link."""


def check_identifier(stated: TypedIdentifier, today: date) -> Worth:
    """Return what the number is worth; never raises. `today` bounds the birth date inside it."""
    check = _CHECKS.get(stated.kind, _unchecked)
    return check(stated.identifier.value, today)


def _unchecked(_value: str, _today: date) -> Worth:
    return Worth.UNCHECKED


def _resident_id(value: str, today: date) -> Worth:
    return _RESIDENT_WORTH[read_number(value, today).kind]


def _health_card(value: str, today: date) -> Worth:
    if _ELECTRONIC_CARD.fullmatch(normal_spelling(value)):
        return Worth.PLAUSIBLE
    worth = _resident_id(value, today)
    # Regions number their own cards too: what is no resident ID number is not thereby wrong.
    return Worth.UNCHECKED if worth is Worth.BROKEN else worth


def _shape(pattern: str) -> Callable[[str, date], Worth]:
    compiled = re.compile(pattern)

    def check(value: str, _today: date) -> Worth:
        fits = compiled.fullmatch(normal_spelling(value))
        return Worth.PLAUSIBLE if fits else Worth.BROKEN

    return check


_ELECTRONIC_CARD = re.compile(r"[0-9A-F]{64}")
_RESIDENT_WORTH: Mapping[NumberKind, Worth] = {
    NumberKind.RESIDENT: Worth.VERIFIED,
    NumberKind.OLD_RESIDENT: Worth.PLAUSIBLE,
    NumberKind.BROKEN_RESIDENT: Worth.BROKEN,
    NumberKind.OTHER: Worth.BROKEN,
}
_CHECKS: Mapping[IdentifierKind, Callable[[str, date], Worth]] = {
    IdentifierKind.RESIDENT_ID: _resident_id,
    IdentifierKind.HEALTH_CARD: _health_card,
    IdentifierKind.HEALTH_RECORD: _shape(r"[1-9][0-9]{16,17}"),
    IdentifierKind.PASSPORT: _shape(r"(?=.*[0-9])[A-Z0-9]{6,9}"),
}
