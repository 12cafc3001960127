"""Find what is archived: by UID, by patient, and by C-FIND and QIDO-RS queries (PS3.4 C.4.1)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Row, exists, false, func, select, tuple_
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.identifiers import PatientIdentifier
from image_archive.matching import Condition
from image_archive.matching_keys import Conditions, conditions_of
from image_archive.model import (
    InstanceRecord,
    PatientRecord,
    QuarantineReason,
    QuarantineRecord,
    SeriesRecord,
    StudyRecord,
)
from image_archive.query import IndexAnswer, IndexMatch, IndexQuery, Level
from image_archive.rows import (
    instance_record,
    patient_name,
    quarantine_record,
    series_record,
    study_record,
)
from image_archive.tables import INSTANCE, QUARANTINE, SERIES, STUDY

_VALUES_PER_QUERY = 500

_SERIES = select(SERIES, STUDY.c.study_instance_uid).join(
    STUDY, STUDY.c.id == SERIES.c.study_row_id
)
_INSTANCES = (
    select(INSTANCE, SERIES.c.series_instance_uid, STUDY.c.study_instance_uid)
    .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
    .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
)
_SERIES_ORDER = (SERIES.c.series_number, SERIES.c.id)
_INSTANCE_ORDER = (*_SERIES_ORDER, INSTANCE.c.instance_number, INSTANCE.c.id)

T = TypeVar("T")


class ArchiveIndex:
    """Reads the index; every method is one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def study(self, study_instance_uid: str) -> StudyRecord | None:
        """Return a study, None when there is none of that UID."""
        with self._database.read() as session:
            return _studies(session, [study_instance_uid]).get(study_instance_uid)

    def series_of(self, study_instance_uid: str) -> list[SeriesRecord]:
        """Return the series of a study by number; empty when there is no such study."""
        wanted = _SERIES.where(STUDY.c.study_instance_uid == study_instance_uid)
        with self._database.read() as session:
            return [_series(row) for row in session.execute(wanted.order_by(*_SERIES_ORDER))]

    def instances_of(
        self, study_instance_uid: str, series_instance_uid: str | None = None
    ) -> list[InstanceRecord]:
        """Return the instances of a study, or of one of its series, by their numbers."""
        wanted = _INSTANCES.where(STUDY.c.study_instance_uid == study_instance_uid)
        if series_instance_uid is not None:
            wanted = wanted.where(SERIES.c.series_instance_uid == series_instance_uid)
        with self._database.read() as session:
            return [_instance(row) for row in session.execute(wanted.order_by(*_INSTANCE_ORDER))]

    def instance(self, sop_instance_uid: str) -> InstanceRecord | None:
        """Return an instance, None when there is none of that UID."""
        wanted = _INSTANCES.where(INSTANCE.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as session:
            row = session.execute(wanted).first()
            return _instance(row) if row else None

    def studies_of(self, identifiers: Collection[PatientIdentifier]) -> list[StudyRecord]:
        """Return the studies of a person known by these identifiers, newest first.

        The study date counts; a study without one stands at the end.
        """
        found: list[StudyRecord] = []
        with self._database.read() as session:
            for some in _batches(identifiers, _VALUES_PER_QUERY):
                rows = session.execute(select(STUDY).where(_of_patients(some)))
                found.extend(study_record(row) for row in rows)
        return sorted(found, key=_age, reverse=True)

    def conflicts(self, limit: int = 1000) -> list[QuarantineRecord]:
        """Return what contradicts the archive and waits for a person, latest first."""
        return self._quarantined(QUARANTINE.c.reason != QuarantineReason.UNREADABLE.value, limit)

    def unreadable(self, limit: int = 1000) -> list[QuarantineRecord]:
        """Return what was refused because it cannot be read, latest first."""
        return self._quarantined(QUARANTINE.c.reason == QuarantineReason.UNREADABLE.value, limit)

    def find(self, query: IndexQuery) -> IndexAnswer:
        """Answer a query.

        Raises:
            InvalidQueryError: a matching value has no meaning; the message names the keyword.
        """
        conditions = conditions_of(query)
        with self._database.read() as session:
            matches, truncated = _FINDERS[query.level](session, query, conditions)
        return IndexAnswer(tuple(matches), truncated, conditions.ignored)

    def _quarantined(self, wanted: Condition, limit: int) -> list[QuarantineRecord]:
        newest = select(QUARANTINE).where(wanted).order_by(QUARANTINE.c.id.desc()).limit(limit)
        with self._database.read() as session:
            return [quarantine_record(row) for row in session.execute(newest)]


Found = tuple[list[IndexMatch], bool]


def _find_patients(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    latest = func.max(STUDY.c.id).label("latest")
    counts = (
        select(
            latest,
            func.count().label("studies"),
            func.sum(STUDY.c.series_count).label("series"),
            func.sum(STUDY.c.instance_count).label("instances"),
        )
        .where(*_study_conditions(query, conditions))
        .group_by(STUDY.c.issuer_oid, STUDY.c.patient_id)
        .order_by(latest.desc())
    )
    rows, truncated = _page(session, query, counts)
    studies: dict[int, Row[Any]] = {}
    for some in _batches([row.latest for row in rows], _VALUES_PER_QUERY):
        found = session.execute(select(STUDY).where(STUDY.c.id.in_(some)))
        studies.update((row.id, row) for row in found)
    return [IndexMatch(patient=_patient(studies[r.latest], r)) for r in rows], truncated


def _find_studies(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    wanted = select(STUDY).where(*_study_conditions(query, conditions))
    rows, truncated = _page(session, query, wanted.order_by(STUDY.c.id.desc()))
    return [IndexMatch(study=study_record(row)) for row in rows], truncated


def _find_series(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    wanted = _SERIES.where(*_scope(query), *conditions.study, *conditions.series)
    if conditions.instance:
        wanted = wanted.where(_holds_instance(conditions))
    order = (STUDY.c.id.desc(), *_SERIES_ORDER)
    rows, truncated = _page(session, query, wanted.order_by(*order))
    studies = _studies(session, [row.study_instance_uid for row in rows])
    return [
        IndexMatch(study=studies[row.study_instance_uid], series=_series(row)) for row in rows
    ], truncated


def _find_instances(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    wanted = _INSTANCES.where(
        *_scope(query), *conditions.study, *conditions.series, *conditions.instance
    )
    order = (STUDY.c.id.desc(), *_INSTANCE_ORDER)
    rows, truncated = _page(session, query, wanted.order_by(*order))
    studies = _studies(session, [row.study_instance_uid for row in rows])
    series: dict[int, SeriesRecord] = {}
    for some in _batches({row.series_row_id for row in rows}, _VALUES_PER_QUERY):
        found = session.execute(_SERIES.where(SERIES.c.id.in_(some)))
        series.update((row.id, _series(row)) for row in found)
    return [
        IndexMatch(
            study=studies[row.study_instance_uid],
            series=series[row.series_row_id],
            instance=_instance(row),
        )
        for row in rows
    ], truncated


_FINDERS: dict[Level, Callable[[Session, IndexQuery, Conditions], Found]] = {
    Level.PATIENT: _find_patients,
    Level.STUDY: _find_studies,
    Level.SERIES: _find_series,
    Level.INSTANCE: _find_instances,
}


def _study_conditions(query: IndexQuery, conditions: Conditions) -> list[Condition]:
    """Conditions on studies; keys of lower levels ask whether any row below matches them all."""
    found = [*_scope(query), *conditions.study]
    if conditions.series or conditions.instance:
        below = select(SERIES.c.id).where(SERIES.c.study_row_id == STUDY.c.id, *conditions.series)
        if conditions.instance:
            below = below.where(_holds_instance(conditions))
        found.append(exists(below))
    return found


def _holds_instance(conditions: Conditions) -> Condition:
    return exists(
        select(INSTANCE.c.id).where(INSTANCE.c.series_row_id == SERIES.c.id, *conditions.instance)
    )


def _scope(query: IndexQuery) -> list[Condition]:
    """What the asker may see, whatever is asked."""
    found: list[Condition] = []
    if query.site_ids is not None:
        found.append(STUDY.c.site_id.in_(query.site_ids))
    if query.study_uids is not None:
        found.append(STUDY.c.study_instance_uid.in_(query.study_uids))
    if query.identifiers is not None:
        found.append(_of_patients(query.identifiers))
    return found


def _of_patients(identifiers: Iterable[PatientIdentifier]) -> Condition:
    pairs = [(identifier.value, identifier.issuer.oid) for identifier in identifiers]
    if not pairs:
        return false()
    return tuple_(STUDY.c.patient_id, STUDY.c.issuer_oid).in_(pairs)


def _page(session: Session, query: IndexQuery, wanted: Any) -> tuple[Sequence[Row[Any]], bool]:
    """Return the asked page of the rows, and whether the limit cut it."""
    if query.offset:
        wanted = wanted.offset(query.offset)
    if query.limit is None:
        return session.execute(wanted).all(), False
    rows = session.execute(wanted.limit(query.limit + 1)).all()
    return rows[: query.limit], len(rows) > query.limit


def _studies(session: Session, uids: Iterable[str]) -> dict[str, StudyRecord]:
    found: dict[str, StudyRecord] = {}
    for some in _batches(set(uids), _VALUES_PER_QUERY):
        rows = session.execute(select(STUDY).where(STUDY.c.study_instance_uid.in_(some)))
        found.update((row.study_instance_uid, study_record(row)) for row in rows)
    return found


def _series(row: Row[Any]) -> SeriesRecord:
    return series_record(row, row.study_instance_uid)


def _instance(row: Row[Any]) -> InstanceRecord:
    return instance_record(row, row.series_instance_uid, row.study_instance_uid)


def _patient(study: Row[Any], counts: Row[Any]) -> PatientRecord:
    record = study_record(study)
    return PatientRecord(
        patient=record.patient,
        patient_name=patient_name(study),
        patient_birth_date=record.patient_birth_date,
        patient_sex=record.patient_sex,
        study_count=counts.studies,
        series_count=counts.series,
        instance_count=counts.instances,
    )


def _age(study: StudyRecord) -> tuple[bool, Any, str, Any]:
    return (
        study.study_date is not None,
        study.study_date,
        study.study_time,
        study.received_at,
    )


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(values)
    while some := list(islice(remaining, size)):
        yield some
