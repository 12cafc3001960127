"""What arrived and could not be taken, case by case, for a person to decide about.

A case is what one sender sent of one study of one patient for one reason: the parked instances of a
whole series are decided about at once. What cannot be read is a case by itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from image_archive.conflict_words import CaseStatus, Decision, DecisionState, Verdict
from image_archive.model import QuarantineReason, QuarantineRecord
from image_archive.rows import quarantine_record
from image_archive.tables import CONFLICT_DECISION, QUARANTINE

_ROWS_OF_CASE = 5_000


@dataclass(frozen=True)
class CaseQuery:
    """Which cases: of one status, of these sites (None: all) and reasons (empty: all)."""

    status: CaseStatus = CaseStatus.OPEN
    site_ids: frozenset[str] | None = None
    reasons: tuple[QuarantineReason, ...] = ()
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True)
class ConflictCase:
    """One case in a list. `times` counts how often any of it was sent."""

    case_key: str
    reason: QuarantineReason
    site_id: str
    calling_ae_title: str
    study_instance_uid: str
    sop_instance_uid: str
    instances: int
    total_bytes: int
    times: int
    received_at: datetime
    last_received_at: datetime


@dataclass(frozen=True)
class Parked:
    """One parked dataset. `status` tells it from others of its case that are decided."""

    row_id: int
    record: QuarantineRecord
    status: CaseStatus
    times: int
    last_received_at: datetime
    decision_id: int | None


class ConflictCases:
    """Reads the cases; every method is one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, query: CaseQuery) -> list[ConflictCase]:
        """Return one page of the cases, the latest first."""
        q = QUARANTINE.c
        cases = (
            select(
                q.case_key,
                func.min(q.reason).label("reason"),
                func.min(q.site_id).label("site_id"),
                func.min(q.calling_ae_title).label("calling_ae_title"),
                func.min(q.study_instance_uid).label("study_instance_uid"),
                func.min(q.sop_instance_uid).label("sop_instance_uid"),
                func.count().label("instances"),
                func.sum(q.dataset_bytes).label("total_bytes"),
                func.sum(q.times).label("times"),
                func.min(q.received_at).label("received_at"),
                func.max(func.coalesce(q.last_received_at, q.received_at)).label("last"),
            )
            .where(*_conditions(query))
            .group_by(q.case_key)
            .order_by(func.max(q.id).desc())
            .limit(query.limit)
            .offset(query.offset)
        )
        with self._database.read() as session:
            return [_case(row) for row in session.execute(cases)]

    def counts(self, site_ids: frozenset[str] | None = None) -> dict[QuarantineReason, int]:
        """Return how many cases wait for a person, by reason."""
        q = QUARANTINE.c
        counted = (
            select(q.reason, func.count(q.case_key.distinct()))
            .where(*_conditions(CaseQuery(site_ids=site_ids)))
            .group_by(q.reason)
        )
        with self._database.read() as session:
            return {QuarantineReason(reason): count for reason, count in session.execute(counted)}

    def total(self, query: CaseQuery) -> int:
        """Return how many cases all pages of the query hold."""
        counted = select(func.count(QUARANTINE.c.case_key.distinct())).where(*_conditions(query))
        with self._database.read() as session:
            return session.execute(counted).scalar_one()

    def key_of(self, beginning: str) -> str:
        """Return the key of the one case that begins so.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        q = QUARANTINE.c
        found = select(q.case_key).where(q.case_key.startswith(beginning, autoescape=True))
        with self._database.read() as session:
            keys = session.scalars(found.distinct().limit(2)).all()
        if not beginning or len(keys) != 1:
            raise NotFoundError("no case, or more than one, begins so")
        return str(keys[0])

    def parked(self, case_key: str) -> list[Parked]:
        """Return what is parked in a case, in order of arrival, decided or not.

        Raises:
            NotFoundError: there is no such case.
        """
        with self._database.read() as session:
            return parked_rows(session, case_key)

    def decisions(self, case_key: str) -> list[Decision]:
        """Return what was decided about a case, the latest first."""
        d = CONFLICT_DECISION
        with self._database.read() as session:
            rows = session.execute(
                select(d).where(d.c.case_key == case_key).order_by(d.c.id.desc()).limit(50)
            )
            return [decision(row) for row in rows]


def parked_rows(session: Session, case_key: str) -> list[Parked]:
    """Return what is parked in a case, as the session sees it.

    Raises:
        NotFoundError: there is no such case.
    """
    rows = session.execute(
        select(QUARANTINE)
        .where(QUARANTINE.c.case_key == case_key)
        .order_by(QUARANTINE.c.id)
        .limit(_ROWS_OF_CASE)
    ).all()
    if not case_key or not rows:
        raise NotFoundError("no such case")
    return [parked(row) for row in rows]


def parked(row: Row[Any]) -> Parked:
    """Return the parked dataset of a `quarantine` row."""
    return Parked(
        row_id=row.id,
        record=quarantine_record(row),
        status=CaseStatus(row.status),
        times=row.times,
        last_received_at=row.last_received_at or row.received_at,
        decision_id=row.decision_id,
    )


def decision(row: Row[Any]) -> Decision:
    """Return the decision of a `conflict_decision` row."""
    return Decision(
        decision_id=row.id,
        case_key=row.case_key,
        verdict=Verdict(row.verdict),
        state=DecisionState(row.state),
        patient_id=row.patient_id,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        reason=row.reason,
        undone_by=row.undone_by,
        undone_at=row.undone_at,
    )


def waiting(found: Collection[Parked]) -> Sequence[Parked]:
    """Return what of a case nobody has decided about yet."""
    return [one for one in found if one.status is CaseStatus.OPEN]


def _conditions(query: CaseQuery) -> list[ColumnElement[bool]]:
    q = QUARANTINE.c
    found: list[ColumnElement[bool]] = [q.status == query.status.value]
    if query.site_ids is not None:
        found.append(q.site_id.in_(query.site_ids))
    if query.reasons:
        found.append(q.reason.in_([reason.value for reason in query.reasons]))
    return found


def _case(row: Row[Any]) -> ConflictCase:
    return ConflictCase(
        case_key=row.case_key,
        reason=QuarantineReason(row.reason),
        site_id=row.site_id,
        calling_ae_title=row.calling_ae_title,
        study_instance_uid=row.study_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        instances=row.instances,
        total_bytes=row.total_bytes,
        times=row.times,
        received_at=row.received_at,
        last_received_at=row.last,
    )
