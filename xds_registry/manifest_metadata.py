"""Describe a study's manifest to the registry: the metadata of RAD-68 (RAD TF-3 4.68.4.1.2.3)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time

from hub_kernel.identifiers import PatientIdentifier
from image_archive.model import StudyRecord
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.manifest import Manifest, manifest_uid, manifest_uuid
from xds_registry.model import (
    AssociationType,
    Author,
    Code,
    DocumentEntry,
    ReferenceId,
    Submission,
    SubmissionSet,
    XdsAssociation,
    dtm,
)
from xds_registry.repository import StoredBytes

MANIFEST_MIME_TYPE = "application/dicom"
MANIFEST_FORMAT_CODE = Code(
    "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.2.6.1", "Key Object Selection Document"
)
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)?")
_HL7_SEPARATORS = str.maketrans(dict.fromkeys("|^~\\&\r\n", " "))


@dataclass(frozen=True)
class ManifestFacts:
    """What is said about one manifest beside its study: whose it is, where and when it was made."""

    global_identifier: PatientIdentifier
    institution: str
    facility_level: str
    generation: int
    completed_at: datetime
    repository_unique_id: str
    home_community_id: str


def manifest_submission(
    study: StudyRecord,
    facts: ManifestFacts,
    document: tuple[Manifest, StoredBytes],
    domain: AffinityDomain,
    replaces: DocumentEntry | None,
) -> Submission:
    """Return the submission that registers `document`, in place of `replaces` if that is given."""
    author = (Author(institutions=(plain(facts.institution),)),) if facts.institution else ()
    entry = _entry(study, facts, document, domain, author)
    submission_set = SubmissionSet(
        entry_uuid=_uuid(study, facts, "submission-set"),
        unique_id=_uid(study, facts, "submission-set"),
        source_id=facts.repository_unique_id,
        patient_id=entry.patient_id,
        linked_identifier=entry.linked_identifier,
        submission_time=entry.creation_time,
        content_type_code=domain.manifest.content_type_code,
        authors=author,
        title=entry.title,
        home_community_id=facts.home_community_id,
    )
    associations = tuple(_associations(study, facts, submission_set, entry, replaces))
    return Submission(submission_set=submission_set, entries=(entry,), associations=associations)


def service_start_time(study: StudyRecord, domain: AffinityDomain) -> str:
    """Return when the study was made, in UTC; by day where the time of day is not known."""
    if study.study_date is None:
        return ""
    day = study.study_date.isoformat().replace("-", "")
    found = _TIME_OF_DAY.match(study.study_time)
    if found is None:
        return day
    hour, minute, second = (int(part or 0) for part in found.groups())
    local = datetime.combine(study.study_date, time(hour, minute, second), domain.zone)
    return dtm(local)


def _associations(
    study: StudyRecord,
    facts: ManifestFacts,
    submission_set: SubmissionSet,
    entry: DocumentEntry,
    replaces: DocumentEntry | None,
) -> Iterator[XdsAssociation]:
    yield XdsAssociation(
        entry_uuid=_uuid(study, facts, "member"),
        association_type=AssociationType.HAS_MEMBER,
        source=submission_set.entry_uuid,
        target=entry.entry_uuid,
        submission_set_status="Original",
        home_community_id=facts.home_community_id,
    )
    if replaces is not None:
        yield XdsAssociation(
            entry_uuid=_uuid(study, facts, "replaces"),
            association_type=AssociationType.REPLACES,
            source=entry.entry_uuid,
            target=replaces.entry_uuid,
            home_community_id=facts.home_community_id,
        )


def _entry(
    study: StudyRecord,
    facts: ManifestFacts,
    document: tuple[Manifest, StoredBytes],
    domain: AffinityDomain,
    author: tuple[Author, ...],
) -> DocumentEntry:
    manifest, stored = document
    return DocumentEntry(
        entry_uuid=_uuid(study, facts, "entry"),
        unique_id=manifest.sop_instance_uid,
        patient_id=facts.global_identifier.cx,
        linked_identifier=study.patient.cx,
        source_patient_id=study.patient.cx,
        source_patient_info=tuple(_source_patient_info(study)),
        mime_type=MANIFEST_MIME_TYPE,
        class_code=domain.manifest.class_code,
        type_code=domain.manifest.type_code,
        format_code=MANIFEST_FORMAT_CODE,
        practice_setting_code=domain.manifest.practice_setting_code,
        healthcare_facility_type_code=domain.facility_type(facts.facility_level),
        confidentiality_codes=(domain.manifest.confidentiality_code,),
        event_codes=tuple(_event_codes(study, domain)),
        language_code=domain.language_code,
        creation_time=dtm(facts.completed_at),
        service_start_time=service_start_time(study, domain),
        authors=author,
        title=_title(study),
        sha1=stored.sha1,
        size=stored.size,
        repository_unique_id=facts.repository_unique_id,
        home_community_id=facts.home_community_id,
        reference_ids=tuple(_reference_ids(study)),
    )


def _event_codes(study: StudyRecord, domain: AffinityDomain) -> Iterator[Code]:
    """Modalities, then anatomic regions; each once."""
    yield from (domain.modality(modality) for modality in dict.fromkeys(study.modalities))
    regions = (domain.body_part(body_part) for body_part in study.body_parts)
    yield from dict.fromkeys(region for region in regions if region is not None)


def _reference_ids(study: StudyRecord) -> Iterator[ReferenceId]:
    yield ReferenceId.study(study.study_instance_uid)
    if study.accession_number.strip():
        yield ReferenceId.accession(study.accession_number.strip(), study.patient.issuer.oid)


def _source_patient_info(study: StudyRecord) -> Iterator[str]:
    """The patient as the site described them (ITI TF-3 4.2.3.2.23)."""
    yield f"PID-3|{study.patient.cx}"
    name = study.patient_name.ideographic or study.patient_name.alphabetic
    if name:
        yield "PID-5|" + "^".join(plain(part) for part in name.split("^"))
    if study.patient_birth_date:
        yield f"PID-7|{study.patient_birth_date.isoformat().replace('-', '')}"
    yield f"PID-8|{study.patient_sex if study.patient_sex in {'M', 'F', 'O'} else 'U'}"


def _title(study: StudyRecord) -> str:
    day = study.study_date.isoformat() if study.study_date else ""
    parts = ("/".join(study.modalities), day, study.study_description.strip())
    return " ".join(part for part in parts if part)


def plain(text: str) -> str:
    """Return `text` without the characters that mean something in HL7 v2."""
    return text.translate(_HL7_SEPARATORS).strip()


def _uuid(study: StudyRecord, facts: ManifestFacts, what: str) -> str:
    name = f"{what}/{facts.generation}"
    return f"urn:uuid:{manifest_uuid(facts.repository_unique_id, study.study_instance_uid, name)}"


def _uid(study: StudyRecord, facts: ManifestFacts, what: str) -> str:
    name = f"{what}/{facts.generation}"
    return manifest_uid(facts.repository_unique_id, study.study_instance_uid, name)
