"""Submission sets and folders as Lists (ITI TF-3 4.5.2, 4.5.3; MHD 2:3.66.4.2.2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.primitives import tidied
from xds_registry.linked_people import LinkedPeople
from xds_registry.mhd.authors import Contained, author_references, recipient_reference
from xds_registry.mhd.codes import OID_PREFIX, URIS, concept, unique_identifier
from xds_registry.mhd.document_references import PROFILES, resource_id
from xds_registry.mhd.patients import subject_of
from xds_registry.mhd.times import date_time
from xds_registry.model import NO_CODE, AvailabilityStatus, Code, Folder, SubmissionSet

LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
DESIGNATION_TYPE = f"{PROFILES}/ihe-designationType"
SOURCE_ID = f"{PROFILES}/ihe-sourceId"
INTENDED_RECIPIENT = f"{PROFILES}/ihe-intendedRecipient"
FURTHER_AUTHOR = "urn:eirhub:fhir:author"
"""Extension: an author beside the one that `List.source` has room for."""

# R4 has no superseded lists; MHD's table says so of ITI-66, which takes either word.
LIST_STATUS = {AvailabilityStatus.APPROVED: "current", AvailabilityStatus.DEPRECATED: "retired"}


@dataclass(frozen=True)
class ListWriter:
    """Writes submission sets and folders for one answer."""

    people: LinkedPeople

    def submission_set(self, item: SubmissionSet, members: Sequence[str]) -> Resource:
        """Return a submission set; `members` are references to documents and folders."""
        contained = Contained()
        authors = [author_references(one, contained) for one in item.authors]
        known = [one for one in authors if one]
        recipients = [recipient_reference(one, contained) for one in item.intended_recipients]
        source_id = {"system": URIS, "value": OID_PREFIX + item.source_id}
        said: Resource = {
            **self._common(item, "submissionset", members),
            "contained": contained.resources,
            "extension": [
                *_designations([item.content_type_code]),
                {"url": SOURCE_ID, "valueIdentifier": source_id},
                *({"url": INTENDED_RECIPIENT, "valueReference": one} for one in recipients),
                *({"url": FURTHER_AUTHOR, "valueReference": one} for one in known[1:]),
            ],
            "date": date_time(item.submission_time),
            "source": known[0] if known else None,
        }
        return _tidied(said)

    def folder(self, item: Folder, members: Sequence[str]) -> Resource:
        """Return a folder; `members` are references to documents."""
        said: Resource = {
            **self._common(item, "folder", members),
            "extension": _designations(item.codes),
            "date": date_time(item.last_update_time),
        }
        return _tidied(said)

    def _common(self, item: SubmissionSet | Folder, kind: str, members: Sequence[str]) -> Resource:
        profile = "SubmissionSet" if kind == "submissionset" else "Folder"
        completeness = "Minimal" if item.limited_metadata else "Comprehensive"
        return {
            "resourceType": "List",
            "id": resource_id(item.entry_uuid),
            "meta": {"profile": [f"{PROFILES}/IHE.MHD.{completeness}.{profile}"]},
            "identifier": [
                unique_identifier(item.unique_id),
                {"use": "official", "system": URIS, "value": item.entry_uuid},
            ],
            "status": LIST_STATUS[item.status],
            "mode": "working",
            "title": item.title,
            "code": {"coding": [{"system": LIST_TYPES, "code": kind}]},
            "subject": subject_of(self.people, item.linked_identifier, item.patient_id),
            "note": [{"text": item.comments}] if item.comments else [],
            "entry": [{"item": {"reference": one}} for one in members],
        }


def _designations(codes: Iterable[Code]) -> list[Resource]:
    return [
        {"url": DESIGNATION_TYPE, "valueCodeableConcept": concept(code)}
        for code in codes
        if code != NO_CODE
    ]


def _tidied(said: Resource) -> Resource:
    written: Resource = tidied(said)
    return written
