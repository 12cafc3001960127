"""Reads a stored Part 10 object without its pixel data: header and place of the pixels.

PS3.10 7. Only element headers are walked here; no codestream is decoded. Whatever the bytes claim,
nothing outside the object is read and nothing is allocated by a claimed length.
"""

from __future__ import annotations

import io
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
