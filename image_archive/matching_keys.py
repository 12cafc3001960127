"""The matching keys of the index, one row each (DICOM PS3.4 C.6.1.1, C.6.2.1, PS3.18 10.6.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, and_, exists, select

from image_archive.errors import InvalidQueryError
from image_archive.matching import (
    Condition,
    date_condition,
    datetime_condition,
    name_condition,
    number_condition,
    text_condition,
    time_condition,
    uid_condition,
)
from image_archive.model import PROVISIONAL_PREFIX
from image_archive.query import IndexQuery, Level
from image_archive.tables import INSTANCE, SERIES, STUDY


@dataclass(frozen=True)
class MatchingKey:
    """The level whose rows a key looks at (studies carry the patient), and how it does."""

    level: Level
    condition: Callable[[str], Condition]


@dataclass(frozen=True)
class Conditions:
    """The conditions of one query by level, and the keywords the index does not hold."""

    study: tuple[Condition, ...]
    series: tuple[Condition, ...]
    instance: tuple[Condition, ...]
    ignored: tuple[str, ...]


def conditions_of(query: IndexQuery) -> Conditions:
    """Return what a row of each level must fulfil to match `query`.

    Raises:
        InvalidQueryError: a matching value has no meaning; the message names the keyword.
    """
    found: dict[Level, list[Condition]] = {Level.STUDY: [], Level.SERIES: [], Level.INSTANCE: []}
    wanted = {keyword: value for keyword, value in query.matches.items() if value.strip()}
    ignored = tuple(k for k in wanted if k not in MATCHING_KEYS and k not in _NEVER_MATCHED)
    if (
        query.combined_datetime
        and _is_range(wanted, "StudyDate")
        and _is_range(wanted, "StudyTime")
    ):
        days, times = wanted.pop("StudyDate"), wanted.pop("StudyTime")
        combined = partial(datetime_condition, days)
        found[Level.STUDY].append(_named("StudyTime", combined, times))
    if query.fuzzy and "PatientName" in wanted:
        fuzzy = partial(name_condition, fuzzy=True)
        found[Level.STUDY].append(_named("PatientName", fuzzy, wanted.pop("PatientName")))
    for keyword, value in wanted.items():
        if key := MATCHING_KEYS.get(keyword):
            found[key.level].append(_named(keyword, key.condition, value))
    return Conditions(
        study=tuple(found[Level.STUDY]),
        series=tuple(found[Level.SERIES]),
        instance=tuple(found[Level.INSTANCE]),
        ignored=ignored,
    )


def _is_range(wanted: dict[str, str], keyword: str) -> bool:
    return "-" in wanted.get(keyword, "")


def _named(keyword: str, condition: Callable[[str], Condition], value: str) -> Condition:
    try:
        return condition(value)
    except InvalidQueryError as error:
        raise InvalidQueryError(f"{keyword}: {error}") from error


def _text(level: Level, column: ColumnElement[str]) -> MatchingKey:
    return MatchingKey(level, partial(text_condition, column))


def _uid(level: Level, column: ColumnElement[str]) -> MatchingKey:
    return MatchingKey(level, partial(uid_condition, column))


def _number(level: Level, column: ColumnElement[int]) -> MatchingKey:
    return MatchingKey(level, partial(number_condition, column))


def _patient_id(value: str) -> Condition:
    """A provisional identity is not a Patient ID that anybody may ask for."""
    sent = ~STUDY.c.patient_id.startswith(PROVISIONAL_PREFIX, autoescape=True)
    return and_(text_condition(STUDY.c.patient_id, value), sent)


def _in_any_series(column: ColumnElement[str], value: str) -> Condition:
    return exists(
        select(SERIES.c.id).where(
            SERIES.c.study_row_id == STUDY.c.id, text_condition(column, value)
        )
    )


MATCHING_KEYS: dict[str, MatchingKey] = {
    "PatientID": MatchingKey(Level.STUDY, _patient_id),
    "PatientName": MatchingKey(Level.STUDY, name_condition),
    "PatientBirthDate": MatchingKey(
        Level.STUDY, partial(date_condition, STUDY.c.patient_birth_date)
    ),
    "PatientSex": _text(Level.STUDY, STUDY.c.patient_sex),
    "IssuerOfPatientID": _text(Level.STUDY, STUDY.c.issuer_namespace),
    "StudyInstanceUID": _uid(Level.STUDY, STUDY.c.study_instance_uid),
    "StudyDate": MatchingKey(Level.STUDY, partial(date_condition, STUDY.c.study_date)),
    "StudyTime": MatchingKey(Level.STUDY, partial(time_condition, STUDY.c.study_time_key)),
    "AccessionNumber": _text(Level.STUDY, STUDY.c.accession_number),
    "StudyID": _text(Level.STUDY, STUDY.c.study_id),
    "StudyDescription": _text(Level.STUDY, STUDY.c.study_description),
    "ModalitiesInStudy": MatchingKey(Level.STUDY, partial(_in_any_series, SERIES.c.modality)),
    "SeriesInstanceUID": _uid(Level.SERIES, SERIES.c.series_instance_uid),
    "Modality": _text(Level.SERIES, SERIES.c.modality),
    "SeriesNumber": _number(Level.SERIES, SERIES.c.series_number),
    "SeriesDescription": _text(Level.SERIES, SERIES.c.series_description),
    "BodyPartExamined": _text(Level.SERIES, SERIES.c.body_part_examined),
    "SeriesDate": MatchingKey(Level.SERIES, partial(date_condition, SERIES.c.series_date)),
    "InstitutionName": _text(Level.SERIES, SERIES.c.institution_name),
    "StationName": _text(Level.SERIES, SERIES.c.station_name),
    "SOPInstanceUID": _uid(Level.INSTANCE, INSTANCE.c.sop_instance_uid),
    "SOPClassUID": _uid(Level.INSTANCE, INSTANCE.c.sop_class_uid),
    "InstanceNumber": _number(Level.INSTANCE, INSTANCE.c.instance_number),
    "Rows": _number(Level.INSTANCE, INSTANCE.c.rows),
    "Columns": _number(Level.INSTANCE, INSTANCE.c.columns),
    "NumberOfFrames": _number(Level.INSTANCE, INSTANCE.c.number_of_frames),
}

# They steer the query and are never compared with anything.
_NEVER_MATCHED = frozenset(
    {"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "RetrieveAETitle"}
)
