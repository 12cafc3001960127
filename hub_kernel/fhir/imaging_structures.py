"""Structures of imaging: studies, devices and where to fetch (FHIR R4 imagingstudy.html)."""

from hub_kernel.fhir.elements import Structure, backbone, domain_resource, many, must, one

IMAGING: dict[str, Structure] = {
    "ImagingStudy": domain_resource(
        many("identifier", "Identifier"),
        must("status", "code", "registered available cancelled entered-in-error unknown"),
        many("modality", "Coding"), must("subject", "Reference"), one("encounter", "Reference"),
        one("started", "dateTime"), many("basedOn", "Reference"), one("referrer", "Reference"),
        many("interpreter", "Reference"), many("endpoint", "Reference"),
        one("numberOfSeries", "unsignedInt"), one("numberOfInstances", "unsignedInt"),
        one("procedureReference", "Reference"), many("procedureCode", "CodeableConcept"),
        one("location", "Reference"), many("reasonCode", "CodeableConcept"),
        many("reasonReference", "Reference"), many("note", "Annotation"),
        one("description", "string"), many("series", "ImagingStudy.series"),
    ),
    "ImagingStudy.series": backbone(
        must("uid", "id"), one("number", "unsignedInt"), must("modality", "Coding"),
        one("description", "string"), one("numberOfInstances", "unsignedInt"),
        many("endpoint", "Reference"), one("bodySite", "Coding"), one("laterality", "Coding"),
        many("specimen", "Reference"), one("started", "dateTime"),
        many("performer", "ImagingStudy.series.performer"),
        many("instance", "ImagingStudy.series.instance"),
    ),
    "ImagingStudy.series.performer": backbone(
        one("function", "CodeableConcept"), must("actor", "Reference"),
    ),
    "ImagingStudy.series.instance": backbone(
        must("uid", "id"), must("sopClass", "Coding"), one("number", "unsignedInt"),
        one("title", "string"),
    ),
    "Endpoint": domain_resource(
        many("identifier", "Identifier"),
        must("status", "code", "active suspended error off entered-in-error test"),
        must("connectionType", "Coding"), one("name", "string"),
        one("managingOrganization", "Reference"), many("contact", "ContactPoint"),
        one("period", "Period"), many("payloadType", "CodeableConcept", least=1),
        many("payloadMimeType", "code"), must("address", "url"), many("header", "string"),
    ),
    "Device": domain_resource(
        many("identifier", "Identifier"), one("definition", "Reference"),
        many("udiCarrier", "Device.udiCarrier"),
        one("status", "code", "active inactive entered-in-error unknown"),
        many("statusReason", "CodeableConcept"), one("distinctIdentifier", "string"),
        one("manufacturer", "string"), one("manufactureDate", "dateTime"),
        one("expirationDate", "dateTime"), one("lotNumber", "string"),
        one("serialNumber", "string"), many("deviceName", "Device.deviceName"),
        one("modelNumber", "string"), one("partNumber", "string"),
        one("type", "CodeableConcept"), many("specialization", "Device.specialization"),
        many("version", "Device.version"), many("property", "Device.property"),
        one("patient", "Reference"), one("owner", "Reference"), many("contact", "ContactPoint"),
        one("location", "Reference"), one("url", "uri"), many("note", "Annotation"),
        many("safety", "CodeableConcept"), one("parent", "Reference"),
    ),
    "Device.udiCarrier": backbone(
        one("deviceIdentifier", "string"), one("issuer", "uri"), one("jurisdiction", "uri"),
        one("carrierAIDC", "base64Binary"), one("carrierHRF", "string"),
        one("entryType", "code", "barcode rfid manual +"),
    ),
    "Device.deviceName": backbone(
        must("name", "string"),
        must(
            "type", "code", "udi-label-name user-friendly-name patient-reported-name"
            " manufacturer-name model-name other",
        ),
    ),
    "Device.specialization": backbone(
        must("systemType", "CodeableConcept"), one("version", "string"),
    ),
    "Device.version": backbone(
        one("type", "CodeableConcept"), one("component", "Identifier"), must("value", "string"),
    ),
    "Device.property": backbone(
        must("type", "CodeableConcept"), many("valueQuantity", "Quantity"),
        many("valueCode", "CodeableConcept"),
    ),
}  # fmt: skip
