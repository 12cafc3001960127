"""Find who a newcomer may be: by identifiers that are stated, numbers and keys that are shared.

Every search is bounded, whatever the index holds.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    desc,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.pairs import bound, is_any_bound
from patient_index import queries
from patient_index.identifier_checks import Worth, check_identifier
from patient_index.matcher import Known, Matcher
from patient_index.model import Demographics, IdentifierKind, TypedIdentifier
from patient_index.resident_id import NumberKind, read_number
from patient_index.statements import MAY_BE_RESIDENT, Statement, restored
from patient_index.tables import (
    IdentityEvidence,
    IdentityNumberRow,
    KnownIdentifier,
    LinkLog,
    ObservedDemographics,
)
from patient_index.tables_feed import ClaimedIdentifier, MatchKey, StatementDetail

MOST_CANDIDATES = 64
MOST_COMPARED = 40
MOST_PER_KEY = 400
"""Holders of one key that are looked at; keys shared by more tell nobody apart."""

RESIDENTS = AssigningAuthority("CN-RESIDENT-ID", "2.16.156.10011.1.3")
"""The registration authority, as resident ID numbers are compared (WS/T 482 names this OID)."""

_LINKING_KINDS = (NumberKind.RESIDENT.value, NumberKind.OLD_RESIDENT.value)
_NO_CARDS = frozenset({IdentifierKind.RESIDENT_ID, IdentifierKind.TEMPORARY})

_EXPLICIT, _CARD = "explicit", "card"

Holders = dict[int, str]
"""Identifiers (by row) and the global ID each resolves to."""


@dataclass
class Stated:
    """Who is meant by the identifiers of a statement: their issuers' holders, other claimants."""

    explicit: Holders = field(default_factory=dict)
    cards: Holders = field(default_factory=dict)


def holders_stated(session: Session, statement: Statement, global_id: str, today: date) -> Stated:
    """Return other persons whom the statement's identifiers name; one query."""
    claims = [one for one in statement.claims if _usable(one, today)]
    given = {
        **bound("own", _pairs(statement.own)),
        **bound("claims", _pairs(one.identifier for one in claims)),
        **bound("cards", _pairs(one.identifier for one in claims if one.kind not in _NO_CARDS)),
        "global_id": global_id,
    }
    stated = Stated()
    for how, identifier_id, other in session.execute(_stated_query(), given):
        (stated.explicit if how == _EXPLICIT else stated.cards)[identifier_id] = other
    return stated


def holders_of_numbers(session: Session, identifier_id: int, global_id: str) -> Holders:
    """Return identifiers of other persons that share a resident ID number; one query."""
    found = session.execute(
        _numbers_query(), {"identifier_id": identifier_id, "global_id": global_id}
    )
    return {row.identifier_id: row.global_id for row in found}


def sharing_keys(session: Session, keys: Sequence[int], but: Collection[int]) -> list[int]:
    """Return identifiers that share most keys, without those in `but`; one query."""
    if not keys:
        return []
    given = {f"key{place}": key for place, key in enumerate(keys)}
    rows = session.scalars(_keys_query(len(keys)), given | {"most": MOST_COMPARED + len(but)})
    return [one for one in rows if one not in but][:MOST_COMPARED]


def records(session: Session, matcher: Matcher, identifier_ids: Collection[int]) -> list[Known]:
    """Return the latest record of each identifier and whose it is now; three queries."""
    if not identifier_ids:
        return []
    numbers = typed_numbers(session, identifier_ids)
    rows = session.execute(_records_query(), {"ids": list(identifier_ids)})
    return [
        Known(
            global_id,
            one.id,
            matcher.record(
                demographics_of(row, details),
                [TypedIdentifier(queries.identifier(one)), *numbers.get(one.id, ())],
            ),
        )
        for global_id, one, row, details in rows
    ]


def compared_identifiers(statement: Statement) -> list[TypedIdentifier]:
    """Return the identifiers of a statement as they are compared."""
    residents = [
        TypedIdentifier(PatientIdentifier(number.value, RESIDENTS), IdentifierKind.RESIDENT_ID)
        for number in statement.numbers
        if number.kind is not NumberKind.OTHER
    ]
    own = [TypedIdentifier(one) for one in statement.own]
    cards = [one for one in statement.claims if one.kind is not IdentifierKind.RESIDENT_ID]
    return [*own, *residents, *cards]


def compared_identifiers_of(
    stated: Iterable[TypedIdentifier], today: date
) -> list[TypedIdentifier]:
    """Return identifiers that nobody stores as they are compared: each once more as a number."""
    found = []
    for one in stated:
        found.append(one)
        number = read_number(one.identifier.value, today)
        if one.kind in MAY_BE_RESIDENT and number.kind is not NumberKind.OTHER:
            resident = PatientIdentifier(number.value, RESIDENTS)
            found.append(TypedIdentifier(resident, IdentifierKind.RESIDENT_ID))
    return found


def typed_numbers(
    session: Session, identifier_ids: Collection[int]
) -> dict[int, list[TypedIdentifier]]:
    """Return numbers and cards stated of each identifier's holder; two queries."""
    found: dict[int, list[TypedIdentifier]] = {}
    given = {"ids": list(identifier_ids)}
    for identifier_id, value in session.execute(_stated_numbers_query(), given):
        typed = TypedIdentifier(PatientIdentifier(value, RESIDENTS), IdentifierKind.RESIDENT_ID)
        found.setdefault(identifier_id, []).append(typed)
    for claim in session.scalars(_stated_cards_query(), given):
        found.setdefault(claim.identifier_id, []).append(claimed(claim))
    return found


