"""Make what a source says ready to be stored: checked, numbers read, fingerprint taken."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date

from pydantic import TypeAdapter

from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import PatientIdentifier
from patient_index.errors import UnidentifiedPatientError
from patient_index.model import (
    Demographics,
    IdentifierKind,
    PatientStatement,
    TypedIdentifier,
)
from patient_index.placeholders import is_placeholder
from patient_index.resident_id import IdentityNumber, NumberKind, read_number
from patient_index.statement_checks import LONGEST_IDENTIFIER, is_identifier, require_sound

_MOST_NUMBERS = 16
# A local ID, a card or a number without a type may be a resident ID number; a passport may not.
MAY_BE_RESIDENT = frozenset(
    {
        IdentifierKind.RESIDENT_ID,
        IdentifierKind.HEALTH_CARD,
        IdentifierKind.INSURANCE,
        IdentifierKind.LOCAL,
        IdentifierKind.OTHER,
    }
)
_EXTRAS: TypeAdapter[Demographics] = TypeAdapter(Demographics)
_STORED_APART = {"name", "birth_date", "sex"}


@dataclass(frozen=True)
class Statement:
    """A statement made ready to be stored.

    `own` were issued by the source itself, the first is the one that it speaks about; `claims` were
    issued by others. `details` is what observed demographics do not hold, as JSON, "" when that is
    nothing. `repeatable`: saying an earlier thing again is news (a feed corrects itself, a device
    merely repeats).
    """

    own: tuple[PatientIdentifier, ...]
    claims: tuple[TypedIdentifier, ...]
    demographics: Demographics
    numbers: tuple[IdentityNumber, ...]
    fingerprint: str
    source: str = ""
    provisional: bool = False
    details: str = ""
    repeatable: bool = False


def observed(patient: ObservedPatient, today: date) -> Statement:
    """Return what a DICOM dataset says; equal observations have equal fingerprints.

    Raises:
        UnidentifiedPatientError: the identifier is empty or longer than PS3.5 allows.
    """
    value = patient.identifier.value.strip()
    if not is_identifier(value):
        raise UnidentifiedPatientError("patient identifier must have 1 to 64 printable characters")
    numbers = _numbers(value, patient.other_ids[:_MOST_NUMBERS], today)
    demographics = Demographics(
        name=patient.name, birth_date=patient.birth_date, sex=patient.sex[:16]
    )
    return Statement(
        own=(patient.identifier,),
        claims=(),
        demographics=demographics,
        numbers=numbers,
        fingerprint=_fingerprint(demographics, numbers, ""),
        provisional=is_placeholder(patient.name),
    )


def stated(
    statement: PatientStatement, today: date, may_issue: Callable[[PatientIdentifier], bool]
) -> Statement:
    """Return what a feed says; `may_issue` tells which further identifiers are the source's own.

    Raises:
        InvalidStatementError: names the field that breaks a rule.
    """
    require_sound(statement, today)
    first, *rest = statement.identifiers
    children = [one for one in rest if one.kind is not IdentifierKind.MOTHER]
    own = [one for one in children if _same_issuer(one, first) or may_issue(one.identifier)]
    foreign = [one for one in children if one not in own]
    typed_own = [one for one in (first, *own) if one.kind is not IdentifierKind.LOCAL]
    demographics = _with_mothers(statement.demographics, rest)
    others = [one.identifier.value for one in children if one.kind in MAY_BE_RESIDENT]
    read = _numbers(first.identifier.value, others, today, typed=first.kind in MAY_BE_RESIDENT)
    # What is no resident's number is kept with its issuer, as identifier or as claim.
    numbers = tuple(one for one in read if one.kind is not NumberKind.OTHER)
    provisional = (
        statement.provisional
        or first.kind is IdentifierKind.TEMPORARY
        or is_placeholder(demographics.name)
    )
    claims = tuple(dict.fromkeys((*typed_own, *foreign)))
    kinds = sorted((one.kind.value, one.identifier.cx) for one in (first, *children))
    details = _details(demographics, statement.source[:128], kinds, provisional=provisional)
    return Statement(
        own=tuple(dict.fromkeys(one.identifier for one in (first, *own))),
        claims=claims,
        demographics=demographics,
        numbers=numbers,
        fingerprint=_fingerprint(demographics, numbers, details),
        source=statement.source[:128],
        provisional=provisional,
        details=details,
        repeatable=True,
    )


def restored(core: Demographics, details: str) -> Demographics:
    """Return the whole of a stored statement: what `details` hold beside `core`."""
    if not details:
        return core
    extras = _EXTRAS.validate_python(json.loads(details)[0])
    return replace(extras, name=core.name, birth_date=core.birth_date, sex=core.sex)


def _details(
    demographics: Demographics, source: str, kinds: list[tuple[str, str]], *, provisional: bool
) -> str:
    extras = _EXTRAS.dump_python(
        demographics, mode="json", exclude=_STORED_APART, exclude_defaults=True
    )
    said = [extras, source, provisional, kinds]
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def _same_issuer(one: TypedIdentifier, other: TypedIdentifier) -> bool:
    return one.identifier.issuer.oid == other.identifier.issuer.oid


def _with_mothers(demographics: Demographics, stated: list[TypedIdentifier]) -> Demographics:
    mothers = [one.identifier for one in stated if one.kind is IdentifierKind.MOTHER]
    if not mothers:
        return demographics
    together = dict.fromkeys((*demographics.mothers_identifiers, *mothers))
    return replace(demographics, mothers_identifiers=tuple(together))


def _numbers(
    own: str, others: Iterable[str], today: date, *, typed: bool = True
) -> tuple[IdentityNumber, ...]:
    texts = (own if typed else "", *others)
    read = [read_number(text, today) for text in texts if len(text) <= LONGEST_IDENTIFIER]
    # A local ID that is no resident's number is found as identifier already.
    numbers = {
        number.value: number
        for place, number in enumerate(read)
        if number.value.isprintable()
        and number.value
        and (place > 0 or number.kind is not NumberKind.OTHER)
    }
    return tuple(numbers.values())


def _fingerprint(
    demographics: Demographics, numbers: Iterable[IdentityNumber], details: str
) -> str:
    said: list[object] = [
        demographics.name.dicom,
        demographics.name.confident,
        str(demographics.birth_date),
        demographics.sex,
        sorted(number.value for number in numbers),
    ]
    if details:
        said.append(details)
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
