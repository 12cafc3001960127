"""Document entries as DocumentReferences (ITI TF-3 4.5.1.1, MHD 2:3.67.4.2.2.1)."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.primitives import tidied
from xds_registry.linked_people import LinkedPeople
from xds_registry.mhd.authors import Contained, author_references, person_reference
from xds_registry.mhd.codes import (
    ENCOUNTER_TYPE,
    FORMAT_CODES,
    URIS,
    UUID_PREFIX,
    coding,
    concept,
    reference_identifier,
    unique_identifier,
)
from xds_registry.mhd.patients import source_patient, subject_of
from xds_registry.mhd.times import date_time, instant
from xds_registry.model import (
    NO_CODE,
    AssociationType,
    AvailabilityStatus,
    Code,
    DocumentEntry,
    DocumentType,
    XdsAssociation,
)

PROFILES = "https://profiles.ihe.net/ITI/MHD/StructureDefinition"
COMPREHENSIVE = f"{PROFILES}/IHE.MHD.Comprehensive.DocumentReference"
MINIMAL = f"{PROFILES}/IHE.MHD.Minimal.DocumentReference"
MODALITY = "https://profiles.ihe.net/RAD/MADO/StructureDefinition/ext-R5-DocumentReference.modality"
BODY_SITE = (
    "https://profiles.ihe.net/RAD/MADO/StructureDefinition/ext-R5-DocumentReference.bodySite"
)

KOS_FORMAT = "1.2.840.10008.5.1.4.1.1.88.59"
MADO_FORMAT = "urn:ihe:rad:MADO:fhir-manifest:2026"

STATUS = {AvailabilityStatus.APPROVED: "current", AvailabilityStatus.DEPRECATED: "superseded"}

# MHD ConceptMap AssociationTypeVsRelatesTo.
RELATES_TO = {
    AssociationType.REPLACES: "replaces",
    AssociationType.TRANSFORMS: "transforms",
    AssociationType.APPENDS: "appends",
    AssociationType.TRANSFORMS_AND_REPLACES: "replaces",
    AssociationType.SIGNS: "signs",
    AssociationType.IS_SNAPSHOT_OF: "transforms",
}


@dataclass(frozen=True)
class ModalityScheme:
    """How the affinity domain codes modalities: what tells them from body parts in event codes."""

    scheme: str

    def modalities(self, entry: DocumentEntry) -> list[Code]:
        """Return the modalities of an entry's study."""
        return [code for code in entry.event_codes if code.scheme == self.scheme]

    def body_parts(self, entry: DocumentEntry) -> list[Code]:
        """Return the anatomic regions of an imaging document: what else its event codes hold."""
        return [code for code in entry.event_codes if code.scheme != self.scheme]


@dataclass(frozen=True)
class EntryFacts:
    """What is known of an entry beside itself: when it was submitted, what it relates to."""

    submitted_at: str = ""
    relations: Sequence[XdsAssociation] = ()


