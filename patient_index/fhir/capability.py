"""What the patient index adds to the CapabilityStatement, generated from what it does."""

from hub_kernel.fhir.exchange import Offer
from hub_kernel.fhir.outcome import Resource
from patient_index.fhir.search_parameters import PARAMETERS, Parameter

_CORE = "http://hl7.org/fhir/SearchParameter"
_PIXM = "https://profiles.ihe.net/ITI/PIXm"
_PDQM = "https://profiles.ihe.net/ITI/PDQm"
_DEFINITIONS = {
    "_id": f"{_CORE}/Resource-id",
    "_lastUpdated": f"{_CORE}/Resource-lastUpdated",
    "active": f"{_CORE}/Patient-active",
    "identifier": f"{_CORE}/Patient-identifier",
    "name": f"{_CORE}/Patient-name",
    "family": f"{_CORE}/individual-family",
    "given": f"{_CORE}/individual-given",
    "birthdate": f"{_CORE}/individual-birthdate",
    "gender": f"{_CORE}/individual-gender",
    "address": f"{_CORE}/individual-address",
    "address-city": f"{_CORE}/individual-address-city",
    "address-state": f"{_CORE}/individual-address-state",
    "address-postalcode": f"{_CORE}/individual-address-postalcode",
    "telecom": f"{_CORE}/individual-telecom",
    "phone": f"{_CORE}/individual-phone",
}
_INTERACTIONS = (
    ("read", "ITI-78; an ID no longer used is answered with active = false and a link"),
    ("search-type", "ITI-78; GET and POST _search; pages of at most 100"),
    ("update", "ITI-104; conditional on identifier alone; merge by link.type = replaced-by"),
)
_OPERATIONS = (
    ("ihe-pix", f"{_PIXM}/OperationDefinition/IHE.PIXm.pix", "ITI-83; GET and POST"),
    ("match", f"{_PDQM}/OperationDefinition/PDQmMatch", "ITI-119; Parameters or a bare Patient"),
)


def _patient() -> Resource:
    return {
        "type": "Patient",
        "profile": "http://hl7.org/fhir/StructureDefinition/Patient",
        "supportedProfile": [
            f"{_PDQM}/StructureDefinition/IHE.PDQm.Patient",
            f"{_PIXM}/StructureDefinition/IHE.PIXm.Patient",
        ],
        "interaction": [
            {"code": code, "documentation": documentation} for code, documentation in _INTERACTIONS
        ],
        "versioning": "no-version",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalRead": "not-supported",
        "conditionalUpdate": True,
        "conditionalDelete": "not-supported",
        "searchParam": [_parameter(name, one) for name, one in sorted(PARAMETERS.items())],
        "operation": [
            {"name": name, "definition": definition, "documentation": documentation}
            for name, definition, documentation in _OPERATIONS
        ],
    }


def _parameter(name: str, parameter: Parameter) -> Resource:
    modifiers = "".join(f"; :{modifier}" for modifier in sorted(parameter.modifiers))
    return {
        "name": name,
        "definition": parameter.definition or _DEFINITIONS[name],
        "type": parameter.type,
        "documentation": parameter.documentation + modifiers,
    }


OFFER = Offer(
    "全局患者主索引 / global patient index",
    instantiates=(
        f"{_PIXM}/CapabilityStatement/IHE.PIXm.Manager",
        f"{_PDQM}/CapabilityStatement/IHE.PDQm.PatientDemographicsSupplier",
    ),
    guides=(
        f"{_PIXM}/ImplementationGuide/ihe.iti.pixm",
        f"{_PDQM}/ImplementationGuide/ihe.iti.pdqm",
    ),
    documentation="Patient Identifier Cross-reference Manager and Patient Demographics Supplier.",
    resources=(_patient(),),
)
