"""The rules that link two persons who share a number: first line that applies decides."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import combinations

from hub_kernel.person_names import NameKeys, PersonName, name_keys
from patient_index.model import known_sex, names_agree
from patient_index.resident_id import IdentityNumber, NumberKind


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


def decide_link(mine: Evidence, theirs: Evidence) -> LinkRule:
    """Return the first rule that applies to two persons who share an identity number.

    Links only when a verified number is shared, something confirms it and nothing contradicts it.
    """
    return first_rule(LINK_RULES, mine, theirs)


def first_rule(rules: tuple[LinkRule, ...], mine: Evidence, theirs: Evidence) -> LinkRule:
    """Return the first line of a table that applies; the last one always does."""
    return next(rule for rule in rules if rule.applies(mine, theirs))


def numbers_differ(mine: Evidence, theirs: Evidence) -> bool:
    """Tell whether both have verified resident ID numbers, and none in common."""
    return _numbers_differ(mine, theirs)


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


def _numbers_differ(mine: Evidence, theirs: Evidence) -> bool:
    ours, others = _verified(mine), _verified(theirs)
    return bool(ours and others) and not ours & others


def is_somebody_else(mine: Evidence, theirs: Evidence) -> bool:
    """A mistyped name or date is common, both together on one card are another person."""
    other = _birth_date_contradicts(mine, theirs) or _sex_contradicts(mine, theirs)
    return other and _names_contradict(mine, theirs)


def _card_unconfirmed(mine: Evidence, theirs: Evidence) -> bool:
    names = _names(mine) and _names(theirs)
    return not (names and _birth_dates(mine) and _birth_dates(theirs))


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

EXPLICIT_RULES: tuple[LinkRule, ...] = (
    LinkRule(
        "explicit-several-numbers",
        _REVIEW,
        "an identifier of the other is stated, but their verified resident ID numbers differ",
        _numbers_differ,
    ),
    LinkRule(
        "explicit-contradicted",
        _REVIEW,
        "an identifier of the other is stated, but name and birth date or sex differ",
        is_somebody_else,
    ),
    LinkRule(
        "explicit-identifier",
        _LINK,
        "an identifier of the other, issued by its own authority, is stated",
        _always,
    ),
)
"""When one side states an identifier that its issuer gave to the other: that wins over demographics
unless everything else says that it is somebody else's."""

CARD_RULES: tuple[LinkRule, ...] = (
    LinkRule(
        "card-several-numbers",
        _REVIEW,
        "the same card is stated, but their verified resident ID numbers differ",
        _numbers_differ,
    ),
    LinkRule(
        "card-birth-date-contradicts",
        _REVIEW,
        "the same card is stated, but the birth dates differ",
        _birth_date_contradicts,
    ),
    LinkRule(
        "card-sex-contradicts",
        _REVIEW,
        "the same card is stated, but the sexes differ",
        _sex_contradicts,
    ),
    LinkRule(
        "card-name-uncertain",
        _REVIEW,
        "the same card is stated, but a name could not be read with certainty",
        _name_uncertain,
    ),
    LinkRule(
        "card-name-contradicts",
        _REVIEW,
        "the same card is stated, but the names differ in characters and in sound",
        _names_contradict,
    ),
    LinkRule(
        "card-nothing-confirms",
        _REVIEW,
        "the same card is stated, but name and birth date are not known on both sides",
        _card_unconfirmed,
    ),
    LinkRule("shared-card", _LINK, "the same card is stated, and nothing contradicts", _always),
)
"""When two sources state the same card, which neither of them issued: cards are borrowed."""

SIMILAR_RECORD = LinkRule(
    "similar-record",
    _REVIEW,
    "the records are alike, but not enough, or not alone, to link them unattended",
    _always,
)
MATCHED_RECORD = LinkRule(
    "matched-record", _LINK, "the records agree beyond the threshold and the margin", _always
)
