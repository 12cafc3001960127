"""Invented patients, documents and studies that the registry's tests share."""

import uuid
from dataclasses import replace
from datetime import date
from typing import Any

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from xds_registry.manifest import ManifestInstance, ManifestSeries, ManifestSource, ManifestStudy
from xds_registry.model import (
    AssociationType,
    Code,
    DocumentEntry,
    Submission,
    SubmissionSet,
    XdsAssociation,
)

REGION = AssigningAuthority("EIR", "1.2.826.0.1.3680043.10.1717.1")
TOWNSHIP = AssigningAuthority("T1", "1.2.826.0.1.3680043.10.1717.9.1")
REPOSITORY_UID = "1.2.826.0.1.3680043.10.1717.2"
HOME = "urn:oid:1.2.826.0.1.3680043.10.1717.3"
LOCAL = PatientIdentifier("L-1", TOWNSHIP)
GLOBAL = PatientIdentifier("G-1", REGION)

DCM = "1.2.840.10008.2.16.4"
CT, MR = Code("CT", DCM, "Computed Tomography"), Code("MR", DCM, "Magnetic Resonance")
IMAGES = Code("IMAGES", "1.3.6.1.4.1.19376.1.2.6.1", "Images")
STUDY_TYPE = Code("18748-4", "2.16.840.1.113883.6.1", "Diagnostic imaging study")
SOURCE = ManifestSource(REPOSITORY_UID, "EIRHUB", "http://127.0.0.1:8080/dicom-web")


def urn(name: str) -> str:
    """Return the UUID that stands for `name` in every test."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"


def entry(name: str = "document", **changes: Any) -> DocumentEntry:
    made = DocumentEntry(
        entry_uuid=urn(name),
        unique_id=f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}",
        patient_id=GLOBAL.cx,
        linked_identifier=LOCAL.cx,
        source_patient_id=LOCAL.cx,
        mime_type="application/dicom",
        class_code=IMAGES,
        type_code=STUDY_TYPE,
        format_code=Code("1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.2.6.1", "KOS"),
        practice_setting_code=Code("309964003", "2.16.840.1.113883.6.96", "Radiology"),
        healthcare_facility_type_code=Code("35971002", "2.16.840.1.113883.6.96", "Ambulatory"),
        confidentiality_codes=(Code("N", "2.16.840.1.113883.5.25", "normal"),),
        language_code="zh-CN",
        creation_time="20261121080000",
        sha1="da39a3ee5e6b4b0d3255bfef95601890afd80709",
        size=0,
        repository_unique_id=REPOSITORY_UID,
    )
    return replace(made, **changes)


def submission(
    *entries: DocumentEntry, relations: tuple[XdsAssociation, ...] = (), name: str = ""
) -> Submission:
    """Return a submission of `entries`, each a member of its set, with `relations`."""
    key = name or "set-of-" + "-".join(one.entry_uuid for one in entries)
    first = entries[0] if entries else entry()
    submission_set = SubmissionSet(
        entry_uuid=urn(key),
        unique_id=f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, key).int}",
        source_id=REPOSITORY_UID,
        patient_id=first.patient_id,
        linked_identifier=first.linked_identifier,
        submission_time=first.creation_time,
        content_type_code=STUDY_TYPE,
    )
    members = tuple(
        XdsAssociation(
            entry_uuid=urn(f"{key}-{one.entry_uuid}"),
            association_type=AssociationType.HAS_MEMBER,
            source=submission_set.entry_uuid,
            target=one.entry_uuid,
            submission_set_status="Original",
        )
        for one in entries
    )
    return Submission(
        submission_set=submission_set, entries=entries, associations=(*members, *relations)
    )


def relation(kind: AssociationType, source: DocumentEntry, target: DocumentEntry) -> XdsAssociation:
    return XdsAssociation(
        entry_uuid=urn(f"{kind}-{source.entry_uuid}-{target.entry_uuid}"),
        association_type=kind,
        source=source.entry_uuid,
        target=target.entry_uuid,
    )


def manifest_study(**changes: Any) -> ManifestStudy:
    study = ManifestStudy(
        study_instance_uid="1.2.3.4",
        patient_id="L-1",
        issuer_namespace=TOWNSHIP.namespace,
        issuer_oid=TOWNSHIP.oid,
        patient_name="Wang^XiaoDong=王^小东",
        patient_birth_date=date(1960, 5, 6),
        patient_sex="M",
        accession_number="A-1",
        study_id="S-1",
        study_date=date(2024, 1, 2),
        study_time="101112.5",
        study_description="胸部平扫",
        referring_physician_name="Li^Si",
        series=(
            ManifestSeries(
                "1.2.3.4.1",
                (
                    ManifestInstance("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.1.1"),
                    ManifestInstance("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.1.2"),
                ),
            ),
            ManifestSeries(
                "1.2.3.4.2", (ManifestInstance("1.2.840.10008.5.1.4.1.1.88.67", "1.2.3.4.2.1"),)
            ),
        ),
    )
    return replace(study, **changes)
