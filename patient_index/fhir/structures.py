"""The FHIR R4 structures this endpoint speaks: elements in their order, types, cardinalities.

One table serves the JSON check and the XML form in both directions. Sources: patient.html,
parameters.html, bundle.html, operationoutcome.html, capabilitystatement.html, datatypes.html of
FHIR 4.0.1. Value sets are listed where their binding is required.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MANY = 10_000
"""Upper cardinality `*`."""


@dataclass(frozen=True)
class Element:
    """One element of a type; a choice (`value[x]`) stands in the table once for each type."""

    name: str
    type: str
    least: int = 0
    most: int = 1
    codes: frozenset[str] = frozenset()
    choice: str = ""


Structure = Mapping[str, Element]


def elements_of(type_name: str) -> Structure:
    """Return the elements of a type in their order, inherited ones included.

    Raises:
        KeyError: the type is none of those this endpoint speaks.
    """
    return STRUCTURES[type_name]


def is_known(type_name: str) -> bool:
    """Say whether the table has this complex type or resource."""
    return type_name in STRUCTURES


def _one(name: str, type_name: str, codes: str = "") -> tuple[Element, ...]:
    return (Element(name, type_name, codes=frozenset(codes.split())),)


def _must(name: str, type_name: str, codes: str = "") -> tuple[Element, ...]:
    return (Element(name, type_name, least=1, codes=frozenset(codes.split())),)


def _many(name: str, type_name: str, *, least: int = 0, codes: str = "") -> tuple[Element, ...]:
    return (Element(name, type_name, least, MANY, frozenset(codes.split())),)


def _choice(name: str, *types: str) -> tuple[Element, ...]:
    return tuple(
        Element(name + kind[0].upper() + kind[1:], kind, choice=f"{name}[x]") for kind in types
    )


_VALUE_TYPES = (
    "base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid"
    " positiveInt string time unsignedInt uri url uuid Address Attachment CodeableConcept Coding"
    " ContactPoint HumanName Identifier Money Period Quantity Range Ratio Reference"
)
_ANY_VALUE = _choice("value", *_VALUE_TYPES.split())
_ELEMENT = (*_one("id", "string"), *_many("extension", "Extension"))
_BACKBONE = (*_ELEMENT, *_many("modifierExtension", "Extension"))
_RESOURCE = (
    *_one("id", "id"), *_one("meta", "Meta"), *_one("implicitRules", "uri"),
    *_one("language", "code"),
)  # fmt: skip
_DOMAIN = (
    *_RESOURCE, *_one("text", "Narrative"), *_many("contained", "Resource"),
    *_many("extension", "Extension"), *_many("modifierExtension", "Extension"),
)  # fmt: skip

_GENDER = "male female other unknown"
_NAME_USE = "usual official temp nickname anonymous old maiden"
_ADDRESS_USE = "home work temp old billing"
_IDENTIFIER_USE = "usual official temp secondary old"
_TELECOM = "phone fax email pager url sms other"
_SEVERITY = "fatal error warning information"
_ISSUE_TYPE = (
    "invalid structure required value invariant security login unknown expired forbidden"
    " suppressed processing not-supported duplicate multiple-matches not-found deleted too-long"
    " code-invalid extension too-costly business-rule conflict transient lock-error no-store"
    " exception timeout incomplete throttled informational"
)
_BUNDLE_TYPE = (
    "document message transaction transaction-response batch batch-response history searchset"
    " collection"
)
_SEARCH_TYPE = "number date string token reference composite quantity uri special"
_INTERACTION = (
    "read vread update patch delete history-instance history-type create search-type transaction"
    " batch search-system history-system"
)


def _structure(inherited: tuple[Element, ...], *own: tuple[Element, ...]) -> dict[str, Element]:
    return {one.name: one for one in (*inherited, *(one for group in own for one in group))}


def _type(*own: tuple[Element, ...]) -> dict[str, Element]:
    return _structure(_ELEMENT, *own)


def _backbone(*own: tuple[Element, ...]) -> dict[str, Element]:
    return _structure(_BACKBONE, *own)


DATATYPES: dict[str, Structure] = {
    "Extension": _type(_must("url", "uri"), _ANY_VALUE),
    "Narrative": _type(
        _must("status", "code", "generated extensions additional empty"), _must("div", "xhtml")
    ),
    "Meta": _type(
        _one("versionId", "id"), _one("lastUpdated", "instant"), _one("source", "uri"),
        _many("profile", "canonical"), _many("security", "Coding"), _many("tag", "Coding"),
    ),
    "Identifier": _type(
        _one("use", "code", _IDENTIFIER_USE), _one("type", "CodeableConcept"),
        _one("system", "uri"), _one("value", "string"), _one("period", "Period"),
        _one("assigner", "Reference"),
    ),
    "HumanName": _type(
        _one("use", "code", _NAME_USE), _one("text", "string"), _one("family", "string"),
        _many("given", "string"), _many("prefix", "string"), _many("suffix", "string"),
        _one("period", "Period"),
    ),
    "ContactPoint": _type(
        _one("system", "code", _TELECOM), _one("value", "string"),
        _one("use", "code", "home work temp old mobile"), _one("rank", "positiveInt"),
        _one("period", "Period"),
    ),
    "Address": _type(
        _one("use", "code", _ADDRESS_USE), _one("type", "code", "postal physical both"),
        _one("text", "string"), _many("line", "string"), _one("city", "string"),
        _one("district", "string"), _one("state", "string"), _one("postalCode", "string"),
        _one("country", "string"), _one("period", "Period"),
    ),
    "CodeableConcept": _type(_many("coding", "Coding"), _one("text", "string")),
    "Coding": _type(
        _one("system", "uri"), _one("version", "string"), _one("code", "code"),
        _one("display", "string"), _one("userSelected", "boolean"),
    ),
    "Period": _type(_one("start", "dateTime"), _one("end", "dateTime")),
    "Quantity": _type(
        _one("value", "decimal"), _one("comparator", "code", "< <= >= >"),
        _one("unit", "string"), _one("system", "uri"), _one("code", "code"),
    ),
    "Range": _type(_one("low", "Quantity"), _one("high", "Quantity")),
    "Ratio": _type(_one("numerator", "Quantity"), _one("denominator", "Quantity")),
    "Money": _type(_one("value", "decimal"), _one("currency", "code")),
    "Reference": _type(
        _one("reference", "string"), _one("type", "uri"), _one("identifier", "Identifier"),
        _one("display", "string"),
    ),
    "Attachment": _type(
        _one("contentType", "code"), _one("language", "code"), _one("data", "base64Binary"),
        _one("url", "url"), _one("size", "unsignedInt"), _one("hash", "base64Binary"),
        _one("title", "string"), _one("creation", "dateTime"),
    ),
}  # fmt: skip

PATIENT: dict[str, Structure] = {
    "Patient": _structure(
        _DOMAIN,
        _many("identifier", "Identifier"), _one("active", "boolean"),
        _many("name", "HumanName"), _many("telecom", "ContactPoint"),
        _one("gender", "code", _GENDER), _one("birthDate", "date"),
        _choice("deceased", "boolean", "dateTime"), _many("address", "Address"),
        _one("maritalStatus", "CodeableConcept"),
        _choice("multipleBirth", "boolean", "integer"), _many("photo", "Attachment"),
        _many("contact", "Patient.contact"), _many("communication", "Patient.communication"),
        _many("generalPractitioner", "Reference"), _one("managingOrganization", "Reference"),
        _many("link", "Patient.link"),
    ),
    "Patient.contact": _backbone(
        _many("relationship", "CodeableConcept"), _one("name", "HumanName"),
        _many("telecom", "ContactPoint"), _one("address", "Address"),
        _one("gender", "code", _GENDER), _one("organization", "Reference"),
        _one("period", "Period"),
    ),
    "Patient.communication": _backbone(
        _must("language", "CodeableConcept"), _one("preferred", "boolean")
    ),
    "Patient.link": _backbone(
        _must("other", "Reference"), _must("type", "code", "replaced-by replaces refer seealso")
    ),
}  # fmt: skip

MESSAGES: dict[str, Structure] = {
    "Parameters": _structure(_RESOURCE, _many("parameter", "Parameters.parameter")),
    "Parameters.parameter": _backbone(
        _must("name", "string"), _ANY_VALUE, _one("resource", "Resource"),
        _many("part", "Parameters.parameter"),
    ),
    "Bundle": _structure(
        _RESOURCE,
        _one("identifier", "Identifier"), _must("type", "code", _BUNDLE_TYPE),
        _one("timestamp", "instant"), _one("total", "unsignedInt"),
        _many("link", "Bundle.link"), _many("entry", "Bundle.entry"),
    ),
    "Bundle.link": _backbone(_must("relation", "string"), _must("url", "uri")),
    "Bundle.entry": _backbone(
        _many("link", "Bundle.link"), _one("fullUrl", "uri"), _one("resource", "Resource"),
        _one("search", "Bundle.entry.search"),
    ),
    "Bundle.entry.search": _backbone(
        _one("mode", "code", "match include outcome"), _one("score", "decimal")
    ),
    "OperationOutcome": _structure(_DOMAIN, _many("issue", "OperationOutcome.issue", least=1)),
    "OperationOutcome.issue": _backbone(
        _must("severity", "code", _SEVERITY), _must("code", "code", _ISSUE_TYPE),
        _one("details", "CodeableConcept"), _one("diagnostics", "string"),
        _many("location", "string"), _many("expression", "string"),
    ),
}  # fmt: skip

CAPABILITIES: dict[str, Structure] = {
    "CapabilityStatement": _structure(
        _DOMAIN,
        _one("url", "uri"), _one("version", "string"), _one("name", "string"),
        _one("title", "string"), _must("status", "code", "draft active retired unknown"),
        _one("experimental", "boolean"), _must("date", "dateTime"), _one("publisher", "string"),
        _one("description", "markdown"), _must("kind", "code", "instance capability requirements"),
        _many("instantiates", "canonical"), _one("software", "CapabilityStatement.software"),
        _one("implementation", "CapabilityStatement.implementation"),
        _must("fhirVersion", "code"), _many("format", "code", least=1),
        _many("implementationGuide", "canonical"), _many("rest", "CapabilityStatement.rest"),
    ),
    "CapabilityStatement.software": _backbone(_must("name", "string"), _one("version", "string")),
    "CapabilityStatement.implementation": _backbone(
        _must("description", "string"), _one("url", "url")
    ),
    "CapabilityStatement.rest": _backbone(
        _must("mode", "code", "client server"), _one("documentation", "markdown"),
        _one("security", "CapabilityStatement.rest.security"),
        _many("resource", "CapabilityStatement.rest.resource"),
    ),
    "CapabilityStatement.rest.security": _backbone(
        _one("cors", "boolean"), _many("service", "CodeableConcept"),
        _one("description", "markdown"),
    ),
    "CapabilityStatement.rest.resource": _backbone(
        _must("type", "code"), _one("profile", "canonical"),
        _many("supportedProfile", "canonical"), _one("documentation", "markdown"),
        _many("interaction", "CapabilityStatement.rest.resource.interaction"),
        _one("versioning", "code", "no-version versioned versioned-update"),
        _one("readHistory", "boolean"), _one("updateCreate", "boolean"),
        _one("conditionalCreate", "boolean"),
        _one("conditionalRead", "code", "not-supported modified-since not-match full-support"),
        _one("conditionalUpdate", "boolean"),
        _one("conditionalDelete", "code", "not-supported single multiple"),
        _many("searchParam", "CapabilityStatement.rest.resource.searchParam"),
        _many("operation", "CapabilityStatement.rest.resource.operation"),
    ),
    "CapabilityStatement.rest.resource.interaction": _backbone(
        _must("code", "code", _INTERACTION), _one("documentation", "markdown")
    ),
    "CapabilityStatement.rest.resource.searchParam": _backbone(
        _must("name", "string"), _one("definition", "canonical"),
        _must("type", "code", _SEARCH_TYPE), _one("documentation", "markdown"),
    ),
    "CapabilityStatement.rest.resource.operation": _backbone(
        _must("name", "string"), _must("definition", "canonical"),
        _one("documentation", "markdown"),
    ),
}  # fmt: skip

STRUCTURES: dict[str, Structure] = {**DATATYPES, **PATIENT, **MESSAGES, **CAPABILITIES}
RESOURCES = frozenset(
    {"Patient", "Parameters", "Bundle", "OperationOutcome", "CapabilityStatement"}
)
