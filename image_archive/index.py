"""Find what is archived: by UID, by patient, and by C-FIND and QIDO-RS queries (PS3.4 C.4.1)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Row, bindparam, exists, func, select
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.identifiers import PatientIdentifier
from image_archive.contents import Contents, contents_of, contents_query
from image_archive.counting import patient_counts, with_counts
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
    quarantine_record,
    series_record,
    study_record,
)
from image_archive.scope import (
    VISIBLE_INSTANCE,
    VISIBLE_SERIES,
    VISIBLE_STUDY,
    batches,
    of_patients,
    scope_of,
)
from image_archive.tables import INSTANCE, QUARANTINE, SERIES, STUDY

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
# Asked with every picture and frame: made once.
_STUDY = select(STUDY).where(STUDY.c.study_instance_uid == bindparam("uid"))
_STUDY_SHOWN = _STUDY.where(VISIBLE_STUDY)
_INSTANCE = _INSTANCES.where(INSTANCE.c.sop_instance_uid == bindparam("uid"))
_INSTANCE_SHOWN = _INSTANCE.where(VISIBLE_INSTANCE)


class ArchiveIndex:
    """Reads the index; every method is one snapshot of no less than what was acknowledged before.

    `settled` waits for that. Rejected instances, and what holds nothing else, are not there;
    `with_rejected` shows them to those who keep the archive.
    """

    def __init__(self, database: Database, *, settled: Callable[[], object] = lambda: None) -> None:
        self._database = database
        self._settled = settled

    def study(self, study_instance_uid: str, *, with_rejected: bool = False) -> StudyRecord | None:
        """Return a study, None when there is none of that UID."""
        wanted = _STUDY if with_rejected else _STUDY_SHOWN
        with self._snapshot() as session:
            row = session.execute(wanted, {"uid": study_instance_uid}).first()
            return study_record(row) if row else None

    def series_of(self, study_instance_uid: str) -> list[SeriesRecord]:
        """Return the series of a study by number; empty when there is no such study."""
        wanted = _SERIES.where(STUDY.c.study_instance_uid == study_instance_uid, VISIBLE_SERIES)
        with self._snapshot() as session:
            return [_series(row) for row in session.execute(wanted.order_by(*_SERIES_ORDER))]

    def instances_of(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None = None,
        *,
        with_rejected: bool = False,
    ) -> list[InstanceRecord]:
        """Return the instances of a study, or of one of its series, by their numbers."""
        wanted = _INSTANCES.where(STUDY.c.study_instance_uid == study_instance_uid)
        if series_instance_uid is not None:
            wanted = wanted.where(SERIES.c.series_instance_uid == series_instance_uid)
        if not with_rejected:
            wanted = wanted.where(VISIBLE_INSTANCE)
        with self._snapshot() as session:
            return [_instance(row) for row in session.execute(wanted.order_by(*_INSTANCE_ORDER))]

    def instance(
        self, sop_instance_uid: str, *, with_rejected: bool = False
    ) -> InstanceRecord | None:
        """Return an instance, None when there is none of that UID."""
        wanted = _INSTANCE if with_rejected else _INSTANCE_SHOWN
        with self._snapshot() as session:
            row = session.execute(wanted, {"uid": sop_instance_uid}).first()
            return _instance(row) if row else None

    def studies_of(self, identifiers: Collection[PatientIdentifier]) -> list[StudyRecord]:
        """Return the studies of a person known by these identifiers, newest first.

        The study date counts; a study without one stands at the end.
        """
        found: list[StudyRecord] = []
        with self._snapshot() as session:
            for some in batches(identifiers):
                rows = session.execute(select(STUDY).where(of_patients(some), VISIBLE_STUDY))
                found.extend(study_record(row) for row in rows)
        return sorted(found, key=_age, reverse=True)

    def held_by_studies(self, study_instance_uids: Collection[str]) -> Mapping[str, Contents]:
        """Return what each of the studies holds; one query reads every instance of them."""
        found: dict[str, Contents] = {}
        uid = STUDY.c.study_instance_uid
        with self._snapshot() as session:
            for some in batches(study_instance_uids):
                found.update(contents_of(session.execute(contents_query(uid).where(uid.in_(some)))))
        return found

    def held_by_series(self, study_instance_uid: str) -> Mapping[str, Contents]:
        """Return what each series of a study holds, by its UID."""
        wanted = contents_query(SERIES.c.series_instance_uid)
        wanted = wanted.where(STUDY.c.study_instance_uid == study_instance_uid)
        with self._snapshot() as session:
            return contents_of(session.execute(wanted))

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
        with self._snapshot() as session:
            matches, truncated = _FINDERS[query.level](session, query, conditions)
            if query.level is not Level.PATIENT:
                matches = with_counts(session, query, matches)
        return IndexAnswer(tuple(matches), truncated, conditions.ignored)

    @contextmanager
    def _snapshot(self) -> Iterator[Session]:
        self._settled()
        with self._database.read() as session:
            yield session

    def _quarantined(self, wanted: Condition, limit: int) -> list[QuarantineRecord]:
        newest = select(QUARANTINE).where(wanted).order_by(QUARANTINE.c.id.desc()).limit(limit)
        with self._snapshot() as session:
            return [quarantine_record(row) for row in session.execute(newest)]


Found = tuple[list[IndexMatch], bool]


def _find_patients(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    latest = func.max(STUDY.c.id).label("latest")
    patients = (
        select(latest)
        .where(*_study_conditions(query, conditions))
        .group_by(STUDY.c.patient_id, STUDY.c.issuer_oid)
        .order_by(latest.desc())
    )
    rows, truncated = _page(session, query, patients)
    studies: dict[int, StudyRecord] = {}
    for some in batches([row.latest for row in rows]):
        found = session.execute(select(STUDY).where(STUDY.c.id.in_(some)))
        studies.update((row.id, study_record(row)) for row in found)
    counts = patient_counts(session, query, [study.patient for study in studies.values()])
    return [
        IndexMatch(patient=_patient(study, counts[study.patient.value, study.patient.issuer.oid]))
        for study in (studies[row.latest] for row in rows)
    ], truncated


def _find_studies(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    wanted = select(STUDY).where(*_study_conditions(query, conditions))
    rows, truncated = _page(session, query, wanted.order_by(STUDY.c.id.desc()))
    return [IndexMatch(study=study_record(row)) for row in rows], truncated


def _find_series(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    wanted = _SERIES.where(
        *_in_matching_study(query, conditions), VISIBLE_SERIES, *conditions.series
    )
    if conditions.instance:
        wanted = wanted.where(_holds_instance(query, conditions))
    order = (STUDY.c.id.desc(), *_SERIES_ORDER)
    rows, truncated = _page(session, query, wanted.order_by(*order))
    studies = _studies(session, [row.study_instance_uid for row in rows])
    return [
        IndexMatch(study=studies[row.study_instance_uid], series=_series(row)) for row in rows
    ], truncated


def _find_instances(session: Session, query: IndexQuery, conditions: Conditions) -> Found:
    wanted = _INSTANCES.where(
        *_in_matching_study(query, conditions),
        *conditions.series,
        VISIBLE_INSTANCE,
        *conditions.instance,
    )
    order = (STUDY.c.id.desc(), *_INSTANCE_ORDER)
    rows, truncated = _page(session, query, wanted.order_by(*order))
    studies = _studies(session, [row.study_instance_uid for row in rows])
    series: dict[int, SeriesRecord] = {}
    for some in batches({row.series_row_id for row in rows}):
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
    found = [*scope_of(query), *conditions.study]
    if conditions.series or conditions.instance:
        below = select(SERIES.c.study_row_id).where(VISIBLE_SERIES, *conditions.series)
        if conditions.instance:
            below = below.where(_holds_instance(query, conditions))
        if _names(query, "SeriesInstanceUID", "SOPInstanceUID"):
            found.append(STUDY.c.id.in_(below))
        else:
            found.append(exists(below.where(SERIES.c.study_row_id == STUDY.c.id)))
    return found


def _in_matching_study(query: IndexQuery, conditions: Conditions) -> list[Condition]:
    """Conditions on the studies of series and instances.

    The studies are looked up first, by a query of their own: SQLite would read every instance there
    is rather than trust the index on a range of dates. Where nothing below is asked for, no more of
    them are needed than rows: every visible study holds a visible instance.
    """
    scope = scope_of(query)
    matching = select(STUDY.c.id).where(*scope, *conditions.study).correlate(None)
    if query.limit is not None and not conditions.series and not conditions.instance:
        most = query.offset + query.limit + 1
        matching = matching.order_by(STUDY.c.id.desc()).limit(most)
    elif not conditions.study:
        return scope
    return [STUDY.c.id.in_(matching)]


def _holds_instance(query: IndexQuery, conditions: Conditions) -> Condition:
    inside = select(INSTANCE.c.series_row_id).where(VISIBLE_INSTANCE, *conditions.instance)
    if _names(query, "SOPInstanceUID"):
        return SERIES.c.id.in_(inside)
    return exists(inside.where(INSTANCE.c.series_row_id == SERIES.c.id))


def _names(query: IndexQuery, *keywords: str) -> bool:
    """Tell whether the query names what it wants below by a UID: that is where to begin then.

    Of any other key (a modality, a SOP class) half the archive may be; that is looked at study by
    study.
    """
    return any(query.matches.get(keyword, "").strip() not in {"", "*"} for keyword in keywords)


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
    for some in batches(set(uids)):
        rows = session.execute(select(STUDY).where(STUDY.c.study_instance_uid.in_(some)))
        found.update((row.study_instance_uid, study_record(row)) for row in rows)
    return found


def _series(row: Row[Any]) -> SeriesRecord:
    return series_record(row, row.study_instance_uid)


def _instance(row: Row[Any]) -> InstanceRecord:
    return instance_record(row, row.series_instance_uid, row.study_instance_uid)


def _patient(study: StudyRecord, counts: tuple[int, int, int]) -> PatientRecord:
    studies, series, instances = counts
    return PatientRecord(
        patient=study.patient,
        patient_name=study.patient_name,
        patient_birth_date=study.patient_birth_date,
        patient_sex=study.patient_sex,
        study_count=studies,
        series_count=series,
        instance_count=instances,
    )


def _age(study: StudyRecord) -> tuple[bool, Any, str, Any]:
    return (
        study.study_date is not None,
        study.study_date,
        study.study_time,
        study.received_at,
    )
