"""Where each metadata attribute stands in ebRIM: slot, classification, identifier (ITI TF-3 4.2.3).

One table for each kind of object, shared by what reads, what writes and what names a place to a
sender. A place is an XPath from anywhere in the message, with the prefix `rim` of ebRIM 3.0.
"""

from collections.abc import Mapping
from types import MappingProxyType

from xds_registry import vocabulary as v
from xds_registry.model import (
    DocumentEntry,
    Folder,
    RegistryObject,
    SubmissionSet,
    XdsAssociation,
)

Names = Mapping[str, str]

ENTRY_SLOTS: Names = MappingProxyType(
    {
        "creation_time": "creationTime",
        "sha1": "hash",
        "language_code": "languageCode",
        "legal_authenticator": "legalAuthenticator",
        "repository_unique_id": "repositoryUniqueId",
        "service_start_time": "serviceStartTime",
        "service_stop_time": "serviceStopTime",
        "size": "size",
        "source_patient_id": "sourcePatientId",
        "source_patient_info": "sourcePatientInfo",
        "reference_ids": "urn:ihe:iti:xds:2013:referenceIdList",
        "uri": "URI",
        "document_availability": "documentAvailability",
    }
)
ENTRY_CODES: Names = MappingProxyType(
    {
        "class_code": v.DOCUMENT_CLASS_CODE,
        "type_code": v.DOCUMENT_TYPE_CODE,
        "format_code": v.DOCUMENT_FORMAT_CODE,
        "practice_setting_code": v.DOCUMENT_PRACTICE_SETTING_CODE,
        "healthcare_facility_type_code": v.DOCUMENT_FACILITY_TYPE_CODE,
        "confidentiality_codes": v.DOCUMENT_CONFIDENTIALITY_CODE,
        "event_codes": v.DOCUMENT_EVENT_CODE,
    }
)
ENTRY_IDENTIFIERS: Names = MappingProxyType(
    {"patient_id": v.DOCUMENT_PATIENT_ID, "unique_id": v.DOCUMENT_UNIQUE_ID}
)
SET_SLOTS: Names = MappingProxyType(
    {"submission_time": "submissionTime", "intended_recipients": "intendedRecipient"}
)
SET_CODES: Names = MappingProxyType({"content_type_code": v.SUBMISSION_SET_CONTENT_TYPE_CODE})
SET_IDENTIFIERS: Names = MappingProxyType(
    {
        "patient_id": v.SUBMISSION_SET_PATIENT_ID,
        "source_id": v.SUBMISSION_SET_SOURCE_ID,
        "unique_id": v.SUBMISSION_SET_UNIQUE_ID,
    }
)
FOLDER_SLOTS: Names = MappingProxyType({"last_update_time": "lastUpdateTime"})
FOLDER_CODES: Names = MappingProxyType({"codes": v.FOLDER_CODE})
FOLDER_IDENTIFIERS: Names = MappingProxyType(
    {"patient_id": v.FOLDER_PATIENT_ID, "unique_id": v.FOLDER_UNIQUE_ID}
)
ASSOCIATION_SLOTS: Names = MappingProxyType(
    {
        "submission_set_status": "SubmissionSetStatus",
        "previous_version": "PreviousVersion",
        "original_status": "OriginalStatus",
        "new_status": "NewStatus",
        "propagates": "AssociationPropagation",
    }
)
ASSOCIATION_CODES: Names = MappingProxyType({"documentation": v.ASSOCIATION_DOCUMENTATION})
AUTHOR_SLOTS: Names = MappingProxyType(
    {
        "person": "authorPerson",
        "institutions": "authorInstitution",
        "roles": "authorRole",
        "specialties": "authorSpecialty",
        "telecommunications": "authorTelecommunication",
    }
)

_TAGS: Mapping[type[RegistryObject], str] = {
    DocumentEntry: "ExtrinsicObject",
    SubmissionSet: "RegistryPackage",
    Folder: "RegistryPackage",
    XdsAssociation: "Association",
}
_XML: Names = {
    "entry_uuid": "/@id",
    "logical_id": "/@lid",
    "home_community_id": "/@home",
    "title": "/rim:Name",
    "comments": "/rim:Description",
    "document_type": "/@objectType",
    "mime_type": "/@mimeType",
    "association_type": "/@associationType",
    "source": "/@sourceObject",
    "target": "/@targetObject",
    "version": "/rim:VersionInfo",
    "extra_slots": "/rim:Slot",
}


def slot_step(name: str) -> str:
    """Return the XPath step to a slot of an object."""
    return f"/rim:Slot[@name={quoted(name)}]"


def classification_step(scheme: str) -> str:
    """Return the XPath step to a classification of an object."""
    return f"/rim:Classification[@classificationScheme={quoted(scheme)}]"


def identifier_step(scheme: str) -> str:
    """Return the XPath step to an external identifier of an object."""
    return f"/rim:ExternalIdentifier[@identificationScheme={quoted(scheme)}]"


def _steps(slots: Names, codes: Names, identifiers: Names) -> dict[str, str]:
    return {
        **_XML,
        **{name: slot_step(slot) for name, slot in slots.items()},
        **{name: classification_step(scheme) for name, scheme in codes.items()},
        **{name: identifier_step(scheme) for name, scheme in identifiers.items()},
    }


def object_place(tag: str, object_id: str) -> str:
    """Return the XPath of the object with this tag and id."""
    return f"//rim:{tag}[@id={quoted(object_id)}]" if object_id else f"//rim:{tag}"


def place_of(kind: type[RegistryObject], object_id: str, attribute: str = "") -> str:
    """Return the XPath of an attribute of an object, or of the object itself."""
    return object_place(_TAGS[kind], object_id) + (_STEPS[kind][attribute] if attribute else "")


def quoted(text: str) -> str:
    """Return `text` as an XPath string; one that holds both quotes is cut where the second is."""
    text = text[:128]
    if "'" not in text:
        return f"'{text}'"
    return '"' + text.split('"')[0] + '"'


_STEPS: Mapping[type[RegistryObject], Names] = {
    DocumentEntry: _steps(ENTRY_SLOTS, ENTRY_CODES, ENTRY_IDENTIFIERS)
    | {"authors": classification_step(v.DOCUMENT_AUTHOR)},
    SubmissionSet: _steps(SET_SLOTS, SET_CODES, SET_IDENTIFIERS)
    | {"authors": classification_step(v.SUBMISSION_SET_AUTHOR)},
    Folder: _steps(FOLDER_SLOTS, FOLDER_CODES, FOLDER_IDENTIFIERS),
    XdsAssociation: _steps(ASSOCIATION_SLOTS, ASSOCIATION_CODES, {}),
}
