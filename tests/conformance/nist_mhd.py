"""The published kit's Provide Document Bundle tests, as MHD 4.2 has them.

The kit's bundles are of FHIR STU3 and MHD 2: a DocumentManifest for the submission set, elements
that R4 renamed or dropped, `file:` URLs for documents. This says the same in R4: nothing is added
but what the kit's own plan tells its sender to fill in (master identifiers, the patient's URL, the
document), and code systems go by the OIDs that the kit's `codes.xml` has for them.
"""

import base64
import uuid
from pathlib import Path
from typing import Any

from lxml import etree

from tests.xds_registry.mhd.endpoint import LIST_TYPES, MHD

Json = dict[str, Any]
_MANY = frozenset(
    {"contained", "coding", "identifier", "author", "securityLabel", "content", "entry", "name",
     "given", "telecom", "recipient", "related", "profile"}
)  # fmt: skip
_STU3_SYSTEMS = {
    "http://hl7.org/fhir/v3/Confidentiality": "2.16.840.1.113883.5.25",
    "http://connectathon.ihe": "1.3.6.1.4.1.21367.2017.3",
}


def bundle_of(folder: Path) -> Path:
    """Return the file with the bundle of a test."""
    (found,) = [one for one in (folder / "submit").glob("*.xml") if one.name != "testplan.xml"]
    return found


def documents_of(folder: Path) -> list[bytes]:
    """Return the documents of a test in the order its bundle refers to them."""
    said = _read(etree.parse(bundle_of(folder)).getroot())
    return [
        (folder / "submit" / attachment["url"].removeprefix("file://")).read_bytes()
        for attachment in _attachments(said)
    ]


def translated(folder: Path, patient: str) -> Json:
    """Return the bundle of a test in R4; `patient` is the reference to its patient."""
    said = _read(etree.parse(bundle_of(folder)).getroot())
    entries: list[Json] = []
    documents: list[str] = []
    for entry in said["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "DocumentReference":
            documents.append(entry["fullUrl"])
            entries += _document(folder, entry, patient)
    manifest = next(
        one["resource"]
        for one in said["entry"]
        if one["resource"]["resourceType"] == "DocumentManifest"
    )
    entries.append(
        {
            "fullUrl": f"urn:uuid:{uuid.uuid4()}",
            "resource": _submission_set(manifest, documents, patient),
            "request": {"method": "POST", "url": "List"},
        }
    )
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{MHD}/IHE.MHD.Comprehensive.ProvideBundle"]},
        "type": "transaction",
        "entry": entries,
    }


def _document(folder: Path, entry: Json, patient: str) -> list[Json]:
    said = entry["resource"]
    binary_url = f"urn:uuid:{uuid.uuid4()}"
    content = said["content"][0]
    attachment = content["attachment"]
    data = (folder / "submit" / attachment["url"].removeprefix("file://")).read_bytes()
    kept = {
        name: said[name]
        for name in ("contained", "status", "type", "author", "description", "securityLabel",
                     "context")
        if name in said
    }  # fmt: skip
    document = {
        "resourceType": "DocumentReference",
        **kept,
        "masterIdentifier": said.get("masterIdentifier") or _new_identifier(),
        "category": [said["class"]],
        "subject": {"reference": patient},
        "content": [
            {
                "attachment": {**attachment, "url": binary_url, "creation": said["created"]},
                "format": content["format"],
            }
        ],
    }
    binary = {
        "resourceType": "Binary",
        "contentType": attachment["contentType"],
        "data": base64.b64encode(data).decode(),
    }
    return [
        {
            "fullUrl": entry["fullUrl"],
            "resource": _with_oids(document),
            "request": {"method": "POST", "url": "DocumentReference"},
        },
        {
            "fullUrl": binary_url,
            "resource": binary,
            "request": {"method": "POST", "url": "Binary"},
        },
    ]


def _submission_set(manifest: Json, documents: list[str], patient: str) -> Json:
    said = {
        "resourceType": "List",
        "contained": manifest.get("contained"),
        "extension": [
            {
                "url": f"{MHD}/ihe-designationType",
                "valueCodeableConcept": manifest["type"],
            },
            {"url": f"{MHD}/ihe-sourceId", "valueIdentifier": {"value": manifest["source"]}},
        ],
        "identifier": [{**(manifest.get("masterIdentifier") or _new_identifier()), "use": "usual"}],
        "status": "current",
        "mode": "working",
        "title": manifest.get("description"),
        "code": {"coding": [{"system": LIST_TYPES, "code": "submissionset"}]},
        "subject": {"reference": patient},
        "date": manifest["created"],
        "source": (manifest.get("author") or [None])[0],
        "entry": [{"item": {"reference": one}} for one in documents],
    }
    return dict(_with_oids({name: value for name, value in said.items() if value}))


def _new_identifier() -> Json:
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:2.25.{uuid.uuid4().int}"}


def _with_oids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_oids(one) for one in value]
    if isinstance(value, dict):
        found = {key: _with_oids(inner) for key, inner in value.items()}
        if found.get("system") in _STU3_SYSTEMS:
            found["system"] = f"urn:oid:{_STU3_SYSTEMS[found['system']]}"
        return found
    return value


def _attachments(bundle: Json) -> list[Json]:
    return [
        entry["resource"]["content"][0]["attachment"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "DocumentReference"
    ]


def _read(element: Any) -> Any:
    """Return FHIR XML in its JSON form, without narrative and metadata that only a server has."""
    name = etree.QName(element).localname
    found: Json = {}
    if name[0].isupper():
        found["resourceType"] = name
    for child in element.iterchildren(tag=etree.Element):
        key = etree.QName(child).localname
        if key in {"text", "meta"} and not child.get("value"):
            continue
        value = _value(child)
        if isinstance(value, list):  # one element that contains several resources
            found.setdefault(key, []).extend(value)
        elif key in _MANY and not (key == "name" and child.get("value")):
            found.setdefault(key, []).append(value)
        else:
            found[key] = value
    return found


def _value(child: Any) -> Any:
    inner = list(child.iterchildren(tag=etree.Element))
    if child.get("value") is not None:
        return child.get("value")
    if len(inner) == 1 and etree.QName(inner[0]).localname[0].isupper():
        return _read(inner[0])
    if inner and etree.QName(inner[0]).localname[0].isupper():
        return [_read(one) for one in inner]
    return _read(child)
