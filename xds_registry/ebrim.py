"""Write registry metadata as ebRIM 3.0 XML (ITI TF-3 4.2.3, 4.3.1).

Elements stand in the order the schema `rim.xsd` asks for: slots, name, description,
classifications, external identifiers. Objects are written as text: an entry is some eighty
elements, and making each by hand costs three times as much. Answers carry the text as it is; who
needs elements has it parsed as one document.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.model import (
    NO_CODE,
    Author,
    Code,
    DocumentEntry,
    Folder,
    LocalText,
    RegistryObject,
    SubmissionSet,
    XdsAssociation,
)

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP = re.compile("[^\u0020\u0021\u0023-\u0025\u0027-\u003b\u003d\u003f-\ud7ff]")
_BESIDE_AMPERSANDS = re.compile("[^\u0020\u0021\u0023-\u003b\u003d\u003f-\ud7ff]")
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def leaf_class(item: RegistryObject) -> etree._Element:
    """Return the complete metadata of `item`."""
    return leaf_classes([item])[0]


def leaf_classes(items: Iterable[RegistryObject]) -> Sequence[etree._Element]:
    """Return the complete metadata of each item."""
    return parsed(leaf_classes_text(items))


def leaf_classes_text(items: Iterable[RegistryObject]) -> str:
    """Return the complete metadata of each item as XML text that needs the prefix `rim`."""
    return "".join(chain.from_iterable(map(_leaf_class, items)))


def object_refs(items: Iterable[RegistryObject]) -> Sequence[etree._Element]:
    """Return a reference to each item: its id and nothing else."""
    return parsed(object_refs_text(items))


def object_refs_text(items: Iterable[RegistryObject]) -> str:
    """Return a reference to each item, its id and nothing else, as `leaf_classes_text` does."""
    return "".join([f"<rim:ObjectRef{_identity(item)}/>" for item in items])


def object_ref(item: RegistryObject) -> etree._Element:
    """Return a reference to `item`."""
    return object_refs([item])[0]


def parsed(text: str) -> Sequence[etree._Element]:
    """Return the elements of what `leaf_classes_text` or `object_refs_text` has written."""
    return list(etree.fromstring(f'<rim:list xmlns:rim="{v.RIM}">{text}</rim:list>'))


def xml_text(text: str) -> str:
    """Return `text` without the characters that XML 1.0 cannot carry."""
    return _NOT_XML.sub("", text)


def _leaf_class(item: RegistryObject) -> list[str]:
    """Return `item` in pieces: each is copied once, when the whole answer is put together."""
    if isinstance(item, DocumentEntry):
        return _extrinsic_object(item)
    if isinstance(item, SubmissionSet):
        return _registry_package(item)
    if isinstance(item, Folder):
        return _folder(item)
    return _association(item)


def _extrinsic_object(entry: DocumentEntry) -> list[str]:
    children = _Children(entry.entry_uuid)
    for author in entry.authors:
        children.author(v.DOCUMENT_AUTHOR, author)
    for scheme, code in _document_codes(entry):
        if code.code or code != NO_CODE:
            children.code(scheme, code)
    if entry.limited_metadata:
        children.node(v.DOCUMENT_LIMITED)
    children.identifier(v.DOCUMENT_PATIENT_ID, "XDSDocumentEntry.patientId", entry.patient_id)
    children.identifier(v.DOCUMENT_UNIQUE_ID, "XDSDocumentEntry.uniqueId", entry.unique_id)
    return [
        f"<rim:ExtrinsicObject{_identity(entry)}{_logical_id(entry)}"
        f' objectType="{entry.document_type}" status="{entry.status}"'
        f' mimeType="{_safe(entry.mime_type)}">',
        *_document_slots(entry),
        _slots(entry.extra_slots),
        _texts(entry),
        _version(entry),
        *children.written,
        "</rim:ExtrinsicObject>",
    ]


def _document_codes(entry: DocumentEntry) -> Iterable[tuple[str, Code]]:
    return [
        (v.DOCUMENT_CLASS_CODE, entry.class_code),
        (v.DOCUMENT_TYPE_CODE, entry.type_code),
        (v.DOCUMENT_FORMAT_CODE, entry.format_code),
        (v.DOCUMENT_PRACTICE_SETTING_CODE, entry.practice_setting_code),
        (v.DOCUMENT_FACILITY_TYPE_CODE, entry.healthcare_facility_type_code),
        *[(v.DOCUMENT_CONFIDENTIALITY_CODE, code) for code in entry.confidentiality_codes],
        *[(v.DOCUMENT_EVENT_CODE, code) for code in entry.event_codes],
    ]


def _document_slots(entry: DocumentEntry) -> list[str]:
    return [
        _single("creationTime", entry.creation_time),
        _single("hash", entry.sha1),
        _single("languageCode", entry.language_code),
        _single("legalAuthenticator", entry.legal_authenticator),
        _single("repositoryUniqueId", entry.repository_unique_id),
        _single("serviceStartTime", entry.service_start_time),
        _single("serviceStopTime", entry.service_stop_time),
        _single("size", str(entry.size) if entry.sha1 else ""),
        _single("sourcePatientId", entry.source_patient_id),
        _slot("sourcePatientInfo", entry.source_patient_info),
        _single("URI", entry.uri),
        _single("documentAvailability", entry.document_availability),
        _slot("urn:ihe:iti:xds:2013:referenceIdList", [item.cxi for item in entry.reference_ids]),
    ]


def _registry_package(submission_set: SubmissionSet) -> list[str]:
    slots = (
        ("submissionTime", (submission_set.submission_time,)),
        ("intendedRecipient", submission_set.intended_recipients),
        *submission_set.extra_slots,
    )
    children = _Children(submission_set.entry_uuid)
    for author in submission_set.authors:
        children.author(v.SUBMISSION_SET_AUTHOR, author)
    if submission_set.content_type_code != NO_CODE:
        children.code(v.SUBMISSION_SET_CONTENT_TYPE_CODE, submission_set.content_type_code)
    children.node(v.SUBMISSION_SET_NODE)
    if submission_set.limited_metadata:
        children.node(v.SUBMISSION_SET_LIMITED)
    for scheme, name, value in (
        (v.SUBMISSION_SET_PATIENT_ID, "patientId", submission_set.patient_id),
        (v.SUBMISSION_SET_SOURCE_ID, "sourceId", submission_set.source_id),
        (v.SUBMISSION_SET_UNIQUE_ID, "uniqueId", submission_set.unique_id),
    ):
        children.identifier(scheme, f"XDSSubmissionSet.{name}", value)
    return [
        f'<rim:RegistryPackage{_identity(submission_set)} objectType="{v.REGISTRY_PACKAGE}"'
        f' status="{submission_set.status}">{_slots(slots)}{_texts(submission_set)}',
        *children.written,
        "</rim:RegistryPackage>",
    ]


def _folder(folder: Folder) -> list[str]:
    slots = (("lastUpdateTime", (folder.last_update_time,)), *folder.extra_slots)
    children = _Children(folder.entry_uuid)
    for code in folder.codes:
        children.code(v.FOLDER_CODE, code)
    children.node(v.FOLDER_NODE)
    if folder.limited_metadata:
        children.node(v.FOLDER_LIMITED)
    children.identifier(v.FOLDER_PATIENT_ID, "XDSFolder.patientId", folder.patient_id)
    children.identifier(v.FOLDER_UNIQUE_ID, "XDSFolder.uniqueId", folder.unique_id)
    return [
        f"<rim:RegistryPackage{_identity(folder)}{_logical_id(folder)}"
        f' objectType="{v.REGISTRY_PACKAGE}" status="{folder.status}">'
        f"{_slots(slots)}{_texts(folder)}{_version(folder)}",
        *children.written,
        "</rim:RegistryPackage>",
    ]


def _association(association: XdsAssociation) -> list[str]:
    slots = (
        ("SubmissionSetStatus", (association.submission_set_status,)),
        ("PreviousVersion", (association.previous_version,)),
        ("OriginalStatus", (association.original_status,)),
        ("NewStatus", (association.new_status,)),
        ("AssociationPropagation", ("" if association.propagates else "no",)),
        *association.extra_slots,
    )
    children = _Children(association.entry_uuid)
    if association.documentation is not None:
        children.code(v.ASSOCIATION_DOCUMENTATION, association.documentation)
    return [
        f'<rim:Association{_identity(association)} objectType="{v.ASSOCIATION}"'
        f' status="{association.status}" associationType="{association.association_type}"'
        f' sourceObject="{_safe(association.source)}" targetObject="{_safe(association.target)}">'
        f"{_slots(slots)}",
        *children.written,
        "</rim:Association>",
    ]


def _identity(item: RegistryObject) -> str:
    home = f' home="{_safe(item.home_community_id)}"' if item.home_community_id else ""
    return f' id="{_safe(item.entry_uuid)}"{home}'


def _logical_id(item: DocumentEntry | Folder) -> str:
    """Say which object this is a version of (ITI TF-3 4.2.3.2.31)."""
    return f' lid="{_safe(item.logical_id or item.entry_uuid)}"'


def _version(item: DocumentEntry | Folder) -> str:
    """Say which version this is (ITI TF-3 4.2.3.2.34)."""
    return f'<rim:VersionInfo versionName="{item.version}"/>'


def _texts(item: DocumentEntry | SubmissionSet | Folder) -> str:
    return _text("Name", item.title, item.local_titles) + _text(
        "Description", item.comments, item.local_comments
    )


def _text(name: str, value: str, local: Iterable[LocalText]) -> str:
    if local:
        return _localized(name, local)
    return _localized(name, (LocalText("", value),)) if value else ""


def _slots(slots: Iterable[tuple[str, Sequence[str]]]) -> str:
    return "".join([_slot(name, values) for name, values in slots])


def _slot(name: str, values: Sequence[str]) -> str:
    """Return the slot of the values that are not empty, or nothing without any."""
    if not any(values):
        return ""
    written = "</rim:Value><rim:Value>".join([_safe(value) for value in values if value])
    return (
        f'<rim:Slot name="{_safe(name)}"><rim:ValueList><rim:Value>{written}</rim:Value>'
        "</rim:ValueList></rim:Slot>"
    )


def _single(name: str, value: str) -> str:
    """Return the slot of one value; `name` is one of ours and needs no escape."""
    if not value:
        return ""
    return (
        f'<rim:Slot name="{name}"><rim:ValueList><rim:Value>{_safe(value)}</rim:Value>'
        "</rim:ValueList></rim:Slot>"
    )


def _localized(name: str, texts: Iterable[LocalText]) -> str:
    written = "".join(
        [f'<rim:LocalizedString{_language(one)} value="{_safe(one.text)}"/>' for one in texts]
    )
    return f"<rim:{name}>{written}</rim:{name}>"


def _language(text: LocalText) -> str:
    return f' xml:lang="{_safe(text.language)}"' if text.language else ""


def _safe(text: str) -> str:
    """Return `text` as it may stand in an attribute or between tags.

    Every identifier has ampersands; hardly a text has anything else that needs an escape.
    """
    if _BESIDE_AMPERSANDS.search(text):
        return _MARKUP.sub(_escaped, text)
    return text.replace("&", "&amp;")


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return _ESCAPES.get(character) or xml_text(character)


@lru_cache(maxsize=4096)
def _classified(scheme: str, code: str, coding_scheme: str, display: str) -> tuple[str, str]:
    """Return a code as its classification, in two parts: the owner's id stands between them.

    A region has few codes, and every entry eight of them.
    """
    return (
        f'" objectType="{v.CLASSIFICATION}" classificationScheme="{scheme}" classifiedObject="',
        f'" nodeRepresentation="{_safe(code)}">{_single("codingScheme", coding_scheme)}'
        f'<rim:Name><rim:LocalizedString value="{_safe(display or code)}"/></rim:Name>'
        "</rim:Classification>",
    )


class _Children:
    """Writes the composed objects of one owner, each with an id derived from the owner's."""

    def __init__(self, owner: str) -> None:
        self._owner = _safe(owner)
        self.written: list[str] = []

    def author(self, scheme: str, author: Author) -> None:
        self.written.append(
            f'<rim:Classification id="{self._next_id()}" objectType="{v.CLASSIFICATION}"'
            f' classificationScheme="{scheme}" classifiedObject="{self._owner}"'
            f' nodeRepresentation="">{_single("authorPerson", author.person)}'
            f"{_slot('authorInstitution', author.institutions)}"
            f"{_slot('authorRole', author.roles)}"
            f"{_slot('authorSpecialty', author.specialties)}"
            f"{_slot('authorTelecommunication', author.telecommunications)}"
            "</rim:Classification>"
        )

    def code(self, scheme: str, code: Code) -> None:
        before, after = _classified(scheme, code.code, code.scheme, code.display)
        self.written.append(  # the most frequent by far: one call less for each
            f'<rim:Classification id="{self._owner}.{len(self.written) + 1}{before}'
            f"{self._owner}{after}"
        )

    def node(self, node: str) -> None:
        self.written.append(
            f'<rim:Classification id="{self._next_id()}" objectType="{v.CLASSIFICATION}"'
            f' classifiedObject="{self._owner}" classificationNode="{node}"></rim:Classification>'
        )

    def identifier(self, scheme: str, name: str, value: str) -> None:
        self.written.append(
            f'<rim:ExternalIdentifier id="{self._next_id()}" objectType="{v.EXTERNAL_IDENTIFIER}"'
            f' registryObject="{self._owner}" identificationScheme="{scheme}"'
            f' value="{_safe(value)}"><rim:Name><rim:LocalizedString value="{name}"/></rim:Name>'
            "</rim:ExternalIdentifier>"
        )

    def _next_id(self) -> str:
        return f"{self._owner}.{len(self.written) + 1}"
