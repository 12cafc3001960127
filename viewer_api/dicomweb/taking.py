"""One part of a Store request on its way into the archive, like a C-STORE (PS3.18 10.5)."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from hub_kernel.errors import HubError, InvalidUidError
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveFullError,
    ArchiveUnavailableError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    IdentityMismatchError,
    UnreadableInstanceError,
)
from image_archive.file_meta import FileMeta, read_file_meta
from image_archive.model import IncomingHeader, InstanceOrigin
from image_archive.reading import DatasetSource, read_header
from viewer_api.dicomweb.store_answers import NotStored

if TYPE_CHECKING:
    from access_control.model import Site
    from access_control.usage import SiteUsage
    from image_archive.header import InstanceHeader
    from image_archive.service import ArchiveService

SOP_CLASS_NOT_SUPPORTED, WRONG_STUDY, TOO_LARGE = 0x0122, 0xA900, 0xA700
NOT_UNDERSTOOD = 0xC000
_PIECE = 1 << 20
# The first line that fits; the numbers are those of the status of a C-STORE.
_REASONS: tuple[tuple[type[Exception], int], ...] = (
    (ArchiveFullError, 0xA700),
    (ArchiveBusyError, 0xA702),
    (ArchiveUnavailableError, 0xA701),
    (ConflictingInstanceError, 0x0111),
    (ConflictingStudyError, 0xC010),
    (ContradictingPatientError, 0xC012),
    (IdentityMismatchError, 0xA900),
    (InvalidUidError, 0x0117),
    (UnreadableInstanceError, NOT_UNDERSTOOD),
)
_ELSE = 0x0110
_EXPECTED = (HubError, SQLAlchemyError, OSError)


@dataclass(frozen=True)
class Taken:
    """What was stored: durable, and found a moment later."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True)
class Taking:
    """Takes parts in for one site; `study_uid` names the only study allowed, empty allows all."""

    archive: ArchiveService
    usage: SiteUsage
    site: Site
    origin: InstanceOrigin
    study_uid: str
    max_instance_bytes: int

    def take(self, pieces: Iterator[bytes]) -> Taken | NotStored:
        """Store the Part 10 file in `pieces`, which lies on the disk meanwhile; never raises."""
        with tempfile.TemporaryFile() as file:
            size = _written(pieces, file, self.max_instance_bytes)
            if size > self.max_instance_bytes:
                return NotStored(TOO_LARGE)
            if not size:
                return NotStored(NOT_UNDERSTOOD)
            with closing(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)) as mapped:
                return self._taken(mapped, size)

    def _taken(self, data: mmap.mmap, size: int) -> Taken | NotStored:
        sop_class_uid = sop_instance_uid = ""
        try:
            meta = read_file_meta(data[:_PIECE])
            sop_class_uid, sop_instance_uid = meta.sop_class_uid, meta.sop_instance_uid
            found = self._header(data, meta)
            if found is not None:
                sop_class_uid, sop_instance_uid = found.sop_class_uid, found.sop_instance_uid
                if refused := self._refusal(found):
                    return refused
            header = IncomingHeader(
                sop_class_uid, sop_instance_uid, meta.transfer_syntax_uid, self.origin
            )
            with self.archive.incoming(header) as incoming:
                for start in range(meta.dataset_offset, size, _PIECE):
                    incoming.write(data[start : start + _PIECE])
                incoming.secure()
        except _EXPECTED as error:
            reason = next((code for kind, code in _REASONS if isinstance(error, kind)), _ELSE)
            return NotStored(reason, sop_class_uid, sop_instance_uid)
        self.usage.received(self.site.site_id, size)
        assert found is not None  # noqa: S101 - what cannot be read is not secured
        series, study = found.series.series_instance_uid, found.study.study_instance_uid
        return Taken(sop_class_uid, sop_instance_uid, series, study)

    def _header(self, data: mmap.mmap, meta: FileMeta) -> InstanceHeader | None:
        """Return the dataset's header; None lets the archive judge it, and keep the bytes."""
        habit = self.origin.charset_habit
        with (
            suppress(UnreadableInstanceError),
            memoryview(data) as whole,
            whole[meta.dataset_offset :] as dataset,
        ):
            source = DatasetSource(dataset, len(dataset), lambda: nullcontext(dataset))
            return read_header(source, meta.transfer_syntax_uid, habit)
        return None

    def _refusal(self, found: InstanceHeader) -> NotStored | None:
        reason = 0
        if self.study_uid not in {"", found.study.study_instance_uid}:
            reason = WRONG_STUDY
        elif not self.site.may_send(found.sop_class_uid):
            reason = SOP_CLASS_NOT_SUPPORTED
        elif not found.emergency and not self.usage.has_room(self.site):
            self.usage.refused(self.site.site_id)
            reason = TOO_LARGE
        return NotStored(reason, found.sop_class_uid, found.sop_instance_uid) if reason else None


def _written(pieces: Iterator[bytes], file: IO[bytes], most: int) -> int:
    """Write what may be written; what is too much is read and thrown away."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size <= most:
            file.write(piece)
    file.flush()
    return size
