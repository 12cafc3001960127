"""What the patient index reads: links, persons and searches, in a fixed number of queries."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from hub_kernel.database import UtcDateTime
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName, query_keys
from patient_index.link_rules import Observation
from patient_index.model import Person, known_sex
from patient_index.resident_id import normal_spelling
from patient_index.tables import (
    IdentityEvidence,
    IdentityNumberRow,
    KnownIdentifier,
    LinkLog,
    ObservedDemographics,
)
from patient_index.tables_feed import ClaimedIdentifier
from patient_index.text_keys import findable

OBSERVATIONS_READ = 32
"""Statements looked at per identifier, newest first; however often a site corrects itself."""


@dataclass(frozen=True)
class Search:
    """A question typed by a person; `issuers` limits it to people known there, `None` to nobody.

    With `by_number_alone` nobody is found by a name.
    """

    text: str
    issuers: frozenset[AssigningAuthority] | None
    limit: int
    by_number_alone: bool = False


def current_links(as_of: datetime | None = None) -> Subquery:
    """Return (identifier_id, global_id) of every link in force now, or at `as_of`."""
    newer = aliased(LinkLog)
    overruled = [newer.identifier_id == LinkLog.identifier_id, newer.position > LinkLog.position]
    links = select(LinkLog.identifier_id, LinkLog.global_id)
    if as_of is not None:
        overruled.append(newer.logged_at <= as_of)
        links = links.where(LinkLog.logged_at <= as_of)
    return links.where(~exists(select(newer.id).where(*overruled))).subquery()


def in_force(line: type[LinkLog], *, now: bool) -> ColumnElement[bool]:
    """Return that no later line overrules this one, now or at the parameter `as_of`."""
    newer = aliased(LinkLog)
    overruled = [newer.identifier_id == line.identifier_id, newer.position > line.position]
    if now:
        return ~exists(select(newer.id).where(*overruled))
    as_of = bindparam("as_of", type_=UtcDateTime())
    overruled.append(newer.logged_at <= as_of)
    return and_(line.logged_at <= as_of, ~exists(select(newer.id).where(*overruled)))


def is_identifier(identifier: PatientIdentifier) -> ColumnElement[bool]:
    """Return the condition that a row of `patient_identifier` is this identifier."""
    return and_(
        KnownIdentifier.value == findable(identifier.value.strip()),
        KnownIdentifier.issuer_oid == identifier.issuer.oid,
    )


def global_id_of(
    session: Session, identifier: PatientIdentifier, as_of: datetime | None = None
) -> str | None:
    """Return what the identifier resolves to; one query."""
    if as_of is None:
        named = {"value": findable(identifier.value.strip()), "oid": identifier.issuer.oid}
        return session.scalar(_GLOBAL_ID_OF, named)
    asked = (
        select(LinkLog.global_id)
        .join(KnownIdentifier, KnownIdentifier.id == LinkLog.identifier_id)
        .where(is_identifier(identifier), LinkLog.logged_at <= as_of)
        .order_by(LinkLog.position.desc())
        .limit(1)
    )
    return session.scalar(asked)


def identifiers_by_person(
    session: Session, global_ids: Collection[str], as_of: datetime | None = None
) -> dict[str, list[KnownIdentifier]]:
    """Return the identifiers of each person, oldest first; one query."""
    found: dict[str, list[KnownIdentifier]] = {}
    given = {"global_ids": list(global_ids), "as_of": as_of}
    for global_id, row in session.execute(_by_person(now=as_of is None), given):
        found.setdefault(global_id, []).append(row)
    return found


def identifiers_of(session: Session, global_id: str) -> tuple[PatientIdentifier, ...]:
    """Return every identifier that resolves to the global ID now, oldest first; one query.

    Asked with every disclosure, and therefore without the objects of the mapper.
    """
    rows = session.execute(_IDENTIFIERS_OF, {"global_id": global_id})
    return tuple(
        [
            PatientIdentifier(value, AssigningAuthority(namespace, oid))
            for value, namespace, oid, _ in rows
        ]
    )


def identifiers_in_force(person: BindParameter[str]) -> Select[str, str, str, int]:
    """Return value, issuer and age of every identifier that resolves to the global ID now."""
    line, known = LinkLog.__table__.c, KnownIdentifier.__table__.c
    newer = LinkLog.__table__.alias()
    overruled = exists(
        select(newer.c.id).where(
            newer.c.identifier_id == line.identifier_id, newer.c.position > line.position
        )
    )
    return (
        select(known.value, known.issuer_namespace, known.issuer_oid, known.id)
        .join_from(LinkLog.__table__, KnownIdentifier.__table__, known.id == line.identifier_id)
        .where(line.global_id == person, ~overruled)
    )


_IDENTIFIERS_OF = identifiers_in_force(bindparam("global_id")).order_by(KnownIdentifier.id)


def _global_id_of() -> Select[str]:
    line, known = LinkLog.__table__.c, KnownIdentifier.__table__.c
    return (
        select(line.global_id)
        .join_from(LinkLog.__table__, KnownIdentifier.__table__, known.id == line.identifier_id)
        .where(known.value == bindparam("value"), known.issuer_oid == bindparam("oid"))
        .order_by(line.position.desc())
        .limit(1)
    )


_GLOBAL_ID_OF = _global_id_of()


@cache
def _by_person(*, now: bool) -> Select[str, KnownIdentifier]:
    line = aliased(LinkLog)
    return (
        select(line.global_id, KnownIdentifier)
        .join(KnownIdentifier, KnownIdentifier.id == line.identifier_id)
        .where(line.global_id.in_(bindparam("global_ids", expanding=True)), in_force(line, now=now))
        .order_by(KnownIdentifier.id)
    )


def observations_by_identifier(
    session: Session, identifier_ids: Collection[int]
) -> dict[int, list[ObservedDemographics]]:
    """Return the latest statements about each identifier, newest first; one query."""
    newest = (
        select(
            ObservedDemographics.id,
            func.row_number()
            .over(
                partition_by=ObservedDemographics.identifier_id,
                order_by=ObservedDemographics.id.desc(),
            )
            .label("place"),
        )
        .where(ObservedDemographics.identifier_id.in_(identifier_ids))
        .subquery()
    )
    rows = session.scalars(
        select(ObservedDemographics)
        .join(newest, newest.c.id == ObservedDemographics.id)
        .where(newest.c.place <= OBSERVATIONS_READ)
        .order_by(ObservedDemographics.id.desc())
    )
    found: dict[int, list[ObservedDemographics]] = {}
    for row in rows:
        found.setdefault(row.identifier_id, []).append(row)
    return found


def persons(session: Session, global_ids: list[str]) -> list[Person]:
    """Return these persons in this order, without those nothing resolves to; two queries."""
    if not global_ids:
        return []
    identifiers = identifiers_by_person(session, global_ids)
    everybody = [row.id for rows in identifiers.values() for row in rows]
    observed = observations_by_identifier(session, everybody)
    return [
        _person(global_id, identifiers[global_id], observed)
        for global_id in global_ids
        if global_id in identifiers
    ]


def search(session: Session, asked: Search) -> list[Person]:
    """Return who matches, exact matches first; three queries."""
    text = findable(asked.text.strip())
    if not text or asked.limit < 1:
        return []
    matches = union_all(*_numbered(text)).subquery() if asked.by_number_alone else _matches(text)
    links = current_links()
    found = (
        select(links.c.global_id)
        .join(matches, matches.c.identifier_id == links.c.identifier_id)
        .group_by(links.c.global_id)
        .order_by(func.min(matches.c.rank), links.c.global_id)
        .limit(asked.limit)
    )
    if asked.issuers is not None:
        found = found.where(known_at(links, {issuer.oid for issuer in asked.issuers}))
    return persons(session, list(session.scalars(found)))


def observation(row: ObservedDemographics) -> Observation:
    """Return the statement a row holds."""
    name = PersonName(
        row.name_alphabetic,
        row.name_ideographic,
        row.name_phonetic,
        confident=row.name_confident,
        rule=row.name_rule,
    )
    return Observation(name, row.birth_date, row.sex)


def identifier(row: KnownIdentifier) -> PatientIdentifier:
    """Return the identifier a row holds."""
    return PatientIdentifier(row.value, AssigningAuthority(row.issuer_namespace, row.issuer_oid))


def best_name(names: list[PersonName]) -> PersonName:
    """Return the first confident name, one with two scripts before one with letters alone."""
    named = [name for name in names if name.dicom]
    confident = [name for name in named if name.confident] or named
    return next(
        (name for name in confident if not name.dicom.isascii()),
        confident[0] if confident else PersonName(),
    )


def begins_with(column: InstrumentedAttribute[str], key: str) -> ColumnElement[bool]:
    """Return a range, which an index answers everywhere; LIKE would read the whole table."""
    return and_(column >= key, column < literal(key + _LAST_CHARACTER, String()))


def known_at(links: Subquery, issuer_oids: Iterable[str]) -> ColumnElement[bool]:
    """Return that the person has an identifier of one of these issuers, whichever one matched."""
    same_person = current_links()
    return exists(
        select(same_person.c.identifier_id)
        .join(KnownIdentifier, KnownIdentifier.id == same_person.c.identifier_id)
        .where(
            same_person.c.global_id == links.c.global_id,
            KnownIdentifier.issuer_oid.in_(sorted(issuer_oids)),
        )
    )


_LAST_CHARACTER = "\U0010ffff"
_LONGEST_QUESTION = 64


def _matches(text: str) -> Subquery:
    """Identifiers that match, with a rank: 0 for what was meant exactly, 3 for a beginning."""
    named = _name_matches(text)
    return union_all(select(named.c.identifier_id, named.c.rank), *_numbered(text)).subquery()


def _numbered(text: str) -> tuple[Select[int, int], ...]:
    """Identifiers that this whole number names: of a site, of a card, of a resident, global."""
    spellings = {text, text.upper(), normal_spelling(text)}
    rank = literal(0).label("rank")
    by_value = select(KnownIdentifier.id.label("identifier_id"), rank).where(
        KnownIdentifier.value.in_(spellings)
    )
    by_number = (
        select(IdentityEvidence.identifier_id, literal(0))
        .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
        .where(IdentityNumberRow.value == normal_spelling(text))
    )
    # Every line of the log: a global ID that was linked into another one still finds the person.
    by_global_id = select(LinkLog.identifier_id, literal(0)).where(
        LinkLog.global_id == text.upper()
    )
    by_card = select(ClaimedIdentifier.identifier_id, literal(0)).where(
        ClaimedIdentifier.value.in_(spellings)
    )
    return by_value, by_number, by_card, by_global_id


def _name_matches(text: str) -> Subquery:
    keys = query_keys(text[:_LONGEST_QUESTION])
    row = ObservedDemographics
    wanted: list[tuple[InstrumentedAttribute[str], str, int]] = [
        (row.key_hanzi, keys.hanzi, 0),
        (row.key_pinyin, keys.pinyin, 1),
        (row.key_initials, keys.initials, 1),
        (row.key_alphabetic, keys.alphabetic, 1),
    ]
    asked = [(column, key, rank) for column, key, rank in wanted if key]
    if not asked:
        return select(row.identifier_id, literal(3).label("rank")).where(false()).subquery()
    exactly = [(column == key, rank) for column, key, rank in asked]
    rank = case(*exactly, else_=3).label("rank")
    begun = or_(*(begins_with(column, key) for column, key, _ in asked))
    return select(row.identifier_id, rank).where(begun).subquery()


def _person(
    global_id: str, rows: list[KnownIdentifier], observed: dict[int, list[ObservedDemographics]]
) -> Person:
    statements = [statement for row in rows for statement in observed.get(row.id, ())]
    statements.sort(key=lambda statement: statement.id, reverse=True)
    seen = [observation(statement) for statement in statements]
    # What was read with doubt is shown only when there is nothing better.
    seen.sort(key=lambda one: not one.name.confident)
    return Person(
        global_id=global_id,
        name=best_name([one.name for one in seen]),
        birth_date=next((one.birth_date for one in seen if one.birth_date), None),
        sex=next(filter(None, (known_sex(one.sex) for one in seen)), ""),
        identifiers=tuple(map(identifier, rows)),
    )
