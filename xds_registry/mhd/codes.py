"""Codes and identifiers between XDS and FHIR (ITI TF-2 appendix E.3, Z.9.1; ITI TF-3 4.2.3.1.7).

A coding scheme that is an OID is written as the URI FHIR knows it by, else as `urn:oid:`. What has
no form of its own in FHIR is kept under a URN of the hub, so that nothing is lost on the way back.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from hub_kernel.fhir.outcome import Resource
from xds_registry.model import NO_CODE, Code, ReferenceId

OID_PREFIX = "urn:oid:"
UUID_PREFIX = "urn:uuid:"
URIS = "urn:ietf:rfc:3986"
DICOM_UIDS = "urn:dicom:uid"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
V2_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
SNOMED = "http://snomed.info/sct"
FORMAT_CODES = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
FORMAT_SCHEME = "1.3.6.1.4.1.19376.1.2.3"

STUDY_TYPE = "urn:ihe:iti:xds:2016:studyInstanceUID"
ACCESSION_TYPE = "urn:ihe:iti:xds:2013:accession"
UNIQUE_ID_TYPE = "urn:ihe:iti:xds:2013:uniqueId"
"""What an identifier is taken for that does not say what it identifies."""
ENCOUNTER_TYPE = "urn:ihe:iti:xds:2015:encounterId"

SYSTEM_OF_SCHEME: Mapping[str, str] = {
    "2.16.840.1.113883.6.1": "http://loinc.org",
    "2.16.840.1.113883.6.96": SNOMED,
    "2.16.840.1.113883.5.25": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "2.16.840.1.113883.5.4": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "1.2.840.10008.2.16.4": DCM,
    "1.2.840.10008.2.6.1": "http://dicom.nema.org/resources/ontology/DCMUID",
    FORMAT_SCHEME: FORMAT_CODES,
}
_SCHEME_OF_SYSTEM = {
    **{system: scheme for scheme, system in SYSTEM_OF_SCHEME.items()},
    "http://terminology.hl7.org/CodeSystem/formatcode": FORMAT_SCHEME,
}
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_URI = re.compile(r"(https?://|urn:)[!-~]+")
_NAMED_SCHEME = "urn:eirhub:fhir:coding-scheme:"
_WHOLE_CXI = "urn:eirhub:fhir:cxi"
_IDENTIFIERS = uuid.UUID("4f4b8c0e-52ab-5f5e-a9f5-53d9b8a6d1c2")
_CXI = re.compile(r"(?P<value>[^^&|~]+)\^\^\^(?:&(?P<oid>[0-9.]+)&ISO)?\^(?P<type>[^^&|~]*)")
# Identifier type → what FHIR readers of imaging look for beside it (MADO 1.2).
_MORE_TYPES: Mapping[str, tuple[Resource, ...]] = {
    STUDY_TYPE: ({"system": DCM, "code": "110180", "display": "Study Instance UID"},),
    ACCESSION_TYPE: (
        {"system": V2_TYPES, "code": "ACSN", "display": "Accession ID"},
        {"system": DCM, "code": "121022", "display": "Accession Number"},
    ),
}


def is_oid(text: str) -> bool:
    """Say whether `text` is dotted numbers of at most 64 characters."""
    return len(text) <= 64 and _OID.fullmatch(text) is not None


def system_of(scheme: str) -> str:
    """Return the FHIR system of a coding scheme; empty for none."""
    if scheme in SYSTEM_OF_SCHEME:
        return SYSTEM_OF_SCHEME[scheme]
    if not scheme or (_URI.fullmatch(scheme) and scheme_of(scheme) == scheme):
        return scheme
    return OID_PREFIX + scheme if is_oid(scheme) else _NAMED_SCHEME + quote(scheme, safe="")


def scheme_of(system: str) -> str:
    """Return the coding scheme that a FHIR system names; the OID where it has one."""
    if system in _SCHEME_OF_SYSTEM:
        return _SCHEME_OF_SYSTEM[system]
    if system.startswith(OID_PREFIX) and is_oid(system.removeprefix(OID_PREFIX)):
        return system.removeprefix(OID_PREFIX)
    if system.startswith(_NAMED_SCHEME):
        return unquote(system.removeprefix(_NAMED_SCHEME))
    return system


def coding(code: Code) -> Resource:
    """Return a Coding."""
    parts = {"system": system_of(code.scheme), "code": code.code, "display": code.display}
    return {name: value for name, value in parts.items() if value}


def concept(code: Code) -> Resource:
    """Return a CodeableConcept of one coding."""
    return {"coding": [coding(code)]}


def code_of_coding(said: Resource, text: str = "") -> Code:
    """Return the code of a Coding, NO_CODE where it has none."""
    if "code" not in said:
        return NO_CODE
    display = said.get("display") or text
    return Code(said["code"], scheme_of(said.get("system", "")), display)


def code_of(said: Resource | None) -> Code:
    """Return the first code of a CodeableConcept, NO_CODE where there is none."""
    codings = (said or {}).get("coding", ())
    found = (code_of_coding(one, (said or {}).get("text", "")) for one in codings)
    return next((code for code in found if code != NO_CODE), NO_CODE)


def codes_of(concepts: Sequence[Resource]) -> tuple[Code, ...]:
    """Return the codes of several CodeableConcepts, those without one left out."""
    return tuple(code for code in map(code_of, concepts) if code != NO_CODE)


def cx_identifier(value: str, oid: str, use: str = "") -> Resource:
    """Return the Identifier of a patient ID (CX)."""
    said = {"use": use, "system": OID_PREFIX + oid, "value": value}
    return {name: text for name, text in said.items() if text}


def cx_of(said: Resource) -> str:
    """Return the CX of an Identifier with an OID for its system, else an empty text."""
    system, value = said.get("system", ""), said.get("value", "")
    oid = system.removeprefix(OID_PREFIX)
    if not system.startswith(OID_PREFIX) or not is_oid(oid) or not value or "^" in value:
        return ""
    return f"{value}^^^&{oid}&ISO"


def unique_identifier(unique_id: str) -> Resource:
    """Return the Identifier of a uniqueId: an OID, a UUID, or an OID with an extension (CDA)."""
    if unique_id.startswith(UUID_PREFIX):
        return {"use": "usual", "system": URIS, "value": unique_id}
    root, _, extension = unique_id.partition("^")
    if extension:
        return {"use": "usual", "system": OID_PREFIX + root, "value": extension}
    return {"use": "usual", "system": URIS, "value": OID_PREFIX + unique_id}


def unique_id_of(said: Resource) -> str:
    """Return the uniqueId of a document that an Identifier means; empty where it has no value.

    It is an OID, an OID with an extension, or a UUID. What is none of these becomes an OID that is
    always the same for the same system and value.
    """
    system, value = str(said.get("system", "")), str(said.get("value", ""))
    oid = value.removeprefix(OID_PREFIX)
    if is_oid(oid) and (value != oid or system in {"", DICOM_UIDS, URIS}):
        return oid
    if _UUID.fullmatch(value.lower()):
        return value.lower()
    root = system.removeprefix(OID_PREFIX)
    if system.startswith(OID_PREFIX) and is_oid(root) and value and "^" not in value:
        return f"{root}^{value}"
    return f"2.25.{uuid.uuid5(_IDENTIFIERS, f'{system}|{value}').int}" if value else ""


def oid_of(said: Resource) -> str:
    """Return the uniqueId of a submission set or folder: as of a document, but always an OID."""
    unique_id = unique_id_of(said)
    if unique_id.startswith(UUID_PREFIX):
        return f"2.25.{uuid.UUID(unique_id[len(UUID_PREFIX) :]).int}"
    if unique_id and not is_oid(unique_id):
        return f"2.25.{uuid.uuid5(_IDENTIFIERS, unique_id).int}"
    return unique_id


def reference_identifier(reference: ReferenceId) -> Resource:
    """Return the Identifier of a referenceIdList value (ITI TF-2 Z.9.1.2)."""
    found = _CXI.fullmatch(reference.cxi)
    if not found:
        kind = reference.cxi.split("^")[4] if reference.cxi.count("^") >= 4 else ""
        return {**_typed(kind), "system": _WHOLE_CXI, "value": reference.cxi}
    value, oid, kind = found["value"], found["oid"] or "", found["type"]
    if kind == STUDY_TYPE and not oid and is_oid(value):
        return {**_typed(kind), "system": DICOM_UIDS, "value": OID_PREFIX + value}
    system = {"system": OID_PREFIX + oid} if oid else {}
    return {**_typed(kind), **system, "value": value}


def reference_of(said: Resource) -> ReferenceId | None:
    """Return the referenceIdList value of an Identifier, None where it has no value."""
    system, value = said.get("system", ""), said.get("value", "")
    if not value:
        return None
    if system == _WHOLE_CXI:
        return ReferenceId(value)
    codings = said.get("type", {}).get("coding", ())
    kind = next((one.get("code", "") for one in codings if one.get("system") == URIS), "")
    codes = {(one.get("system"), one.get("code")) for one in codings}
    if system == DICOM_UIDS or kind == STUDY_TYPE or (DCM, "110180") in codes:
        return ReferenceId.study(value.removeprefix(OID_PREFIX))
    if (DCM, "121022") in codes or (V2_TYPES, "ACSN") in codes:
        kind = ACCESSION_TYPE
    oid = system.removeprefix(OID_PREFIX)
    issuer = f"&{oid}&ISO" if system.startswith(OID_PREFIX) and is_oid(oid) else ""
    if set(value) & set("^&|~"):
        return None
    bare = value if kind else value.removeprefix(OID_PREFIX)
    return ReferenceId(f"{bare}^^^{issuer}^{kind or UNIQUE_ID_TYPE}")


def _typed(kind: str) -> Resource:
    if not kind:
        return {}
    return {"type": {"coding": [*_MORE_TYPES.get(kind, ()), {"system": URIS, "code": kind}]}}
