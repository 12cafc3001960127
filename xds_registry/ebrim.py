"""Write registry metadata as ebRIM 3.0 XML (ITI TF-3 4.2.3, 4.3.1).

Elements stand in the order the schema `rim.xsd` asks for: slots, name, description,
classifications, external identifiers.
"""

import re
from collections.abc import Callable, Iterable

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.model import (
    Author,
    Code,
    DocumentEntry,
    RegistryObject,
    SubmissionSet,
    XdsAssociation,
)

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DOCUMENT_CODES: tuple[tuple[str, Callable[[DocumentEntry], Iterable[Code]]], ...] = (
    (v.DOCUMENT_CLASS_CODE, lambda entry: (entry.class_code,)),
    (v.DOCUMENT_TYPE_CODE, lambda entry: (entry.type_code,)),
    (v.DOCUMENT_FORMAT_CODE, lambda entry: (entry.format_code,)),
    (v.DOCUMENT_PRACTICE_SETTING_CODE, lambda entry: (entry.practice_setting_code,)),
    (v.DOCUMENT_FACILITY_TYPE_CODE, lambda entry: (entry.healthcare_facility_type_code,)),
    (v.DOCUMENT_CONFIDENTIALITY_CODE, lambda entry: entry.confidentiality_codes),
    (v.DOCUMENT_EVENT_CODE, lambda entry: entry.event_codes),
)


def leaf_class(item: RegistryObject) -> etree._Element:
    """Return the complete metadata of `item`."""
    if isinstance(item, DocumentEntry):
        return _extrinsic_object(item)
    if isinstance(item, SubmissionSet):
        return _registry_package(item)
    return _association(item)


def object_ref(item: RegistryObject) -> etree._Element:
    """Return a reference to `item`: its id and nothing else."""
    return _identifiable("ObjectRef", item)


def _extrinsic_object(entry: DocumentEntry) -> etree._Element:
    element = _identifiable("ExtrinsicObject", entry)
    element.set("objectType", entry.document_type)
    element.set("status", entry.status)
    element.set("mimeType", entry.mime_type)
    for name, values in _document_slots(entry):
        _slot(element, name, values)
    _texts(element, entry.title, entry.comments)
    writer = _Children(element, entry.entry_uuid)
    for author in entry.authors:
        writer.author(v.DOCUMENT_AUTHOR, author)
    for scheme, codes_of in _DOCUMENT_CODES:
        for code in codes_of(entry):
            writer.code(scheme, code)
    writer.identifier(v.DOCUMENT_PATIENT_ID, "XDSDocumentEntry.patientId", entry.patient_id)
    writer.identifier(v.DOCUMENT_UNIQUE_ID, "XDSDocumentEntry.uniqueId", entry.unique_id)
    return element


def _document_slots(entry: DocumentEntry) -> tuple[tuple[str, tuple[str, ...]], ...]:
    stored = (entry.sha1, str(entry.size)) if entry.sha1 else ("", "")
    return (
        ("creationTime", (entry.creation_time,)),
        ("hash", (stored[0],)),
        ("languageCode", (entry.language_code,)),
        ("repositoryUniqueId", (entry.repository_unique_id,)),
        ("serviceStartTime", (entry.service_start_time,)),
        ("serviceStopTime", (entry.service_stop_time,)),
        ("size", (stored[1],)),
        ("sourcePatientId", (entry.source_patient_id,)),
        ("sourcePatientInfo", entry.source_patient_info),
        ("urn:ihe:iti:xds:2013:referenceIdList", tuple(item.cxi for item in entry.reference_ids)),
    )


