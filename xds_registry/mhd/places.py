"""Where in a resource each attribute of the metadata is said (ITI TF-3 4.5.1.1, 4.5.2, 4.5.3)."""

from collections.abc import Mapping
from dataclasses import dataclass

from xds_registry.mhd.lists import DESIGNATION_TYPE, INTENDED_RECIPIENT, SOURCE_ID

_ATTACHMENT = "content[0].attachment"

# Attribute of the model → element of the resource that says it.
ENTRY_ELEMENTS: Mapping[str, str] = {
    "entry_uuid": "identifier",
    "unique_id": "masterIdentifier",
    "patient_id": "subject",
    "source_patient_id": "context.sourcePatientInfo",
    "source_patient_info": "context.sourcePatientInfo",
    "mime_type": f"{_ATTACHMENT}.contentType",
    "class_code": "category",
    "type_code": "type",
    "format_code": "content[0].format",
    "practice_setting_code": "context.practiceSetting",
    "healthcare_facility_type_code": "context.facilityType",
    "confidentiality_codes": "securityLabel",
    "language_code": f"{_ATTACHMENT}.language",
    "creation_time": f"{_ATTACHMENT}.creation",
    "event_codes": "context.event",
    "authors": "author",
    "service_start_time": "context.period.start",
    "service_stop_time": "context.period.end",
    "sha1": f"{_ATTACHMENT}.hash",
    "size": f"{_ATTACHMENT}.size",
    "repository_unique_id": f"{_ATTACHMENT}.url",
    "reference_ids": "context.related",
    "legal_authenticator": "authenticator",
}
LIST_ELEMENTS: Mapping[str, str] = {
    "entry_uuid": "identifier",
    "unique_id": "identifier",
    "patient_id": "subject",
    "source_id": f"extension('{SOURCE_ID}')",
    "content_type_code": f"extension('{DESIGNATION_TYPE}')",
    "codes": f"extension('{DESIGNATION_TYPE}')",
    "intended_recipients": f"extension('{INTENDED_RECIPIENT}')",
    "submission_time": "date",
    "authors": "source",
    "title": "title",
}


@dataclass(frozen=True)
class Place:
    """Where an object of a submission was sent: its FHIRPath, and its elements by attribute."""

    path: str
    elements: Mapping[str, str]

    def of(self, attribute: str) -> str:
        """Return the FHIRPath of an attribute; the whole object's where it has none of its own."""
        element = self.elements.get(attribute, "")
        return f"{self.path}.{element}" if element else self.path
