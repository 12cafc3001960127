"""What is known of one person, made ready for comparison once (see `prepare`)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from stdnum.cn import ric
from stdnum.exceptions import ValidationError

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from patient_index.matching.addresses import MatchAddress, read_address
from patient_index.matching.names import MatchName, Newborn, read_name
from patient_index.model import Demographics, IdentifierKind, TypedIdentifier, known_sex
from patient_index.resident_id import is_resident_shaped, normal_spelling


@dataclass(frozen=True, slots=True)
class MatchRecord:
    """Folded demographics and identifiers of one person; an unknown field is empty."""

    names: tuple[MatchName, ...]
    """Empty for newborns without a name and for people nobody could name."""
    newborn: Newborn | None
    certain: bool
    """False when a name could not be read with certainty: then nothing links unattended."""
    birth: str
    """Digits, "19850312" when complete; not necessarily a day that exists."""
    sex: str
    address: MatchAddress
    phones: frozenset[str]
    mothers: tuple[MatchName, ...]
    mothers_numbers: frozenset[str]
    resident_numbers: frozenset[str]
    """Resident ID numbers whose check digit holds."""
    doubtful_numbers: frozenset[str]
    """Numbers shaped like a resident ID that cannot be trusted: 15 digits, wrong check digit."""
    cards: frozenset[str]
    """Numbers of insurance, health card, health record, passport: "kind:value"."""
    local_numbers: tuple[tuple[str, str], ...]
    """(OID of the issuer, value) of the sites' own numbers."""
    birth_order: int
    """Position in a multiple birth, 0 when not known."""


def prepare(demographics: Demographics, identifiers: Iterable[TypedIdentifier] = ()) -> MatchRecord:
    """Return what is known, ready for `compare` and `blocking_keys`. Never raises."""
    read = [read_name(name) for name in (demographics.name, *demographics.other_names[:3])]
    newborn = next((said.newborn for said in read if said.newborn), None)
    numbers = _Numbers()
    for typed in identifiers:
        numbers.add(typed)
    sex = known_sex(demographics.sex) or (newborn.sex if newborn else "") or numbers.sex
    return MatchRecord(
        names=tuple({said.name: None for said in read if said.name}),
        newborn=newborn,
        certain=demographics.name.confident,
        birth=_birth_digits(demographics) or numbers.birth,
        sex=sex,
        address=read_address(demographics.address),
        phones=frozenset(filter(None, map(_phone, demographics.phones[:_MOST_PHONES]))),
        mothers=_mothers(demographics, newborn),
        mothers_numbers=frozenset(
            map(_whole, demographics.mothers_identifiers),
        )
        | numbers.mothers,
        resident_numbers=frozenset(numbers.resident),
        doubtful_numbers=frozenset(numbers.doubtful),
        cards=frozenset(numbers.cards),
        local_numbers=tuple(sorted(numbers.local)),
        birth_order=demographics.birth_order or (newborn.ordinal if newborn else 0),
    )


_CARD_KINDS = frozenset(
    {
        IdentifierKind.HEALTH_CARD,
        IdentifierKind.INSURANCE,
        IdentifierKind.HEALTH_RECORD,
        IdentifierKind.PASSPORT,
    }
)
_NOT_DIGITS = re.compile(r"\D+")
_SHORTEST_PHONE, _LONGEST_PHONE = 7, 20
_MOST_PHONES = 8
_EIGHTEEN = 18


class _Numbers:
    """Sorts identifiers into those that can be trusted, those that cannot, and the sites' own."""

    def __init__(self) -> None:
        self.resident: set[str] = set()
        self.doubtful: set[str] = set()
        self.cards: set[str] = set()
        self.local: set[tuple[str, str]] = set()
        self.mothers: frozenset[str] = frozenset()

    def add(self, typed: TypedIdentifier) -> None:
        """Sort one identifier in."""
        value = normal_spelling(typed.identifier.value)
        if not value:
            return
        if typed.kind is IdentifierKind.MOTHER:
            self.mothers |= {_whole(typed.identifier)}
        elif typed.kind is IdentifierKind.RESIDENT_ID:
            (self.resident if _verified(value) else self.doubtful).add(value)
        elif typed.kind in _CARD_KINDS:
            self.cards.add(f"{typed.kind.value}:{value}")
        elif typed.kind is IdentifierKind.LOCAL:
            self.local.add((typed.identifier.issuer.oid, value))
        elif typed.kind is IdentifierKind.OTHER and is_resident_shaped(value) and _verified(value):
            self.resident.add(value)

    @property
    def birth(self) -> str:
        """The birth date that the one verified number states."""
        return next(iter(self.resident))[6:14] if len(self.resident) == 1 else ""

    @property
    def sex(self) -> str:
        """The sex that the one verified number states."""
        if len(self.resident) != 1:
            return ""
        return "M" if int(next(iter(self.resident))[16]) % 2 else "F"


@lru_cache(maxsize=4096)
def _verified(number: str) -> bool:
    """Say whether a normal spelling is an 18-digit number whose check digit and date hold."""
    if len(number) != _EIGHTEEN or not is_resident_shaped(number):
        return False
    try:
        ric.get_birth_date(number)
    except ValidationError:
        return False
    return bool(number[-1] == ric.calc_check_digit(number))


def _whole(identifier: PatientIdentifier) -> str:
    return f"{normal_spelling(identifier.value)}@{identifier.issuer.oid}"


def _birth_digits(demographics: Demographics) -> str:
    born = demographics.birth_date
    if born is not None:
        return f"{born.year:04d}{born.month:02d}{born.day:02d}"
    return _NOT_DIGITS.sub("", demographics.birth_date_text)[:8]


def _phone(text: str) -> str:
    """Return the digits without country code; "" for what is no telephone number."""
    digits = _NOT_DIGITS.sub("", text[:64])
    for prefix in ("0086", "86"):
        if len(digits) == len(prefix) + 11 and digits.startswith(prefix + "1"):
            digits = digits.removeprefix(prefix)
    if not _SHORTEST_PHONE <= len(digits) <= _LONGEST_PHONE or len(set(digits)) < 3:
        return ""
    return digits


def _mothers(demographics: Demographics, newborn: Newborn | None) -> tuple[MatchName, ...]:
    named: Sequence[PersonName] = (
        [demographics.mother_name] if demographics.mother_name is not None else []
    )
    found = {said.name: None for said in map(read_name, named) if said.name}
    if newborn is not None:
        found[newborn.parent] = None
    return tuple(found)