@dataclass(frozen=True)
class DocumentReferenceWriter:
    """Writes entries for one answer; `base` is the address documents are fetched at."""

    people: LinkedPeople
    base: str
    modality_scheme: ModalityScheme
    facts: dict[str, EntryFacts] = field(default_factory=dict)

    def write(self, entry: DocumentEntry) -> Resource:
        """Return the DocumentReference of an entry."""
        facts = self.facts.get(entry.entry_uuid, EntryFacts(entry.creation_time))
        contained = Contained()
        authors = [author_references(one, contained) for one in entry.authors]
        context = self._context(entry, contained)
        legal = entry.legal_authenticator
        said: Resource = {
            "resourceType": "DocumentReference",
            "id": resource_id(entry.entry_uuid),
            "meta": {"profile": [MINIMAL if entry.limited_metadata else COMPREHENSIVE]},
            "contained": contained.resources,
            "extension": self._imaging(entry),
            "masterIdentifier": unique_identifier(entry.unique_id),
            "identifier": identifiers(entry),
            "status": STATUS[entry.status],
            "type": _concept(entry.type_code),
            "category": [_concept(entry.class_code)],
            "subject": subject_of(self.people, entry.linked_identifier, entry.patient_id),
            "date": instant(facts.submitted_at),
            "author": [one for one in authors if one],
            "authenticator": person_reference(legal, contained) if legal else None,
            "relatesTo": list(_relations(facts.relations)),
            "description": entry.comments,
            "securityLabel": [_concept(code) for code in entry.confidentiality_codes],
            "content": [self._content(entry)],
            "context": context,
        }
        written: Resource = tidied(said)
        return written

    def _content(self, entry: DocumentEntry) -> Resource:
        attachment: Resource = {
            "contentType": entry.mime_type,
            "language": entry.language_code,
            "url": f"{self.base}/Binary/{resource_id(entry.entry_uuid)}",
            "title": entry.title,
            "creation": date_time(entry.creation_time),
        }
        # Without hash and size a document is made when it is asked for (2:3.67.4.2.2.1.2).
        if entry.document_type is DocumentType.STABLE and entry.sha1:
            attachment |= {"size": entry.size, "hash": hash_of(entry.sha1)}
        return {"attachment": attachment, "format": _coding(entry.format_code)}

    def _context(self, entry: DocumentEntry, contained: Contained) -> Resource:
        described = source_patient(entry.source_patient_id, entry.source_patient_info)
        numbers = [(one, reference_identifier(one)) for one in entry.reference_ids]
        return {
            "encounter": [{"identifier": n} for one, n in numbers if _is_encounter(one.cxi)],
            "event": [concept(code) for code in entry.event_codes],
            "period": {
                "start": date_time(entry.service_start_time),
                "end": date_time(entry.service_stop_time),
            },
            "facilityType": _concept(entry.healthcare_facility_type_code),
            "practiceSetting": _concept(entry.practice_setting_code),
            "sourcePatientInfo": contained.add(described) if described else None,
            "related": [{"identifier": n} for one, n in numbers if not _is_encounter(one.cxi)],
        }

    def _imaging(self, entry: DocumentEntry) -> list[Resource]:
        """Modality and region of an imaging manifest, as MADO looks for them."""
        if entry.format_code.code not in {KOS_FORMAT, MADO_FORMAT}:
            return []
        scheme = self.modality_scheme
        marked = ((MODALITY, scheme.modalities(entry)), (BODY_SITE, scheme.body_parts(entry)))
        return [
            {"url": url, "valueCodeableConcept": concept(code)}
            for url, codes in marked
            for code in codes
        ]


def identifiers(entry: DocumentEntry) -> list[Resource]:
    """Return entryUUID and uniqueId; MADO wants the latter beside masterIdentifier too."""
    uuids = [{"use": "official", "system": URIS, "value": entry.entry_uuid}]
    return [*uuids, unique_identifier(entry.unique_id)]


def resource_id(entry_uuid: str) -> str:
    """Return the logical id of the resource that stands for a registry object."""
    return entry_uuid.removeprefix(UUID_PREFIX)


def entry_uuid_of(identity: str) -> str:
    """Return the entryUUID of the registry object that a logical id stands for."""
    return UUID_PREFIX + identity.lower()


def hash_of(sha1: str) -> str:
    """Return a SHA-1 in hex as FHIR has it: its bytes in base64; empty where it is none."""
    try:
        return base64.b64encode(binascii.unhexlify(sha1)).decode()
    except (binascii.Error, ValueError):
        return ""


def _relations(associations: Iterable[XdsAssociation]) -> Iterable[Resource]:
    for one in associations:
        code = RELATES_TO.get(one.association_type)
        if code:
            target = {"reference": f"DocumentReference/{resource_id(one.target)}"}
            yield {"code": code, "target": target}


def _concept(code: Code) -> Resource | None:
    return None if code == NO_CODE else concept(code)


def _coding(code: Code) -> Any:
    if code == NO_CODE:
        return None
    written = coding(code)
    if code.code == MADO_FORMAT:
        written["system"] = FORMAT_CODES
    return written


def _is_encounter(cxi: str) -> bool:
    return cxi.endswith(f"^{ENCOUNTER_TYPE}")
