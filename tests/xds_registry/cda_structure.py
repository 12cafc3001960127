"""What CDA Release 2 asks of the documents that the hub writes: elements, order, attributes.

Taken from the hierarchical description of the standard (POCD_HD000040) and its data types, for the
elements that the hub may use; any other is a finding. In the place of the standard's own schema,
which is not at hand: it says less of codes, and nothing of what the hub never writes.
"""

import re
from collections.abc import Iterator

from lxml import etree

CDA = "urn:hl7-org:v3"
_HEAD = "realmCode* typeId? templateId* "
_NARRATIVE = "(content|linkHtml|sub|sup|br|footnote|footnoteRef|renderMultiMedia"

CONTENT = {
    "ClinicalDocument": (
        "realmCode* typeId templateId* id code title? effectiveTime confidentialityCode"
        " languageCode? setId? versionNumber? copyTime? recordTarget+ author+ dataEnterer?"
        " informant* custodian informationRecipient* legalAuthenticator? authenticator*"
        " participant* inFulfillmentOf* documentationOf* relatedDocument* authorization*"
        " componentOf? component"
    ),
    "recordTarget": _HEAD + "patientRole",
    "patientRole": _HEAD + "id+ addr* telecom* patient? providerOrganization?",
    "patient": (
        _HEAD + "id? name* administrativeGenderCode? birthTime? maritalStatusCode?"
        " religiousAffiliationCode? raceCode? ethnicGroupCode? guardian* birthplace?"
        " languageCommunication*"
    ),
    "patient/name": "(delimiter|family|given|prefix|suffix)* validTime?",
    "author": _HEAD + "functionCode? time assignedAuthor",
    "assignedAuthor": (
        _HEAD + "id+ code? addr* telecom* (assignedPerson|assignedAuthoringDevice)?"
        " representedOrganization?"
    ),
    "assignedPerson": _HEAD + "name*",
    "representedOrganization": (
        _HEAD + "id* name* telecom* addr* standardIndustryClassCode? asOrganizationPartOf?"
    ),
    "custodian": _HEAD + "assignedCustodian",
    "assignedCustodian": _HEAD + "representedCustodianOrganization",
    "representedCustodianOrganization": _HEAD + "id+ name? telecom? addr?",
    "legalAuthenticator": _HEAD + "time signatureCode assignedEntity",
    "assignedEntity": _HEAD + "id+ code? addr* telecom* assignedPerson? representedOrganization?",
    "ClinicalDocument/component": _HEAD + "(nonXMLBody|structuredBody)",
    "structuredBody": _HEAD + "confidentialityCode? languageCode? component+",
    "structuredBody/component": _HEAD + "section",
    "section": (
        _HEAD + "id? code? title? text? confidentialityCode? languageCode? subject? author*"
        " informant* entry* component*"
    ),
    "text": f"{_NARRATIVE}|paragraph|list|table)*",
    "paragraph": f"caption? {_NARRATIVE})*",
}
"""The children of an element in their order; `parent/child` where the name says not enough."""

EMPTY = frozenset(
    {"typeId", "templateId", "id", "code", "effectiveTime", "confidentialityCode", "languageCode",
     "administrativeGenderCode", "birthTime", "time", "signatureCode", "br"}
)  # fmt: skip
TEXT = frozenset({"title", "name", "family", "given", "text", "paragraph"})

_UID = r"[0-2](\.(0|[1-9][0-9]*))+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NAME, _TOKEN = r".+", r"\S+"
_TIME = r"[0-9]{1,8}|([0-9]{9,14}|[0-9]{14}\.[0-9]+)([+-][0-9]{1,4})?"
_NULL = {"nullFlavor": "NI|NA|UNK|ASKU|NAV|NASK|OTH|MSK|TRC|NINF|PINF"}
_ID = {"root": _UID, "extension": _NAME}
_CODED = {"code": _TOKEN, "codeSystem": _UID, "codeSystemName": _NAME, "displayName": _NAME}

ATTRIBUTES = {
    "typeId": {"root": r"2\.16\.840\.1\.113883\.1\.3", "extension": "POCD_HD000040"},
    "templateId": _ID,
    "id": _ID | _NULL,
    "code": _CODED | _NULL,
    "confidentialityCode": _CODED | _NULL,
    "administrativeGenderCode": _CODED | _NULL,
    "languageCode": {"code": "[A-Za-z]{2,3}(-[A-Za-z0-9]+)*"} | _NULL,
    "signatureCode": {"code": "[SIX]"} | _NULL,
    "effectiveTime": {"value": _TIME} | _NULL,
    "time": {"value": _TIME} | _NULL,
    "birthTime": {"value": _TIME} | _NULL,
    "name": _NULL,
}
"""What attributes an element may have, and the form of each; all others have none."""

NEEDED = {
    "typeId": ("root", "extension"),
    "templateId": ("root",),
    "id": ("root",),
    "code": ("code", "codeSystem"),
    "confidentialityCode": ("code", "codeSystem"),
    "administrativeGenderCode": ("code", "codeSystem"),
    "languageCode": ("code",),
    "signatureCode": ("code",),
    "effectiveTime": ("value",),
    "time": ("value",),
    "birthTime": ("value",),
}
"""What an element has unless it says by `nullFlavor` why not."""


def findings(document: bytes) -> list[str]:
    """Return what of a document breaks the standard, each with the path to it; none if it is whole.

    Raises:
        lxml.etree.XMLSyntaxError: it is not XML.
    """
    root = etree.fromstring(document)
    if root.tag != f"{{{CDA}}}ClinicalDocument":
        return [f"{root.tag}: no ClinicalDocument"]
    return [f"{root.getroottree().getelementpath(one)}: {what}" for one, what in _findings(root)]


def _findings(root: etree._Element) -> Iterator[tuple[etree._Element, str]]:
    for element in root.iter():
        yield from ((element, what) for what in _children(element))
        yield from ((element, what) for what in _attributes(element))
        said = [element.text, *(child.tail for child in element)]
        if _local(element) not in TEXT and any(part and part.strip() for part in said):
            yield element, "text where none may stand"


def _children(element: etree._Element) -> Iterator[str]:
    name, parent = _local(element), element.getparent()
    model = CONTENT.get(f"{_local(parent)}/{name}" if parent is not None else name)
    model = model or CONTENT.get(name)
    if model is None and name not in EMPTY | TEXT:
        yield "not an element that is used"
        return
    there = "".join(f"{_local(child)} " for child in element)
    if not re.fullmatch(_expression(model or ""), there):
        yield f"wrong children: {there}"


def _expression(model: str) -> str:
    """Return the regular expression of a model over names that end with a space each."""
    return "".join(re.sub(r"\w+", r"(?:\g<0> )", part) for part in model.split())


def _attributes(element: etree._Element) -> Iterator[str]:
    name = _local(element)
    allowed = ATTRIBUTES.get(name, {})
    for key, value in element.attrib.items():
        if not re.fullmatch(allowed.get(str(key), "(?!)"), str(value)):
            yield f"wrong attribute {key!s}={value!s}"
    if "nullFlavor" not in element.attrib:
        yield from (f"no {key}" for key in NEEDED.get(name, ()) if key not in element.attrib)


def _local(element: etree._Element) -> str:
    """Return the name of an element of CDA, of any other the whole."""
    tag = str(element.tag)
    return tag.removeprefix(f"{{{CDA}}}")
