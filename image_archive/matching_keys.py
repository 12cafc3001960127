"""The matching keys of the index, one row each (DICOM PS3.4 C.6.1.1, C.6.2.1, PS3.18 10.6.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, and_, exists, select

from image_archive.errors import InvalidQueryError
from image_archive.matching import (
    Condition,
    code_condition,
    name_condition,
    number_condition,
    plain_name_condition,
    text_condition,
    uid_condition,
)
from image_archive.matching_times import (
    PERFORMED_MOMENT,
    SERIES_MOMENT,
    STUDY_MOMENT,
    Moment,
    date_condition,
    moment_condition,
    time_condition,
    zoned_condition,
)
from image_archive.model import PROVISIONAL_PREFIX
from image_archive.query import IndexQuery, Level
from image_archive.scope import VISIBLE_INSTANCE, VISIBLE_SERIES
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
    for pair in _DATE_TIMES:
        if combined := _combined(pair, query, wanted):
            found[pair.level].append(_named(pair.date, combined, wanted.pop(pair.date)))
            wanted.pop(pair.time, None)
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
        ignored=unmatched(query),
    )


def unmatched(query: IndexQuery) -> tuple[str, ...]:
    """Return the keywords of a query whose values narrow nothing: the index does not hold them."""
    wanted = (keyword for keyword, value in query.matches.items() if value.strip())
    return tuple(k for k in wanted if k not in MATCHING_KEYS and k not in _NEVER_MATCHED)


@dataclass(frozen=True)
class _DateTime:
    """A date and a time that can be asked for as one date-time (PS3.4 C.2.2.2.5)."""

    level: Level
    date: str
    time: str
    moment: Moment


_DATE_TIMES = (
    _DateTime(Level.STUDY, "StudyDate", "StudyTime", STUDY_MOMENT),
    _DateTime(Level.SERIES, "SeriesDate", "SeriesTime", SERIES_MOMENT),
    _DateTime(
        Level.SERIES,
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        PERFORMED_MOMENT,
    ),
)


def _combined(
    pair: _DateTime, query: IndexQuery, wanted: Mapping[str, str]
) -> Callable[[str], Condition] | None:
    """Return what matches both at once, None where each is matched by itself."""
    days, times = wanted.get(pair.date, ""), wanted.get(pair.time, "")
    zones = query.zones
    if days and zones is not None and zones.asked != zones.own:
        return lambda value: zoned_condition(pair.moment, zones, value, times)
    if query.combined_datetime and "-" in days and "-" in times:
        return lambda value: moment_condition(pair.moment, value, times)
    return None


def _named(keyword: str, condition: Callable[[str], Condition], value: str) -> Condition:
    try:
        return condition(value)
    except InvalidQueryError as error:
        raise InvalidQueryError(str(error), keyword) from error


def _code(level: Level, column: ColumnElement[str]) -> MatchingKey:
    return MatchingKey(level, partial(code_condition, column))


def _date(level: Level, moment: Moment) -> MatchingKey:
    return MatchingKey(level, partial(date_condition, moment.day))


def _time(level: Level, moment: Moment) -> MatchingKey:
    return MatchingKey(level, partial(time_condition, moment.at))


def _text(level: Level, column: ColumnElement[str]) -> MatchingKey:
    return MatchingKey(level, partial(text_condition, column))


def _uid(level: Level, column: ColumnElement[str]) -> MatchingKey:
    return MatchingKey(level, partial(uid_condition, column))


def _number(level: Level, column: ColumnElement[int]) -> MatchingKey:
    return MatchingKey(level, partial(number_condition, column))


def _patient_id(value: str) -> Condition:
    """A provisional identity is not a Patient ID that anybody may ask for."""
    sent = ~STUDY.c.patient_id.startswith(PROVISIONAL_PREFIX, autoescape=True)
    return and_(code_condition(STUDY.c.patient_id, value), sent)


def _in_any_series(value: str) -> Condition:
    return exists(
        select(SERIES.c.id).where(
            SERIES.c.study_row_id == STUDY.c.id,
            VISIBLE_SERIES,
            code_condition(SERIES.c.modality, value),
        )
    )


def _in_any_instance(value: str) -> Condition:
    return exists(
        select(INSTANCE.c.id)
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .where(
            SERIES.c.study_row_id == STUDY.c.id,
            VISIBLE_INSTANCE,
            uid_condition(INSTANCE.c.sop_class_uid, value),
        )
    )


MATCHING_KEYS: dict[str, MatchingKey] = {
    "PatientID": MatchingKey(Level.STUDY, _patient_id),
    "PatientName": MatchingKey(Level.STUDY, name_condition),
    "PatientBirthDate": MatchingKey(
        Level.STUDY, partial(date_condition, STUDY.c.patient_birth_date)
    ),
    "PatientSex": _code(Level.STUDY, STUDY.c.patient_sex),
    "IssuerOfPatientID": _code(Level.STUDY, STUDY.c.issuer_namespace),
    "StudyInstanceUID": _uid(Level.STUDY, STUDY.c.study_instance_uid),
    "StudyDate": _date(Level.STUDY, STUDY_MOMENT),
    "StudyTime": _time(Level.STUDY, STUDY_MOMENT),
    "AccessionNumber": _code(Level.STUDY, STUDY.c.accession_number),
    "StudyID": _code(Level.STUDY, STUDY.c.study_id),
    "StudyDescription": _text(Level.STUDY, STUDY.c.study_description),
    "ReferringPhysicianName": MatchingKey(
        Level.STUDY,
        partial(
            plain_name_condition,
            (
                STUDY.c.referring_alphabetic,
                STUDY.c.referring_ideographic,
                STUDY.c.referring_phonetic,
            ),
        ),
    ),
    "ModalitiesInStudy": MatchingKey(Level.STUDY, _in_any_series),
    "SOPClassesInStudy": MatchingKey(Level.STUDY, _in_any_instance),
    "NumberOfStudyRelatedSeries": _number(
        Level.STUDY, STUDY.c.series_count - STUDY.c.rejected_series
    ),
    "NumberOfStudyRelatedInstances": _number(
        Level.STUDY, STUDY.c.instance_count - STUDY.c.rejected_instances
    ),
    "SeriesInstanceUID": _uid(Level.SERIES, SERIES.c.series_instance_uid),
    "Modality": _code(Level.SERIES, SERIES.c.modality),
    "SeriesNumber": _number(Level.SERIES, SERIES.c.series_number),
    "SeriesDescription": _text(Level.SERIES, SERIES.c.series_description),
    "BodyPartExamined": _code(Level.SERIES, SERIES.c.body_part_examined),
    "SeriesDate": _date(Level.SERIES, SERIES_MOMENT),
    "SeriesTime": _time(Level.SERIES, SERIES_MOMENT),
    "PerformedProcedureStepStartDate": _date(Level.SERIES, PERFORMED_MOMENT),
    "PerformedProcedureStepStartTime": _time(Level.SERIES, PERFORMED_MOMENT),
    "ScheduledProcedureStepID": _code(Level.SERIES, SERIES.c.scheduled_step_id),
    "RequestedProcedureID": _code(Level.SERIES, SERIES.c.requested_procedure_id),
    "NumberOfSeriesRelatedInstances": _number(
        Level.SERIES, SERIES.c.instance_count - SERIES.c.rejected_instances
    ),
    "InstitutionName": _text(Level.SERIES, SERIES.c.institution_name),
    "StationName": _text(Level.SERIES, SERIES.c.station_name),
    "SOPInstanceUID": _uid(Level.INSTANCE, INSTANCE.c.sop_instance_uid),
    "SOPClassUID": _uid(Level.INSTANCE, INSTANCE.c.sop_class_uid),
    "InstanceNumber": _number(Level.INSTANCE, INSTANCE.c.instance_number),
    "Rows": _number(Level.INSTANCE, INSTANCE.c.rows),
    "Columns": _number(Level.INSTANCE, INSTANCE.c.columns),
    "BitsAllocated": _number(Level.INSTANCE, INSTANCE.c.bits_allocated),
    "NumberOfFrames": _number(Level.INSTANCE, INSTANCE.c.number_of_frames),
}

# They steer the query and are never compared with anything.
_NEVER_MATCHED = frozenset(
    {"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "RetrieveAETitle"}
)
