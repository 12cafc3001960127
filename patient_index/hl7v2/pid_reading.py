"""PID as a statement about a patient (HL7 v2.5 3.4.2; ITI TF-2 3.8.4.1.2.3).

An empty field says nothing; so does the null value (two quotation marks).
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, tzinfo

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from patient_index.hl7v2.identifiers import Authorities, patient_identifiers, stated_number
from patient_index.hl7v2.problems import RefusedMessageError
from patient_index.hl7v2.reading import Repetition, Segment
from patient_index.hl7v2.values import SEXES, YES_NO, TimeStamp, read_time_stamp
from patient_index.model import (
    Address,
    Demographics,
    IdentifierKind,
    PatientStatement,
    TypedIdentifier,
)

_LEGAL = frozenset({"", "L", "D", "N"})
_ALIAS = "AL"
_HANZI = re.compile("[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# XPN components in the order of a PN (PS3.5 6.2.1.1): family, given, middle, prefix, suffix.
_PN_ORDER = (1, 2, 3, 5, 4)
_GROUPS = {"A": "alphabetic", "I": "ideographic", "P": "phonetic"}
# Escaped, these may stand in an XPN; in a PN they would begin another component or group.
_NOT_IN_A_PN = str.maketrans("^=\n", "   ")
_LONGEST_TEXT = 255


def read_statement(pid: Segment, authorities: Authorities, zone: tzinfo) -> PatientStatement:
    """Return what a PID segment says, the sender's own identifier first.

    A time that names no zone is in `zone`.

    A newborn without a name whose mother is named, and a person whose identity is said to be
    unknown (PID-31, PID-32), are provisional.

    Raises:
        RefusedMessageError: names the field that breaks a rule.
    """
    identifiers = patient_identifiers(pid, 3, authorities)
    demographics = replace(
        _demographics(pid, authorities, identifiers[0]), deceased_at=_moment(pid, 29, zone)
    )
    provisional = (
        pid.text(31).upper() == "Y"
        or pid.text(32).upper() == _ALIAS
        or identifiers[0].kind is IdentifierKind.TEMPORARY
        or bool(demographics.mothers_identifiers and not _named(demographics.name))
    )
    numbers = [
        stated_number(cx, pid.place(19, repetition=place), authorities)
        for place, cx in enumerate(pid.repetitions(19), start=1)
        if not cx.empty
    ]
    return PatientStatement(
        identifiers=(*identifiers, *(number for number in numbers if number is not None)),
        demographics=demographics,
        source=authorities.sender,
        provisional=provisional,
    )


def read_name(parts: Iterable[Repetition], *, confident: bool, rule: str) -> PersonName:
    """Return one name from the representations (XPN.8) of it that were sent."""
    groups: dict[str, str] = {}
    for part in parts:
        components = (part.text(component) for component in _PN_ORDER)
        text = "^".join(text.translate(_NOT_IN_A_PN) for text in components).rstrip("^")
        said = _GROUPS.get(part.text(8).upper())
        group = said or ("ideographic" if _HANZI.search(text) else "alphabetic")
        groups.setdefault(group, text[:_LONGEST_TEXT])
    return PersonName(**groups, confident=confident, rule=rule)


def read_address(xad: Repetition) -> Address:
    """Return an XAD value."""
    street = " ".join(filter(None, (xad.text(1), xad.text(2))))
    return Address(street, xad.text(3), xad.text(4), xad.text(5))


def read_phone(xtn: Repetition) -> str:
    """Return an XTN value as one text: country, area and number, or the whole as typed."""
    number = " ".join(filter(None, (xtn.text(component) for component in (5, 6, 7))))
    return xtn.text(1) or xtn.text(12) or number


def _demographics(pid: Segment, authorities: Authorities, own: TypedIdentifier) -> Demographics:
    names = _names(pid, 5)
    born = _time_stamp(pid, 7)
    died = _time_stamp(pid, 29)
    mothers = _names(pid, 6)
    phones = [read_phone(xtn) for number in (13, 14) for xtn in pid.repetitions(number)]
    return Demographics(
        name=names[0] if names else PersonName(),
        other_names=names[1:],
        birth_date=born.day if born else None,
        birth_time=born.clock if born and born.day else None,
        birth_date_text=born.text if born and born.day is None else "",
        sex=_sex(pid),
        address=_address(pid),
        phones=tuple(phone for phone in phones if phone),
        mother_name=mothers[0] if mothers else None,
        mothers_identifiers=_mothers(pid, authorities, own),
        multiple_birth=YES_NO.get(pid.text(24).upper()),
        birth_order=_birth_order(pid),
        deceased=YES_NO.get(pid.text(30).upper(), True if died else None),
        language=pid.text(15).lower()[:16],
        marital_status=pid.text(16)[:16],
    )


def _names(pid: Segment, number: int) -> tuple[PersonName, ...]:
    """Every name of a field, the legal one first; representations of one name are joined."""
    joined: dict[tuple[str, int], list[Repetition]] = {}
    for xpn in pid.repetitions(number):
        if xpn.empty or not any(xpn.text(component) for component in _PN_ORDER):
            continue
        kind, represented = xpn.text(7).upper(), xpn.text(8).upper() in _GROUPS
        joined.setdefault((kind, 0 if represented else 1 + len(joined)), []).append(xpn)
    legal_first = sorted(joined.items(), key=lambda item: item[0][0] not in _LEGAL)
    return tuple(
        read_name(parts, confident=pid.confident, rule=pid.rule) for _, parts in legal_first
    )


def _named(name: PersonName) -> bool:
    return bool(name.alphabetic or name.ideographic or name.phonetic)


def _time_stamp(pid: Segment, number: int) -> TimeStamp | None:
    text = pid.text(number)
    if not text:
        return None
    found = read_time_stamp(text)
    if found is None:
        raise RefusedMessageError(
            "invalid-value", pid.place(number), came=text, allowed="YYYY[MM[DD[HH[MM[SS]]]]][±ZZZZ]"
        )
    return found


def _moment(pid: Segment, number: int, zone: tzinfo) -> datetime | None:
    stamp = _time_stamp(pid, number)
    moment = stamp.moment(zone) if stamp else None
    return moment and moment.astimezone(UTC)


def _sex(pid: Segment) -> str:
    text = pid.text(8).upper()
    if text not in SEXES:
        raise RefusedMessageError(
            "invalid-value", pid.place(8), came=text, allowed="M, F, O, U, A, N"
        )
    return SEXES[text]


def _address(pid: Segment) -> Address:
    found = [read_address(xad) for xad in pid.repetitions(11) if not xad.empty]
    return found[0] if found else Address()


def _mothers(
    pid: Segment, authorities: Authorities, own: TypedIdentifier
) -> tuple[PatientIdentifier, ...]:
    """Her identifiers; one without an issuer is the sender's own, as her child's is."""
    domain = authorities.directory.complete("", own.identifier.issuer.oid)
    return tuple(
        authorities.identifier(cx, pid.place(21, repetition=place), domain)
        for place, cx in enumerate(pid.repetitions(21), start=1)
        if not cx.empty
    )


def _birth_order(pid: Segment) -> int | None:
    text = pid.text(25)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 2 else None
