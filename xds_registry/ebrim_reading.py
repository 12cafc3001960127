"""Read document sharing metadata from ebRIM 3.0 (ITI TF-3 4.2.3, 4.3.1).

`read_objects` returns what could be read together with everything that was misshapen, so that one
answer can name all of it; `read_submission` refuses instead. Ids stay as they were sent, symbolic
or `urn:uuid:`. What the profile does not name is kept: slots as `extra_slots`, titles and comments
in further languages as `local_titles` and `local_comments`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.ebrim_attributes import PartReader
from xds_registry.ebrim_names import (
    ASSOCIATION_CODES,
    ASSOCIATION_SLOTS,
    ENTRY_CODES,
    ENTRY_IDENTIFIERS,
    ENTRY_SLOTS,
    FOLDER_CODES,
    FOLDER_IDENTIFIERS,
    FOLDER_SLOTS,
    SET_CODES,
    SET_IDENTIFIERS,
    SET_SLOTS,
)
from xds_registry.ebrim_parts import Faults, Part, take_apart
from xds_registry.errors import (
    ErrorCode,
    ErrorText,
    MetadataRefusalError,
    XdsRefusalError,
    XdsRefusalsError,
)
from xds_registry.model import (
    NO_CODE,
    AssociationType,
    DocumentEntry,
    DocumentType,
    Folder,
    ReferenceId,
    Submission,
    SubmissionSet,
    XdsAssociation,
)

ONE_SET = ErrorText(
    "a submission holds exactly one submission set", "一次提交必须且只能有一个提交集"
)
PACKAGE_KIND = ErrorText(
    "a package is classified as a submission set or as a folder, never both or neither",
    "RegistryPackage 必须归类为提交集或文件夹之一",
)
KNOWN_VALUE = ErrorText("the value is not one of those that are allowed", "值不在允许的范围内")
NO_LIST = ErrorText("the request holds one RegistryObjectList", "请求必须含一个 RegistryObjectList")
_NO_SET = SubmissionSet(
    entry_uuid="",
    unique_id="",
    source_id="",
    patient_id="",
    linked_identifier="",
    submission_time="",
    content_type_code=NO_CODE,
)
SUBMIT_OBJECTS_TAG = f"{{{v.LCM}}}SubmitObjectsRequest"


@dataclass(frozen=True)
class Reading:
    """What was read, and what was misshapen: what a fault is about is left empty or out."""

    submission: Submission
    faults: tuple[MetadataRefusalError, ...] = ()


def read_submission(registry_object_list: etree._Element) -> Submission:
    """Return the submission in a RegistryObjectList.

    Raises:
        XdsRefusalsError: everything in it that is misshapen.
    """
    reading = read_objects(registry_object_list)
    if reading.faults:
        raise XdsRefusalsError(reading.faults)
    return reading.submission


def read_submit_objects_request(request: etree._Element) -> Reading:
    """Return what a SubmitObjectsRequest holds.

    Raises:
        XdsRefusalsError: it holds no object list, or several.
    """
    lists = request.findall(f"{{{v.RIM}}}RegistryObjectList")
    if len(lists) != 1:
        place = "//lcm:SubmitObjectsRequest"
        raise XdsRefusalsError([XdsRefusalError(ErrorCode.REGISTRY_METADATA, place, rule=NO_LIST)])
    return read_objects(lists[0])


def read_objects(registry_object_list: etree._Element) -> Reading:
    """Return the objects of a RegistryObjectList and what is misshapen in them."""
    faults = Faults()
    parts = take_apart(registry_object_list, faults)
    sets, folders = _packages(parts, faults)
    if len(sets) != 1:
        faults.add(("", ""), "//rim:RegistryPackage", ONE_SET, "1", str(len(sets)))
    submission = Submission(
        submission_set=sets[0] if sets else _NO_SET,
        entries=tuple(_entry(part, faults) for part in parts if part.tag == "ExtrinsicObject"),
        folders=folders,
        associations=tuple(_associations(parts, faults)),
    )
    return Reading(submission, tuple(faults.found))


def _packages(parts: list[Part], faults: Faults) -> tuple[list[SubmissionSet], tuple[Folder, ...]]:
    sets: list[SubmissionSet] = []
    folders: list[Folder] = []
    for part in parts:
        if part.tag != "RegistryPackage":
            continue
        is_set, is_folder = part.is_node(v.SUBMISSION_SET_NODE), part.is_node(v.FOLDER_NODE)
        if is_set == is_folder:
            allowed = f"{v.SUBMISSION_SET_NODE} | {v.FOLDER_NODE}"
            faults.add((part.object_id, ""), part.place, PACKAGE_KIND, allowed)
        elif is_set:
            sets.append(_submission_set(part, faults))
        else:
            folders.append(_folder(part, faults))
    return sets, tuple(folders)


def _entry(part: Part, faults: Faults) -> DocumentEntry:
    read = PartReader(part, DocumentEntry, faults)
    patient_id = read.identifier("patient_id")
    sha1, size = read.slot("sha1"), read.size()
    entry = DocumentEntry(
        **_common(read),
        document_type=_document_type(part, faults),
        mime_type=part.element.get("mimeType", "").strip(),
        unique_id=read.identifier("unique_id"),
        patient_id=patient_id,
        linked_identifier=patient_id,
        source_patient_id=read.slot("source_patient_id"),
        source_patient_info=read.slots("source_patient_info"),
        class_code=read.code("class_code"),
        type_code=read.code("type_code"),
        format_code=read.code("format_code"),
        practice_setting_code=read.code("practice_setting_code"),
        healthcare_facility_type_code=read.code("healthcare_facility_type_code"),
        confidentiality_codes=read.codes("confidentiality_codes"),
        event_codes=read.codes("event_codes"),
        authors=read.authors(v.DOCUMENT_AUTHOR),
        language_code=read.slot("language_code"),
        creation_time=read.time("creation_time"),
        service_start_time=read.time("service_start_time"),
        service_stop_time=read.time("service_stop_time"),
        legal_authenticator=read.slot("legal_authenticator"),
        repository_unique_id=read.slot("repository_unique_id"),
        reference_ids=tuple(map(ReferenceId, read.slots("reference_ids"))),
        uri=read.uri(),
        document_availability=read.slot("document_availability"),
        sha1=sha1,
        size=size,
        limited_metadata=part.is_node(v.DOCUMENT_LIMITED),
        logical_id=part.element.get("lid", "").strip(),
        version=read.version(),
        extra_slots=read.extra_slots(ENTRY_SLOTS),
    )
    schemes = {*ENTRY_CODES.values(), v.DOCUMENT_AUTHOR}
    read.refuse_others(schemes, {v.DOCUMENT_LIMITED}, ENTRY_IDENTIFIERS)
    return entry


def _submission_set(part: Part, faults: Faults) -> SubmissionSet:
    read = PartReader(part, SubmissionSet, faults)
    patient_id = read.identifier("patient_id")
    item = SubmissionSet(
        **_common(read),
        unique_id=read.identifier("unique_id"),
        source_id=read.identifier("source_id"),
        patient_id=patient_id,
        linked_identifier=patient_id,
        submission_time=read.time("submission_time"),
        content_type_code=read.code("content_type_code"),
        authors=read.authors(v.SUBMISSION_SET_AUTHOR),
        intended_recipients=read.slots("intended_recipients"),
        limited_metadata=part.is_node(v.SUBMISSION_SET_LIMITED),
        extra_slots=read.extra_slots(SET_SLOTS),
    )
    nodes = {v.SUBMISSION_SET_NODE, v.SUBMISSION_SET_LIMITED}
    read.refuse_others({*SET_CODES.values(), v.SUBMISSION_SET_AUTHOR}, nodes, SET_IDENTIFIERS)
    return item


def _folder(part: Part, faults: Faults) -> Folder:
    read = PartReader(part, Folder, faults)
    patient_id = read.identifier("patient_id")
    folder = Folder(
        **_common(read),
        unique_id=read.identifier("unique_id"),
        patient_id=patient_id,
        linked_identifier=patient_id,
        codes=read.codes("codes"),
        last_update_time=read.time("last_update_time"),
        limited_metadata=part.is_node(v.FOLDER_LIMITED),
        logical_id=part.element.get("lid", "").strip(),
        version=read.version(),
        extra_slots=read.extra_slots(FOLDER_SLOTS),
    )
    nodes = {v.FOLDER_NODE, v.FOLDER_LIMITED}
    read.refuse_others(set(FOLDER_CODES.values()), nodes, FOLDER_IDENTIFIERS)
    return folder


def _common(read: PartReader) -> dict[str, Any]:
    """Return what every object but an association has."""
    part = read.part
    return {
        "entry_uuid": part.object_id,
        "home_community_id": part.element.get("home", "").strip(),
        "title": read.fitting(part.titles),
        "comments": read.fitting(part.comments),
        "local_titles": read.local(part.titles),
        "local_comments": read.local(part.comments),
    }


def _document_type(part: Part, faults: Faults) -> DocumentType:
    came = part.element.get("objectType", "").strip()
    try:
        return DocumentType(came)
    except ValueError:
        allowed = " | ".join(DocumentType)
        place = f"{part.place}/@objectType"
        faults.add((part.object_id, "document_type"), place, KNOWN_VALUE, allowed, came)
        return DocumentType.STABLE


def _associations(parts: list[Part], faults: Faults) -> Iterator[XdsAssociation]:
    for part in parts:
        if part.tag != "Association":
            continue
        came = part.element.get("associationType", "").strip()
        try:
            kind = AssociationType(came)
        except ValueError:
            place = f"{part.place}/@associationType"
            about = (part.object_id, "association_type")
            faults.add(about, place, KNOWN_VALUE, " | ".join(AssociationType), came)
            continue
        yield _association(part, kind, faults)


def _association(part: Part, kind: AssociationType, faults: Faults) -> XdsAssociation:
    read = PartReader(part, XdsAssociation, faults)
    documentation = read.code("documentation")
    association = XdsAssociation(
        entry_uuid=part.object_id,
        association_type=kind,
        source=part.element.get("sourceObject", "").strip(),
        target=part.element.get("targetObject", "").strip(),
        submission_set_status=read.slot("submission_set_status"),
        documentation=None if documentation == NO_CODE else documentation,
        previous_version=read.slot("previous_version"),
        original_status=read.slot("original_status"),
        new_status=read.slot("new_status"),
        propagates=read.yes_or_no("propagates"),
        home_community_id=part.element.get("home", "").strip(),
        extra_slots=read.extra_slots(ASSOCIATION_SLOTS),
    )
    read.refuse_others(set(ASSOCIATION_CODES.values()), set(), {})
    return association
