"""The elements around the pixels, written anew for another transfer syntax (PS3.5 7, Annex A).

Values keep their bytes. From explicit to explicit little endian the whole header is copied but for
what describes the pixels; else each element is framed anew, private and unknown ones included.
Runs in a child of `eir_versions.decoding`: a hostile header costs a child.
"""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from eir_versions import reasons
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import integer
from eir_versions.instance_file import UNREADABLE, locate_pixels, open_body
from eir_versions.wire import Surroundings

_LONG_VRS = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
# Bytes of one number of each binary VR (PS3.5 7.3); a tag (AT) is two of them.
_NUMBER_BYTES = {
    "AT": 2, "US": 2, "SS": 2, "OW": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip
_UNDEFINED, _LONGEST_SHORT = 0xFFFFFFFF, 0xFFFE
_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, _UNDEFINED)
_ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
_SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
_CHARACTER_SET, _PIXEL_REPRESENTATION = 0x00080005, 0x00280103
_OFFSET_TABLES = frozenset({0x7FE00001, 0x7FE00002})
_LARGEST_BYTES = 1 << 28

Changes = Mapping[int, tuple[str, bytes]]
"""New values of top-level elements, by tag: VR and value of even length."""


def reframed(source: BinaryIO, changes: Changes, *, implicit: bool) -> Surroundings:
    """Return the surroundings of the pixels of a Part 10 file, in little endian.

    Group lengths, elements of groups 0000 and 0002 and extended offset tables are left out.

    Raises:
        UnrenderableInstanceError: unreadable, or too_large.
    """
    try:
        return _reframed(source, changes, implicit=implicit)
    except UNREADABLE as error:
        raise UnrenderableInstanceError(reasons.UNREADABLE) from error


def _reframed(source: BinaryIO, changes: Changes, *, implicit: bool) -> Surroundings:
    opened = open_body(source)
    pixels = locate_pixels(opened.body, opened.dataset)
    end = opened.body.seek(0, io.SEEK_END)
    if pixels is None:
        before, after_at = (opened.start, end), end
    else:
        before, after_at = (opened.start, pixels.start), pixels.end(opened.body)
    if before[1] - before[0] + end - after_at > _LARGEST_BYTES:
        raise UnrenderableInstanceError(reasons.TOO_LARGE)
    opened.body.seek(after_at)
    rest = opened.body.read()
    copied = not (opened.implicit or opened.big_endian or implicit)
    framing = _Framing(
        opened.implicit,
        opened.big_endian,
        to_implicit=implicit,
        signed_pixels=integer(opened.dataset, "PixelRepresentation", 0) == 1,
    )
    if copied:
        opened.body.seek(before[0])
        head = opened.body.read(before[1] - before[0])
        head = _spliced(head, before[0], opened.dataset, changes)
    else:
        head = framing.framed(opened.dataset, changes)
        rest = framing.framed(
            read_dataset(io.BytesIO(rest), opened.implicit, not opened.big_endian), {}
        )
    if pixels is None:
        return Surroundings(head, b"", 0, "", 0, 0)
    return Surroundings(head, rest, int(pixels.tag), pixels.vr, pixels.value_offset, pixels.length)


def _spliced(head: bytes, start: int, dataset: Dataset, changes: Changes) -> bytes:
    """Return the header with some top-level elements replaced, added or cut; all else as it is."""
    pieces: list[bytes] = []
    at = 0
    missing = dict(sorted(changes.items()))
    for tag in dataset.keys():  # noqa: SIM118 (iterating a Dataset decodes it)
        held = dataset.get_item(tag)
        if held is None:
            continue
        if isinstance(held, RawDataElement):
            value_at, length = held.value_tell - start, held.length
        else:
            value_at, length = (held.file_tell or 0) - start, 0  # a sequence; it stays as it is
        first = value_at - (12 if held.VR in _LONG_VRS else 8)
        last = value_at + length
        for number in [number for number in missing if number < tag]:
            pieces += [head[at:first], _explicit(number, *missing.pop(number))]
            at = first
        if tag in missing:
            pieces += [head[at:first], _explicit(int(tag), *missing.pop(int(tag)))]
            at = last
        elif _is_left_out(tag):
            pieces.append(head[at:first])
            at = last
    pieces.append(head[at:])
    pieces += [_explicit(number, *change) for number, change in missing.items()]
    return b"".join(pieces)


