"""Find persons by what is known of them (ITI-21, ITI-78): conditions, scope and pages."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, or_, select
from sqlalchemy.orm import Session

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import parse_person_name, query_keys
from patient_index import queries
from patient_index.model import Address, PersonCriteria
from patient_index.queries import begins_with
from patient_index.resident_id import normal_spelling
from patient_index.tables import (
    IdentityEvidence,
    IdentityNumberRow,
    KnownIdentifier,
    ObservedDemographics,
)
from patient_index.tables_feed import ClaimedIdentifier, StatedPhone, StatementDetail
from patient_index.text_keys import findable, folded, phone_digits, sound_key

_NAME_COLUMNS = ("key_hanzi", "key_pinyin", "key_initials", "key_alphabetic")


@dataclass(frozen=True)
class Asked:
    """A question: criteria, the OIDs in whose reach the asker is, and which part of the answer."""

    criteria: PersonCriteria
    scope: frozenset[str] | None
    limit: int
    after: str
    own_oid: str


def find(session: Session, asked: Asked) -> list[str]:
    """Return global IDs of persons who fit, in the order of the global ID; one query."""
    links = queries.current_links()
    wanted = select(links.c.global_id).where(links.c.global_id > findable(asked.after))
    for condition in _on_person(links, asked):
        wanted = wanted.where(condition)
    said = list(_on_statement(asked.criteria))
    if said:
        wanted = _joined(wanted, links).where(*said)
    if asked.scope is not None:
        wanted = wanted.where(queries.known_at(links, asked.scope))
    return list(session.scalars(wanted.distinct().order_by(links.c.global_id).limit(asked.limit)))


def _joined(wanted: Select[str], links: Subquery) -> Select[str]:
    return wanted.join(
        ObservedDemographics, ObservedDemographics.identifier_id == links.c.identifier_id
    ).outerjoin(StatementDetail, StatementDetail.observed_id == ObservedDemographics.id)


def _on_person(links: Subquery, asked: Asked) -> Iterable[ColumnElement[bool]]:
    criteria = asked.criteria
    own = [one.value for one in criteria.identifiers if one.issuer.oid == asked.own_oid]
    issued = [one for one in criteria.identifiers if one.issuer.oid != asked.own_oid]
    if criteria.identifiers or criteria.numbers:
        yield or_(
            links.c.global_id.in_(
                list(map(findable, (*own, *(text.upper() for text in criteria.numbers))))
            ),
            links.c.global_id.in_(_holders(issued, criteria.numbers)),
        )
    if criteria.global_ids:
        yield links.c.global_id.in_(list(map(findable, criteria.global_ids)))
    digits = phone_digits(criteria.phone)
    if criteria.phone:
        yield links.c.identifier_id.in_(
            select(StatedPhone.identifier_id).where(StatedPhone.digits == digits)
        )


def _holders(issued: list[PatientIdentifier], numbers: tuple[str, ...]) -> Select[str]:
    """The persons who have one of these, whether issued to them or stated of them."""
    ids = [_rows_of(table, issued, numbers) for table in (KnownIdentifier, ClaimedIdentifier)]
    by_number = (
        select(IdentityEvidence.identifier_id)
        .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
        .where(
            IdentityNumberRow.value.in_(
                {
                    findable(normal_spelling(text))
                    for text in (*numbers, *(one.value for one in issued))
                }
            )
        )
    )
    links = queries.current_links()
    return select(links.c.global_id).where(
        or_(*(links.c.identifier_id.in_(found) for found in (*ids, by_number)))
    )


def _rows_of(
    table: type[KnownIdentifier] | type[ClaimedIdentifier],
    issued: list[PatientIdentifier],
    numbers: tuple[str, ...],
) -> Select[int]:
    column = table.id if table is KnownIdentifier else ClaimedIdentifier.identifier_id
    any_of = [
        and_(table.value == findable(one.value.strip()), table.issuer_oid == one.issuer.oid)
        for one in issued
    ]
    return select(column).where(
        or_(*any_of, table.value.in_([findable(text.strip()) for text in numbers]))
    )


def _on_statement(criteria: PersonCriteria) -> Iterable[ColumnElement[bool]]:
    row = ObservedDemographics
    yield from _on_name(criteria)
    if criteria.birth_date is not None:
        yield row.birth_date == criteria.birth_date
    if criteria.born_from is not None:
        yield row.birth_date >= criteria.born_from
    if criteria.born_until is not None:
        yield row.birth_date <= criteria.born_until
    if criteria.sex:
        yield func.upper(row.sex) == findable(criteria.sex.upper())
    yield from _on_address(criteria.address)
    if criteria.mother_name:
        yield begins_with(
            StatementDetail.key_mother, sound_key(parse_person_name(criteria.mother_name))
        )


def _on_address(address: Address) -> Iterable[ColumnElement[bool]]:
    columns = (
        (StatementDetail.key_street, address.street or address.text),
        (StatementDetail.key_city, address.city),
        (StatementDetail.key_province, address.province),
        (StatementDetail.key_postal_code, address.postal_code),
    )
    for column, text in columns:
        if text:
            yield begins_with(column, folded(text))


def _on_name(criteria: PersonCriteria) -> Iterable[ColumnElement[bool]]:
    family = criteria.name or criteria.family
    if family:
        keys = query_keys(family)
        begun = [
            begins_with(getattr(ObservedDemographics, column), getattr(keys, column[4:]))
            for column in _NAME_COLUMNS
            if getattr(keys, column[4:])
        ]
        # A name of which nothing can be compared is nobody's.
        yield or_(*begun) if begun else ObservedDemographics.id == -1
    if criteria.given:
        keys = query_keys(criteria.given)
        found = [
            getattr(ObservedDemographics, column).contains(
                getattr(keys, column[4:]), autoescape=True
            )
            for column in ("key_hanzi", "key_pinyin", "key_alphabetic")
            if getattr(keys, column[4:])
        ]
        yield or_(*found) if found else ObservedDemographics.id == -1
