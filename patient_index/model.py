"""Who is one person: what is known of people, and the rules that link what two sites know."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import combinations

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import NameKeys, PersonName, name_keys
from patient_index.resident_id import IdentityNumber, NumberKind


@dataclass(frozen=True)
class Person:
    """A person as the region knows them now: a global ID and all identifiers that resolve to it.

    Name, birth date and sex are the most recent trustworthy ones that any site sent.
    """

    global_id: str
    name: PersonName
    birth_date: date | None
    sex: str
    identifiers: tuple[PatientIdentifier, ...]


@dataclass(frozen=True)
class Observation:
    """What one site once said about the holder of one of its identifiers."""

    name: PersonName
    birth_date: date | None
    sex: str


@dataclass(frozen=True)
class Evidence:
    """Everything known about the holder, or holders, of one global ID."""

    observations: tuple[Observation, ...]
    numbers: frozenset[IdentityNumber] = frozenset()


class Verdict(StrEnum):
    """What a rule decides about two persons."""

    LINK = "link"
    REVIEW = "review"


@dataclass(frozen=True)
class LinkRule:
    """One line of the table: when it applies, what it decides, and why, for a person to read."""

    name: str
    verdict: Verdict
    reason: str
    applies: Callable[[Evidence, Evidence], bool]


@dataclass(frozen=True)
class Decided:
    """Who or what decided a change of links, and why; `reason` never holds patient data."""

    by: str
    reason: str
    rule: str = "person"


@dataclass(frozen=True)
class LinkEntry:
    """One line of the link log: from here on the identifier resolves to this global ID."""

    identifier: PatientIdentifier
    global_id: str
    action: str
    decided: Decided
    logged_at: datetime


@dataclass(frozen=True)
class Review:
    """A question for a person: are the holders of these two identifiers one person?"""

    review_id: int
    identifier: PatientIdentifier
    candidate: PatientIdentifier
    rule: str
    reason: str


def decide_link(mine: Evidence, theirs: Evidence) -> LinkRule:
    """Return the first rule that applies to two persons who share an identity number.

    Links only when a verified number is shared, something confirms it and nothing contradicts it.
    """
    return next(rule for rule in LINK_RULES if rule.applies(mine, theirs))


def names_agree(first: NameKeys, second: NameKeys) -> bool:
    """Say whether two names can be one person's.

    Homophones agree (a registrar hears the name before seeing it), and so do family and given name
    in the other order; a name of which nothing is known does not disagree.
    """
    if first.hanzi and first.hanzi == second.hanzi:
        return True
    mine, theirs = _sounds(first), _sounds(second)
    if not mine or not theirs:
        return True
    return any(_same_in_any_order(one, other) for one in mine for other in theirs)


def known_sex(text: str) -> str:
    """Return "M" or "F" when `text` says so, else "" (PS3.3 C.7.1.1; "O" tells nothing)."""
    letter = text.strip().upper()[:1]
    return letter if letter in {"M", "F"} else ""


def _sounds(keys: NameKeys) -> set[str]:
    return {sound for sound in (keys.pinyin, keys.alphabetic) if sound}


def _same_in_any_order(one: str, other: str) -> bool:
    return len(one) == len(other) and one in other + other


def _birth_dates(evidence: Evidence) -> set[date]:
    return {seen.birth_date for seen in evidence.observations if seen.birth_date is not None}


def _sexes(evidence: Evidence) -> set[str]:
    return {known_sex(seen.sex) for seen in evidence.observations} - {""}


def _names(evidence: Evidence) -> set[NameKeys]:
    """Return the keys of the names that may count: read with confidence and not empty."""
    keys = {name_keys(seen.name) for seen in evidence.observations if seen.name.confident}
    return {key for key in keys if key.hanzi or key.alphabetic}


def _verified(evidence: Evidence) -> set[IdentityNumber]:
    return {number for number in evidence.numbers if number.kind is NumberKind.RESIDENT}


def _no_verified_number_shared(mine: Evidence, theirs: Evidence) -> bool:
    return not _verified(mine) & _verified(theirs)


def _several_numbers(mine: Evidence, theirs: Evidence) -> bool:
    return len(_verified(mine) | _verified(theirs)) > 1


def _differs(values: Collection[object]) -> bool:
    return len(values) > 1


def _birth_date_contradicts(mine: Evidence, theirs: Evidence) -> bool:
    said = {number.birth_date for number in _verified(mine) | _verified(theirs)}
    return _differs(_birth_dates(mine) | _birth_dates(theirs) | (said - {None}))


def _sex_contradicts(mine: Evidence, theirs: Evidence) -> bool:
    said = {number.sex for number in _verified(mine) | _verified(theirs)}
    return _differs(_sexes(mine) | _sexes(theirs) | said)


def _name_uncertain(mine: Evidence, theirs: Evidence) -> bool:
    def uncertain(evidence: Evidence) -> bool:
        doubtful = any(not seen.name.confident for seen in evidence.observations)
        return doubtful and not _names(evidence)

    return uncertain(mine) or uncertain(theirs)


def _names_contradict(mine: Evidence, theirs: Evidence) -> bool:
    return any(not names_agree(*pair) for pair in combinations(_names(mine) | _names(theirs), 2))


def _nothing_confirms(mine: Evidence, theirs: Evidence) -> bool:
    """Without a contradiction left, confirmed is what both sides state beside the number."""
    names = _names(mine) and _names(theirs)
    return not (names or (_birth_dates(mine) and _birth_dates(theirs)))


def _always(_mine: Evidence, _theirs: Evidence) -> bool:
    return True


_REVIEW, _LINK = Verdict.REVIEW, Verdict.LINK

LINK_RULES: tuple[LinkRule, ...] = (
    LinkRule(
        "unverified-number",
        _REVIEW,
        "the shared number has no check digit to trust (15 digits)",
        _no_verified_number_shared,
    ),
    LinkRule(
        "several-numbers",
        _REVIEW,
        "more than one verified resident ID number is known for the two",
        _several_numbers,
    ),
    LinkRule(
        "birth-date-contradicts",
        _REVIEW,
        "same resident ID number, but the birth dates differ from it or from each other",
        _birth_date_contradicts,
    ),
    LinkRule(
        "sex-contradicts",
        _REVIEW,
        "same resident ID number, but the sexes differ from it or from each other",
        _sex_contradicts,
    ),
    LinkRule(
        "name-uncertain",
        _REVIEW,
        "same resident ID number, but a name could not be read with certainty",
        _name_uncertain,
    ),
    LinkRule(
        "name-contradicts",
        _REVIEW,
        "same resident ID number, but the names differ in characters and in sound",
        _names_contradict,
    ),
    LinkRule(
        "nothing-confirms",
        _REVIEW,
        "same resident ID number, but neither name nor birth date is known on both sides",
        _nothing_confirms,
    ),
    LinkRule(
        "verified-number",
        _LINK,
        "same verified resident ID number, and nothing contradicts",
        _always,
    ),
)
"""The first rule that applies decides; the last one always applies (see `decide_link`)."""

SEVERAL_PERSONS = LinkRule(
    "several-persons",
    _REVIEW,
    "the same resident ID number is known for several persons",
    _always,
)
"""Decides before the table: with two candidates there is no telling which is meant."""

SEPARATED_BEFORE = LinkRule(
    "separated-before",
    _REVIEW,
    "same verified resident ID number, but a person has taken these identifiers apart before",
    _always,
)
"""Overrules a link of the table: what a person has taken apart, no rule puts together."""
