"""DICOMDIR, the directory of a medium (DICOM PS3.3 Annex F, PS3.10 8.6, PS3.11 Annex D)."""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from image_archive.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class ListedImage:
    """One file: its File ID, the file meta it has, and its records, that of the patient first."""

    file_id: tuple[str, ...]
    meta: FileMetaDataset
    records: tuple[tuple[str, Dataset], ...]


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