def _explicit(tag: int, vr: str, value: bytes) -> bytes:
    """One short element in explicit VR little endian."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def _is_left_out(tag: BaseTag) -> bool:
    return tag.element == 0 or tag.group <= 0x0002 or tag in _OFFSET_TABLES


@dataclass(frozen=True)
class _Framing:
    """From one uncompressed encoding to another, element by element."""

    from_implicit: bool
    from_big_endian: bool
    to_implicit: bool
    signed_pixels: bool

    def framed(self, dataset: Dataset, changes: Changes) -> bytes:
        """Return the elements of `dataset`, in ascending order, with top-level ones changed."""
        values = {
            tag: self._value(dataset, tag)
            for tag in dataset.keys()  # noqa: SIM118 (iterating a Dataset decodes it)
            if not _is_left_out(tag)
        }
        values |= {Tag(tag): change for tag, change in changes.items()}
        return b"".join(self._element(tag, *value) for tag, value in sorted(values.items()))

    def _value(self, dataset: Dataset, tag: BaseTag) -> tuple[str, bytes | list[bytes]]:
        """Return the VR to write and the value: bytes, or those of each item of a sequence."""
        held = dataset.get_item(tag)
        vr = self._vr(tag, str(held.VR or "") if held is not None else "")
        if isinstance(held, RawDataElement) and vr != "SQ":
            return vr, self._little(vr, held.value or b"")
        value = dataset[tag].value
        if isinstance(value, DicomSequence):
            return "SQ", [self.framed(item, {}) for item in value]
        return vr, _looked_at(tag, value)

    def _element(self, tag: BaseTag, vr: str, value: bytes | list[bytes]) -> bytes:
        if isinstance(value, list):
            items = b"".join(_ITEM + item + _ITEM_END for item in value)
            return self._head(tag, vr, _UNDEFINED) + items + _SEQUENCE_END
        return self._head(tag, vr, len(value)) + value

    def _head(self, tag: BaseTag, vr: str, length: int) -> bytes:
        if self.to_implicit:
            return struct.pack("<HHL", tag.group, tag.element, length)
        if vr in _LONG_VRS or length > _LONGEST_SHORT:  # PS3.5 6.2.2: too long for its VR, so UN
            vr = vr if vr in _LONG_VRS else "UN"
            return struct.pack("<HH2sHL", tag.group, tag.element, vr.encode(), 0, length)
        return struct.pack("<HH2sH", tag.group, tag.element, vr.encode(), length)

    def _vr(self, tag: BaseTag, vr: str) -> str:
        if vr:
            return vr
        if tag.is_private:
            return "LO" if tag.is_private_creator else "UN"
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            return "UN"
        if " or " in vr:  # PS3.6 leaves the choice to the pixel description
            choices = vr.split(" or ")
            wanted = "OW" if "OW" in choices else "SS" if self.signed_pixels else "US"
            return wanted if wanted in choices else choices[0]
        return vr

    def _little(self, vr: str, value: bytes) -> bytes:
        size = _NUMBER_BYTES.get(vr)
        if not self.from_big_endian or size is None or len(value) % size:
            return value
        return np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes()


def _looked_at(tag: BaseTag, value: Any) -> bytes:
    """Return the bytes of what pydicom has converted by itself, because it needs it to read on.

    Raises:
        ValueError: it has converted something else.
    """
    if value is None or value in ("", b""):
        return b""
    if tag == _CHARACTER_SET:
        text = "\\".join([value] if isinstance(value, str) else value).encode("ascii", "replace")
        return text + b" " * (len(text) % 2)
    if tag == _PIXEL_REPRESENTATION:
        return struct.pack("<H", value)
    raise ValueError("an element was converted while it was read")
