"""DICOMDIR, the directory of a medium (DICOM PS3.3 Annex F, PS3.10 8.6, PS3.11 Annex D)."""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom import dcmread, dcmwrite
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from hub_kernel.person_names import decode_person_name
from hub_kernel.text_decoding import decode_text
from image_archive.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from image_archive.reading import VALUE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRECTORY = "1.2.840.10008.1.3.10"
_IN_USE = 0xFFFF
_CHARACTER_SET = 0x00080005
# Each kind of record: what names it, and the attributes it must have with what stands for none.
_KINDS = (
    ("PATIENT", "PatientID", {"PatientName": "", "PatientID": "UNKNOWN"}),
    (
        "STUDY",
        "StudyInstanceUID",
        {
            "StudyDate": "19000101",
            "StudyTime": "000000",
            "StudyDescription": "",
            "StudyInstanceUID": "",
            "StudyID": "1",
            "AccessionNumber": "",
        },
    ),
    (
        "SERIES",
        "SeriesInstanceUID",
        {"Modality": "OT", "SeriesInstanceUID": "", "SeriesNumber": "0"},
    ),
    ("IMAGE", "SOPInstanceUID", {"InstanceNumber": "0"}),
)
# Documents are no images (PS3.3 F.5.23, F.5.26, F.5.32): what begins their SOP Class UID, their
# record and its attributes.
_DOCUMENTS = (
    (
        "1.2.840.10008.5.1.4.1.1.88.59",
        "KEY OBJECT DOC",
        {"InstanceNumber": "1", "ContentDate": "19000101", "ContentTime": "000000"},
    ),
    (
        "1.2.840.10008.5.1.4.1.1.88.",
        "SR DOCUMENT",
        {
            "InstanceNumber": "1",
            "CompletionFlag": "PARTIAL",
            "VerificationFlag": "UNVERIFIED",
            "ContentDate": "19000101",
            "ContentTime": "000000",
        },
    ),
    (
        "1.2.840.10008.5.1.4.1.1.104.",
        "ENCAP DOC",
        {
            "InstanceNumber": "1",
            "ContentDate": "",
            "ContentTime": "",
            "DocumentTitle": "",
            "MIMETypeOfEncapsulatedDocument": "application/pdf",
        },
    ),
)
_TITLED = frozenset(kind for _, kind, _ in _DOCUMENTS)
# What a document without a readable title is called.
_UNTITLED = {"CodeValue": "18748-4", "CodingSchemeDesignator": "LN", "CodeMeaning": "Report"}
# A directory needs day and time of a study where an image does not (PS3.3 Table F.5-2).
_INSTEAD = {
    "StudyDate": ("SeriesDate", "AcquisitionDate", "ContentDate"),
    "StudyTime": ("SeriesTime", "AcquisitionTime", "ContentTime"),
}


@dataclass(frozen=True)
class ListedImage:
    """One file: its File ID, the file meta it has, and its records from patient to image."""

    file_id: tuple[str, ...]
    meta: FileMetaDataset
    records: tuple[tuple[str, Dataset], ...]


def records_of(header: Dataset) -> tuple[tuple[str, Dataset], ...]:
    """Return the four records of an image, each with what names it.

    What cannot be written is listed as if it were missing: the image itself is as it was sent.
    """
    made = []
    for kind, key, attributes in (*_KINDS[:-1], _leaf(header)):
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord = 0
        record.RecordInUseFlag = _IN_USE
        record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
        record.DirectoryRecordType = kind
        record.SpecificCharacterSet = "ISO_IR 192"
        for keyword, default in attributes.items():
            record.add(_found(header, keyword) or _element(keyword, default))
        if kind in _TITLED:
            record.ConceptNameCodeSequence = DicomSequence([_title(header)])
        if record.get("VerificationFlag") == "VERIFIED":
            record.add(_verified_at(header, record))
        made.append((f"{kind}:{_text(header, key)}", record))
    return tuple(made)


def _leaf(header: Dataset) -> tuple[str, str, dict[str, str]]:
    sop_class = _text(header, "SOPClassUID")
    for beginning, kind, attributes in _DOCUMENTS:
        if sop_class.startswith(beginning):
            return kind, "SOPInstanceUID", attributes
    return _KINDS[-1]


def _title(header: Dataset) -> Dataset:
    """Return the coded title of a document as far as it can be written."""
    try:
        items = header.get("ConceptNameCodeSequence") or [Dataset()]
        source = items[0]
        source[_CHARACTER_SET] = header.get_item(_CHARACTER_SET) or _element(
            "SpecificCharacterSet", ""
        )
    except (*VALUE_ERRORS, BytesLengthException):
        source = Dataset()
    title = Dataset()
    for keyword, default in _UNTITLED.items():
        title.add(_found(source, keyword) or _element(keyword, default))
    return title


