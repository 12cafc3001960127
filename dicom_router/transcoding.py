"""Bring an archived instance into another transfer syntax, without loss (PS3.5 Annex A).

What decodes untrusted pixels, and what reads untrusted headers, runs in the decoder children. The
result is spooled to a temporary file: it is whole, or there is none, before a byte is sent. The SOP
Instance UID stays, as the pixels do (PS3.4 B.4.1).
"""

import io
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO

import numpy as np

from dicom_router.presentation import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dicom_router.sending.errors import InstanceUnavailableError, TranscodingError
from dicom_router.sending.model import OutgoingInstance
from dicom_router.sending.stored_instances import require_intact
from eir_versions.decoding import DecoderPool
from eir_versions.errors import (
    DecoderPoolStoppedError,
    FrameNotFoundError,
    UnrenderableInstanceError,
)
from eir_versions.lossless import (
    HTJ2K_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_LS_LOSSLESS,
    RLE,
)
from eir_versions.reasons import LENGTH_MISMATCH, NO_PIXEL_DATA, UNSUPPORTED_TRANSFER_SYNTAX
from eir_versions.wire import FrameLayout, NativeFrame, Surroundings
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.deflated import inflate
from image_archive.errors import UnreadableInstanceError
from image_archive.model import InstanceRecord
from image_archive.reading import skip_file_meta

NATIVE = frozenset(
    {EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN}
)
COMPRESSED = frozenset({HTJ2K_LOSSLESS, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, RLE})
"""What instances can be compressed into; each is lossless by definition."""

_ELEMENT = Struct("<HH2sHL")
_IMPLICIT_ELEMENT = Struct("<HHL")
_ITEM = Struct("<HHL")
_EMPTY_OFFSET_TABLE = _ITEM.pack(0xFFFE, 0xE000, 0)
_SEQUENCE_END = _ITEM.pack(0xFFFE, 0xE0DD, 0)
_UNDEFINED = 0xFFFFFFFF
_LONGEST_VALUE = 0xFFFFFFFE
_PIXEL_DATA = 0x7FE00010
_PHOTOMETRIC_INTERPRETATION, _PLANAR_CONFIGURATION = 0x00280004, 0x00280006
_CHUNK_BYTES = 256 * 1024
_TOO_LONG = "more_than_4_gib"


@dataclass(frozen=True)
class Transcoder:
    """Recodes archived instances; `pool` has the limits of memory and time."""

    backend: ArchiveBackend
    pool: DecoderPool

    @contextmanager
    def recoded(
        self, record: InstanceRecord, accepted: Sequence[str]
    ) -> Iterator[OutgoingInstance]:
        """Give the instance in the first of `accepted` it can be brought into.

        Raises:
            TranscodingError: in none of them; with the reason of the first that was tried.
            InstanceUnavailableError: its own bytes are missing or damaged.
        """
        require_intact(self.backend, record)
        with tempfile.TemporaryFile() as spool:
            syntax = self._first_possible(record, accepted, spool)
            yield OutgoingInstance(
                record.sop_class_uid, record.sop_instance_uid, syntax, lambda: _pieces(spool)
            )

    def _first_possible(
        self, record: InstanceRecord, accepted: Sequence[str], spool: BinaryIO
    ) -> str:
        failure = TranscodingError(UNSUPPORTED_TRANSFER_SYNTAX)
        for number, syntax in enumerate(one for one in accepted if one in NATIVE | COMPRESSED):
            spool.seek(0)
            spool.truncate()
            try:
                with self.backend.open(record.storage_key) as file:
                    self._write(file, record, syntax, spool)
            except (
                UnrenderableInstanceError,
                UnreadableInstanceError,
                FrameNotFoundError,
            ) as error:
                reason = getattr(error, "reason", LENGTH_MISMATCH)
                failure = TranscodingError(reason) if number == 0 else failure
            except TranscodingError as error:
                failure = error if number == 0 else failure
            except (NotFoundError, OSError) as error:
                raise InstanceUnavailableError("the bytes cannot be read or spooled") from error
            except DecoderPoolStoppedError as error:
                raise TranscodingError("stopping") from error
            else:
                return syntax
        raise failure

    def _write(self, file: BinaryIO, record: InstanceRecord, wanted: str, spool: BinaryIO) -> None:
        out = _Deflating(spool) if wanted == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN else _Plain(spool)
        if wanted in COMPRESSED:
            self._compress(file, wanted, out)
        elif record.transfer_syntax_uid in NATIVE | {EXPLICIT_VR_BIG_ENDIAN}:
            self._reframe(file, record, wanted, out)
        else:
            self._decompress(file, wanted, out)
        out.finish()

    def _reframe(self, file: BinaryIO, record: InstanceRecord, wanted: str, out: "_Plain") -> None:
        """From native to native: the samples are copied, swapped at most."""
        implicit = wanted == IMPLICIT_VR_LITTLE_ENDIAN
        found = self.pool.surroundings(file, {}, implicit=implicit)
        out.write(found.before)
        if not found.pixel_tag:
            return
        if found.pixel_length is None:
            raise TranscodingError(LENGTH_MISMATCH)
        swapped = 0
        stored = record.transfer_syntax_uid
        if stored == EXPLICIT_VR_BIG_ENDIAN:
            swapped = _word_bytes(found, self.pool.layout(file))
        out.write(_pixel_head(found, found.pixel_length, implicit=implicit))
        # Opened anew: the children move the place at which the other one reads.
        with self.backend.open(record.storage_key) as again:
            for piece in _samples(again, stored, found):
                out.write(_little(piece, swapped))
        out.write(found.after)

    def _decompress(self, file: BinaryIO, wanted: str, out: "_Plain") -> None:
        layout = self.pool.layout(file)
        frames = self._frames(file, layout, None)
        first = next(frames)
        implicit = wanted == IMPLICIT_VR_LITTLE_ENDIAN
        found = self.pool.surroundings(file, _described(first, layout, 0), implicit=implicit)
        length = len(first.data) * layout.number_of_frames
        if found.pixel_tag != _PIXEL_DATA or len(first.data) * 8 != layout.frame_bits:
            raise TranscodingError(LENGTH_MISMATCH)
        if length > _LONGEST_VALUE:
            raise TranscodingError(_TOO_LONG)
        out.write(found.before)
        out.write(_pixel_head(found, length + length % 2, implicit=implicit))
        out.write(first.data)
        for frame in frames:
            if len(frame.data) != len(first.data) or frame.photometric != first.photometric:
                raise TranscodingError(LENGTH_MISMATCH)
            out.write(frame.data)
        out.write(b"\0" * (length % 2))
        out.write(found.after)

    def _compress(self, file: BinaryIO, wanted: str, out: "_Plain") -> None:
        layout = self.pool.layout(file)
        frames = self._frames(file, layout, wanted)
        first = next(frames)
        planar = 1 if wanted == RLE else 0
        found = self.pool.surroundings(file, _described(first, layout, planar), implicit=False)
        if found.pixel_tag != _PIXEL_DATA:
            raise TranscodingError(NO_PIXEL_DATA)
        out.write(found.before)
        out.write(_ELEMENT.pack(0x7FE0, 0x0010, b"OB", 0, _UNDEFINED) + _EMPTY_OFFSET_TABLE)
        out.write(_fragment(first.data))
        for frame in frames:
            if frame.photometric != first.photometric:
                raise TranscodingError(LENGTH_MISMATCH)
            out.write(_fragment(frame.data))
        out.write(_SEQUENCE_END + found.after)

    def _frames(
        self, file: BinaryIO, layout: FrameLayout, wanted: str | None
    ) -> Iterator[NativeFrame]:
        """Yield every frame, compressed, or native where `wanted` is None."""
        for number in range(1, layout.number_of_frames + 1):
            if wanted is None:
                yield self.pool.native_frame(file, number)
            else:
                yield self.pool.encoded_frame(file, number, wanted)


