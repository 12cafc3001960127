"""Structures of who acts: practitioners, their roles, organizations, relatives (FHIR R4)."""

from hub_kernel.fhir.elements import Structure, backbone, domain_resource, many, must, one

ACTORS: dict[str, Structure] = {
    "Practitioner": domain_resource(
        many("identifier", "Identifier"), one("active", "boolean"), many("name", "HumanName"),
        many("telecom", "ContactPoint"), many("address", "Address"),
        one("gender", "code", "male female other unknown"), one("birthDate", "date"),
        many("photo", "Attachment"), many("qualification", "Practitioner.qualification"),
        many("communication", "CodeableConcept"),
    ),
    "Practitioner.qualification": backbone(
        many("identifier", "Identifier"), must("code", "CodeableConcept"),
        one("period", "Period"), one("issuer", "Reference"),
    ),
    "PractitionerRole": domain_resource(
        many("identifier", "Identifier"), one("active", "boolean"), one("period", "Period"),
        one("practitioner", "Reference"), one("organization", "Reference"),
        many("code", "CodeableConcept"), many("specialty", "CodeableConcept"),
        many("location", "Reference"), many("healthcareService", "Reference"),
        many("telecom", "ContactPoint"),
        many("availableTime", "PractitionerRole.availableTime"),
        many("notAvailable", "PractitionerRole.notAvailable"),
        one("availabilityExceptions", "string"), many("endpoint", "Reference"),
    ),
    "PractitionerRole.availableTime": backbone(
        many("daysOfWeek", "code", codes="mon tue wed thu fri sat sun"),
        one("allDay", "boolean"), one("availableStartTime", "time"),
        one("availableEndTime", "time"),
    ),
    "PractitionerRole.notAvailable": backbone(
        must("description", "string"), one("during", "Period"),
    ),
    "Organization": domain_resource(
        many("identifier", "Identifier"), one("active", "boolean"),
        many("type", "CodeableConcept"), one("name", "string"), many("alias", "string"),
        many("telecom", "ContactPoint"), many("address", "Address"), one("partOf", "Reference"),
        many("contact", "Organization.contact"), many("endpoint", "Reference"),
    ),
    "Organization.contact": backbone(
        one("purpose", "CodeableConcept"), one("name", "HumanName"),
        many("telecom", "ContactPoint"), one("address", "Address"),
    ),
    "RelatedPerson": domain_resource(
        many("identifier", "Identifier"), one("active", "boolean"),
        must("patient", "Reference"), many("relationship", "CodeableConcept"),
        many("name", "HumanName"), many("telecom", "ContactPoint"),
        one("gender", "code", "male female other unknown"), one("birthDate", "date"),
        many("address", "Address"), many("photo", "Attachment"), one("period", "Period"),
        many("communication", "RelatedPerson.communication"),
    ),
    "RelatedPerson.communication": backbone(
        must("language", "CodeableConcept"), one("preferred", "boolean"),
    ),
}  # fmt: skip
