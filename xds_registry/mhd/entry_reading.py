"""DocumentReferences that a source sends, as document entries (MHD 2:3.65, ITI TF-3 4.5.1.1)."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hub_kernel.fhir.outcome import Resource
from xds_registry.mhd.authors import author_of, xcn_of
from xds_registry.mhd.codes import (
    ENCOUNTER_TYPE,
    UUID_PREFIX,
    code_of,
    code_of_coding,
    codes_of,
    reference_of,
    unique_id_of,
)
from xds_registry.mhd.patients import source_patient_id_of, source_patient_info_of
from xds_registry.mhd.references import Placed, Resolver
from xds_registry.mhd.times import dtm_of
from xds_registry.model import NO_CODE, DocumentEntry, ReferenceId

_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_NEEDED = (
    "source_patient_id class_code type_code format_code practice_setting_code"
    " healthcare_facility_type_code confidentiality_codes language_code creation_time"
)


@dataclass(frozen=True)
class Sent:
    """A document reference that was sent, and what the registry is to know of it.

    `entry_id` is its entryUUID, `patient_id` its subject as the affinity domain names it. What
    claims to be comprehensive is never taken for limited metadata.
    """

    placed: Placed
    resolve: Resolver
    entry_id: str
    patient_id: str
    comprehensive: bool = False


def claims_comprehensive(resource: Resource) -> bool:
    """Tell whether a resource names a profile of comprehensive metadata."""
    profiles = resource.get("meta", {}).get("profile", ())
    return any(".Comprehensive." in f"{one}." for one in profiles)


def read_entry(sent: Sent) -> DocumentEntry:
    """Return the document entry; hash, size and repository are completed when it is stored.

    It is limited metadata where something is missing that only limited metadata may lack.
    """
    said = sent.placed.resource
    content: Resource = (said.get("content") or [{}])[0]
    attachment: Resource = content.get("attachment", {})
    context: Resource = said.get("context", {})
    period = context.get("period", {})
    described = sent.resolve(context.get("sourcePatientInfo", {}).get("reference", ""))
    authors = [author_of(one, sent.resolve) for one in said.get("author", ())]
    entry = DocumentEntry(
        entry_uuid=sent.entry_id,
        unique_id=_unique_id(said),
        patient_id=sent.patient_id,
        linked_identifier=sent.patient_id,
        source_patient_id=source_patient_id_of(described) or sent.patient_id,
        source_patient_info=source_patient_info_of(described),
        mime_type=attachment.get("contentType", ""),
        class_code=code_of(next(iter(said.get("category", ())), None)),
        type_code=code_of(said.get("type")),
        format_code=code_of_coding(content["format"]) if "format" in content else NO_CODE,
        practice_setting_code=code_of(context.get("practiceSetting")),
        healthcare_facility_type_code=code_of(context.get("facilityType")),
        confidentiality_codes=codes_of(said.get("securityLabel", ())),
        language_code=attachment.get("language", ""),
        creation_time=_dtm(attachment.get("creation", "")),
        event_codes=codes_of(context.get("event", ())),
        authors=tuple(one for one in authors if one is not None),
        service_start_time=_dtm(period.get("start", "")),
        service_stop_time=_dtm(period.get("end", "")),
        title=attachment.get("title", ""),
        comments=said.get("description", ""),
        sha1=sha1_of(attachment.get("hash", "")),
        size=int(attachment.get("size", 0)),
        reference_ids=_references(context, sent.resolve),
        legal_authenticator=xcn_of(said.get("authenticator", {}), sent.resolve),
    )
    lacking = any(getattr(entry, name) in ("", (), NO_CODE) for name in _NEEDED.split())
    return DocumentEntry(**{**vars(entry), "limited_metadata": lacking and not sent.comprehensive})


def official_uuid(resource: Resource) -> str:
    """Return the entryUUID that a source chose for a resource, or an empty text."""
    for one in resource.get("identifier", ()):
        if one.get("use") == "official" and _UUID.fullmatch(one.get("value", "")):
            return str(one["value"])
    return ""


def sha1_of(hash_: str) -> str:
    """Return the SHA-1 in hex of an Attachment.hash.

    FHIR has the bytes of the digest in base64; the examples of MHD have its hex digits in base64.
    What is neither comes back as it is, to be refused as a value.
    """
    try:
        raw = base64.b64decode(hash_, validate=True)
    except (binascii.Error, ValueError):
        return hash_
    if len(raw) == 20:
        return raw.hex()
    text = raw.decode("ascii", "replace")
    return text.lower() if _HEX_SHA1.fullmatch(text) else hash_


def _unique_id(said: Resource) -> str:
    """The master identifier; in a simplified publish it may stand among the identifiers."""
    if "masterIdentifier" in said:
        return unique_id_of(said["masterIdentifier"])
    usual = (one for one in said.get("identifier", ()) if one.get("use") == "usual")
    return next(filter(None, map(unique_id_of, usual)), "")


def _references(context: Resource, resolve: Resolver) -> tuple[ReferenceId, ...]:
    found = [reference_of(one) for one in _identifiers(context.get("related", ()), resolve)]
    for one in _identifiers(context.get("encounter", ()), resolve):
        number = reference_of({key: value for key, value in one.items() if key != "type"})
        if number is not None:
            found.append(ReferenceId(f"{number.cxi.rpartition('^')[0]}^{ENCOUNTER_TYPE}"))
    return tuple(one for one in found if one is not None)


def _identifiers(references: Sequence[Resource], resolve: Resolver) -> list[Resource]:
    """Return what references name: their own identifier, else the first of what they lead to."""
    found = []
    for one in references:
        if "identifier" in one:
            found.append(one["identifier"])
        elif one.get("reference", "").startswith((UUID_PREFIX, "urn:oid:")):
            target = resolve(one["reference"])
            found += (target or {}).get("identifier", [])[:1]
    return found


def _dtm(text: str) -> str:
    return dtm_of(text) if text else ""
