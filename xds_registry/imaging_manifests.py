"""Manifests that others wrote: does a received Key Object Selection hold what its entry says?

RAD TF-3 4.68.4.1.2, DICOM PS3.3 A.35.4 and C.17.6.2. A study that only another archive holds is
known here by its manifest, and by nothing else.
"""

import io
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid
from image_archive.reading import VALUE_ERRORS, read_dataset
from xds_registry.errors import ErrorCode, ErrorText, XdsRefusalError
from xds_registry.manifest_metadata import MANIFEST_FORMAT_CODE, MANIFEST_MIME_TYPE
from xds_registry.model import DocumentEntry
from xds_registry.tables_imaging import ListedStudyRow

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
_STUDY_REFERENCE = "urn:ihe:iti:xds:2016:studyInstanceUID"
_LARGEST_BYTES = 32 * 1024 * 1024
_BATCH = 400
_UNREADABLE = ErrorText(
    "the document is no DICOM Key Object Selection that can be read",
    "文档不是可读取的 DICOM 关键对象选择（KOS）文件",
)
_TOO_LARGE = ErrorText("the manifest is larger than any honest one", "清单文件超出合理大小")
_DISAGREES = ErrorText(
    "the metadata and the manifest it describes do not agree",
    "元数据与其描述的清单内容不一致",
)
_LISTS_NOTHING = ErrorText("the manifest lists no instance", "清单中没有列出任何实例")


@dataclass(frozen=True)
class ListedSeries:
    """One series that a manifest lists; `retrieve_location_uid` may be empty."""

    series_instance_uid: str
    retrieve_location_uid: str
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True)
class ListedStudy:
    """One study that a manifest lists."""

    study_instance_uid: str
    series: tuple[ListedSeries, ...]

    @property
    def instance_count(self) -> int:
        """How many instances of the study the manifest lists."""
        return sum(len(one.sop_instance_uids) for one in self.series)


@dataclass(frozen=True)
class ManifestContents:
    """What a manifest lists."""

    sop_instance_uid: str
    studies: tuple[ListedStudy, ...]


@dataclass(frozen=True)
class StudyElsewhere:
    """A study as a registered manifest lists it; `entry_uuid` is that of the manifest's entry."""

    study_instance_uid: str
    entry_uuid: str
    repository_unique_id: str
    series_count: int
    instance_count: int


def check_kos(stream: BinaryIO, entry: DocumentEntry) -> ManifestContents | None:
    """Return what the manifest in `stream` lists, or None where `entry` describes no manifest.

    Raises:
        XdsRefusalError: it cannot be read, or mimeType, uniqueId or the study that the entry refers
            to are not those of the manifest.
    """
    if entry.format_code.key != MANIFEST_FORMAT_CODE.key:
        return None
    if entry.mime_type != MANIFEST_MIME_TYPE:
        raise _disagrees("mimeType", entry.mime_type, MANIFEST_MIME_TYPE)
    contents = read_manifest(stream)
    if contents.sop_instance_uid != entry.unique_id:
        raise _disagrees("uniqueId", entry.unique_id, contents.sop_instance_uid)
    listed = {study.study_instance_uid for study in contents.studies}
    for uid in referenced_studies(entry):
        if uid not in listed:
            raise _disagrees("referenceIdList", uid, ", ".join(sorted(listed)))
    return contents


def manifest_faults(
    entry: DocumentEntry, open_document: Callable[[], BinaryIO]
) -> list[XdsRefusalError]:
    """Return what `check_kos` refuses of a document, for who tells all that is wrong at once."""
    try:
        with open_document() as stream:
            check_kos(stream, entry)
    except XdsRefusalError as refusal:
        return [refusal]
    return []


def note_if_manifest(
    session: Session, entry: DocumentEntry, open_document: Callable[[], BinaryIO]
) -> None:
    """Note in the caller's transaction what a document lists, where it is a manifest.

    Raises:
        XdsRefusalError: as `check_kos`.
    """
    with open_document() as stream:
        contents = check_kos(stream, entry)
    if contents is not None:
        note_manifest(session, entry, contents)


