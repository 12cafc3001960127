"""Relations that only HL7 v2 queries ask for: children of a mother, identifiers merged away."""

from collections.abc import Collection

from sqlalchemy import BindParameter, Select, bindparam, exists, select
from sqlalchemy.orm import Session, aliased

from hub_kernel.database import Database
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.pairs import is_any_of
from patient_index import queries
from patient_index.link_log import MERGE
from patient_index.registration import MOTHER
from patient_index.tables import KnownIdentifier, LinkLog
from patient_index.tables_feed import LinkDecision, PersonRelation

_AT_ONCE = 400


def _merged_statement() -> Select[KnownIdentifier]:
    """Built once: every PIX query runs it, and building it costs more than running it."""
    person: BindParameter[str] = bindparam("person")
    undoing = aliased(LinkDecision)
    resolves_to = (
        select(LinkLog.global_id)
        .where(LinkLog.identifier_id == KnownIdentifier.id)
        .order_by(LinkLog.position.desc())
        .limit(1)
        .scalar_subquery()
    )
    merged_away = exists().where(
        LinkDecision.subsumed_identifier_id == KnownIdentifier.id,
        LinkDecision.action == MERGE,
        ~exists().where(undoing.undoes == LinkDecision.id),
    )
    ever = select(LinkLog.identifier_id).where(LinkLog.global_id == person)
    return (
        select(KnownIdentifier)
        .where(KnownIdentifier.id.in_(ever), merged_away, resolves_to == person)
        .order_by(KnownIdentifier.id)
    )


_MERGED = _merged_statement()


def children_of(database: Database, mother: PatientIdentifier) -> tuple[str, ...]:
    """Return the global IDs of the persons who name `mother`, by any of her identifiers."""
    with database.read() as session:
        global_id = queries.global_id_of(session, mother)
        named = {(mother.value.strip(), mother.issuer.oid)}
        return _naming(session, named | _names(session, [global_id] if global_id else []))


def children_naming(database: Database, mother: PatientIdentifier) -> tuple[str, ...]:
    """Return the global IDs of the persons who name `mother` by exactly this identifier."""
    with database.read() as session:
        return _naming(session, {(mother.value.strip(), mother.issuer.oid)})


def children_of_persons(database: Database, mothers: Collection[str]) -> tuple[str, ...]:
    """Return the global IDs of the persons who name one of these persons as their mother."""
    with database.read() as session:
        return _naming(session, _names(session, mothers))


def merged_identifiers(database: Database, global_id: str) -> tuple[PatientIdentifier, ...]:
    """Return the person's identifiers that a site has merged into another one of its own."""
    with database.read() as session:
        rows = session.scalars(_MERGED, {"person": global_id})
        return tuple(map(queries.identifier, rows))


def _names(session: Session, global_ids: Collection[str]) -> set[tuple[str, str]]:
    found = queries.identifiers_by_person(session, global_ids) if global_ids else {}
    return {(row.value, row.issuer_oid) for rows in found.values() for row in rows}


def _naming(session: Session, mothers: set[tuple[str, str]]) -> tuple[str, ...]:
    links = queries.current_links()
    ordered = sorted(mothers)
    found: set[str] = set()
    for start in range(0, len(ordered), _AT_ONCE):
        asked = (
            select(links.c.global_id)
            .join(PersonRelation, PersonRelation.identifier_id == links.c.identifier_id)
            .where(
                PersonRelation.relation == MOTHER,
                is_any_of(
                    PersonRelation.value,
                    PersonRelation.issuer_oid,
                    ordered[start : start + _AT_ONCE],
                ),
            )
        )
        found.update(session.scalars(asked))
    return tuple(sorted(found))
