"""The data types of FHIR R4 that the hub speaks (datatypes.html, extensibility.html)."""

from hub_kernel.fhir.elements import Structure, choice, datatype, many, must, one

_VALUE_TYPES = (
    "base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid"
    " positiveInt string time unsignedInt uri url uuid Address Attachment CodeableConcept Coding"
    " ContactPoint HumanName Identifier Money Period Quantity Range Ratio Reference"
)
ANY_VALUE = choice("value", *_VALUE_TYPES.split())

_NAME_USE = "usual official temp nickname anonymous old maiden"
_ADDRESS_USE = "home work temp old billing"
_IDENTIFIER_USE = "usual official temp secondary old"
_TELECOM = "phone fax email pager url sms other"

DATATYPES: dict[str, Structure] = {
    "Extension": datatype(must("url", "uri"), ANY_VALUE),
    "Narrative": datatype(
        must("status", "code", "generated extensions additional empty"), must("div", "xhtml")
    ),
    "Meta": datatype(
        one("versionId", "id"), one("lastUpdated", "instant"), one("source", "uri"),
        many("profile", "canonical"), many("security", "Coding"), many("tag", "Coding"),
    ),
    "Identifier": datatype(
        one("use", "code", _IDENTIFIER_USE), one("type", "CodeableConcept"),
        one("system", "uri"), one("value", "string"), one("period", "Period"),
        one("assigner", "Reference"),
    ),
    "HumanName": datatype(
        one("use", "code", _NAME_USE), one("text", "string"), one("family", "string"),
        many("given", "string"), many("prefix", "string"), many("suffix", "string"),
        one("period", "Period"),
    ),
    "ContactPoint": datatype(
        one("system", "code", _TELECOM), one("value", "string"),
        one("use", "code", "home work temp old mobile"), one("rank", "positiveInt"),
        one("period", "Period"),
    ),
    "Address": datatype(
        one("use", "code", _ADDRESS_USE), one("type", "code", "postal physical both"),
        one("text", "string"), many("line", "string"), one("city", "string"),
        one("district", "string"), one("state", "string"), one("postalCode", "string"),
        one("country", "string"), one("period", "Period"),
    ),
    "CodeableConcept": datatype(many("coding", "Coding"), one("text", "string")),
    "Coding": datatype(
        one("system", "uri"), one("version", "string"), one("code", "code"),
        one("display", "string"), one("userSelected", "boolean"),
    ),
    "Period": datatype(one("start", "dateTime"), one("end", "dateTime")),
    "Quantity": datatype(
        one("value", "decimal"), one("comparator", "code", "< <= >= >"),
        one("unit", "string"), one("system", "uri"), one("code", "code"),
    ),
    "Range": datatype(one("low", "Quantity"), one("high", "Quantity")),
    "Ratio": datatype(one("numerator", "Quantity"), one("denominator", "Quantity")),
    "Money": datatype(one("value", "decimal"), one("currency", "code")),
    "Reference": datatype(
        one("reference", "string"), one("type", "uri"), one("identifier", "Identifier"),
        one("display", "string"),
    ),
    "Attachment": datatype(
        one("contentType", "code"), one("language", "code"), one("data", "base64Binary"),
        one("url", "url"), one("size", "unsignedInt"), one("hash", "base64Binary"),
        one("title", "string"), one("creation", "dateTime"),
    ),
    "Annotation": datatype(
        choice("author", "Reference", "string"), one("time", "dateTime"),
        must("text", "markdown"),
    ),
    "Signature": datatype(
        many("type", "Coding", least=1), must("when", "instant"), must("who", "Reference"),
        one("onBehalfOf", "Reference"), one("targetFormat", "code"), one("sigFormat", "code"),
        one("data", "base64Binary"),
    ),
}  # fmt: skip
