"""What may be asked of the index and what it answers, for C-FIND and QIDO-RS (PS3.4 C.2.2, C.6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from image_archive.matching_times import Zones, is_offset, offset_minutes, shifted
from image_archive.model import (
    InstanceRecord,
    PatientRecord,
    SeriesRecord,
    StudyRecord,
    is_provisional,
)


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052); the value of INSTANCE is the standard's IMAGE."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    INSTANCE = "IMAGE"


@dataclass(frozen=True)
class IndexQuery:
    """One query.

    `matches`: DICOM keyword → matching value as in PS3.4 C.2.2.2: single value, wildcards `*` `?`,
    range `a-b`, list separated by backslash; empty matches everything. Keys of any level may be
    given at any level (relational queries). A keyword the index does not hold is ignored and named
    in the answer.
    `site_ids`, `identifiers`, `study_uids` narrow what the asker may see; None does not narrow,
    empty sees nothing.
    `fuzzy`: names match anywhere inside. `combined_datetime`: ranges of a date and of the time
    beside it are one range of date-times. `zones` is given where those are in the asker's time
    zone. `limit` None means no limit. `returning` are the keywords wanted back; what has to be
    counted for them (`image_archive.counting`) is in the answer only when it is named there.
    """

    level: Level
    matches: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    site_ids: frozenset[str] | None = None
    identifiers: frozenset[PatientIdentifier] | None = None
    study_uids: frozenset[str] | None = None
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    combined_datetime: bool = False
    zones: Zones | None = None
    returning: frozenset[str] = frozenset()


AttributeValue = str | int | date | PersonName | tuple[str, ...] | None


@dataclass(frozen=True)
class IndexMatch:
    """One answer: the records of the asked level and of those above it, and what was counted."""

    patient: PatientRecord | None = None
    study: StudyRecord | None = None
    series: SeriesRecord | None = None
    instance: InstanceRecord | None = None
    counted: Mapping[str, AttributeValue] = field(default_factory=lambda: MappingProxyType({}))

    def attributes(self, zones: Zones | None = None) -> dict[str, AttributeValue]:
        """Return all attributes of the match by DICOM keyword, for the edge to encode.

        Dates are dates, names `PersonName`, multiple values tuples; None is an empty value. The
        Patient ID of a provisional identity is empty, as it was sent. With `zones` dates and times
        are what the asker's clocks showed.
        """
        found: dict[str, AttributeValue] = {}
        if self.patient:
            found |= _patient_attributes(self.patient)
        if self.study:
            found |= _study_attributes(self.study)
        if self.series:
            found |= _series_attributes(self.series)
        if self.instance:
            found |= _instance_attributes(self.instance)
        found |= self.counted
        return found | _in_zone(found, zones) if zones else found


@dataclass(frozen=True)
class IndexAnswer:
    """The matches, newest studies first; `truncated` says that `limit` left some out.

    `ignored` are the keywords of the query the index cannot match.
    """

    matches: tuple[IndexMatch, ...]
    truncated: bool
    ignored: tuple[str, ...]


_TIMEZONE = "TimezoneOffsetFromUTC"
_MOMENTS = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
)


def _in_zone(found: Mapping[str, AttributeValue], zones: Zones) -> dict[str, AttributeValue]:
    own = str(found.get(_TIMEZONE) or "")
    minutes = offset_minutes(zones.asked) - offset_minutes(own if is_offset(own) else zones.own)
    moved: dict[str, AttributeValue] = {_TIMEZONE: zones.asked}
    for date_keyword, time_keyword in _MOMENTS:
        day, at = found.get(date_keyword), found.get(time_keyword)
        if isinstance(day, date) and isinstance(at, str):
            moved[date_keyword], moved[time_keyword] = shifted(day, at, minutes)
    return moved


def _patient_attributes(patient: PatientRecord) -> dict[str, AttributeValue]:
    provisional = is_provisional(patient.patient)
    return {
        "PatientID": "" if provisional else patient.patient.value,
        "IssuerOfPatientID": patient.patient.issuer.namespace,
        "PatientName": patient.patient_name,
        "PatientBirthDate": patient.patient_birth_date,
        "PatientSex": patient.patient_sex,
        "NumberOfPatientRelatedStudies": patient.study_count,
        "NumberOfPatientRelatedSeries": patient.series_count,
        "NumberOfPatientRelatedInstances": patient.instance_count,
    }


def _study_attributes(study: StudyRecord) -> dict[str, AttributeValue]:
    return {
        "PatientID": study.patient_id_as_sent,
        "IssuerOfPatientID": study.patient.issuer.namespace,
        "PatientName": study.patient_name,
        "PatientBirthDate": study.patient_birth_date,
        "PatientSex": study.patient_sex,
        "OtherPatientIDs": study.other_patient_ids,
        "StudyInstanceUID": study.study_instance_uid,
        "StudyDate": study.study_date,
        "StudyTime": study.study_time,
        "TimezoneOffsetFromUTC": study.timezone_offset,
        "AccessionNumber": study.accession_number,
        "StudyID": study.study_id,
        "StudyDescription": study.study_description,
        "ReferringPhysicianName": study.referring_physician_name,
        "ModalitiesInStudy": study.modalities,
        "NumberOfStudyRelatedSeries": study.series_count,
        "NumberOfStudyRelatedInstances": study.instance_count,
    }


def _series_attributes(series: SeriesRecord) -> dict[str, AttributeValue]:
    return {
        "SeriesInstanceUID": series.series_instance_uid,
        "Modality": series.modality,
        "SeriesNumber": series.series_number,
        "SeriesDescription": series.series_description,
        "BodyPartExamined": series.body_part_examined,
        "SeriesDate": series.series_date,
        "SeriesTime": series.series_time,
        "InstitutionName": series.institution_name,
        "StationName": series.station_name,
        "PerformedProcedureStepStartDate": series.performed_start_date,
        "PerformedProcedureStepStartTime": series.performed_start_time,
        "ScheduledProcedureStepID": series.scheduled_step_id,
        "RequestedProcedureID": series.requested_procedure_id,
        "NumberOfSeriesRelatedInstances": series.instance_count,
    }


def _instance_attributes(instance: InstanceRecord) -> dict[str, AttributeValue]:
    pixels: dict[str, AttributeValue] = {}
    if instance.rows:
        pixels = {
            "Rows": instance.rows,
            "Columns": instance.columns,
            "NumberOfFrames": instance.number_of_frames,
            "BitsAllocated": instance.bits_allocated,
        }
    return {
        "SOPInstanceUID": instance.sop_instance_uid,
        "SOPClassUID": instance.sop_class_uid,
        "InstanceNumber": instance.instance_number,
        "AvailableTransferSyntaxUID": instance.transfer_syntax_uid,
        **pixels,
    }
