"""The ledger of one instance: what the edge said, what the hub holds, what became of its study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from edge_gateway.tables import EDGE_INSTANCE
from image_archive.tables import INSTANCE, QUARANTINE, SERIES, STUDY
from viewer_api.ledger.progress import progress_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from edge_gateway.model import StudyProgress


@dataclass(frozen=True)
class AtEdge:
    """What the site's edge said of the instance; `arrived_at` is when both sides agreed."""

    dataset_sha256: str
    dataset_bytes: int
    received_at: datetime
    reported_at: datetime
    arrived_at: datetime | None


@dataclass(frozen=True)
class AtHub:
    """What the hub's archive holds."""

    dataset_sha256: str
    dataset_bytes: int
    transfer_syntax_uid: str
    received_at: datetime
    condition: str


@dataclass(frozen=True)
class SetAsideBytes:
    """Bytes of this number that the hub keeps apart, and why."""

    reason: str
    dataset_sha256: str
    received_at: datetime
    calling_ae_title: str


@dataclass(frozen=True)
class InstanceLedger:
    """Everything the ledger knows of one instance of one site."""

    sop_instance_uid: str
    study_instance_uid: str
    edge: AtEdge | None
    hub: AtHub | None
    set_aside: tuple[SetAsideBytes, ...]
    study: StudyProgress | None


@dataclass(frozen=True)
class InstanceLine:
    """One instance in the list of a study: where it is."""

    sop_instance_uid: str
    received_at: datetime
    dataset_bytes: int
    at_edge: bool = field(kw_only=True)
    at_hub: bool = field(kw_only=True)
    same: bool = field(kw_only=True)


def instance_ledger(session: Session, site_id: str, sop_uid: str) -> InstanceLedger | None:
    """Return the ledger of an instance, None when the site never had anything of it."""
    edge = session.execute(
        select(EDGE_INSTANCE).where(
            EDGE_INSTANCE.c.site_id == site_id, EDGE_INSTANCE.c.sop_instance_uid == sop_uid
        )
    ).first()
    hub = session.execute(
        select(INSTANCE, STUDY.c.study_instance_uid, STUDY.c.site_id)
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
        .where(INSTANCE.c.sop_instance_uid == sop_uid)
    ).first()
    if hub is not None and hub.site_id != site_id and edge is None:
        hub = None
    apart = session.execute(
        select(QUARANTINE)
        .where(QUARANTINE.c.sop_instance_uid == sop_uid, QUARANTINE.c.site_id == site_id)
        .order_by(QUARANTINE.c.id)
        .limit(20)
    ).all()
    known = hub or edge or next(iter(apart), None)
    if known is None:
        return None
    study_uid = str(known.study_instance_uid)
    return InstanceLedger(
        sop_instance_uid=sop_uid,
        study_instance_uid=study_uid,
        edge=_at_edge(edge) if edge else None,
        hub=_at_hub(hub) if hub else None,
        set_aside=tuple(map(_set_aside, apart)),
        study=next(iter(progress_of(session, [study_uid])), None),
    )


def _at_edge(row: Row[Any]) -> AtEdge:
    return AtEdge(
        row.dataset_sha256, row.dataset_bytes, row.received_at, row.reported_at, row.arrived_at
    )


def _at_hub(row: Row[Any]) -> AtHub:
    return AtHub(
        row.dataset_sha256,
        row.dataset_bytes,
        row.transfer_syntax_uid,
        row.received_at,
        row.condition,
    )


def _set_aside(row: Row[Any]) -> SetAsideBytes:
    return SetAsideBytes(row.reason, row.dataset_sha256, row.received_at, row.calling_ae_title)


def instance_lines(
    session: Session, site_id: str, study_uid: str, *, limit: int = 500
) -> list[InstanceLine]:
    """Return the instances of a study as the site's ledger has them, what is awaited first."""
    lines: dict[str, InstanceLine] = {}
    reported = session.execute(
        select(EDGE_INSTANCE)
        .where(EDGE_INSTANCE.c.study_instance_uid == study_uid, EDGE_INSTANCE.c.site_id == site_id)
        .order_by(EDGE_INSTANCE.c.arrived_at.is_not(None), EDGE_INSTANCE.c.id)
        .limit(limit)
    )
    for row in reported:
        arrived = row.arrived_at is not None
        lines[row.sop_instance_uid] = InstanceLine(
            row.sop_instance_uid,
            row.received_at,
            row.dataset_bytes,
            at_edge=True,
            at_hub=arrived,
            same=arrived,
        )
    archived = session.execute(
        select(INSTANCE)
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
        .where(STUDY.c.study_instance_uid == study_uid, STUDY.c.site_id == site_id)
        .order_by(INSTANCE.c.id)
        .limit(limit)
    )
    for row in archived:
        known = lines.get(row.sop_instance_uid)
        lines[row.sop_instance_uid] = InstanceLine(
            row.sop_instance_uid,
            known.received_at if known else row.received_at,
            row.dataset_bytes,
            at_edge=known is not None,
            at_hub=True,
            same=known is None or known.same,
        )
    return list(lines.values())[:limit]