def read_manifest(stream: BinaryIO) -> ManifestContents:
    """Return what the Key Object Selection in `stream`, a DICOM file, lists.

    Raises:
        XdsRefusalError: it is none, is larger than any honest one, or lists nothing.
    """
    if stream.seek(0, io.SEEK_END) > _LARGEST_BYTES:
        raise XdsRefusalError(
            ErrorCode.REPOSITORY_METADATA, "size", f"{_LARGEST_BYTES} bytes", rule=_TOO_LARGE
        )
    stream.seek(0)
    try:
        dataset = read_dataset(stream, stop_before_pixels=True)
        if dataset.get("SOPClassUID") != KEY_OBJECT_SELECTION:
            raise XdsRefusalError(
                ErrorCode.REPOSITORY_METADATA, "SOPClassUID", KEY_OBJECT_SELECTION
            )
    except VALUE_ERRORS as error:
        raise XdsRefusalError(
            ErrorCode.REPOSITORY_METADATA, "document", rule=_UNREADABLE
        ) from error
    return contents_of(dataset)


def contents_of(dataset: Dataset) -> ManifestContents:
    """Return what a Key Object Selection lists.

    Raises:
        XdsRefusalError: its references cannot be read, or there are none.
    """
    try:
        contents = ManifestContents(
            require_uid(str(dataset.SOPInstanceUID), "SOP Instance UID"),
            tuple(_studies(dataset.get("CurrentRequestedProcedureEvidenceSequence") or ())),
        )
    except (InvalidUidError, *VALUE_ERRORS) as error:
        raise XdsRefusalError(
            ErrorCode.REPOSITORY_METADATA, "document", rule=_UNREADABLE
        ) from error
    if not any(study.instance_count for study in contents.studies):
        raise XdsRefusalError(ErrorCode.REPOSITORY_METADATA, "document", rule=_LISTS_NOTHING)
    return contents


def referenced_studies(entry: DocumentEntry) -> Iterator[str]:
    """Yield the Study Instance UIDs an entry refers to (RAD TF-3 4.68.4.1.2.3)."""
    for reference in entry.reference_ids:
        parts = reference.cxi.split("^")
        if len(parts) >= 5 and parts[4] == _STUDY_REFERENCE:
            yield parts[0]


def note_manifest(session: Session, entry: DocumentEntry, contents: ManifestContents) -> None:
    """Note in the caller's transaction which studies the manifest of `entry` lists."""
    for study in contents.studies:
        key = entry.entry_uuid, study.study_instance_uid
        if session.get(ListedStudyRow, key) is None:
            session.add(
                ListedStudyRow(
                    entry_uuid=entry.entry_uuid,
                    study_instance_uid=study.study_instance_uid,
                    repository_unique_id=_location(study) or entry.repository_unique_id,
                    series_count=len(study.series),
                    instance_count=study.instance_count,
                )
            )


def listed_studies(session: Session, entry_uuids: Collection[str]) -> list[StudyElsewhere]:
    """Return the studies that the manifests of these entries list."""
    wanted = list(entry_uuids)
    found: list[StudyElsewhere] = []
    for start in range(0, len(wanted), _BATCH):
        rows = session.scalars(
            select(ListedStudyRow)
            .where(ListedStudyRow.entry_uuid.in_(wanted[start : start + _BATCH]))
            .order_by(ListedStudyRow.study_instance_uid)
        )
        found += [
            StudyElsewhere(
                row.study_instance_uid,
                row.entry_uuid,
                row.repository_unique_id,
                row.series_count,
                row.instance_count,
            )
            for row in rows
        ]
    return found


def _disagrees(place: str, came: str, allowed: str) -> XdsRefusalError:
    return XdsRefusalError(
        ErrorCode.REPOSITORY_METADATA, place, allowed, came=came, rule=_DISAGREES
    )


def _studies(evidence: Iterable[Dataset]) -> Iterator[ListedStudy]:
    """Yield each study once, as the manifest lists it: a study may stand in several items."""
    series: dict[str, list[ListedSeries]] = {}
    for study in evidence:
        uid = require_uid(str(study.StudyInstanceUID), "Study Instance UID")
        series.setdefault(uid, []).extend(_series(study.get("ReferencedSeriesSequence") or ()))
    for uid, listed in series.items():
        yield ListedStudy(uid, tuple(listed))


def _series(items: Iterable[Dataset]) -> Iterator[ListedSeries]:
    for item in items:
        yield ListedSeries(
            require_uid(str(item.SeriesInstanceUID), "Series Instance UID"),
            str(item.get("RetrieveLocationUID") or ""),
            tuple(
                require_uid(str(one.ReferencedSOPInstanceUID), "Referenced SOP Instance UID")
                for one in item.get("ReferencedSOPSequence") or ()
            ),
        )


def _location(study: ListedStudy) -> str:
    """Return where the images of a study are retrieved from, as far as the manifest says."""
    for series in study.series:
        if 0 < len(series.retrieve_location_uid) <= 64:
            return series.retrieve_location_uid
    return ""
