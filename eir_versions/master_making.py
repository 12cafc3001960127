"""Masters out of originals: HTJ2K RPCL codestreams and all that restores the original (PS3.5 A.4).

Decoding and encoding run in the children of `eir_versions.decoding`. What is written here promises
nothing yet: `image_archive.compaction` restores every master and compares before it counts.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import BinaryIO, Protocol

from eir_versions import reasons
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.lossless import HTJ2K_LOSSLESS_RPCL
from eir_versions.master_format import Block, Description, Packing, trailing_element
from eir_versions.master_reading import decoded_master_frame
from eir_versions.wire import FrameLayout, NativeFrame, Surroundings
from image_archive.errors import NotCompactableError, UnreadableInstanceError
from image_archive.exporting import exported_head
from image_archive.file_meta import FileMeta
from image_archive.reading import skip_file_meta

OpenOriginal = Callable[[], BinaryIO]
_EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _EXPLICIT_BIG_ENDIAN})
_COMPRESSED = "already_compressed"
_PIXEL_DATA = 0x7FE00010
_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_UNDEFINED = 0xFFFFFFFF
_LARGEST_EXCESS = 1 << 20
_ITEM = struct.Struct("<HHL")
_PIXEL_HEAD = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED) + _ITEM.pack(
    0xFFFE, 0xE000, 0
)
_SEQUENCE_END = _ITEM.pack(0xFFFE, 0xE0DD, 0)


class FrameEncoder(Protocol):
    """What is asked of the decoder children (`eir_versions.decoding.DecoderPool`)."""

    def layout(self, source: BinaryIO) -> FrameLayout:
        """Return how the frames of an instance are made."""
        ...

    def encoded_frame(
        self, source: BinaryIO, frame_number: int, transfer_syntax_uid: str
    ) -> NativeFrame:
        """Return one frame compressed without loss, and proved so."""
        ...

    def surroundings(
        self, source: BinaryIO, changes: Mapping[int, tuple[str, bytes]], *, implicit: bool
    ) -> Surroundings:
        """Return all but the pixels in explicit VR little endian."""
        ...


@dataclass(frozen=True)
class HtMasterMaker:
    """Makes masters (`image_archive.compaction.MasterMaker`)."""

    encoder: FrameEncoder

    def make(self, open_original: OpenOriginal, out: BinaryIO) -> None:
        """Write the master of a Part 10 file; memory is taken for one frame at a time.

        Raises:
            NotCompactableError: with the reason why the original has to stay.
            DecoderPoolStoppedError: the hub is shutting down.
        """
        with _reasons_given(), open_original() as source:
            meta = skip_file_meta(source)
            if meta.transfer_syntax_uid not in _NATIVE:
                raise NotCompactableError(_COMPRESSED)
            found = self.encoder.surroundings(source, {}, implicit=False)
            layout = self.encoder.layout(source)
            _require_plain(found, layout)
            self._write(source, _Original(open_original, meta, found, layout), out)

    def _write(self, source: BinaryIO, original: "_Original", out: BinaryIO) -> None:
        frames = self._frames(source, original)
        first = next(frames)
        changed = _described(first, original.layout)
        shown = self.encoder.surroundings(source, changed, implicit=False)
        out.write(original.head() + shown.before + _PIXEL_HEAD)
        places = [_add_fragment(out, first.data)]
        packings = list(original.packings())
        with original.open() as raw:
            original.narrow(packings, raw, 0, first.data)
            for index, frame in enumerate(frames, 1):
                if frame.photometric != first.photometric:
                    raise NotCompactableError(reasons.UNSUPPORTED_PIXELS)
                places.append(_add_fragment(out, frame.data))
                original.narrow(packings, raw, index, frame.data)
            before, after = original.around(raw)
        description = Description(tuple(places), original.frame_bytes, packings[0])
        out.write(_SEQUENCE_END + trailing_element(Block(description, before, after)))

    def _frames(self, source: BinaryIO, original: "_Original") -> Iterator[NativeFrame]:
        for number in range(1, original.layout.number_of_frames + 1):
            yield self.encoder.encoded_frame(source, number, HTJ2K_LOSSLESS_RPCL)


@dataclass(frozen=True)
class _Original:
    """The file that a master is made of."""

    open: OpenOriginal
    meta: FileMeta
    found: Surroundings
    layout: FrameLayout

    @property
    def frame_bytes(self) -> int:
        return self.layout.frame_bits // 8

    def head(self) -> bytes:
        return exported_head(
            self.meta.sop_class_uid, self.meta.sop_instance_uid, HTJ2K_LOSSLESS_RPCL
        )

    def packings(self) -> Iterator[Packing]:
        """Yield every way in which samples of this size may lie in the file, the usual first."""
        size = self.layout.bits_allocated // 8
        big = self.meta.transfer_syntax_uid == _EXPLICIT_BIG_ENDIAN
        word = f"{'>' if big else '<'}u{size}"
        whole = self.layout.bits_allocated
        paired = (False, True) if big and size == 1 and self.frame_bytes % 2 == 0 else (False,)
        planar = (False, True) if self.layout.samples > 1 else (False,)
        for bits, planes, pairs in product(range(whole, 0, -1), planar, paired):
            yield Packing(word, bits, planes, pairs)

    def narrow(self, packings: list[Packing], raw: BinaryIO, index: int, codestream: bytes) -> None:
        """Leave the packings that give the bytes of this frame back.

        Raises:
            NotCompactableError: none does.
        """
        raw.seek(self.found.pixel_offset + index * self.frame_bytes)
        wanted = raw.read(self.frame_bytes)
        values = decoded_master_frame(codestream)
        packings[:] = [packing for packing in packings if packing.packed(values) == wanted]
        if not packings:
            raise NotCompactableError(reasons.UNSUPPORTED_PIXELS)

    def around(self, raw: BinaryIO) -> tuple[bytes, bytes]:
        raw.seek(0)
        before = raw.read(self.found.pixel_offset)
        raw.seek(self.found.pixel_offset + self.layout.number_of_frames * self.frame_bytes)
        return before, raw.read()


def _require_plain(found: Surroundings, layout: FrameLayout) -> None:
    """Refuse what no master is made of.

    Raises:
        NotCompactableError: with the reason.
    """
    if found.pixel_tag != _PIXEL_DATA or found.pixel_length is None:
        raise NotCompactableError(reasons.NO_PIXEL_DATA)
    if layout.floating or layout.bits_allocated not in (8, 16) or layout.samples not in (1, 3):
        raise NotCompactableError(reasons.UNSUPPORTED_PIXELS)
    excess = found.pixel_length - layout.frame_bits // 8 * layout.number_of_frames
    if not 0 <= excess <= _LARGEST_EXCESS:
        raise NotCompactableError(reasons.LENGTH_MISMATCH)


def _described(first: NativeFrame, layout: FrameLayout) -> dict[int, tuple[str, bytes]]:
    """What the pixels are called in the master (PS3.3 C.7.6.3.1.2, .3)."""
    photometric = first.photometric.encode("ascii", "replace")
    changes = {_PHOTOMETRIC: ("CS", photometric + b" " * (len(photometric) % 2))}
    if layout.samples > 1:
        changes[_PLANAR] = ("US", b"\0\0")
    return changes


def _add_fragment(out: BinaryIO, codestream: bytes) -> tuple[int, int, int]:
    """Write one item; return where its codestream lies, how long it is, and its checksum."""
    length = len(codestream)
    out.write(_ITEM.pack(0xFFFE, 0xE000, length + length % 2))
    offset = out.tell()
    out.write(codestream + b"\0" * (length % 2))
    return offset, length, zlib.crc32(codestream)


@contextmanager
def _reasons_given() -> Iterator[None]:
    try:
        yield
    except UnrenderableInstanceError as error:
        raise NotCompactableError(error.reason) from error
    except FrameNotFoundError as error:
        raise NotCompactableError(reasons.NO_SUCH_FRAME) from error
    except UnreadableInstanceError as error:
        raise NotCompactableError(reasons.UNREADABLE) from error
