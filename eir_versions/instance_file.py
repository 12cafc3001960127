"""Reading one Part 10 file frame by frame without loading its pixels (DICOM PS3.10, PS3.5 A.4)."""

import io
import struct
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRBigEndian

from eir_versions import reasons
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.frame_fragments import Fragment, remembered_fragments
from eir_versions.headers import ImageHeader, image_header, value_of
from image_archive.deflated import inflate
from image_archive.elements import encoding_of
from image_archive.errors import UnreadableInstanceError
from image_archive.reading import skip_file_meta

_PIXEL_KEYWORDS = {
    Tag(0x7FE00008): "FloatPixelData",
    Tag(0x7FE00009): "DoubleFloatPixelData",
    Tag(0x7FE00010): "PixelData",
}
_LONG_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_UNDEFINED = 0xFFFFFFFF
_ITEM, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
UNREADABLE = (
    UnreadableInstanceError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    NotImplementedError,
    EOFError,
    OSError,
    RecursionError,
    struct.error,
)
NATIVE_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)


@dataclass(frozen=True)
class PixelElement:
    """Where Pixel Data lies: keyword, VR, first byte of the value, and length (None: undefined)."""

    keyword: str
    vr: str
    offset: int
    length: int | None


@dataclass(frozen=True, eq=False)
class InstanceFile:
    """An opened instance: its attributes, its checked image header and where its pixels are.

    `averaged_masks` keeps what frames drawn one after another are subtracted from (`subtracting`).
    """

    dataset: Dataset
    header: ImageHeader
    element: PixelElement
    source: BinaryIO
    averaged_masks: dict[Hashable, NDArray[Any]] = field(default_factory=dict)

    @property
    def is_native(self) -> bool:
        """True when Pixel Data is not encapsulated."""
        return self.header.transfer_syntax_uid in NATIVE_SYNTAXES

    @property
    def is_big_endian(self) -> bool:
        """True for the retired big endian transfer syntax."""
        return self.header.transfer_syntax_uid == ExplicitVRBigEndian

    def frame_bytes(self, frame_number: int) -> bytes:
        """Return the stored bytes of one frame, 1-based: the codestream, or the native samples.

        Raises:
            FrameNotFoundError: the number is outside 1 to Number of Frames.
            UnrenderableInstanceError: the bytes of that frame are not all there.
        """
        if not 1 <= frame_number <= self.header.number_of_frames:
            raise FrameNotFoundError(f"frame {frame_number} does not exist")
        if self.is_native:
            return self._native_frame(frame_number - 1)
        return self._encapsulated_frame(frame_number)

    def _native_frame(self, index: int) -> bytes:
        bits = self._native_frame_bits()
        first_bit, last_bit = index * bits, (index + 1) * bits
        start, stop = first_bit // 8, -(-last_bit // 8)
        if self.element.length is None or stop > self.element.length:
            raise UnrenderableInstanceError(reasons.LENGTH_MISMATCH)
        data = self._span(start, stop)
        if first_bit % 8 == 0:
            return data
        unpacked = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        frame = unpacked[first_bit % 8 :][:bits]
        return np.packbits(frame, bitorder="little").tobytes()

    def _native_frame_bits(self) -> int:
        if self.header.photometric == "YBR_FULL_422":
            return self.header.layout.pixel_count * 2 * self.header.layout.bits_allocated
        return self.header.layout.frame_bits

    def _span(self, start: int, stop: int) -> bytes:
        """Bytes of the value in little endian order: OW of 8 bits or less is swapped in pairs."""
        swapped = (
            self.is_big_endian
            and self.element.vr == "OW"
            and self.header.layout.bits_allocated in (1, 8)
        )
        first, last = (start & ~1, stop + (stop & 1)) if swapped else (start, stop)
        self.source.seek(self.element.offset + first)
        data = self.source.read(last - first)
        if len(data) < stop - first:
            raise UnrenderableInstanceError(reasons.LENGTH_MISMATCH)
        if swapped:
            data = np.frombuffer(data[: len(data) // 2 * 2], "<u2").byteswap().tobytes()
        return data[start - first :][: stop - start]

    def fragments(self, frame_number: int) -> Sequence[Fragment]:
        """Return where the encapsulated bytes of one frame, 1-based, lie in `source`.

        Raises:
            UnrenderableInstanceError: unreadable, or length_mismatch where that is not certain.
        """
        if self.element.length is not None:
            raise UnrenderableInstanceError(reasons.UNREADABLE)
        extended = value_of(self.dataset, "ExtendedOffsetTable")
        try:
            found = remembered_fragments(
                self.source,
                self.element.offset,
                self.header.number_of_frames,
                extended if isinstance(extended, bytes) else None,
            )
        except (ValueError, struct.error, OSError) as error:
            raise UnrenderableInstanceError(reasons.LENGTH_MISMATCH) from error
        return found.of_frame(frame_number - 1)

    def _encapsulated_frame(self, frame_number: int) -> bytes:
        found = []
        for offset, length in self.fragments(frame_number):
            self.source.seek(offset)
            found.append(self.source.read(length))
        if not any(found):
            raise UnrenderableInstanceError(reasons.LENGTH_MISMATCH)
        return found[0] if len(found) == 1 else b"".join(found)


@dataclass(frozen=True, eq=False)
class OpenedBody:
    """A dataset at hand: `body` stands behind its elements before the pixels, which are read.

    `start` is its first byte in `body`, which is another stream than the file where it is deflated.
    """

    body: BinaryIO
    start: int
    dataset: Dataset
    transfer_syntax_uid: str
    implicit: bool
    big_endian: bool


@dataclass(frozen=True)
class PixelPlace:
    """A pixel element: its own first byte, that of its value, and its length (None: undefined)."""

    tag: BaseTag
    vr: str
    start: int
    value_offset: int
    length: int | None

    def end(self, body: BinaryIO) -> int:
        """Return the first byte behind the element.

        Raises:
            ValueError: its fragments do not follow PS3.5 A.4.
        """
        if self.length is not None:
            return self.value_offset + self.length
        at: int = self.value_offset
        while True:
            body.seek(at)
            group, element, length = struct.unpack("<HHL", body.read(8))
            at += 8 + int(length)
            if (group, element) == _SEQUENCE_END:
                return at
            if (group, element) != _ITEM:
                raise ValueError("something else than a fragment stands among the pixels")


def open_body(source: BinaryIO) -> OpenedBody:
    """Read the elements of a Part 10 file up to its pixels; raises one of `UNREADABLE`."""
    meta = skip_file_meta(source)
    encoding = encoding_of(meta.transfer_syntax_uid)
    body = io.BytesIO(inflate(source.read())) if encoding.deflated else source
    start = body.tell()
    dataset = read_dataset(body, encoding.implicit, not encoding.big_endian, stop_when=_at_pixels)
    return OpenedBody(
        body,
        start,
        dataset,
        meta.transfer_syntax_uid,
        encoding.implicit,
        encoding.big_endian,
    )


def open_instance(source: BinaryIO) -> InstanceFile:
    """Read the attributes of a Part 10 file and locate its pixels.

    Raises:
        UnrenderableInstanceError: no_pixel_data, unreadable, unsupported_pixels or too_large.
    """
    try:
        opened = open_body(source)
        place = locate_pixels(opened.body, opened.dataset)
    except UNREADABLE as error:
        raise UnrenderableInstanceError(reasons.UNREADABLE) from error
    if place is None:
        raise UnrenderableInstanceError(reasons.NO_PIXEL_DATA)
    keyword = _PIXEL_KEYWORDS[place.tag]
    header = image_header(opened.dataset, opened.transfer_syntax_uid, keyword)
    element = PixelElement(keyword, place.vr, place.value_offset, place.length)
    return InstanceFile(opened.dataset, header, element, opened.body)


def locate_pixels(body: BinaryIO, dataset: Dataset) -> PixelPlace | None:
    """Return the pixel element that `body` stands before, None when it stands before none.

    Raises:
        ValueError: a pixel element of a VR that none can have.
    """
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    start = body.tell()
    head = body.read(12)
    if len(head) < 8:
        return None
    tag = Tag(struct.unpack(f"{order}HH", head[:4]))
    if tag not in _PIXEL_KEYWORDS:
        return None
    vr = "OW" if implicit else head[4:6].decode("ascii", "replace")
    if implicit:
        length, used = struct.unpack(f"{order}L", head[4:8])[0], 8
    elif vr in _LONG_VRS and len(head) == 12:
        length, used = struct.unpack(f"{order}L", head[8:12])[0], 12
    else:
        raise ValueError("a pixel element of this VR")
    return PixelPlace(tag, vr, start, start + used, None if length == _UNDEFINED else length)


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in _PIXEL_KEYWORDS
