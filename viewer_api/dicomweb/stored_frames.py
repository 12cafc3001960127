"""Finds the bytes of single frames inside a stored object (PS3.5 8 and A.4), undecoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eir_versions.frame_fragments import FrameFragments, frame_fragments
from viewer_api.dicomweb.stored_object import PIXEL_DATA
from viewer_api.errors import UnusableBytesError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from viewer_api.dicomweb.stored_object import StoredObject

_MAX_FRAME_BYTES = 1 << 31
_EXTENDED_OFFSET_TABLE = 0x7FE00001
_BITS_OF_FLOAT_PIXELS = {0x7FE00008: 32, 0x7FE00009: 64}


@dataclass(frozen=True)
class FrameShape:
    """The size of a native frame in bits and how many the object says it holds.

    `samples_bits` is the size with no chrominance left out (PS3.3 C.7.6.3.1.2).
    """

    bits: int
    samples_bits: int
    frames: int
    bits_allocated: int


def number_of_frames(dataset: Dataset) -> int:
    """Return Number of Frames (0028,0008); absent or senseless counts as one frame."""
    return max(1, _integer(dataset, 0x00280008, default=1))


def stored_frame(stored: StoredObject, number: int) -> bytes:
    """Return frame `number` (from 1) as it is stored; native frames come little endian.

    Raises:
        UnusableBytesError: there is no such frame in the bytes, whatever the header claims.
    """
    if stored.pixels is None:
        raise UnusableBytesError("the instance holds no pixel data")
    if stored.pixels.length is None:
        return _encapsulated_frame(stored, number)
    return _native_frame(stored, number)


def frame_shape(stored: StoredObject) -> FrameShape:
    """Return the shape of the native frames of `stored`.

    Raises:
        UnusableBytesError: rows, columns, samples or bits make no picture.
    """
    dataset = stored.dataset
    rows, columns = _integer(dataset, 0x00280010), _integer(dataset, 0x00280011)
    samples = _integer(dataset, 0x00280002, default=1)
    tag = stored.pixels.tag if stored.pixels else PIXEL_DATA
    bits_allocated = _BITS_OF_FLOAT_PIXELS.get(tag) or _integer(dataset, 0x00280100)
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    bits = samples_bits = rows * columns * samples * bits_allocated
    if photometric == "YBR_FULL_422" and samples == 3:
        bits = bits // 3 * 2
    if not 0 < bits <= _MAX_FRAME_BYTES * 8:
        raise UnusableBytesError("rows, columns, samples and bits describe no frame")
    return FrameShape(bits, samples_bits, number_of_frames(dataset), bits_allocated)


def word_bytes(stored: StoredObject) -> int:
    """Return the size of the words whose bytes big endian pixel data has in reverse, else 1.

    Words of 16 bits hold two samples of 8 bits or sixteen of one (PS3.5 8.1.1, A.3).
    """
    if not stored.is_big_endian or stored.pixels is None:
        return 1
    floating = _BITS_OF_FLOAT_PIXELS.get(stored.pixels.tag)
    bits_allocated = floating or _integer(stored.dataset, 0x00280100)
    return {16: 2, 32: 4, 64: 8}.get(bits_allocated, 2 if stored.pixels.vr == "OW" else 1)


def _native_frame(stored: StoredObject, number: int) -> bytes:
    shape = frame_shape(stored)
    assert stored.pixels is not None  # noqa: S101 - checked by the caller, told to mypy
    length = stored.pixels.length or 0
    first_bit = (number - 1) * shape.bits
    if number > shape.frames or first_bit + shape.bits > length * 8:
        raise UnusableBytesError("no such frame")
    raw = _span(stored, first_bit // 8, (first_bit + shape.bits + 7) // 8)
    if shape.bits_allocated == 1:
        return _aligned_bits(raw, first_bit % 8, shape.bits)
    return raw


def _span(stored: StoredObject, first: int, last: int) -> bytes:
    """Return bytes `first` to `last` of the pixel value, in little endian order (PS3.5 8.1.2)."""
    assert stored.pixels is not None  # noqa: S101 - checked by the caller, told to mypy
    word = word_bytes(stored)
    start, stop = first // word * word, -(-last // word) * word
    stored.file.seek(stored.pixels.offset + start)
    raw = stored.file.read(stop - start)
    if len(raw) < last - start:
        raise UnusableBytesError("the pixel data ends before this frame")
    if word > 1:
        whole = raw[: len(raw) // word * word]
        raw = np.frombuffer(whole, f">u{word}").byteswap().tobytes()
    return raw[first - start : last - start]


def _aligned_bits(raw: bytes, skip: int, count: int) -> bytes:
    """Return `count` bits of `raw` after `skip`, from a byte on (PS3.5 8.1.1: low bit first)."""
    if skip == 0 and count % 8 == 0:
        return raw
    bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[skip : skip + count]
    return np.packbits(bits, bitorder="little").tobytes()


def fragments_by_frame(stored: StoredObject) -> FrameFragments:
    """Return which fragments of encapsulated pixels are whose, as rendering judges it, too.

    Raises:
        UnusableBytesError: what is stored does not say so for certain.
    """
    if stored.pixels is None or stored.pixels.length is not None:
        raise UnusableBytesError("the instance holds no encapsulated pixel data")
    raw = stored.dataset.get_item(_EXTENDED_OFFSET_TABLE)
    table = getattr(raw, "value", None)
    extended = table if isinstance(table, bytes) else None
    frames = number_of_frames(stored.dataset)
    try:
        return frame_fragments(stored.file, stored.pixels.offset, frames, extended)
    except (ValueError, struct.error) as error:
        raise UnusableBytesError("it is not certain which bytes are whose frame") from error


def _encapsulated_frame(stored: StoredObject, number: int) -> bytes:
    if number > number_of_frames(stored.dataset):
        raise UnusableBytesError("no such frame")
    found = bytearray()
    for offset, length in fragments_by_frame(stored).of_frame(number - 1):
        stored.file.seek(offset)
        found += stored.file.read(length)
    if not found:
        raise UnusableBytesError("no such frame")
    return bytes(found)


def _integer(dataset: Dataset, tag: int, default: int = 0) -> int:
    """Return the integer at `tag`, or `default` where it is absent or no number."""
    try:
        return int(str(dataset[tag].value)[:12]) if tag in dataset else default
    except (ValueError, TypeError, KeyError, RuntimeError, struct.error):
        return default
