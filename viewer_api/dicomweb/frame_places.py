"""Where the frames of an instance lie in its dataset: found out once for a stored object.

A viewer asks frame after frame, and each time the header would be read and the fragments be walked
again (PS3.5 A.4). Places count from the first byte of the dataset, which ends the file: file meta
in front of it may be of another length one day, when the same dataset was received again. What was
found in a damaged object is not believed of the one that was put in its place.
"""

from __future__ import annotations

import io
import struct
import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from flask import current_app
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from eir_versions.frame_fragments import FrameFragments, file_identity
from image_archive.elements import MoreBytesNeededError, Wanted, encoding_of, walk
from image_archive.errors import UnreadableInstanceError
from viewer_api.dicomweb.media_types import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from viewer_api.dicomweb.stored_frames import fragments_by_frame, frame_shape, word_bytes
from viewer_api.dicomweb.stored_object import PixelElement, StoredObject
from viewer_api.errors import UnusableBytesError

if TYPE_CHECKING:
    from flask.sansio.blueprints import BlueprintSetupState

    from image_archive.model import InstanceRecord

_EXTENSION = "eirhub.frame_places"
_MOST_FRAGMENTS = 1_000_000
_HEAD_BYTES = 1 << 16
_EXTENDED_OFFSETS = 0x7FE00001
# Samples per pixel, photometric interpretation, frames, rows, columns, bits allocated.
_WANTED = Wanted(
    frozenset(
        {0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100, _EXTENDED_OFFSETS}
    )
)


@dataclass(frozen=True)
class FramePlaces:
    """Fragments in order, and which of them is the first of each frame and one past the last.

    Native frames are one fragment each, all of one size and without a gap: only the first is named.
    """

    frames: int
    firsts: array[int]
    offsets: array[int]
    lengths: array[int]

    @property
    def weight(self) -> int:
        """How much memory it takes, in fragments."""
        return len(self.offsets) + len(self.firsts)

    def frame(self, file: BinaryIO, dataset_bytes: int, number: int) -> bytes:
        """Return frame `number` (from 1) out of a file that ends with the dataset.

        Raises:
            UnusableBytesError: there is no such frame, or the file is shorter than it was.
        """
        if not 1 <= number <= self.frames:
            raise UnusableBytesError("no such frame")
        start = file.seek(0, io.SEEK_END) - dataset_bytes
        found = []
        for offset, length in self._spans(number):
            file.seek(max(0, start + offset))
            found.append(file.read(length))
            if start < 0 or len(found[-1]) < length:
                raise UnusableBytesError("the pixel data ends before this frame")
        if not any(found):
            raise UnusableBytesError("no such frame")
        return found[0] if len(found) == 1 else b"".join(found)

    def _spans(self, number: int) -> Iterator[tuple[int, int]]:
        if not self.firsts:
            size = self.lengths[0]
            yield self.offsets[0] + (number - 1) * size, size
            return
        for index in range(self.firsts[number - 1], self.firsts[number]):
            yield self.offsets[index], self.lengths[index]


def install_places(state: BlueprintSetupState) -> None:
    """Give an application its memory of places, when a blueprint is registered that needs it."""
    state.app.extensions.setdefault(_EXTENSION, _Known())


def known_places(found: InstanceRecord, file: BinaryIO) -> FramePlaces | None:
    """Return the places in the stored file, None where they have not been found out lately."""
    return _known().get(_named(found, file))


def find_places(found: InstanceRecord, stored: StoredObject) -> FramePlaces | None:
    """Find out the places in an opened instance and keep them.

    None where frames are not there byte for byte: single bits across bytes, reversed words, pixels
    inside a deflated dataset; and where they cannot be told.
    """
    try:
        places = _places(found, stored)
    except UnusableBytesError:
        return None
    if places is not None:
        _known().put(_named(found, stored.file), places)
    return places


def places_in(found: InstanceRecord, file: BinaryIO) -> FramePlaces | None:
    """Find out the places in a stored file and keep them, without building its whole header.

    None, too, where that needs more than the beginning of the dataset or what only `read_object`
    understands; the position of `file` is another one afterwards.
    """
    encoding = encoding_of(found.transfer_syntax_uid)
    implicit = found.transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    if encoding.deflated or encoding.big_endian or encoding.implicit != implicit:
        return None
    start = file.seek(0, io.SEEK_END) - found.dataset_bytes
    file.seek(max(0, start))
    try:
        walked = walk(file.read(_HEAD_BYTES), found.dataset_bytes, encoding, _WANTED)
    except (UnreadableInstanceError, MoreBytesNeededError, struct.error):
        return None
    if start < 0 or walked.pixels is None or _EXTENDED_OFFSETS in walked.top:
        return None
    raw: dict[BaseTag, DataElement | RawDataElement] = {
        BaseTag(tag): RawDataElement(
            BaseTag(tag),
            one.vr.decode() or None,
            len(one.value),
            one.value,
            value_tell=0,
            is_implicit_VR=implicit,
            is_little_endian=True,
        )
        for tag, one in walked.top.items()
    }
    place = walked.pixels
    pixels = PixelElement(
        place.tag, place.vr.decode() or "OW", start + place.value_offset, place.length
    )
    return find_places(found, StoredObject(file, Dataset(raw), found.transfer_syntax_uid, pixels))


def _named(found: InstanceRecord, file: BinaryIO) -> Hashable:
    return found.dataset_sha256, file_identity(file)


def _places(found: InstanceRecord, stored: StoredObject) -> FramePlaces | None:
    if stored.pixels is None or stored.transfer_syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return None
    start = stored.file.seek(0, io.SEEK_END) - found.dataset_bytes
    if stored.pixels.length is None:
        return _encapsulated(fragments_by_frame(stored), start)
    shape = frame_shape(stored)
    if shape.bits % 8 or word_bytes(stored) > 1:
        return None
    frames = min(shape.frames, stored.pixels.length * 8 // shape.bits)
    first, size = stored.pixels.offset - start, shape.bits // 8
    return FramePlaces(frames, array("Q"), array("Q", [first]), array("Q", [size]))


def _encapsulated(found: FrameFragments, start: int) -> FramePlaces:
    return FramePlaces(
        len(found.firsts) - 1,
        array("Q", found.firsts),
        array("Q", (offset - start for offset, _ in found.fragments)),
        array("Q", (length for _, length in found.fragments)),
    )


@dataclass
class _Known:
    """Places by the object they are in, the least used forgotten first."""

    _places: OrderedDict[Hashable, FramePlaces] = field(default_factory=OrderedDict)
    _weight: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: Hashable) -> FramePlaces | None:
        with self._lock:
            places = self._places.get(name)
            if places is not None:
                self._places.move_to_end(name)
            return places

    def put(self, name: Hashable, places: FramePlaces) -> None:
        with self._lock:
            before = self._places.pop(name, None)
            self._places[name] = places
            self._weight += places.weight - (before.weight if before else 0)
            while self._weight > _MOST_FRAGMENTS:
                self._weight -= self._places.popitem(last=False)[1].weight


def _known() -> _Known:
    return cast("_Known", current_app.extensions[_EXTENSION])
