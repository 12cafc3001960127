"""Translate between headers, rows and records of the index."""

import re
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName, name_keys
from image_archive.header import InstanceHeader, SeriesAttributes
from image_archive.model import (
    Condition,
    InstanceRecord,
    QuarantineReason,
    QuarantineRecord,
    Receipt,
    SeriesRecord,
    StudyRecord,
    StudyState,
    provisional_identifier,
)

_TIME = re.compile(r"([0-9]{2})([0-9]{2})?([0-9]{2})?(?:\.([0-9]{1,6})[0-9]*)?")


def patient_identifier(header: InstanceHeader, issuer: AssigningAuthority) -> PatientIdentifier:
    """Return who the patient is at the sending site; provisional where no Patient ID was sent."""
    if header.patient.patient_id:
        return PatientIdentifier(header.patient.patient_id, issuer)
    return provisional_identifier(header.study.study_instance_uid, issuer)


def observed_patient(header: InstanceHeader, issuer: AssigningAuthority) -> ObservedPatient:
    """Return the patient as the event `InstanceArchived` carries it."""
    patient = header.patient
    return ObservedPatient(
        identifier=patient_identifier(header, issuer),
        name=patient.name,
        birth_date=patient.birth_date,
        sex=patient.sex,
        other_ids=patient.other_ids,
    )


def time_key(text: str) -> str:
    """Return a DICOM TM as 13 characters that compare as times do, empty where it is none."""
    found = _TIME.fullmatch(text.replace(":", "").strip())
    if not found:
        return ""
    hours, minutes, seconds, fraction = found.groups("")
    return f"{hours}{minutes:0<2}{seconds:0<2}.{fraction:0<6}"


def study_values(header: InstanceHeader, receipt: Receipt) -> dict[str, Any]:
    """Return the row of a study whose first instance this is; it counts nothing yet."""
    study, patient = header.study, header.patient
    referring = study.referring_physician_name
    identifier = patient_identifier(header, receipt.origin.issuer)
    return {
        "study_instance_uid": study.study_instance_uid,
        "site_id": receipt.origin.site_id,
        "issuer_namespace": identifier.issuer.namespace,
        "issuer_oid": identifier.issuer.oid,
        "patient_id": identifier.value,
        **_name_values(patient.name),
        "patient_birth_date": patient.birth_date,
        "patient_sex": patient.sex,
        "other_patient_ids": list(patient.other_ids),
        "accession_number": study.accession_number,
        "study_id": study.study_id,
        "study_date": study.study_date,
        "study_time": study.study_time,
        "study_time_key": time_key(study.study_time),
        "study_description": study.description,
        "timezone_offset": study.timezone_offset,
        "referring_alphabetic": referring.alphabetic,
        "referring_ideographic": referring.ideographic,
        "referring_phonetic": referring.phonetic,
        "modalities": [],
        "body_parts": [],
        "series_count": 0,
        "instance_count": 0,
        "rejected_series": 0,
        "rejected_instances": 0,
        "state": StudyState.RECEIVING.value,
        "generation": 0,
        "received_at": receipt.received_at,
        "last_received_at": receipt.received_at,
        "completed_at": None,
        "emergency": header.emergency,
    }


def _name_values(name: PersonName) -> dict[str, Any]:
    """Return the patient's name and the keys it is found by."""
    keys = name_keys(name)
    return {
        "name_alphabetic": name.alphabetic,
        "name_ideographic": name.ideographic,
        "name_phonetic": name.phonetic,
        "name_confident": name.confident,
        "name_rule": name.rule[:80],
        "key_as_sent": name.alphabetic.casefold()[:400],
        "key_hanzi": keys.hanzi[:400],
        "key_pinyin": keys.pinyin[:800],
        "key_initials": keys.initials[:400],
        "key_alphabetic": keys.alphabetic[:400],
    }


def series_values(
    study_row_id: int, series: SeriesAttributes, received_at: datetime
) -> dict[str, Any]:
    """Return the row of a series whose first instance this is; it counts nothing yet."""
    return {
        "study_row_id": study_row_id,
        "series_instance_uid": series.series_instance_uid,
        "modality": series.modality,
        "series_number": series.series_number,
        "series_description": series.description,
        "body_part_examined": series.body_part_examined,
        "series_date": series.series_date,
        "series_time": series.series_time,
        "institution_name": series.institution_name,
        "station_name": series.station_name,
        "performed_start_date": series.performed_start_date,
        "performed_start_time": series.performed_start_time,
        "scheduled_step_id": series.scheduled_step_id,
        "requested_procedure_id": series.requested_procedure_id,
        "instance_count": 0,
        "rejected_instances": 0,
        "received_at": received_at,
    }


