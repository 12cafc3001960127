"""Stored values from allocated words: Bits Stored, High Bit, sign (DICOM PS3.5 section 8.1.1)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.model import IntegerArray, PixelFormat

_UNSIGNED: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16, 32: np.uint32}
_FLOATS: dict[int, type[np.floating[Any]]] = {32: np.float32, 64: np.float64}


def unpack_words(
    data: bytes, layout: PixelFormat, *, big_endian: bool = False, first_bit: int = 0
) -> NDArray[Any]:
    """Return the allocated words of one native frame, flat, in the order they are stored.

    `first_bit` is where the frame begins within the first byte (frames of 1-bit images are not
    byte-aligned). The words are unsigned and unmasked: `stored_values` gives them meaning.

    Raises:
        PixelsError: there are fewer bytes than the format needs.
    """
    count = layout.pixel_count * layout.samples
    if layout.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        words: NDArray[Any] = bits[first_bit : first_bit + count]
    else:
        table: dict[int, Any] = _FLOATS if layout.floating else _UNSIGNED
        dtype = np.dtype(table[layout.bits_allocated]).newbyteorder(">" if big_endian else "<")
        words = np.frombuffer(data, dtype, count=min(count, len(data) // dtype.itemsize))
        words = words.astype(dtype.newbyteorder("="), copy=False)
    if words.size < count:
        raise PixelsError("Pixel Data is shorter than Rows x Columns asks for")
    return words


def stored_values(words: IntegerArray, layout: PixelFormat) -> IntegerArray:
    """Return the stored values in words as allocated: shifted, masked and sign-extended.

    Whatever lies outside Bits Stored (overlay bits, rubbish) has no influence. The result has the
    smallest of int16, uint16, int32, uint32 … that holds the format.
    """
    raw = words if words.dtype.kind == "u" else words.view(f"u{words.dtype.itemsize}")
    shift = layout.high_bit + 1 - layout.bits_stored
    if shift == 0 and layout.bits_stored == raw.dtype.itemsize * 8:
        return raw.view(f"i{raw.dtype.itemsize}") if layout.signed else raw
    mask = raw.dtype.type((1 << min(layout.bits_stored, raw.dtype.itemsize * 8)) - 1)
    values: IntegerArray = ((raw >> raw.dtype.type(shift)) if shift else raw) & mask
    if layout.signed:
        sign = 1 << (layout.bits_stored - 1)
        values = (values.astype(np.int64) ^ sign) - sign
    return values.astype(_smallest_dtype(layout), copy=False)


def _smallest_dtype(layout: PixelFormat) -> type[np.integer[Any]]:
    if layout.bits_stored <= 8:
        return np.int8 if layout.signed else np.uint8
    if layout.bits_stored <= 16:
        return np.int16 if layout.signed else np.uint16
    return np.int32 if layout.signed else np.uint32