def claimed(row: ClaimedIdentifier) -> TypedIdentifier:
    """Return the identifier that a row claims."""
    issuer = AssigningAuthority(row.issuer_namespace, row.issuer_oid)
    return TypedIdentifier(PatientIdentifier(row.value, issuer), IdentifierKind(row.kind))


def demographics_of(row: ObservedDemographics, details: str | None) -> Demographics:
    """Return the whole of a stored statement."""
    seen = queries.observation(row)
    core = Demographics(name=seen.name, birth_date=seen.birth_date, sex=seen.sex)
    return restored(core, details or "")


def _usable(claim: TypedIdentifier, today: date) -> bool:
    if claim.kind is IdentifierKind.TEMPORARY:
        return False
    return check_identifier(claim, today) is not Worth.BROKEN


def _pairs(identifiers: Iterable[PatientIdentifier]) -> list[tuple[str, str]]:
    return [(one.value.strip(), one.issuer.oid) for one in identifiers]


# Built once: putting a statement together costs more than running it.
@cache
def _stated_query() -> Select[str, int, str]:
    def any_of(
        table: type[KnownIdentifier] | type[ClaimedIdentifier], name: str
    ) -> ColumnElement[bool]:
        return is_any_bound(table.value, table.issuer_oid, name)

    found = union_all(
        select(literal(_EXPLICIT).label("how"), ClaimedIdentifier.identifier_id).where(
            any_of(ClaimedIdentifier, "own")
        ),
        select(literal(_EXPLICIT), KnownIdentifier.id).where(any_of(KnownIdentifier, "claims")),
        select(literal(_CARD), ClaimedIdentifier.identifier_id).where(
            any_of(ClaimedIdentifier, "cards")
        ),
    ).subquery()
    line = aliased(LinkLog)
    return (
        select(found.c.how, found.c.identifier_id, line.global_id)
        .join(line, line.identifier_id == found.c.identifier_id)
        .where(queries.in_force(line, now=True), line.global_id != bindparam("global_id"))
        .order_by(found.c.identifier_id)
        .limit(MOST_CANDIDATES)
    )


@cache
def _numbers_query() -> Select[int, str]:
    mine = (
        select(IdentityEvidence.number_id)
        .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
        .where(
            IdentityEvidence.identifier_id == bindparam("identifier_id"),
            IdentityNumberRow.kind.in_(_LINKING_KINDS),
        )
    )
    theirs, line = aliased(IdentityEvidence), aliased(LinkLog)
    return (
        select(theirs.identifier_id, line.global_id)
        .join(line, line.identifier_id == theirs.identifier_id)
        .where(
            theirs.number_id.in_(mine),
            queries.in_force(line, now=True),
            line.global_id != bindparam("global_id"),
        )
        .order_by(theirs.identifier_id)
        .limit(MOST_CANDIDATES)
    )


@cache
def _keys_query(count: int) -> Select[int]:
    blocks = [
        select(MatchKey.identifier_id)
        .where(MatchKey.key == bindparam(f"key{place}"))
        .limit(MOST_PER_KEY)
        .subquery()
        for place in range(count)
    ]
    found = union_all(*(select(block.c.identifier_id) for block in blocks)).subquery()
    return (
        select(found.c.identifier_id)
        .group_by(found.c.identifier_id)
        .order_by(desc(func.count()), found.c.identifier_id)
        .limit(bindparam("most"))
    )


@cache
def _records_query() -> Select[str, KnownIdentifier, ObservedDemographics, str]:
    newest = (
        select(func.max(ObservedDemographics.id))
        .where(ObservedDemographics.identifier_id.in_(bindparam("ids", expanding=True)))
        .group_by(ObservedDemographics.identifier_id)
    )
    line = aliased(LinkLog)
    return (
        select(line.global_id, KnownIdentifier, ObservedDemographics, StatementDetail.details)
        .join(line, line.identifier_id == ObservedDemographics.identifier_id)
        .join(KnownIdentifier, KnownIdentifier.id == ObservedDemographics.identifier_id)
        .outerjoin(StatementDetail, StatementDetail.observed_id == ObservedDemographics.id)
        .where(ObservedDemographics.id.in_(newest), queries.in_force(line, now=True))
    )


@cache
def _stated_numbers_query() -> Select[int, str]:
    return (
        select(IdentityEvidence.identifier_id, IdentityNumberRow.value)
        .join(IdentityNumberRow, IdentityNumberRow.id == IdentityEvidence.number_id)
        .where(
            IdentityEvidence.identifier_id.in_(bindparam("ids", expanding=True)),
            IdentityNumberRow.kind != NumberKind.OTHER.value,
        )
    )


@cache
def _stated_cards_query() -> Select[ClaimedIdentifier]:
    return select(ClaimedIdentifier).where(
        ClaimedIdentifier.identifier_id.in_(bindparam("ids", expanding=True)),
        ClaimedIdentifier.kind != IdentifierKind.RESIDENT_ID.value,
    )
