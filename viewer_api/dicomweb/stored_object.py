"""Reads a stored Part 10 object without its pixel data: header, place of the pixels, fragments.

PS3.10 7 and PS3.5 A.4. Only element headers and item headers are walked here; no codestream is
decoded. Whatever the bytes claim, nothing outside the object is read and nothing is allocated by
a claimed length.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pydicom.filereader import read_dataset

from image_archive.deflated import inflate
from image_archive.errors import ArchiveError
from image_archive.reading import skip_file_meta, taking_apart
from viewer_api.dicomweb.header_weight import is_too_heavy
from viewer_api.dicomweb.media_types import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from viewer_api.errors import UnusableBytesError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})

_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM = (0xFFFE, 0xE000)
_SEQUENCE_END = (0xFFFE, 0xE0DD)
_MAX_FRAGMENTS = 1_000_000


@dataclass(frozen=True)
class PixelElement:
    """Where a pixel value lies: `offset` of its first byte; `length` None when encapsulated."""

    tag: int
    vr: str
    offset: int
    length: int | None


@dataclass(frozen=True)
class StoredObject:
    """An opened object: its elements before the pixels, and where those lie in `file`."""

    file: BinaryIO
    dataset: Dataset
    transfer_syntax: str
    pixels: PixelElement | None

    @property
    def is_big_endian(self) -> bool:
        """Whether binary values are stored most significant byte first."""
        return self.transfer_syntax == EXPLICIT_VR_BIG_ENDIAN


def read_object(file: BinaryIO, transfer_syntax: str) -> StoredObject:
    """Return the object in `file`, a Part 10 stream positioned at its start.

    The caller keeps and closes `file`; `StoredObject.file` may be another one in memory.

    Raises:
        UnusableBytesError: the bytes are not a readable object, or its header is too large.
    """
    try:
        with taking_apart():
            return _read(file, transfer_syntax)
    except ArchiveError as error:
        raise UnusableBytesError("the stored object cannot be read") from error


def fragments_of(stored: StoredObject) -> list[tuple[int, int]]:
    """Return (offset, length) of each fragment of encapsulated pixels, without the offset table.

    Raises:
        UnusableBytesError: the items do not follow PS3.5 A.4 or lead outside the object.
    """
    if stored.pixels is None or stored.pixels.length is not None:
        raise UnusableBytesError("the instance holds no encapsulated pixel data")
    items = _items(stored.file, stored.pixels.offset)
    if not items:
        raise UnusableBytesError("encapsulated pixel data without an offset table")
    return items[1:]


def offset_table(stored: StoredObject) -> tuple[int, ...]:
    """Return the Basic Offset Table; it may lie and must be checked against the fragments."""
    if stored.pixels is None or stored.pixels.length is not None:
        return ()
    offset, length = _items(stored.file, stored.pixels.offset, at_most=1)[0]
    stored.file.seek(offset)
    raw = stored.file.read(length)
    return struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4])


def _read(file: BinaryIO, transfer_syntax: str) -> StoredObject:
    skip_file_meta(file)
    if transfer_syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        file = io.BytesIO(inflate(file.read()))
    found: list[tuple[int, str | None, int]] = []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if int(tag) not in PIXEL_TAGS:
            return False
        found.append((int(tag), vr, length))
        return True

    implicit = transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN
    little_endian = transfer_syntax != EXPLICIT_VR_BIG_ENDIAN
    if is_too_heavy(file, implicit=implicit, big_endian=not little_endian):
        raise UnusableBytesError("the header is too large to be opened here")
    dataset = read_dataset(file, implicit, little_endian, stop_when=at_pixels)
    if not found:
        return StoredObject(file, dataset, transfer_syntax, None)
    tag, vr, length = found[0]
    offset = file.tell() + (8 if implicit or vr is None else 12)
    pixels = PixelElement(tag, vr or "OW", offset, None if length == _UNDEFINED_LENGTH else length)
    return StoredObject(file, dataset, transfer_syntax, pixels)


def _items(file: BinaryIO, offset: int, at_most: int = _MAX_FRAGMENTS) -> list[tuple[int, int]]:
    end = file.seek(0, io.SEEK_END)
    items: list[tuple[int, int]] = []
    while len(items) < at_most:
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            # A missing delimiter alone loses nothing: every fragment was complete.
            break
        group, element, length = struct.unpack("<HHI", head)
        if (group, element) == _SEQUENCE_END:
            break
        if (group, element) != _ITEM or offset + 8 + length > end:
            raise UnusableBytesError("a pixel data item does not follow PS3.5 A.4")
        items.append((offset + 8, length))
        offset += 8 + length
    return items
