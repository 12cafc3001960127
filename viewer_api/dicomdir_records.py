"""The records of a DICOMDIR: what stands in it of each instance (DICOM PS3.3 F.5).

Which record an object has follows its SOP class (F.4); what is none of the documents, plans, states
and so on that have their own is an image.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as DicomSequence

from hub_kernel.person_names import decode_person_name
from hub_kernel.text_decoding import decode_text
from image_archive.reading import VALUE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

_IN_USE = 0xFFFF
_CHARACTER_SET = 0x00080005
_UNKNOWN = "UNKNOWN"
_MOST_REFERENCES = 10_000
_NUMBERS = {"US": "H", "UL": "L"}
_UNUSABLE = (*VALUE_ERRORS, BytesLengthException)


@dataclass(frozen=True)
class _Kind:
    """A record: the attributes it must have with what stands for none, then what it may have.

    `titled` are those with a coded title, `references` the sequences of series and images it names.
    """

    name: str
    attributes: Mapping[str, str | int]
    optional: tuple[str, ...] = ()
    titled: bool = False
    references: tuple[str, ...] = ()


_NUMBER = {"InstanceNumber": "1"}
_MADE = {**_NUMBER, "ContentDate": "19000101", "ContentTime": "000000"}
_NAMED = {"ContentLabel": _UNKNOWN, "ContentDescription": "", "ContentCreatorName": ""}
_IMAGE = _Kind("IMAGE", {"InstanceNumber": "0"})
_DOSE = _Kind("RT DOSE", {**_NUMBER, "DoseSummationType": _UNKNOWN})
_STRUCTURES = _Kind(
    "RT STRUCTURE SET",
    {**_NUMBER, "StructureSetLabel": _UNKNOWN, "StructureSetDate": "", "StructureSetTime": ""},
)
_PLAN = _Kind("RT PLAN", {**_NUMBER, "RTPlanLabel": _UNKNOWN, "RTPlanDate": "", "RTPlanTime": ""})
_TREATMENT = _Kind("RT TREAT RECORD", {**_NUMBER, "TreatmentDate": "", "TreatmentTime": ""})
_RADIOTHERAPY = _Kind(
    "RADIOTHERAPY",
    {**_NUMBER, "ContentDescription": "", "ContentCreatorName": ""},
    ("UserContentLabel", "UserContentLongLabel"),
)
_PRESENTATION = _Kind(
    "PRESENTATION",
    {
        "PresentationCreationDate": "19000101",
        "PresentationCreationTime": "000000",
        **_NUMBER,
        **_NAMED,
    },
    references=("ReferencedSeriesSequence", "BlendingSequence"),
)
_WAVEFORM = _Kind("WAVEFORM", _MADE)
_MEASUREMENT = _Kind("MEASUREMENT", _MADE | _NAMED)
_SURFACE_SCAN = _Kind("SURFACE SCAN", {"ContentDate": "19000101", "ContentTime": "000000"})
_REGISTRATION = _Kind("REGISTRATION", _MADE | _NAMED)
_SR = _Kind(
    "SR DOCUMENT",
    {**_NUMBER, "CompletionFlag": "PARTIAL", "VerificationFlag": "UNVERIFIED"} | _MADE,
    titled=True,
)
_SPECTROSCOPY = _Kind(
    "SPECTROSCOPY",
    {"ImageType": "ORIGINAL\\PRIMARY", **_MADE, "NumberOfFrames": "1"}
    | dict.fromkeys(("Rows", "Columns", "DataPointRows", "DataPointColumns"), 1),
)
_ENCAPSULATED = _Kind(
    "ENCAP DOC",
    {
        **_NUMBER,
        "ContentDate": "",
        "ContentTime": "",
        "DocumentTitle": "",
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
    },
    titled=True,
)
# By SOP class; one that ends with a dot stands for all that begin with it, unless named themselves.
_CLASS = "1.2.840.10008.5.1.4.1.1."
_KINDS: Mapping[str, _Kind] = {
    f"{_CLASS}4.2": _SPECTROSCOPY,
    f"{_CLASS}9.": _WAVEFORM,
    f"{_CLASS}9.100.": _PRESENTATION,
    f"{_CLASS}11.": _PRESENTATION,
    f"{_CLASS}66": _Kind("RAW DATA", _MADE),
    f"{_CLASS}66.1": _REGISTRATION,
    f"{_CLASS}66.2": _Kind("FIDUCIAL", _MADE | _NAMED),
    f"{_CLASS}66.3": _REGISTRATION,
    f"{_CLASS}66.5": _Kind("SURFACE", _MADE | _NAMED),
    f"{_CLASS}66.6": _Kind("TRACT", _MADE | _NAMED),
    f"{_CLASS}67": _Kind("VALUE MAP", _MADE | _NAMED),
    f"{_CLASS}68.": _SURFACE_SCAN,
    f"{_CLASS}77.1.5.3": _Kind("STEREOMETRIC", _NUMBER | _NAMED),
    f"{_CLASS}78.": _MEASUREMENT,
    f"{_CLASS}80.1": _MEASUREMENT,
    f"{_CLASS}88.": _SR,
    f"{_CLASS}88.59": _Kind("KEY OBJECT DOC", _MADE, titled=True),
    f"{_CLASS}90.1": _Kind(
        "ASSESSMENT",
        {**_NUMBER, "InstanceCreationDate": "19000101", "InstanceCreationTime": ""},
    ),
    f"{_CLASS}91.1": _Kind("ANNOTATION", _MADE | _NAMED),
    f"{_CLASS}104.": _ENCAPSULATED,
    f"{_CLASS}131": _PRESENTATION,
    f"{_CLASS}481.2": _DOSE,
    f"{_CLASS}481.3": _STRUCTURES,
    f"{_CLASS}481.4": _TREATMENT,
    f"{_CLASS}481.5": _PLAN,
    f"{_CLASS}481.6": _TREATMENT,
    f"{_CLASS}481.7": _TREATMENT,
    f"{_CLASS}481.8": _PLAN,
    f"{_CLASS}481.9": _TREATMENT,
    **{f"{_CLASS}481.{number}": _RADIOTHERAPY for number in (*range(10, 23), 25)},
    "1.2.840.10008.5.1.4.34.7": _Kind("PLAN", {}),
}
# The records above an instance's own, and what names each.
_ABOVE = (
    ("PatientID", _Kind("PATIENT", {"PatientName": "", "PatientID": _UNKNOWN})),
    (
        "StudyInstanceUID",
        _Kind(
            "STUDY",
            {
                "StudyDate": "19000101",
                "StudyTime": "000000",
                "StudyDescription": "",
                "StudyInstanceUID": "",
                "StudyID": "1",
                "AccessionNumber": "",
            },
        ),
    ),
    (
        "SeriesInstanceUID",
        _Kind("SERIES", {"Modality": "OT", "SeriesInstanceUID": "", "SeriesNumber": "0"}),
    ),
)
# What a document without a readable title is called.
_UNTITLED = {"CodeValue": "18748-4", "CodingSchemeDesignator": "LN", "CodeMeaning": "Report"}
# A directory needs day and time of a study where an image does not (PS3.3 Table F.5-2).
_INSTEAD = {
    "StudyDate": ("SeriesDate", "AcquisitionDate", "ContentDate"),
    "StudyTime": ("SeriesTime", "AcquisitionTime", "ContentTime"),
}
_OF_A_SERIES = ("SeriesInstanceUID",)
_OF_AN_IMAGE = ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")
_BELOW = {
    "BlendingSequence": ("StudyInstanceUID",),
    "ReferencedSeriesSequence": _OF_A_SERIES,
    "ReferencedImageSequence": _OF_AN_IMAGE,
}


def records_of(header: Dataset) -> tuple[tuple[str, Dataset], ...]:
    """Return the four records of an instance, each with what names it; the last is its own.

    What cannot be written is listed as if it were missing: the instance itself is as it was sent.
    """
    return tuple(
        (f"{kind.name}:{_text(header, key)}", _record(header, kind))
        for key, kind in (*_ABOVE, ("SOPInstanceUID", _kind_of(header)))
    )


def _kind_of(header: Dataset) -> _Kind:
    sop_class = _text(header, "SOPClassUID")
    families = (sop_class[: end + 1] for end in range(len(sop_class), 0, -1))
    named = (one for one in families if one == sop_class or one.endswith("."))
    return next((_KINDS[one] for one in named if one in _KINDS), _IMAGE)


def _record(header: Dataset, kind: _Kind) -> Dataset:
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = 0
    record.RecordInUseFlag = _IN_USE
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = kind.name
    record.SpecificCharacterSet = "ISO_IR 192"
    for keyword, default in kind.attributes.items():
        record.add(_found(header, keyword) or _element(keyword, default))
    for keyword in kind.optional:
        if element := _found(header, keyword):
            record.add(element)
    for keyword in kind.references:
        if named := _references(header, keyword):
            setattr(record, keyword, DicomSequence(named))
    if kind.titled:
        record.ConceptNameCodeSequence = DicomSequence([_title(header)])
    if record.get("VerificationFlag") == "VERIFIED":
        record.add(_verified_at(header, record))
    return record


def _references(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items that name series and images, with what names these alone."""
    try:
        items = list(dataset.get(keyword) or ())[:_MOST_REFERENCES]
    except _UNUSABLE:
        return []
    made = []
    for item in items:
        copied = Dataset()
        uids = [_found(item, name) for name in _BELOW[keyword]]
        below = {name: _references(item, name) for name in _BELOW if name in item}
        for element in uids:
            if element is not None:
                copied.add(element)
        for name, found in below.items():
            if found:
                setattr(copied, name, DicomSequence(found))
        if all(uids) and (keyword == "ReferencedImageSequence" or any(below.values())):
            made.append(copied)
    return made


def _title(header: Dataset) -> Dataset:
    """Return the coded title of a document as far as it can be written."""
    try:
        items = header.get("ConceptNameCodeSequence") or [Dataset()]
        source = items[0]
        source[_CHARACTER_SET] = header.get_item(_CHARACTER_SET) or _element(
            "SpecificCharacterSet", ""
        )
    except _UNUSABLE:
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
    except _UNUSABLE:
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
    value = _value(header, source)
    if value is None:
        return None
    probe, buffer = Dataset(), DicomBytesIO()
    probe.SpecificCharacterSet = "ISO_IR 192"
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        element = _element(keyword, value)
        probe.add(element)
        write_dataset(buffer, probe)
    except _UNUSABLE:
        return None
    return element


def _value(header: Dataset, keyword: str) -> str | int | None:
    """Return what is stored as text, or as a number where the element is binary; None without."""
    form = _NUMBERS.get(dictionary_VR(tag_for_keyword(keyword) or 0))
    if form is None:
        return _text(header, keyword) or None
    raw = _stored(header, tag_for_keyword(keyword) or 0)
    return struct.unpack(f"<{form}", raw)[0] if len(raw) == struct.calcsize(f"<{form}") else None


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
