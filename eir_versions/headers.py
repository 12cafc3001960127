"""From a dataset to the frozen descriptions that the pixel pipeline takes (DICOM PS3.3 C.7.6.3).

Everything read here is untrusted: each value is checked before any memory is taken for pixels.
"""

import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.tag import BaseTag, Tag

from eir_versions import reasons
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.pixels import PixelFormat, PixelsError

MAX_FRAME_BYTES = 1 << 29
MAX_FRAMES = 1 << 24
_MAX_INTEGER = 1 << 31
_FLOAT_KEYWORDS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_BAD_VALUE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    BytesLengthException,
    struct.error,
)


@dataclass(frozen=True)
class ImageHeader:
    """What the attributes say about the pixels; checked, but not yet compared with the bytes."""

    layout: PixelFormat
    photometric: str
    planar: bool
    number_of_frames: int
    transfer_syntax_uid: str


def image_header(dataset: Dataset, transfer_syntax_uid: str, pixel_keyword: str) -> ImageHeader:
    """Return the checked description of the dataset's pixels.

    Raises:
        UnrenderableInstanceError: unsupported_pixels or too_large.
    """
    floating = pixel_keyword in _FLOAT_KEYWORDS
    allocated = _FLOAT_KEYWORDS.get(pixel_keyword, integer(dataset, "BitsAllocated", 0))
    stored = allocated if floating else integer(dataset, "BitsStored", allocated)
    frames = integer(dataset, "NumberOfFrames", 1) or 1
    if not 0 < frames <= MAX_FRAMES:
        raise UnrenderableInstanceError(reasons.TOO_LARGE)
    try:
        layout = PixelFormat(
            rows=integer(dataset, "Rows", 0),
            columns=integer(dataset, "Columns", 0),
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=stored - 1 if floating else integer(dataset, "HighBit", stored - 1),
            samples=integer(dataset, "SamplesPerPixel", 1),
            signed=not floating and integer(dataset, "PixelRepresentation", 0) == 1,
            floating=floating,
        )
    except PixelsError as error:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS) from error
    if layout.frame_bits > MAX_FRAME_BYTES * 8:
        raise UnrenderableInstanceError(reasons.TOO_LARGE)
    photometric = text(dataset, "PhotometricInterpretation").upper()
    return ImageHeader(
        layout,
        photometric or ("RGB" if layout.samples == 3 else "MONOCHROME2"),
        integer(dataset, "PlanarConfiguration", 0) == 1,
        frames,
        transfer_syntax_uid,
    )


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return the attribute's value, or None when it is absent, empty or cannot be read."""
    tag = _tag_of(keyword)
    try:
        value = dataset[tag].value if tag in dataset else None
    except _BAD_VALUE:
        return None
    return None if value is None or value == "" else value


@cache
def _tag_of(keyword: str) -> BaseTag:
    """Return the tag of a keyword of the dictionary; looked up once, not for every picture."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise LookupError(keyword)
    return Tag(number)


def integer(dataset: Dataset, keyword: str, default: int) -> int:
    """Return the attribute's first value as an integer of at most 32 bits, else `default`.

    A value that is there but is no such number gives -1, which no check downstream accepts.
    """
    values = _many(value_of(dataset, keyword))
    if not values:
        return default
    try:
        number = int(values[0])
    except _BAD_VALUE:
        return -1
    return number if abs(number) < _MAX_INTEGER else -1


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return all values as floats; what is no number becomes NaN, so positions stay aligned."""
    return tuple(_float(item) for item in _many(value_of(dataset, keyword)))


def text(dataset: Dataset, keyword: str) -> str:
    """Return the first value as stripped text, empty when absent."""
    values = _many(value_of(dataset, keyword))
    return str(values[0]).strip() if values else ""


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence, empty when it is absent or is no sequence."""
    value = value_of(dataset, keyword)
    if value is None or isinstance(value, str | bytes):
        return []
    try:
        return [item for item in value if isinstance(item, Dataset)]
    except _BAD_VALUE:
        return []


def ultrasound_regions(dataset: Dataset) -> list[tuple[int, int, int, int]]:
    """Return the regions of an ultrasound picture as (left, top, width, height), at most 64."""
    found = []
    for item in items(dataset, "SequenceOfUltrasoundRegions")[:64]:
        left, top, right, bottom = (
            integer(item, f"RegionLocation{word}", -1)
            for word in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        )
        if 0 <= left < right and 0 <= top < bottom:
            found.append((left, top, right - left + 1, bottom - top + 1))
    return found


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return [value]
    return list(value)


def _float(item: Any) -> float:
    try:
        return float(item)
    except _BAD_VALUE:
        return math.nan
