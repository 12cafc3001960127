"""Attributes of a match that are counted over other rows, and only when they are asked for.

DICOM PS3.4 C.3.4 (additional Query/Retrieve attributes). What is counted is what the asker may see.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub_kernel.identifiers import PatientIdentifier
from image_archive.query import AttributeValue, IndexMatch, IndexQuery
from image_archive.scope import (
    VISIBLE_INSTANCE,
    VISIBLE_STUDY,
    batches,
    of_patients,
    scope_of,
)
from image_archive.tables import INSTANCE, SERIES, STUDY

Counted = dict[str, AttributeValue]

_PATIENT_COUNTS = (
    "NumberOfPatientRelatedStudies",
    "NumberOfPatientRelatedSeries",
    "NumberOfPatientRelatedInstances",
)
_PatientKey = tuple[str, str]
_SERIES_COUNT = STUDY.c.series_count - STUDY.c.rejected_series
_INSTANCE_COUNT = STUDY.c.instance_count - STUDY.c.rejected_instances


def with_counts(session: Session, query: IndexQuery, matches: list[IndexMatch]) -> list[IndexMatch]:
    """Return the matches of study level or below with the counts that `query` asks for."""
    for keywords, count in _COUNTERS:
        if query.returning.intersection(keywords):
            matches = count(session, query, matches)
    return matches


def patient_counts(
    session: Session, query: IndexQuery, patients: Collection[PatientIdentifier]
) -> Mapping[_PatientKey, tuple[int, int, int]]:
    """Return how many studies, series and instances each patient has, by (ID, issuer's OID)."""
    found: dict[_PatientKey, tuple[int, int, int]] = {}
    key = (STUDY.c.patient_id, STUDY.c.issuer_oid)
    for some in batches(patients):
        counts = (
            select(*key, func.count(), func.sum(_SERIES_COUNT), func.sum(_INSTANCE_COUNT))
            .where(of_patients(some), *scope_of(query))
            .group_by(*key)
        )
        for value, oid, studies, series, instances in session.execute(counts):
            found[value, oid] = (studies, int(series), int(instances))
    return found


def _with_patient_counts(
    session: Session, query: IndexQuery, matches: list[IndexMatch]
) -> list[IndexMatch]:
    counts = patient_counts(session, query, {m.study.patient for m in matches if m.study})
    return [
        _with(match, dict(zip(_PATIENT_COUNTS, counts[_key(match)], strict=True)))
        for match in matches
    ]


def _with_sop_classes(
    session: Session, _query: IndexQuery, matches: list[IndexMatch]
) -> list[IndexMatch]:
    found: dict[str, list[str]] = defaultdict(list)
    for some in batches({_study_uid(match) for match in matches}):
        rows = session.execute(
            select(STUDY.c.study_instance_uid, INSTANCE.c.sop_class_uid)
            .join(SERIES, SERIES.c.study_row_id == STUDY.c.id)
            .join(INSTANCE, INSTANCE.c.series_row_id == SERIES.c.id)
            .where(STUDY.c.study_instance_uid.in_(some), VISIBLE_STUDY, VISIBLE_INSTANCE)
            .group_by(STUDY.c.study_instance_uid, INSTANCE.c.sop_class_uid)
            .order_by(func.min(INSTANCE.c.id))
        )
        for uid, sop_class in rows:
            found[uid].append(sop_class)
    return [_with(m, {"SOPClassesInStudy": tuple(found[_study_uid(m)])}) for m in matches]


_COUNTERS: tuple[
    tuple[Iterable[str], Callable[[Session, IndexQuery, list[IndexMatch]], list[IndexMatch]]],
    ...,
] = (
    (_PATIENT_COUNTS, _with_patient_counts),
    (("SOPClassesInStudy",), _with_sop_classes),
)
COUNTED_WHEN_ASKED = frozenset(keyword for keywords, _ in _COUNTERS for keyword in keywords)


def _with(match: IndexMatch, counted: Counted) -> IndexMatch:
    return replace(match, counted={**match.counted, **counted})


def _key(match: IndexMatch) -> _PatientKey:
    patient = match.study.patient if match.study else None
    return (patient.value, patient.issuer.oid) if patient else ("", "")


def _study_uid(match: IndexMatch) -> str:
    return match.study.study_instance_uid if match.study else ""