def _verified_at(header: Dataset, record: Dataset) -> DataElement:
    """Return when the last observer signed, else when the content was made."""
    try:
        observers = header.get("VerifyingObserverSequence") or [Dataset()]
        found = _found(observers[0], "VerificationDateTime")
    except (*VALUE_ERRORS, BytesLengthException):
        found = None
    made = f"{record.ContentDate}{record.ContentTime}"
    return found or _element("VerificationDateTime", made)


def _found(header: Dataset, keyword: str) -> DataElement | None:
    for source in (keyword, *_INSTEAD.get(keyword, ())):
        if element := _usable(header, keyword, source):
            return element
    return None


def _element(keyword: str, value: object) -> DataElement:
    tag = tag_for_keyword(keyword) or 0
    return DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE)


def _usable(header: Dataset, keyword: str, source: str) -> DataElement | None:
    """Return an element of the directory with the value of `source`; None if it is no good."""
    text = _text(header, source)
    if not text:
        return None
    probe, buffer = Dataset(), DicomBytesIO()
    probe.SpecificCharacterSet = "ISO_IR 192"
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        element = _element(keyword, text)
        probe.add(element)
        write_dataset(buffer, probe)
    except (*VALUE_ERRORS, BytesLengthException):
        return None
    return element


def _text(header: Dataset, keyword: str) -> str:
    """Return what is stored, decoded and repaired as the archive does it."""
    tag = tag_for_keyword(keyword) or 0
    declared = _stored(header, _CHARACTER_SET).decode("latin-1").split("\\")
    if dictionary_VR(tag) == "PN":
        return decode_person_name(_stored(header, tag), declared).dicom
    return decode_text(_stored(header, tag), declared).text


def _stored(header: Dataset, tag: int) -> bytes:
    """Return the bytes of an element that nobody has looked at yet."""
    raw = header.get_item(tag)
    return raw.value if raw is not None and isinstance(raw.value, bytes) else b""


def dicomdir(images: Sequence[ListedImage]) -> bytes:
    """Return the directory of these images as a Part 10 file."""
    order, children = _tree(images)
    directory = _directory([record for _, record in order])
    offsets = _offsets(directory)
    place = {name: offset for (name, _), offset in zip(order, offsets, strict=True)}
    for name, record in order:
        below = children.get(name, [])
        record.OffsetOfReferencedLowerLevelDirectoryEntity = place[below[0]] if below else 0
    named = dict(order)
    for siblings in children.values():
        for one, following in zip(siblings, siblings[1:], strict=False):
            named[one].OffsetOfTheNextDirectoryRecord = place[following]
    top = children.get("", [])
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = place[top[0]] if top else 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = place[top[-1]] if top else 0
    return _bytes(directory)


def _tree(
    images: Sequence[ListedImage],
) -> tuple[list[tuple[str, Dataset]], dict[str, list[str]]]:
    """Every record once, parents first, and the names of the records below each."""
    known: dict[str, Dataset] = {}
    children: dict[str, list[str]] = {}
    for image in images:
        above = ""
        for kind, record in image.records:
            name = f"{above}/{kind}"
            if name not in known:
                known[name] = record
                children.setdefault(above, []).append(name)
            above = name
        leaf = known[above]
        leaf.ReferencedFileID = list(image.file_id)
        leaf.ReferencedSOPClassUIDInFile = image.meta.MediaStorageSOPClassUID
        leaf.ReferencedSOPInstanceUIDInFile = image.meta.MediaStorageSOPInstanceUID
        leaf.ReferencedTransferSyntaxUIDInFile = image.meta.TransferSyntaxUID
    return list(known.items()), children


def _directory(records: list[Dataset]) -> Dataset:
    directory = Dataset()
    directory.FileSetID = "EIRHUB"
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.FileSetConsistencyFlag = 0
    directory.DirectoryRecordSequence = DicomSequence(records)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_DIRECTORY)
    meta.MediaStorageSOPInstanceUID = UID(f"2.25.{uuid.uuid4().int}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    directory.file_meta = meta
    return directory


def _offsets(directory: Dataset) -> list[int]:
    """Where each record begins; offsets have a fixed length, so filling them in moves nothing."""
    read = dcmread(io.BytesIO(_bytes(directory)))
    return [int(item.seq_item_tell or 0) for item in read.DirectoryRecordSequence]


def _bytes(directory: Dataset) -> bytes:
    out = io.BytesIO()
    dcmwrite(out, directory, enforce_file_format=True)
    return out.getvalue()
