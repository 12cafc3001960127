"""Structures of documents and lists of them (FHIR R4 documentreference.html, list.html)."""

from hub_kernel.fhir.elements import (
    Structure,
    backbone,
    choice,
    domain_resource,
    many,
    must,
    one,
    resource,
)

DOCUMENTS: dict[str, Structure] = {
    "DocumentReference": domain_resource(
        one("masterIdentifier", "Identifier"), many("identifier", "Identifier"),
        must("status", "code", "current superseded entered-in-error"),
        one("docStatus", "code", "preliminary final amended entered-in-error"),
        one("type", "CodeableConcept"), many("category", "CodeableConcept"),
        one("subject", "Reference"), one("date", "instant"), many("author", "Reference"),
        one("authenticator", "Reference"), one("custodian", "Reference"),
        many("relatesTo", "DocumentReference.relatesTo"), one("description", "string"),
        many("securityLabel", "CodeableConcept"),
        many("content", "DocumentReference.content", least=1),
        one("context", "DocumentReference.context"),
    ),
    "DocumentReference.relatesTo": backbone(
        must("code", "code", "replaces transforms signs appends"), must("target", "Reference"),
    ),
    "DocumentReference.content": backbone(
        must("attachment", "Attachment"), one("format", "Coding"),
    ),
    "DocumentReference.context": backbone(
        many("encounter", "Reference"), many("event", "CodeableConcept"),
        one("period", "Period"), one("facilityType", "CodeableConcept"),
        one("practiceSetting", "CodeableConcept"), one("sourcePatientInfo", "Reference"),
        many("related", "Reference"),
    ),
    "List": domain_resource(
        many("identifier", "Identifier"),
        must("status", "code", "current retired entered-in-error"),
        must("mode", "code", "working snapshot changes"), one("title", "string"),
        one("code", "CodeableConcept"), one("subject", "Reference"),
        one("encounter", "Reference"), one("date", "dateTime"), one("source", "Reference"),
        one("orderedBy", "CodeableConcept"), many("note", "Annotation"),
        many("entry", "List.entry"), one("emptyReason", "CodeableConcept"),
    ),
    "List.entry": backbone(
        one("flag", "CodeableConcept"), one("deleted", "boolean"), one("date", "dateTime"),
        must("item", "Reference"),
    ),
    "Binary": resource(
        must("contentType", "code"), one("securityContext", "Reference"),
        one("data", "base64Binary"),
    ),
    "Composition": domain_resource(
        one("identifier", "Identifier"),
        must("status", "code", "preliminary final amended entered-in-error"),
        must("type", "CodeableConcept"), many("category", "CodeableConcept"),
        one("subject", "Reference"), one("encounter", "Reference"), must("date", "dateTime"),
        many("author", "Reference", least=1), must("title", "string"),
        one("confidentiality", "code"), many("attester", "Composition.attester"),
        one("custodian", "Reference"), many("relatesTo", "Composition.relatesTo"),
        many("event", "Composition.event"), many("section", "Composition.section"),
    ),
    "Composition.attester": backbone(
        must("mode", "code", "personal professional legal official"), one("time", "dateTime"),
        one("party", "Reference"),
    ),
    "Composition.relatesTo": backbone(
        must("code", "code", "replaces transforms signs appends"),
        choice("target", "Identifier", "Reference"),
    ),
    "Composition.event": backbone(
        many("code", "CodeableConcept"), one("period", "Period"), many("detail", "Reference"),
    ),
    "Composition.section": backbone(
        one("title", "string"), one("code", "CodeableConcept"), many("author", "Reference"),
        one("focus", "Reference"), one("text", "Narrative"),
        one("mode", "code", "working snapshot changes"), one("orderedBy", "CodeableConcept"),
        many("entry", "Reference"), one("emptyReason", "CodeableConcept"),
        many("section", "Composition.section"),
    ),
}  # fmt: skip
