"""Read the link log: what was decided about an identifier or a person, by whom, and why."""

from collections.abc import Iterable

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Select,
    bindparam,
    func,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index import queries
from patient_index.explanations import decoded
from patient_index.model import Decided, Decision, KnownAs, LinkEntry
from patient_index.tables import GlobalPerson, KnownIdentifier, LinkLog
from patient_index.tables_feed import LinkDecision, LinkStep

_MOST_DECISIONS = 1000


def of_identifier(session: Session, identifier: PatientIdentifier) -> tuple[LinkEntry, ...]:
    """Return every line about an identifier, oldest first; one query."""
    rows = session.execute(
        select(LinkLog, LinkDecision.id, LinkDecision.explanation)
        .join(KnownIdentifier, KnownIdentifier.id == LinkLog.identifier_id)
        .outerjoin(LinkStep, LinkStep.link_id == LinkLog.id)
        .outerjoin(LinkDecision, LinkDecision.id == LinkStep.decision_id)
        .where(queries.is_identifier(identifier))
        .order_by(LinkLog.position)
    )
    return tuple(
        LinkEntry(
            identifier,
            line.global_id,
            line.action,
            Decided(by=line.decided_by, reason=line.reason, rule=line.rule),
            line.logged_at,
            decision_id,
            decoded(explanation),
        )
        for line, decision_id, explanation in rows
    )


def of_person(session: Session, global_id: str) -> tuple[Decision, ...]:
    """Return the decisions about a global ID, ignored merges included; two queries."""
    concerns = or_(LinkDecision.survivor == global_id, LinkDecision.subsumed == global_id)
    return _decisions(session, _select().where(concerns).limit(_MOST_DECISIONS))


def successor(session: Session, global_id: str) -> str | None:
    """Return to whom the first identifier of a global ID resolves now; None if never issued."""
    if session.scalar(select(GlobalPerson.id).where(GlobalPerson.global_id == global_id)) is None:
        return None
    first = (
        select(LinkLog.identifier_id)
        .where(LinkLog.global_id == global_id)
        .order_by(LinkLog.id)
        .limit(1)
        .scalar_subquery()
    )
    return session.scalar(
        select(LinkLog.global_id)
        .where(LinkLog.identifier_id == first)
        .order_by(LinkLog.position.desc())
        .limit(1)
    )


def known_as(session: Session, global_id: str) -> KnownAs:
    """Return the identifiers and the predecessors of a person; one query.

    Asked with every request to the registry, and therefore built once, without the mapper.
    """
    identifiers, former = [], []
    for value, namespace, oid, _ in session.connection().execute(_KNOWN_AS, {"person": global_id}):
        if namespace is None or oid is None:
            former.append(value)
        else:
            identifiers.append(PatientIdentifier(value, AssigningAuthority(namespace, oid)))
    return KnownAs(tuple(identifiers), tuple(former))


def _predecessors(person: BindParameter[str]) -> Select[str, int]:
    """Return the global IDs of which `successor` is this one, without itself, and their age."""
    links = queries.current_links()
    own = select(links.c.identifier_id).where(links.c.global_id == person)
    once = select(LinkLog.global_id).where(
        LinkLog.identifier_id.in_(own), LinkLog.global_id != person
    )
    firsts = (
        select(func.min(LinkLog.id)).where(LinkLog.global_id.in_(once)).group_by(LinkLog.global_id)
    )
    return select(LinkLog.global_id, LinkLog.id).where(
        LinkLog.id.in_(firsts), LinkLog.identifier_id.in_(own)
    )


def _known_as() -> CompoundSelect[str, str | None, str | None, int]:
    """Return identifiers with their issuers, and predecessors, whose issuer is NULL, by age."""
    person: BindParameter[str] = bindparam("person")
    former = _predecessors(person).subquery()
    return union_all(
        queries.identifiers_in_force(person),
        select(former.c.global_id, null(), null(), former.c.id),
    ).order_by("id")


_KNOWN_AS = _known_as()


def decision(session: Session, decision_id: int) -> Decision | None:
    """Return one decision; two queries."""
    found = _decisions(session, _select().where(LinkDecision.id == decision_id))
    return found[0] if found else None


_Found = Select[LinkDecision, int | None]


def _select() -> _Found:
    undoing = aliased(LinkDecision)
    return (
        select(LinkDecision, undoing.id)
        .outerjoin(undoing, undoing.undoes == LinkDecision.id)
        .order_by(LinkDecision.id)
    )


def _decisions(session: Session, asked: _Found) -> tuple[Decision, ...]:
    rows = session.execute(asked).all()
    moved = _moved(session, [row.id for row, _ in rows])
    return tuple(
        Decision(
            decision_id=row.id,
            action=row.action,
            survivor=row.survivor,
            subsumed=row.subsumed,
            decided=Decided(by=row.decided_by, reason=row.reason, rule=row.rule),
            decided_at=row.decided_at,
            moved=tuple(moved.get(row.id, ())),
            explanation=decoded(row.explanation),
            undoes=row.undoes,
            undone_by=undone_by,
        )
        for row, undone_by in rows
    )


def _moved(session: Session, decision_ids: Iterable[int]) -> dict[int, list[PatientIdentifier]]:
    rows = session.execute(
        select(LinkStep.decision_id, KnownIdentifier)
        .join(LinkLog, LinkLog.id == LinkStep.link_id)
        .join(KnownIdentifier, KnownIdentifier.id == LinkLog.identifier_id)
        .where(LinkStep.decision_id.in_(list(decision_ids)))
        .order_by(LinkStep.link_id)
    )
    moved: dict[int, list[PatientIdentifier]] = {}
    for decision_id, row in rows:
        moved.setdefault(decision_id, []).append(queries.identifier(row))
    return moved
