"""What the archive has been sent, in figures: read from its index, one query per question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from image_archive.model import Condition, StudyState
from image_archive.tables import InstanceRow, QuarantineRow, SeriesRow, StudyRow

Sites = frozenset[str] | None


@dataclass(frozen=True)
class Arrival:
    """One study as the sending site follows it."""

    study_instance_uid: str
    site_id: str
    patient: PatientIdentifier
    patient_name: PersonName
    patient_id: str
    study_date: date | None
    study_time: str
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    instance_count: int
    complete: bool
    generation: int
    received_at: datetime
    last_received_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True)
class SetAside:
    """Bytes that came and could not be taken as they were."""

    reason: str
    calling_ae_title: str
    received_at: datetime


@dataclass(frozen=True)
class SiteFigures:
    """What one site has sent so far, and since the day began."""

    studies: int = 0
    instances: int = 0
    studies_today: int = 0
    arriving: int = 0
    last_received_at: datetime | None = None


def arrivals_since(session: Session, sites: Sites, since: datetime, *, limit: int) -> list[Arrival]:
    """Return the studies of `sites` (None: all) that received something since, newest first."""
    query = (
        select(StudyRow)
        .where(StudyRow.last_received_at >= since)
        .order_by(StudyRow.last_received_at.desc(), StudyRow.id.desc())
        .limit(limit)
    )
    if sites is not None:
        query = query.where(StudyRow.site_id.in_(sites))
    return [_arrival(row) for row in session.scalars(query)]


def arrivals_of(session: Session, study_uids: Sequence[str]) -> list[Arrival]:
    """Return these studies, newest first."""
    query = (
        select(StudyRow)
        .where(StudyRow.study_instance_uid.in_(study_uids))
        .order_by(StudyRow.last_received_at.desc(), StudyRow.id.desc())
    )
    return [_arrival(row) for row in session.scalars(query)]


def broken_counts(session: Session, study_uids: Sequence[str]) -> Mapping[str, int]:
    """Return how many instances of each study no longer are what was received."""
    query = (
        select(StudyRow.study_instance_uid, func.count())
        .join(SeriesRow, SeriesRow.study_row_id == StudyRow.id)
        .join(InstanceRow, InstanceRow.series_row_id == SeriesRow.id)
        .where(
            StudyRow.study_instance_uid.in_(study_uids),
            InstanceRow.condition.in_([Condition.MISSING.value, Condition.DAMAGED.value]),
        )
        .group_by(StudyRow.study_instance_uid)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def set_aside_since(session: Session, sites: Sites, since: datetime) -> list[SetAside]:
    """Return what `sites` (None: all) sent since that was set aside, newest first, at most 50."""
    query = (
        select(QuarantineRow)
        .where(QuarantineRow.received_at >= since)
        .order_by(QuarantineRow.received_at.desc())
        .limit(50)
    )
    if sites is not None:
        query = query.where(QuarantineRow.site_id.in_(sites))
    return [
        SetAside(row.reason, row.calling_ae_title, row.received_at)
        for row in session.scalars(query)
    ]


def figures_by_site(session: Session, today: datetime) -> Mapping[str, SiteFigures]:
    """Return the figures of every site that ever sent something; `today` is when the day began."""
    total = (
        select(
            StudyRow.site_id,
            func.count(),
            func.sum(StudyRow.instance_count),
            func.max(StudyRow.last_received_at),
        )
        .group_by(StudyRow.site_id)
        .order_by(StudyRow.site_id)
    )
    since = _count_by_site(session, StudyRow.last_received_at >= today)
    arriving = _count_by_site(session, StudyRow.state == StudyState.RECEIVING.value)
    return {
        site_id: SiteFigures(
            studies=studies,
            instances=int(instances or 0),
            studies_today=since.get(site_id, 0),
            arriving=arriving.get(site_id, 0),
            last_received_at=last,
        )
        for site_id, studies, instances, last in session.execute(total)
    }


def _count_by_site(session: Session, condition: object) -> dict[str, int]:
    query = select(StudyRow.site_id, func.count()).where(condition).group_by(StudyRow.site_id)  # type: ignore[arg-type]
    return {row[0]: row[1] for row in session.execute(query)}


def _arrival(row: StudyRow) -> Arrival:
    return Arrival(
        study_instance_uid=row.study_instance_uid,
        site_id=row.site_id,
        patient=PatientIdentifier(
            row.patient_id, AssigningAuthority(row.issuer_namespace, row.issuer_oid)
        ),
        patient_name=PersonName(
            row.name_alphabetic, row.name_ideographic, row.name_phonetic, row.name_confident
        ),
        patient_id=row.patient_id,
        study_date=row.study_date,
        study_time=row.study_time,
        modalities=tuple(row.modalities),
        body_parts=tuple(row.body_parts),
        instance_count=row.instance_count,
        complete=row.state == StudyState.COMPLETE.value,
        generation=row.generation,
        received_at=row.received_at,
        last_received_at=row.last_received_at,
        completed_at=row.completed_at,
    )