def _described(
    first: NativeFrame, layout: FrameLayout, planar: int
) -> dict[int, tuple[str, bytes]]:
    """What the pixels are called in their new form (PS3.3 C.7.6.3.1.2, .3)."""
    photometric = first.photometric.encode("ascii", "replace")
    changes = {_PHOTOMETRIC_INTERPRETATION: ("CS", photometric + b" " * (len(photometric) % 2))}
    if layout.samples > 1:
        changes[_PLANAR_CONFIGURATION] = ("US", planar.to_bytes(2, "little"))
    return changes


def _pixel_head(found: Surroundings, length: int, *, implicit: bool) -> bytes:
    group, element = found.pixel_tag >> 16, found.pixel_tag & 0xFFFF
    if implicit:
        return _IMPLICIT_ELEMENT.pack(group, element, length)
    vr = "OW" if found.pixel_length is None else found.pixel_vr
    return _ELEMENT.pack(group, element, vr.encode("ascii"), 0, length)


def _word_bytes(found: Surroundings, layout: FrameLayout) -> int:
    """The bytes of one word of big endian pixels; 8 and 1 bit samples lie in OW words too."""
    if layout.bits_allocated > 8:
        return layout.bits_allocated // 8
    return 2 if found.pixel_vr == "OW" else 0


def _little(piece: bytes, word_bytes: int) -> bytes:
    if word_bytes < 2:
        return piece
    whole = len(piece) - len(piece) % word_bytes
    swapped = np.frombuffer(piece[:whole], f">u{word_bytes}").astype(f"<u{word_bytes}")
    return swapped.tobytes() + piece[whole:]


def _samples(file: BinaryIO, stored: str, found: Surroundings) -> Iterator[bytes]:
    """Yield the value of the pixel element, in pieces of whole words.

    Raises:
        TranscodingError: it is shorter than it says.
    """
    body = file
    if stored == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        skip_file_meta(file)
        body = io.BytesIO(inflate(file.read()))
    body.seek(found.pixel_offset)
    left = found.pixel_length or 0
    while left:
        piece = body.read(min(_CHUNK_BYTES, left))
        if not piece:
            raise TranscodingError(LENGTH_MISMATCH)
        left -= len(piece)
        yield piece


def _fragment(data: bytes) -> bytes:
    padded = data + b"\0" * (len(data) % 2)
    return _ITEM.pack(0xFFFE, 0xE000, len(padded)) + padded


def _pieces(spool: BinaryIO) -> Iterator[bytes]:
    spool.seek(0)
    while piece := spool.read(_CHUNK_BYTES):
        yield piece


class _Plain:
    """Where the new dataset is written."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool

    def write(self, data: bytes) -> None:
        self._spool.write(data)

    def finish(self) -> None:
        self._spool.flush()


class _Deflating(_Plain):
    """The same, deflated (PS3.5 A.5); of even length."""

    def __init__(self, spool: BinaryIO) -> None:
        super().__init__(spool)
        self._stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    def write(self, data: bytes) -> None:
        super().write(self._stream.compress(data))

    def finish(self) -> None:
        super().write(self._stream.flush())
        super().write(b"\0" * (self._spool.tell() % 2))
        super().finish()
