"""How the API writes what the hub knows: plain JSON of the domain's records."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub_kernel.identifiers import PatientIdentifier
    from hub_kernel.person_names import PersonName
    from image_archive.model import StudyRecord
    from patient_index.model import Person


def person_form(person: Person) -> dict[str, Any]:
    """Return `person` with every identifier the region knows."""
    return {
        "global_id": person.global_id,
        "name": name_form(person.name),
        "birth_date": day(person.birth_date),
        "sex": person.sex,
        "identifiers": [identifier_form(identifier) for identifier in person.identifiers],
    }


def study_form(study: StudyRecord) -> dict[str, Any]:
    """Return what a timeline shows of `study`."""
    return {
        "study_instance_uid": study.study_instance_uid,
        "site_id": study.site_id,
        "patient": identifier_form(study.patient),
        "patient_name": name_form(study.patient_name),
        "accession_number": study.accession_number,
        "study_date": day(study.study_date),
        "study_time": study.study_time,
        "study_description": study.study_description,
        "modalities": list(study.modalities),
        "body_parts": list(study.body_parts),
        "series_count": study.series_count,
        "instance_count": study.instance_count,
        "state": study.state,
    }


def name_form(name: PersonName) -> dict[str, Any]:
    """Return `name` for a reader and as DICOM writes it."""
    return {"display": name.display, "dicom": name.dicom, "confident": name.confident}


def identifier_form(identifier: PatientIdentifier) -> dict[str, str]:
    """Return `identifier` with its issuer."""
    return {
        "value": identifier.value,
        "namespace": identifier.issuer.namespace,
        "oid": identifier.issuer.oid,
    }


def day(value: date | None) -> str | None:
    """Return a date as ISO 8601, or null."""
    return value.isoformat() if value else None


def moment(value: datetime | None) -> str | None:
    """Return a time in UTC as ISO 8601, or null."""
    return value.isoformat(timespec="milliseconds") if value else None
