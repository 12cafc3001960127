"""The Native DICOM Model: attributes of the DICOM JSON Model as XML (PS3.19 A.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lxml import etree
from pydicom.datadict import keyword_for_tag

if TYPE_CHECKING:
    from viewer_api.dicomweb.json_model import Json

DICOM_XML = "application/dicom+xml"

_NATIVE_MODEL = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_NAME_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
# What XML 1.0 cannot hold, and what the JSON of a damaged object may.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def native_xml(attributes: Json) -> bytes:
    """Return `attributes` of the DICOM JSON Model as a document of the Native DICOM Model, UTF-8.

    A character that XML cannot hold becomes U+FFFD. A private attribute names its creator, and its
    tag is without the block that the creator has reserved in that object.
    """
    root = etree.Element("NativeDicomModel", nsmap={None: _NATIVE_MODEL})
    root.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    _append(root, attributes)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _append(parent: Any, attributes: Json) -> None:
    for key, element in attributes.items():
        node = etree.SubElement(parent, "DicomAttribute", tag=key, vr=element["vr"])
        creator = _creator(key, attributes)
        if creator:
            node.set("tag", f"{key[:4]}00{key[6:]}")
            node.set("privateCreator", _written(creator))
        elif keyword := keyword_for_tag(int(key, 16)):
            node.set("keyword", keyword)
        _fill(node, element)


def _creator(key: str, attributes: Json) -> str:
    """Return who has reserved the block of a private attribute; empty for any other."""
    if not int(key[3], 16) & 1 or key[4:6] == "00":
        return ""
    (creator,) = attributes.get(f"{key[:4]}00{key[4:6]}", {}).get("Value", [""])[:1]
    return str(creator or "")


def _fill(node: Any, element: Json) -> None:
    if "BulkDataURI" in element:
        etree.SubElement(node, "BulkData", uri=element["BulkDataURI"])
    if "InlineBinary" in element:
        etree.SubElement(node, "InlineBinary").text = element["InlineBinary"]
    name = {"SQ": "Item", "PN": "PersonName"}.get(element["vr"], "Value")
    for number, value in enumerate(element.get("Value", ()), start=1):
        one = etree.SubElement(node, name, number=str(number))
        if name == "Item":
            _append(one, value or {})
        elif name == "PersonName":
            _name(one, value or {})
        else:
            one.text = "" if value is None else _written(str(value))


def _name(parent: Any, groups: Json) -> None:
    for group in _NAME_GROUPS:
        if group not in groups:
            continue
        node = etree.SubElement(parent, group)
        components = groups[group].split("^", len(_NAME_COMPONENTS) - 1)
        for component, text in zip(_NAME_COMPONENTS, components, strict=False):
            if text:
                etree.SubElement(node, component).text = _written(text)


def _written(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
