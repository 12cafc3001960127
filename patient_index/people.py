"""Put together what is known of whole persons from what every site said, in a few queries."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from patient_index import queries
from patient_index.candidates import claimed, demographics_of
from patient_index.merging import merged_into
from patient_index.model import Demographics, IdentifierKind, Person, TypedIdentifier, known_sex
from patient_index.tables import KnownIdentifier, ObservedDemographics
from patient_index.tables_feed import ClaimedIdentifier, PersonRelation, StatementDetail

T = TypeVar("T")

_MERGED_FIELDS = (
    "birth_time", "birth_date_text", "address", "phones", "mother_name", "multiple_birth",
    "birth_order", "deceased", "deceased_at", "language", "marital_status", "other_names",
)  # fmt: skip
_NOTHING = Demographics()


@dataclass(frozen=True)
class _Said:
    """One statement, newest first."""

    observed_id: int
    demographics: Demographics
    provisional: bool
    observed_at: datetime


@dataclass(frozen=True)
class _Gathered:
    """Everything read for some persons, by identifier row."""

    said: dict[int, list[_Said]]
    cards: dict[int, list[TypedIdentifier]]
    merged: dict[int, int]
    mothers: dict[int, list[str]]


def whole_persons(
    session: Session, global_ids: Sequence[str], *, as_of: datetime | None = None
) -> list[Person]:
    """Return persons with everything known, in this order, without those nothing resolves to.

    At most eight queries, however many are asked for. `as_of` answers as it was known then.
    """
    rows = queries.identifiers_by_person(session, global_ids, as_of) if global_ids else {}
    if not rows:
        return []
    gathered = _gather(session, [row.id for found in rows.values() for row in found], as_of)
    people = [_person(one, rows[one], gathered) for one in global_ids if one in rows]
    return _with_mothers_names(session, people, as_of)


def _gather(session: Session, ids: list[int], as_of: datetime | None) -> _Gathered:
    cards: dict[int, list[TypedIdentifier]] = {}
    for claim in session.scalars(
        select(ClaimedIdentifier)
        .where(ClaimedIdentifier.identifier_id.in_(ids))
        .order_by(ClaimedIdentifier.id)
    ):
        cards.setdefault(claim.identifier_id, []).append(claimed(claim))
    return _Gathered(
        _said(session, ids, as_of), cards, merged_into(session, ids), _mothers(session, ids, as_of)
    )


def _said(
    session: Session, identifier_ids: Collection[int], as_of: datetime | None
) -> dict[int, list[_Said]]:
    numbered = select(
        ObservedDemographics.id,
        func.row_number()
        .over(
            partition_by=ObservedDemographics.identifier_id,
            order_by=ObservedDemographics.id.desc(),
        )
        .label("place"),
    ).where(ObservedDemographics.identifier_id.in_(identifier_ids))
    if as_of is not None:
        numbered = numbered.where(ObservedDemographics.observed_at <= as_of)
    newest = numbered.subquery()
    rows = session.execute(
        select(ObservedDemographics, StatementDetail.details, StatementDetail.provisional)
        .join(newest, newest.c.id == ObservedDemographics.id)
        .outerjoin(StatementDetail, StatementDetail.observed_id == ObservedDemographics.id)
        .where(newest.c.place <= queries.OBSERVATIONS_READ)
        .order_by(ObservedDemographics.id.desc())
    )
    found: dict[int, list[_Said]] = {}
    for row, details, provisional in rows:
        one = _Said(row.id, demographics_of(row, details), bool(provisional), row.observed_at)
        found.setdefault(row.identifier_id, []).append(one)
    return found


def _mothers(
    session: Session, identifier_ids: Collection[int], as_of: datetime | None
) -> dict[int, list[str]]:
    links = queries.current_links(as_of)
    rows = session.execute(
        select(PersonRelation.identifier_id, links.c.global_id)
        .join(
            KnownIdentifier,
            and_(
                KnownIdentifier.value == PersonRelation.value,
                KnownIdentifier.issuer_oid == PersonRelation.issuer_oid,
            ),
        )
        .join(links, links.c.identifier_id == KnownIdentifier.id)
        .where(PersonRelation.identifier_id.in_(identifier_ids))
        .order_by(PersonRelation.id)
    )
    found: dict[int, list[str]] = {}
    for identifier_id, global_id in rows:
        found.setdefault(identifier_id, []).append(global_id)
    return found


def _person(global_id: str, rows: list[KnownIdentifier], gathered: _Gathered) -> Person:
    said = [one for row in rows for one in gathered.said.get(row.id, ())]
    said.sort(key=lambda one: one.observed_id, reverse=True)
    newest = [gathered.said[row.id][0] for row in rows if row.id in gathered.said]
    # What was read with doubt is shown only when there is nothing better, and a placeholder for a
    # name only as long as nobody has said a real one.
    trusted = sorted(said, key=lambda one: (one.provisional, not one.demographics.name.confident))
    demographics = _demographics([one.demographics for one in trusted])
    own = {queries.identifier(row): row.id for row in rows}
    cards = dict.fromkeys(card for row in rows for card in gathered.cards.get(row.id, ()))
    mothers = dict.fromkeys(one for row in rows for one in gathered.mothers.get(row.id, ()))
    return Person(
        global_id=global_id,
        name=demographics.name,
        birth_date=demographics.birth_date,
        sex=known_sex(demographics.sex),
        identifiers=tuple(own),
        demographics=demographics,
        cards=tuple(cards),
        merged=tuple(one for one, row_id in own.items() if row_id in gathered.merged),
        provisional=bool(newest) and all(one.provisional for one in newest),
        mothers=tuple(one for one in mothers if one != global_id),
        updated_at=max((one.observed_at for one in said), default=None),
    )


def _demographics(said: list[Demographics]) -> Demographics:
    """Return the first known value of every field."""
    mothers = dict.fromkeys(one for each in said for one in each.mothers_identifiers)
    values: dict[str, Any] = {
        name: _first(getattr(one, name) for one in said) for name in _MERGED_FIELDS
    }
    known = {name: value for name, value in values.items() if value is not None}
    born = _first(one.birth_date for one in said)
    if born is not None:
        known.pop("birth_date_text", None)
    return replace(
        _NOTHING,
        name=queries.best_name([one.name for one in said]),
        birth_date=born,
        sex=_sex(said),
        mothers_identifiers=tuple(mothers),
        **known,
    )


def _sex(said: list[Demographics]) -> str:
    """The newest that says something; "O" and "U" only when nobody knows better."""
    stated = [one.sex.strip().upper()[:1] for one in said if one.sex.strip()]
    return next((sex for sex in stated if known_sex(sex)), stated[0] if stated else "")


def _first(values: Iterable[T]) -> T | None:
    empty = (None, "", (), _NOTHING.address)
    return next((value for value in values if value not in empty), None)


def _with_mothers_names(
    session: Session, people: list[Person], as_of: datetime | None
) -> list[Person]:
    """A newborn's mother may be named by her number alone; her own record says what she is called.

    The mother is another person: nothing but her name is taken over.
    """
    wanted = {one.mothers[0] for one in people if one.mothers and not _mother_named(one)}
    if not wanted:
        return people
    rows = queries.identifiers_by_person(session, wanted, as_of)
    said = _said(session, [row.id for found in rows.values() for row in found], as_of)
    names: dict[str, PersonName] = {}
    for global_id, found in rows.items():
        stated = [one.demographics.name for row in found for one in said.get(row.id, ())]
        names[global_id] = queries.best_name(stated)
    return [
        replace(
            one,
            demographics=replace(one.demographics, mother_name=names[one.mothers[0]]),
            mother_named_by=one.mothers[0],
        )
        if one.mothers and one.mothers[0] in names and not _mother_named(one)
        else one
        for one in people
    ]


def _mother_named(person: Person) -> bool:
    name = person.demographics.mother_name
    return name is not None and bool(name.dicom)


def usable_identifiers(person: Person) -> tuple[PatientIdentifier, ...]:
    """Return a person's identifiers as they are told to others, each once: own ones, then cards.

    Left out are those a site has merged away, and temporary ones.
    """
    own = [one for one in person.identifiers if one not in set(person.merged)]
    cards = [
        one.identifier
        for one in person.cards
        if one.kind not in {IdentifierKind.TEMPORARY, IdentifierKind.MOTHER}
        and one.identifier not in set(person.identifiers)
    ]
    return tuple(dict.fromkeys((*own, *cards)))
