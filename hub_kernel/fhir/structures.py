"""The FHIR R4 structures the hub speaks, as one table.

It serves the JSON check and the XML form in both directions. Sources: patient.html,
parameters.html, bundle.html, operationoutcome.html, capabilitystatement.html of FHIR 4.0.1, and
the tables beside this one. Value sets are listed where their binding is required.
"""

from hub_kernel.fhir.actor_structures import ACTORS
from hub_kernel.fhir.datatypes import ANY_VALUE, DATATYPES
from hub_kernel.fhir.document_structures import DOCUMENTS
from hub_kernel.fhir.elements import (
    Element,
    Structure,
    backbone,
    choice,
    domain_resource,
    many,
    must,
    one,
    resource,
)
from hub_kernel.fhir.imaging_structures import IMAGING

__all__ = ["RESOURCES", "STRUCTURES", "Element", "Structure", "elements_of", "is_known"]


def elements_of(type_name: str) -> Structure:
    """Return the elements of a type in their order, inherited ones included.

    Raises:
        KeyError: the type is none of those the hub speaks.
    """
    return STRUCTURES[type_name]


def is_known(type_name: str) -> bool:
    """Say whether the table has this complex type or resource."""
    return type_name in STRUCTURES


_GENDER = "male female other unknown"
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


PATIENT: dict[str, Structure] = {
    "Patient": domain_resource(
        many("identifier", "Identifier"), one("active", "boolean"),
        many("name", "HumanName"), many("telecom", "ContactPoint"),
        one("gender", "code", _GENDER), one("birthDate", "date"),
        choice("deceased", "boolean", "dateTime"), many("address", "Address"),
        one("maritalStatus", "CodeableConcept"),
        choice("multipleBirth", "boolean", "integer"), many("photo", "Attachment"),
        many("contact", "Patient.contact"), many("communication", "Patient.communication"),
        many("generalPractitioner", "Reference"), one("managingOrganization", "Reference"),
        many("link", "Patient.link"),
    ),
    "Patient.contact": backbone(
        many("relationship", "CodeableConcept"), one("name", "HumanName"),
        many("telecom", "ContactPoint"), one("address", "Address"),
        one("gender", "code", _GENDER), one("organization", "Reference"),
        one("period", "Period"),
    ),
    "Patient.communication": backbone(
        must("language", "CodeableConcept"), one("preferred", "boolean")
    ),
    "Patient.link": backbone(
        must("other", "Reference"), must("type", "code", "replaced-by replaces refer seealso")
    ),
}  # fmt: skip

MESSAGES: dict[str, Structure] = {
    "Parameters": resource(
        many("parameter", "Parameters.parameter")),
    "Parameters.parameter": backbone(
        must("name", "string"), ANY_VALUE, one("resource", "Resource"),
        many("part", "Parameters.parameter"),
    ),
    "Bundle": resource(
        one("identifier", "Identifier"), must("type", "code", _BUNDLE_TYPE),
        one("timestamp", "instant"), one("total", "unsignedInt"),
        many("link", "Bundle.link"), many("entry", "Bundle.entry"), one("signature", "Signature"),
    ),
    "Bundle.link": backbone(must("relation", "string"), must("url", "uri")),
    "Bundle.entry": backbone(
        many("link", "Bundle.link"), one("fullUrl", "uri"), one("resource", "Resource"),
        one("search", "Bundle.entry.search"), one("request", "Bundle.entry.request"),
        one("response", "Bundle.entry.response"),
    ),
    "Bundle.entry.search": backbone(
        one("mode", "code", "match include outcome"), one("score", "decimal")
    ),
    "Bundle.entry.request": backbone(
        must("method", "code", "GET HEAD POST PUT DELETE PATCH"), must("url", "uri"),
        one("ifNoneMatch", "string"), one("ifModifiedSince", "instant"),
        one("ifMatch", "string"), one("ifNoneExist", "string"),
    ),
    "Bundle.entry.response": backbone(
        must("status", "string"), one("location", "uri"), one("etag", "string"),
        one("lastModified", "instant"), one("outcome", "Resource"),
    ),
    "OperationOutcome": domain_resource(
        many("issue", "OperationOutcome.issue", least=1)),
    "OperationOutcome.issue": backbone(
        must("severity", "code", _SEVERITY), must("code", "code", _ISSUE_TYPE),
        one("details", "CodeableConcept"), one("diagnostics", "string"),
        many("location", "string"), many("expression", "string"),
    ),
}  # fmt: skip

CAPABILITIES: dict[str, Structure] = {
    "CapabilityStatement": domain_resource(
        one("url", "uri"), one("version", "string"), one("name", "string"),
        one("title", "string"), must("status", "code", "draft active retired unknown"),
        one("experimental", "boolean"), must("date", "dateTime"), one("publisher", "string"),
        one("description", "markdown"), must("kind", "code", "instance capability requirements"),
        many("instantiates", "canonical"), one("software", "CapabilityStatement.software"),
        one("implementation", "CapabilityStatement.implementation"),
        must("fhirVersion", "code"), many("format", "code", least=1),
        many("implementationGuide", "canonical"), many("rest", "CapabilityStatement.rest"),
    ),
    "CapabilityStatement.software": backbone(must("name", "string"), one("version", "string")),
    "CapabilityStatement.implementation": backbone(
        must("description", "string"), one("url", "url")
    ),
    "CapabilityStatement.rest": backbone(
        must("mode", "code", "client server"), one("documentation", "markdown"),
        one("security", "CapabilityStatement.rest.security"),
        many("resource", "CapabilityStatement.rest.resource"),
        many("interaction", "CapabilityStatement.rest.interaction"),
    ),
    "CapabilityStatement.rest.interaction": backbone(
        must("code", "code", "transaction batch search-system history-system"),
        one("documentation", "markdown"),
    ),
    "CapabilityStatement.rest.security": backbone(
        one("cors", "boolean"), many("service", "CodeableConcept"),
        one("description", "markdown"),
    ),
    "CapabilityStatement.rest.resource": backbone(
        must("type", "code"), one("profile", "canonical"),
        many("supportedProfile", "canonical"), one("documentation", "markdown"),
        many("interaction", "CapabilityStatement.rest.resource.interaction"),
        one("versioning", "code", "no-version versioned versioned-update"),
        one("readHistory", "boolean"), one("updateCreate", "boolean"),
        one("conditionalCreate", "boolean"),
        one("conditionalRead", "code", "not-supported modified-since not-match full-support"),
        one("conditionalUpdate", "boolean"),
        one("conditionalDelete", "code", "not-supported single multiple"),
        many("searchParam", "CapabilityStatement.rest.resource.searchParam"),
        many("operation", "CapabilityStatement.rest.resource.operation"),
    ),
    "CapabilityStatement.rest.resource.interaction": backbone(
        must("code", "code", _INTERACTION), one("documentation", "markdown")
    ),
    "CapabilityStatement.rest.resource.searchParam": backbone(
        must("name", "string"), one("definition", "canonical"),
        must("type", "code", _SEARCH_TYPE), one("documentation", "markdown"),
    ),
    "CapabilityStatement.rest.resource.operation": backbone(
        must("name", "string"), must("definition", "canonical"),
        one("documentation", "markdown"),
    ),
}  # fmt: skip

STRUCTURES: dict[str, Structure] = {
    **DATATYPES, **PATIENT, **MESSAGES, **CAPABILITIES, **ACTORS, **DOCUMENTS, **IMAGING
}  # fmt: skip
RESOURCES = frozenset(name for name in STRUCTURES if "." not in name and name not in DATATYPES)
