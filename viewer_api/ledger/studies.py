"""The ledger of one site: each study with how many instances have come how far, and what is late.

Received is what the site's edge has, or the hub where there is no edge; durable is what lies whole
in the hub's archive; committed is what both sides hold with the same digest (without an edge the
modality's own receipt stands for the other side).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, or_, select

from edge_gateway.tables import EDGE_INSTANCE
from image_archive.model import StudyState
from image_archive.tables import STUDY
from viewer_api.ledger.lateness import LateReason, Situation, late_reason
from viewer_api.ledger.progress import DAMAGED, REGISTERED, RENDERED

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from edge_gateway.model import EdgeContact

_MOST_UIDS = 500


@dataclass(frozen=True)
class StudyLine:
    """One study of a site's ledger; counts are instances.

    `study_date`, `modalities` and `body_parts` are empty while the hub has nothing of it.
    """

    study_instance_uid: str
    site_id: str
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    received: int
    durable: int
    committed: int
    complete: bool
    registered: bool
    rendered: bool
    last_received_at: datetime
    late: LateReason | None


@dataclass(frozen=True)
class Reported:
    """What an edge has reported of one study, and how much of it the hub still awaits."""

    instances: int = 0
    awaited: int = 0
    awaited_since: datetime | None = None
    last_received_at: datetime | None = None


@dataclass(frozen=True)
class LedgerView:
    """Which part of a ledger is asked for: since when, at most how many, only what is late."""

    since: datetime
    now: datetime
    limit: int = 200
    contact: EdgeContact | None = None
    late_only: bool = field(default=False, kw_only=True)


def study_lines(session: Session, site_id: str, view: LedgerView) -> list[StudyLine]:
    """Return the studies of a site that moved since, or are awaited still; the latest first."""
    awaited = _awaited_studies(session, site_id, view.limit)
    rows = _study_rows(session, site_id, view, awaited)
    uids = [*rows, *(uid for uid in awaited if uid not in rows)]
    reported = _reported(session, site_id, uids)
    lines = [
        _line(rows.get(uid), uid, site_id, reported.get(uid, Reported()), view) for uid in uids
    ]
    if view.late_only:
        lines = [line for line in lines if line.late]
    lines.sort(key=lambda line: line.last_received_at, reverse=True)
    return lines[: view.limit]


def _awaited_studies(session: Session, site_id: str, limit: int) -> list[str]:
    """The studies of which an edge has something that the hub has not, the oldest first."""
    return list(
        session.scalars(
            select(EDGE_INSTANCE.c.study_instance_uid)
            .where(EDGE_INSTANCE.c.site_id == site_id, EDGE_INSTANCE.c.arrived_at.is_(None))
            .group_by(EDGE_INSTANCE.c.study_instance_uid)
            .order_by(func.min(EDGE_INSTANCE.c.received_at))
            .limit(min(limit, _MOST_UIDS))
        )
    )


def _study_rows(
    session: Session, site_id: str, view: LedgerView, awaited: Sequence[str]
) -> Mapping[str, Any]:
    wanted = or_(
        and_(STUDY.c.site_id == site_id, STUDY.c.last_received_at >= view.since),
        STUDY.c.study_instance_uid.in_(awaited),
    )
    found = session.execute(
        select(
            STUDY,
            DAMAGED.label("damaged"),
            and_(STUDY.c.generation > 0, REGISTERED).label("is_registered"),
            and_(STUDY.c.generation > 0, RENDERED).label("is_rendered"),
        )
        .where(wanted)
        .order_by(STUDY.c.last_received_at.desc())
        .limit(view.limit)
    )
    return {row.study_instance_uid: row for row in found}


def _reported(session: Session, site_id: str, uids: Sequence[str]) -> Mapping[str, Reported]:
    awaited = case((EDGE_INSTANCE.c.arrived_at.is_(None), 1), else_=0)
    awaited_at = case((EDGE_INSTANCE.c.arrived_at.is_(None), EDGE_INSTANCE.c.received_at))
    found: dict[str, Reported] = {}
    for start in range(0, len(uids), _MOST_UIDS):
        rows = session.execute(
            select(
                EDGE_INSTANCE.c.study_instance_uid,
                func.count(),
                func.sum(awaited),
                func.min(awaited_at),
                func.max(EDGE_INSTANCE.c.received_at),
            )
            .where(
                EDGE_INSTANCE.c.study_instance_uid.in_(uids[start : start + _MOST_UIDS]),
                EDGE_INSTANCE.c.site_id == site_id,
            )
            .group_by(EDGE_INSTANCE.c.study_instance_uid)
        )
        found |= {row[0]: Reported(row[1], int(row[2] or 0), row[3], row[4]) for row in rows}
    return found


def _line(row: Any, uid: str, site_id: str, reported: Reported, view: LedgerView) -> StudyLine:
    """Judge one study; `row` is None while the hub has nothing of it."""
    there = 0 if row is None else row.instance_count
    damaged = 0 if row is None else row.damaged
    durable = there - damaged
    situation = Situation(
        damaged=damaged,
        awaited=reported.awaited,
        awaited_since=reported.awaited_since,
        completed_at=None if row is None else row.completed_at,
        registered=row is not None and bool(row.is_registered),
        rendered=row is not None and bool(row.is_rendered),
        contact=view.contact,
    )
    agreed = reported.instances - reported.awaited
    return StudyLine(
        study_instance_uid=uid,
        site_id=site_id,
        modalities=() if row is None else tuple(row.modalities),
        body_parts=() if row is None else tuple(row.body_parts),
        received=max(reported.instances, there),
        durable=durable,
        committed=agreed if reported.instances else durable,
        complete=row is not None and row.state == StudyState.COMPLETE.value,
        registered=situation.registered,
        rendered=situation.rendered,
        last_received_at=max(
            moment
            for moment in (
                reported.last_received_at,
                None if row is None else row.last_received_at,
                view.since,
            )
            if moment is not None
        ),
        late=late_reason(situation, view.now),
    )
