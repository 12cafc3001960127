"""Studies leave the hub de-identified: new files, in a folder, by project (DICOM PS3.15 Annex E).

Only images leave: reports, documents, presentation states and raw data carry words in forms that
this profile does not clean. What stays behind is counted with its reason.
"""

import hashlib
import io
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian
from sqlalchemy.orm import Session

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.deidentification.boxes import Box
from eir_versions.deidentification.cleaning import Cleaner
from eir_versions.deidentification.errors import LeftOutError
from eir_versions.deidentification.identifiers import KnownIdentifiers
from eir_versions.deidentification.pixels import (
    FrameShape,
    frame_shape,
    padded,
    pixel_element_head,
)
from eir_versions.deidentification.profile import EDITION, Profile
from eir_versions.deidentification.pseudonyms import ProjectKey
from eir_versions.deidentification.tables import DeidentifiedExportRow
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from hub_kernel.database import Database
from image_archive.errors import ArchiveError
from image_archive.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from image_archive.model import InstanceRecord, SeriesRecord, StudyRecord
from image_archive.reading import VALUE_ERRORS, read_dataset

NOT_AN_IMAGE = "not_an_image"
IDENTIFIER_LEFT = "identifier_left"
_IMAGES = "1.2.840.10008.5.1.4.1.1."
# Objects with pixels whose meaning is in words or labels: segmentations, raw data, parametric maps.
_NO_PICTURES = (f"{_IMAGES}66", f"{_IMAGES}30", f"{_IMAGES}104", f"{_IMAGES}88", f"{_IMAGES}11")
PixelCheck = Callable[[StudyRecord, SeriesRecord, InstanceRecord, int], Sequence[Box]]


@dataclass(frozen=True)
class ExportParts:
    """What an export works with.

    `masks` says what to blacken in a frame, and raises `UnrenderableInstanceError` for one that may
    not leave. `person_of` names the person a study is of, the same for all their studies.
    """

    database: Database
    open_instance: Callable[[str], BinaryIO]
    pool: DecoderPool
    masks: PixelCheck
    person_of: Callable[[StudyRecord], str]


@dataclass(frozen=True)
class StudyContents:
    """A study and all that is in it, in reading order."""

    study: StudyRecord
    series: Sequence[tuple[SeriesRecord, Sequence[InstanceRecord]]]


@dataclass(frozen=True)
class ExportOrder:
    """To which project, by which profile, into which folder, by whom."""

    key: ProjectKey
    profile: Profile
    folder: Path
    by: str


