"""Find persons by what is known of them (ITI-21, ITI-78): conditions, scope and pages."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, false, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import NameKeys, PersonName, parse_person_name, query_keys
from patient_index import queries
from patient_index.errors import QuestionTooWideError
from patient_index.model import Address, PersonCriteria
from patient_index.name_parts import NameParts, given_keys, name_parts
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

_SPELLED_COLUMNS = ("key_hanzi", "key_pinyin", "key_alphabetic")
_NAME_COLUMNS = (*_SPELLED_COLUMNS, "key_initials")
_ROWS_AT_ONCE = 1000
_MOST_READINGS = 20

Check = Callable[[NameParts], bool]


@dataclass(frozen=True)
class Asked:
    """A question: criteria, the OIDs in whose reach the asker is, and which part of the answer."""

    criteria: PersonCriteria
    scope: frozenset[str] | None
    limit: int
    after: str
    own_oid: str


def find(session: Session, asked: Asked) -> list[str]:
    """Return global IDs of persons who fit, in the order of the global ID.

    One query; where parts of a name are asked for, one for every thousand rows that may fit. A
    question without a criterion is nobody's.

    Raises:
        QuestionTooWideError: so many may fit that they cannot all be read.
    """
    if asked.criteria == PersonCriteria():
        return []
    checks = _checks(asked.criteria)
    if checks:
        return _checked(session, asked, checks)
    links = queries.current_links()
    wanted = _wanted(select(links.c.global_id), links, asked)
    return list(session.scalars(wanted.distinct().order_by(links.c.global_id).limit(asked.limit)))


def _checked(session: Session, asked: Asked, checks: list[Check]) -> list[str]:
    """Go through the rows that the database has narrowed down, and look at each name."""
    found: dict[str, None] = {}
    links = queries.current_links()
    row = ObservedDemographics
    columns = (row.name_alphabetic, row.name_ideographic, row.name_phonetic)
    wanted = (
        _wanted(select(links.c.global_id, row.id, *columns), links, asked)
        .order_by(links.c.global_id, row.id)
        .limit(_ROWS_AT_ONCE)
    )
    place = None
    for _ in range(_MOST_READINGS):
        rows = session.execute(wanted if place is None else wanted.where(place)).all()
        for global_id, _, *name in rows:
            parts = name_parts(PersonName(*name))
            if all(check(parts) for check in checks):
                found[global_id] = None
            if len(found) == asked.limit:
                return list(found)
        if len(rows) < _ROWS_AT_ONCE:
            return list(found)
        same_person = and_(links.c.global_id == rows[-1][0], row.id > rows[-1][1])
        place = or_(links.c.global_id > rows[-1][0], same_person)
    raise QuestionTooWideError("too many people may fit: ask for more than a part of a name")


def _wanted(wanted: Select[Any], links: Subquery, asked: Asked) -> Select[Any]:
    """Add every condition of the question."""
    wanted = wanted.where(links.c.global_id > findable(asked.after))
    for condition in _on_person(links, asked):
        wanted = wanted.where(condition)
    said = list(_on_statement(asked.criteria))
    if said:
        wanted = _joined(wanted, links).where(*said)
    if asked.scope is not None:
        wanted = wanted.where(queries.known_at(links, asked.scope))
    return wanted


def _joined(wanted: Select[Any], links: Subquery) -> Select[Any]:
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
        holders = select(StatedPhone.identifier_id).where(StatedPhone.digits == digits)
        yield links.c.identifier_id.in_(holders) if digits else false()


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
        sound = sound_key(parse_person_name(criteria.mother_name))
        yield _begins(StatementDetail.key_mother, sound)


def _on_address(address: Address) -> Iterable[ColumnElement[bool]]:
    columns = (
        (StatementDetail.key_street, address.street or address.text),
        (StatementDetail.key_city, address.city),
        (StatementDetail.key_province, address.province),
        (StatementDetail.key_postal_code, address.postal_code),
    )
    for column, text in columns:
        if text:
            yield _begins(column, folded(text))


def _on_name(criteria: PersonCriteria) -> Iterable[ColumnElement[bool]]:
    if criteria.name:
        keys = query_keys(criteria.name)
        yield or_(false(), *_beginning(keys, _NAME_COLUMNS))
    if criteria.family:
        # The surname comes first: whoever's name begins so is narrowed down by `_checks`.
        yield or_(false(), *_beginning(query_keys(criteria.family), _SPELLED_COLUMNS))
    if criteria.given:
        yield or_(false(), *_later(given_keys(criteria.given)))


def _later(keys: Collection[str]) -> Iterable[ColumnElement[bool]]:
    """Whoever may have one of these as a given name: it follows something, or nobody said what."""
    row = ObservedDemographics
    turned = or_(
        row.name_ideographic.contains("·"),
        and_(
            or_(row.name_alphabetic.contains(" "), row.name_alphabetic.contains("·")),
            ~row.name_alphabetic.contains("^"),
        ),
    )
    for key in sorted(keys):
        for column in (row.key_hanzi, row.key_pinyin, row.key_alphabetic):
            yield func.substr(column, 2).contains(key, autoescape=True)
            yield and_(begins_with(column, key), turned)


def _beginning(keys: NameKeys, columns: tuple[str, ...]) -> Iterable[ColumnElement[bool]]:
    for column in columns:
        key = getattr(keys, column.removeprefix("key_"))
        if key:
            yield begins_with(getattr(ObservedDemographics, column), key)


def _begins(column: InstrumentedAttribute[str], key: str) -> ColumnElement[bool]:
    """Without a letter or digit there is nothing to begin with, and nobody who is meant."""
    return begins_with(column, key) if key else false()


def _checks(criteria: PersonCriteria) -> list[Check]:
    """Return what the database cannot tell: whether a key stands in the part that is asked for."""
    checks: list[Check] = []
    family = query_keys(criteria.family)
    # Hanzi: many askers know the whole name alone, and its beginning is the surname either way.
    if family.alphabetic and not family.hanzi:
        checks.append(lambda parts: _one_begins(parts.family, frozenset({family.alphabetic})))
    if criteria.given:
        given = given_keys(criteria.given)
        checks.append(lambda parts: _one_begins(parts.given, given))
    return checks


def _one_begins(parts: frozenset[str], keys: frozenset[str]) -> bool:
    return any(part.startswith(key) for part in parts for key in keys)