def _registry_package(submission_set: SubmissionSet) -> etree._Element:
    element = _identifiable("RegistryPackage", submission_set)
    element.set("objectType", v.REGISTRY_PACKAGE)
    element.set("status", submission_set.status)
    _slot(element, "submissionTime", (submission_set.submission_time,))
    _texts(element, submission_set.title, submission_set.comments)
    writer = _Children(element, submission_set.entry_uuid)
    for author in submission_set.authors:
        writer.author(v.SUBMISSION_SET_AUTHOR, author)
    writer.code(v.SUBMISSION_SET_CONTENT_TYPE_CODE, submission_set.content_type_code)
    writer.node(v.SUBMISSION_SET_NODE)
    for scheme, name, value in (
        (v.SUBMISSION_SET_PATIENT_ID, "patientId", submission_set.patient_id),
        (v.SUBMISSION_SET_SOURCE_ID, "sourceId", submission_set.source_id),
        (v.SUBMISSION_SET_UNIQUE_ID, "uniqueId", submission_set.unique_id),
    ):
        writer.identifier(scheme, f"XDSSubmissionSet.{name}", value)
    return element


def _association(association: XdsAssociation) -> etree._Element:
    element = _identifiable("Association", association)
    element.set("objectType", v.ASSOCIATION)
    element.set("status", association.status)
    element.set("associationType", association.association_type)
    element.set("sourceObject", association.source)
    element.set("targetObject", association.target)
    _slot(element, "SubmissionSetStatus", (association.submission_set_status,))
    return element


def _identifiable(name: str, item: RegistryObject) -> etree._Element:
    element = _rim(name)
    element.set("id", item.entry_uuid)
    if item.home_community_id:
        element.set("home", item.home_community_id)
    return element


def _texts(parent: etree._Element, title: str, comments: str) -> None:
    for name, value in (("Name", title), ("Description", comments)):
        if value:
            _localized(parent, name, value)


def _slot(parent: etree._Element, name: str, values: Iterable[str]) -> None:
    present = [value for value in values if value]
    if not present:
        return
    slot = _rim("Slot", parent)
    slot.set("name", name)
    value_list = _rim("ValueList", slot)
    for value in present:
        _rim("Value", value_list).text = xml_text(value)


def _localized(parent: etree._Element, name: str, value: str) -> None:
    _rim("LocalizedString", _rim(name, parent)).set("value", xml_text(value))


def _rim(name: str, parent: etree._Element | None = None) -> etree._Element:
    tag = f"{{{v.RIM}}}{name}"
    if parent is None:
        return etree.Element(tag, nsmap={"rim": v.RIM})
    element: etree._Element = etree.SubElement(parent, tag)
    return element


def xml_text(text: str) -> str:
    """Return `text` without the characters that XML 1.0 cannot carry."""
    return _NOT_XML.sub("", text)


class _Children:
    """Writes the composed objects of one owner, each with an id derived from the owner's."""

    def __init__(self, parent: etree._Element, owner: str) -> None:
        self._parent = parent
        self._owner = owner
        self._count = 0

    def author(self, scheme: str, author: Author) -> None:
        element = self._classification(scheme, "")
        for name, values in (
            ("authorPerson", (author.person,)),
            ("authorInstitution", author.institutions),
            ("authorRole", author.roles),
            ("authorSpecialty", author.specialties),
        ):
            _slot(element, name, values)

    def code(self, scheme: str, code: Code) -> None:
        element = self._classification(scheme, code.code)
        _slot(element, "codingScheme", (code.scheme,))
        _localized(element, "Name", code.display or code.code)

    def node(self, node: str) -> None:
        element = self._composed("Classification", v.CLASSIFICATION)
        element.set("classifiedObject", self._owner)
        element.set("classificationNode", node)

    def identifier(self, scheme: str, name: str, value: str) -> None:
        element = self._composed("ExternalIdentifier", v.EXTERNAL_IDENTIFIER)
        element.set("registryObject", self._owner)
        element.set("identificationScheme", scheme)
        element.set("value", xml_text(value))
        _localized(element, "Name", name)

    def _classification(self, scheme: str, representation: str) -> etree._Element:
        element = self._composed("Classification", v.CLASSIFICATION)
        element.set("classificationScheme", scheme)
        element.set("classifiedObject", self._owner)
        element.set("nodeRepresentation", xml_text(representation))
        return element

    def _composed(self, name: str, object_type: str) -> etree._Element:
        self._count += 1
        element = _rim(name, self._parent)
        element.set("id", f"{self._owner}.{self._count}")
        element.set("objectType", object_type)
        return element