def instance_values(series_row_id: int, header: InstanceHeader, receipt: Receipt) -> dict[str, Any]:
    """Return the row of an instance."""
    return {
        "series_row_id": series_row_id,
        "sop_instance_uid": header.sop_instance_uid,
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": receipt.transfer_syntax_uid,
        "instance_number": header.instance_number,
        "rows": header.rows,
        "columns": header.columns,
        "number_of_frames": header.number_of_frames,
        "bits_allocated": header.bits_allocated,
        "dataset_sha256": receipt.dataset_sha256,
        "dataset_bytes": receipt.dataset_bytes,
        "storage_key": receipt.storage_key,
        "received_at": receipt.received_at,
        "condition": Condition.INTACT.value,
        "rejected": "",
    }


def quarantine_values(record: QuarantineRecord) -> dict[str, Any]:
    """Return the row of bytes kept apart."""
    return {
        "reason": record.reason.value,
        "sop_instance_uid": record.sop_instance_uid,
        "study_instance_uid": record.study_instance_uid,
        "site_id": record.site_id,
        "calling_ae_title": record.calling_ae_title,
        "transfer_syntax_uid": record.transfer_syntax_uid,
        "dataset_sha256": record.dataset_sha256,
        "dataset_bytes": record.dataset_bytes,
        "storage_key": record.storage_key,
        "received_at": record.received_at,
        "detail": record.detail[:256],
        "issuer_oid": record.issuer_oid,
        "patient_id": record.patient_id,
        "case_key": record.case_key,
    }


def study_record(row: Row[Any]) -> StudyRecord:
    """Return the record of a `study` row."""
    issuer = AssigningAuthority(row.issuer_namespace, row.issuer_oid)
    return StudyRecord(
        study_instance_uid=row.study_instance_uid,
        site_id=row.site_id,
        patient=PatientIdentifier(row.patient_id, issuer),
        patient_name=patient_name(row),
        patient_birth_date=row.patient_birth_date,
        patient_sex=row.patient_sex,
        other_patient_ids=tuple(row.other_patient_ids),
        accession_number=row.accession_number,
        study_id=row.study_id,
        study_date=row.study_date,
        study_time=row.study_time,
        study_description=row.study_description,
        timezone_offset=row.timezone_offset,
        referring_physician_name=PersonName(
            row.referring_alphabetic, row.referring_ideographic, row.referring_phonetic
        ),
        modalities=tuple(row.modalities),
        body_parts=tuple(row.body_parts),
        series_count=row.series_count - row.rejected_series,
        instance_count=row.instance_count - row.rejected_instances,
        state=StudyState(row.state),
        generation=row.generation,
        received_at=row.received_at,
        last_received_at=row.last_received_at,
        completed_at=row.completed_at,
    )


def patient_name(row: Row[Any]) -> PersonName:
    """Return the patient's name of a `study` row."""
    return PersonName(
        alphabetic=row.name_alphabetic,
        ideographic=row.name_ideographic,
        phonetic=row.name_phonetic,
        confident=row.name_confident,
        rule=row.name_rule,
    )


def series_record(row: Row[Any], study_instance_uid: str) -> SeriesRecord:
    """Return the record of a `series` row."""
    return SeriesRecord(
        series_instance_uid=row.series_instance_uid,
        study_instance_uid=study_instance_uid,
        modality=row.modality,
        series_number=row.series_number,
        series_description=row.series_description,
        body_part_examined=row.body_part_examined,
        series_date=row.series_date,
        series_time=row.series_time,
        institution_name=row.institution_name,
        station_name=row.station_name,
        performed_start_date=row.performed_start_date,
        performed_start_time=row.performed_start_time,
        scheduled_step_id=row.scheduled_step_id,
        requested_procedure_id=row.requested_procedure_id,
        instance_count=row.instance_count - row.rejected_instances,
        received_at=row.received_at,
    )


def instance_record(
    row: Row[Any], series_instance_uid: str, study_instance_uid: str
) -> InstanceRecord:
    """Return the record of an `instance` row."""
    return InstanceRecord(
        sop_instance_uid=row.sop_instance_uid,
        series_instance_uid=series_instance_uid,
        study_instance_uid=study_instance_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        instance_number=row.instance_number,
        rows=row.rows,
        columns=row.columns,
        number_of_frames=row.number_of_frames,
        bits_allocated=row.bits_allocated,
        dataset_sha256=row.dataset_sha256,
        dataset_bytes=row.dataset_bytes,
        storage_key=row.storage_key,
        received_at=row.received_at,
        condition=Condition(row.condition),
        rejected=row.rejected,
    )


def quarantine_record(row: Row[Any]) -> QuarantineRecord:
    """Return the record of a `quarantine` row."""
    return QuarantineRecord(
        reason=QuarantineReason(row.reason),
        sop_instance_uid=row.sop_instance_uid,
        study_instance_uid=row.study_instance_uid,
        site_id=row.site_id,
        calling_ae_title=row.calling_ae_title,
        transfer_syntax_uid=row.transfer_syntax_uid,
        dataset_sha256=row.dataset_sha256,
        dataset_bytes=row.dataset_bytes,
        storage_key=row.storage_key,
        received_at=row.received_at,
        detail=row.detail,
        issuer_oid=row.issuer_oid,
        patient_id=row.patient_id,
    )
