"""Who has an identifier: its issuer's patient, a global ID, or whoever a source said has it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Row, Select, bindparam, select, union
from sqlalchemy.orm import Session, aliased

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index import queries
from patient_index.candidates import RESIDENTS
from patient_index.merging import merged_into
from patient_index.model import IdentifierKind, TypedIdentifier
from patient_index.resident_id import is_resident_shaped, normal_spelling
from patient_index.tables import IdentityEvidence, IdentityNumberRow, KnownIdentifier, LinkLog
from patient_index.tables_feed import ClaimedIdentifier
from patient_index.text_keys import findable

_UNTOLD = (IdentifierKind.TEMPORARY.value, IdentifierKind.MOTHER.value)


@dataclass(frozen=True)
class References:
    """A person's identifiers, as they are told to others."""

    global_id: str
    identifiers: tuple[PatientIdentifier, ...]


def references(
    session: Session, asked: PatientIdentifier, own_oid: str, as_of: datetime | None = None
) -> References | None:
    """Return all identifiers of whoever has this one; at most four queries, three as a rule."""
    if asked.issuer.oid == own_oid:
        rows = _of_person(session, asked.value, as_of)
    else:
        rows = _siblings(session, asked, as_of)
        if not rows and (claimant := _claimant(session, asked, as_of)):
            rows = _of_person(session, claimant, as_of)
    if not rows:
        return None
    ids = [row.id for row in rows]
    merged = merged_into(session, ids)
    told = [
        PatientIdentifier(row.value, AssigningAuthority(row.issuer_namespace, row.issuer_oid))
        for row in rows
        if row.id not in merged
    ]
    own = {(row.value, row.issuer_oid) for row in rows}
    for value, oid, namespace in session.execute(_cards(), {"ids": ids}):
        if (value, oid) not in own:
            told.append(PatientIdentifier(value, AssigningAuthority(namespace, oid)))
    return References(rows[0].global_id, tuple(dict.fromkeys(told)))


def holder(
    session: Session, asked: PatientIdentifier, own_oid: str, as_of: datetime | None = None
) -> str | None:
    """Return the global ID of whoever has this identifier; at most two queries."""
    if asked.issuer.oid == own_oid:
        known = _of_person(session, asked.value, as_of)
        return asked.value if known else None
    return queries.global_id_of(session, asked, as_of) or _claimant(session, asked, as_of)


def holders(
    session: Session, stated: Collection[TypedIdentifier], own_oid: str
) -> dict[str, list[PatientIdentifier]]:
    """Return who has one of these identifiers, and which; two queries for each identifier."""
    found: dict[str, list[PatientIdentifier]] = {}
    for one in stated:
        if one.kind.value not in _UNTOLD:
            global_id = holder(session, one.identifier, own_oid)
            if global_id is not None:
                found.setdefault(global_id, []).append(one.identifier)
    return found


_Sibling = Row[str, int, str, str, str]
_COLUMNS = (
    KnownIdentifier.id,
    KnownIdentifier.value,
    KnownIdentifier.issuer_oid,
    KnownIdentifier.issuer_namespace,
)


def _siblings(
    session: Session, asked: PatientIdentifier, as_of: datetime | None
) -> Sequence[_Sibling]:
    """Return every identifier of the person who has a registered one; one query."""
    given = {"value": findable(asked.value.strip()), "oid": asked.issuer.oid, "as_of": as_of}
    return session.execute(_siblings_query(now=as_of is None), given).all()


def _of_person(session: Session, global_id: str, as_of: datetime | None) -> Sequence[_Sibling]:
    given = {"global_id": findable(global_id), "as_of": as_of}
    return session.execute(_person_query(now=as_of is None), given).all()


# Built once: putting a statement together costs more than running it.
@cache
def _siblings_query(*, now: bool) -> Select[str, int, str, str, str]:
    here, there = aliased(LinkLog), aliased(LinkLog)
    mine = aliased(KnownIdentifier)
    return (
        select(there.global_id, *_COLUMNS)
        .join(there, there.identifier_id == KnownIdentifier.id)
        .join(here, here.global_id == there.global_id)
        .join(mine, mine.id == here.identifier_id)
        .where(
            mine.value == bindparam("value"),
            mine.issuer_oid == bindparam("oid"),
            queries.in_force(here, now=now),
            queries.in_force(there, now=now),
        )
        .order_by(KnownIdentifier.id)
    )


@cache
def _person_query(*, now: bool) -> Select[str, int, str, str, str]:
    line = aliased(LinkLog)
    return (
        select(line.global_id, *_COLUMNS)
        .join(line, line.identifier_id == KnownIdentifier.id)
        .where(line.global_id == bindparam("global_id"), queries.in_force(line, now=now))
        .order_by(KnownIdentifier.id)
    )


@cache
def _cards() -> Select[str, str, str]:
    return (
        select(
            ClaimedIdentifier.value,
            ClaimedIdentifier.issuer_oid,
            ClaimedIdentifier.issuer_namespace,
        )
        .where(
            ClaimedIdentifier.identifier_id.in_(bindparam("ids", expanding=True)),
            ClaimedIdentifier.kind.not_in(_UNTOLD),
        )
        .order_by(ClaimedIdentifier.id)
    )


def _claimant(session: Session, asked: PatientIdentifier, as_of: datetime | None) -> str | None:
    """Return the one person who is said to have this number; None for nobody and for several."""
    links = queries.current_links(as_of)
    claims = select(ClaimedIdentifier.identifier_id).where(
        ClaimedIdentifier.value == findable(asked.value.strip()),
        ClaimedIdentifier.issuer_oid == asked.issuer.oid,
        ClaimedIdentifier.kind.not_in(_UNTOLD),
    )
    named = claims
    if asked.issuer.oid == RESIDENTS.oid and is_resident_shaped(asked.value):
        numbers = (
            select(IdentityEvidence.identifier_id)
            .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
            .where(IdentityNumberRow.value == normal_spelling(asked.value))
        )
        named = union(claims, numbers)  # type: ignore[assignment]
    found = session.scalars(
        select(links.c.global_id).where(links.c.identifier_id.in_(named)).distinct().limit(2)
    ).all()
    return found[0] if len(found) == 1 else None