@dataclass(frozen=True)
class StudyExport:
    """What left of one study; `content_sha256` covers every file's path and digest."""

    subject_id: str
    study_instance_uid: str
    files: tuple[tuple[str, str], ...]
    left_out: dict[str, int]

    @property
    def content_sha256(self) -> str:
        """Digest over the files: the same input and project give the same again."""
        lines = "".join(f"{digest}  {path}\n" for path, digest in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()


class Exporter:
    """Exports studies one at a time; nothing of a file is there before it is whole and checked."""

    def __init__(self, parts: ExportParts) -> None:
        self._parts = parts

    def export(
        self,
        contents: StudyContents,
        order: ExportOrder,
        on_record: Callable[[Session, StudyExport], None],
    ) -> StudyExport:
        """Write the study's images and put the export on record.

        Raises:
            OSError: the folder cannot be written.
        """
        study = contents.study
        subject = order.key.subject(self._parts.person_of(study))
        cleaner = Cleaner(order.profile, order.key, subject)
        files, left_out = [], Counter[str]()
        for series, instances in contents.series:
            for instance in instances:
                try:
                    files.append(self._instance(study, series, instance, cleaner, order))
                except LeftOutError as reason:
                    left_out[reason.reason] += 1
                except (UnrenderableInstanceError, FrameNotFoundError) as error:
                    left_out[getattr(error, "reason", reasons.NO_SUCH_FRAME)] += 1
                except (ArchiveError, *VALUE_ERRORS):
                    left_out[reasons.UNREADABLE] += 1
        done = StudyExport(
            subject.subject_id,
            cleaner.new_uid(study.study_instance_uid),
            tuple(sorted(files)),
            dict(sorted(left_out.items())),
        )
        self._remember(study, order, done, on_record)
        return done

    def _instance(
        self,
        study: StudyRecord,
        series: SeriesRecord,
        instance: InstanceRecord,
        cleaner: Cleaner,
        order: ExportOrder,
    ) -> tuple[str, str]:
        _require_image(instance)
        with self._parts.open_instance(instance.sop_instance_uid) as stream:
            source = read_dataset(stream, stop_before_pixels=True)
        if source.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
            raise LeftOutError(reasons.UNSUPPORTED_TRANSFER_SYNTAX)
        shape = frame_shape(source)
        masks = [
            self._parts.masks(study, series, instance, number)
            for number in range(1, shape.frames + 1)
        ]
        new = cleaner.cleaned(source, pixels_checked=cleaner.profile.cleans_pixels)
        known = KnownIdentifiers.of(source, _names_of(study))
        frames = self._frames(instance, shape, masks)
        first = next(frames)
        return _written(new, shape, (first, frames), known, order.folder)

    def _frames(
        self, instance: InstanceRecord, shape: FrameShape, masks: Sequence[Sequence[Box]]
    ) -> Iterator[tuple[str, bytes]]:
        """Each frame as its new photometric interpretation and its bytes."""
        for number in range(1, shape.frames + 1):
            with self._parts.open_instance(instance.sop_instance_uid) as stream:
                decoded = self._parts.pool.native_frame(stream, number)
            yield decoded.photometric, shape.cleaned(decoded.data, masks[number - 1])

    def _remember(
        self,
        study: StudyRecord,
        order: ExportOrder,
        done: StudyExport,
        on_record: Callable[[Session, StudyExport], None],
    ) -> None:
        with self._parts.database.unit_of_work() as work:
            work.session.add(
                DeidentifiedExportRow(
                    export_id=str(uuid.uuid4()),
                    project=order.key.project,
                    study_instance_uid=study.study_instance_uid,
                    subject_id=done.subject_id,
                    options=",".join(sorted(order.profile.options)),
                    edition=EDITION,
                    instances=len(done.files),
                    left_out=json.dumps(done.left_out),
                    content_sha256=done.content_sha256,
                    exported_by=order.by[:128],
                    exported_at=work.clock.now(),
                )
            )
            on_record(work.session, done)


def _require_image(instance: InstanceRecord) -> None:
    sop_class = instance.sop_class_uid
    if not instance.rows or not sop_class.startswith(_IMAGES) or sop_class.startswith(_NO_PICTURES):
        raise LeftOutError(NOT_AN_IMAGE)


def _names_of(study: StudyRecord) -> list[str]:
    name = study.patient_name
    return [name.alphabetic, name.ideographic, name.phonetic, study.patient.value]


def _written(
    new: Dataset,
    shape: FrameShape,
    frames: tuple[tuple[str, bytes], Iterator[tuple[str, bytes]]],
    known: KnownIdentifiers,
    folder: Path,
) -> tuple[str, str]:
    """Write one file; return its path below the folder and its digest.

    Raises:
        LeftOutError: something of the person is still in it; then there is no file.
    """
    (photometric, first), rest = frames
    head = _head(new, shape, photometric)
    if known.found_in(head):
        raise LeftOutError(IDENTIFIER_LEFT)
    name = (
        f"{new.PatientID}/{new.StudyInstanceUID}/{new.SeriesInstanceUID}/{new.SOPInstanceUID}.dcm"
    )
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, digest = path.with_suffix(".part"), hashlib.sha256()
    try:
        with draft.open("wb") as file:
            pixels = padded(_chained(first, rest), shape)
            for piece in (head, pixel_element_head(shape), *pixels):
                digest.update(piece)
                file.write(piece)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return name, digest.hexdigest()


def _chained(first: bytes, rest: Iterator[tuple[str, bytes]]) -> Iterator[bytes]:
    yield first
    yield from (data for _, data in rest)


def _head(new: Dataset, shape: FrameShape, photometric: str) -> bytes:
    """Preamble, file meta and all attributes, ending where the pixels begin."""
    layout = shape.header.layout
    new.HighBit = layout.bits_stored - 1
    new.PhotometricInterpretation = photometric or shape.header.photometric
    if layout.samples > 1:
        new.PlanarConfiguration = 0
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = new.SOPClassUID
    meta.MediaStorageSOPInstanceUID = new.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    new.file_meta = meta
    out = io.BytesIO()
    dcmwrite(out, new, enforce_file_format=True)
    return out.getvalue()
