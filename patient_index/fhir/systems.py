"""Identifier systems of FHIR and assigning authorities of the region (ITI TF-2 appendix E.3).

A system is `urn:oid:` with the authority's OID. Other URIs mean an authority where the settings say
so; the endpoint's own address stands for logical ids (`Patient/P…`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub_kernel.fhir.outcome import Resource
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index.domains import Domain, DomainDirectory
from patient_index.errors import UnknownDomainError
from patient_index.model import IdentifierKind

OID_PREFIX = "urn:oid:"
V2_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"

_LOGICAL_ID = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})")
_LONGEST_VALUE = 64

# HL7 table 0203 → kind; the first code of a kind is the one that is written.
KIND_OF_TYPE: Mapping[str, IdentifierKind] = {
    "NNCHN": IdentifierKind.RESIDENT_ID,
    "NI": IdentifierKind.RESIDENT_ID,
    "HC": IdentifierKind.HEALTH_CARD,
    "JHN": IdentifierKind.HEALTH_CARD,
    "MB": IdentifierKind.INSURANCE,
    "NIIP": IdentifierKind.INSURANCE,
    "SN": IdentifierKind.INSURANCE,
    "HR": IdentifierKind.HEALTH_RECORD,
    "PPN": IdentifierKind.PASSPORT,
    "MR": IdentifierKind.LOCAL,
    "PI": IdentifierKind.LOCAL,
    "PT": IdentifierKind.LOCAL,
    "ANON": IdentifierKind.TEMPORARY,
    "U": IdentifierKind.OTHER,
}
# OIDs of WS/T 500 and WS 363: numbers that the whole country shares.
KIND_OF_OID: Mapping[str, IdentifierKind] = {
    "2.16.156.10011.1.3": IdentifierKind.RESIDENT_ID,
    "2.16.156.10011.1.19": IdentifierKind.HEALTH_CARD,
    "2.16.156.10011.1.2": IdentifierKind.HEALTH_RECORD,
}
_TYPE_OF_KIND = {kind: code for code, kind in reversed(tuple(KIND_OF_TYPE.items())) if code != "U"}


@dataclass(frozen=True)
class Systems:
    """Translates systems; `aliases` are further URIs with the OID they stand for.

    `own` is the authority of global IDs.
    """

    domains: DomainDirectory
    own: AssigningAuthority
    aliases: Mapping[str, str] = field(default_factory=dict)

    def domain(self, system: str, base: str) -> Domain:
        """Return the domain a system means; `base` is the address of this endpoint.

        Raises:
            UnknownDomainError: it is none the region knows.
        """
        if system.rstrip("/") == base:
            return self.domains.complete("", self.own.oid)
        oid = self.aliases.get(system, system)
        if not oid.removeprefix(OID_PREFIX) or (oid == system and not oid.startswith(OID_PREFIX)):
            raise UnknownDomainError("the identifier system is not known here")
        return self.domains.complete("", oid.removeprefix(OID_PREFIX))

    def identifier(self, system: str, value: str, base: str) -> PatientIdentifier:
        """Return the identifier that system and value name.

        Raises:
            UnknownDomainError: the system is none the region knows.
        """
        domain = self.domain(system, base)
        logical = _LOGICAL_ID.fullmatch(value) if system.rstrip("/") == base else None
        return PatientIdentifier(logical.group(1) if logical else value, domain.authority)


def is_value(text: str) -> bool:
    """Say whether a text can be the value of an identifier: 1 to 64 printable characters."""
    return 0 < len(text) <= _LONGEST_VALUE and text.isprintable() and text.strip() == text


def kind_of(identifier: Resource, oid: str) -> IdentifierKind | None:
    """Return what sort of number a FHIR Identifier says it is; None where it does not say."""
    if identifier.get("use") == "temp":
        return IdentifierKind.TEMPORARY
    codings = identifier.get("type", {}).get("coding", ())
    for coding in codings:
        kind = KIND_OF_TYPE.get(coding.get("code", ""))
        if kind is not None and coding.get("system", V2_TYPES) == V2_TYPES:
            return kind
    return KIND_OF_OID.get(oid)


def identifier_resource(
    identifier: PatientIdentifier, kind: IdentifierKind | None = None, use: str = ""
) -> Resource:
    """Return a FHIR Identifier, with the authority's name as `assigner` (PIXm: display)."""
    said: Resource = {"use": use} if use else {}
    code = _TYPE_OF_KIND.get(kind) if kind is not None else None
    if code is not None:
        said["type"] = {"coding": [{"system": V2_TYPES, "code": code}]}
    return {
        **said,
        "system": OID_PREFIX + identifier.issuer.oid,
        "value": identifier.value,
        "assigner": {"display": identifier.issuer.namespace},
    }
