"""Overlay planes 60xx burned into a picture (DICOM PS3.3 C.9.2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.model import IntegerArray, PictureArray, PixelFormat
from eir_versions.pixels.shutters import placed

_MAX_BITS = 1 << 28
_WHITE = 255


@dataclass(frozen=True, eq=False)
class Overlay:
    """One overlay frame; `row` and `column` are its origin in the image, 1-based."""

    row: int
    column: int
    bitmap: NDArray[np.bool_]
    level: int = _WHITE


def overlay_bitmap(data: bytes, rows: int, columns: int, frame: int = 0) -> NDArray[np.bool_]:
    """Return (rows, columns) booleans of Overlay Data (60xx,3000), least significant bit first.

    Raises:
        PixelsError: the plane is impossibly large, or the data are shorter than its size.
    """
    count = rows * columns
    if not 0 < count <= _MAX_BITS:
        raise PixelsError("Overlay Rows x Overlay Columns is not a plane")
    first = frame * count
    if frame < 0 or len(data) * 8 < first + count:
        raise PixelsError("Overlay Data is shorter than its Rows x Columns")
    start, stop = first // 8, -(-(first + count) // 8)
    bits = np.unpackbits(np.frombuffer(data[start:stop], np.uint8), bitorder="little")
    return bits[first - start * 8 :][:count].reshape(rows, columns).astype(np.bool_)


def embedded_bitmap(words: IntegerArray, layout: PixelFormat, bit: int) -> NDArray[np.bool_]:
    """Return the plane that lies in one bit of every word as allocated (retired, C.9.2.1.1).

    Raises:
        PixelsError: that bit belongs to the stored values, or no word has it.
    """
    lowest = layout.high_bit + 1 - layout.bits_stored
    if not 0 <= bit < layout.bits_allocated or lowest <= bit <= layout.high_bit:
        raise PixelsError("Overlay Bit Position is not an unused bit")
    if words.size != layout.pixel_count:
        raise PixelsError("an embedded overlay needs one word a pixel")
    plane = words.reshape(layout.rows, layout.columns)
    found: NDArray[np.bool_] = (plane >> plane.dtype.type(bit) & plane.dtype.type(1)) != 0
    return found


def burn_overlays(picture: PictureArray, overlays: tuple[Overlay, ...]) -> PictureArray:
    """Return the picture with every set overlay bit drawn; parts outside are cut off."""
    if not overlays:
        return picture
    burned = picture.copy()
    height, width = picture.shape[:2]
    for overlay in overlays:
        where = placed(overlay.bitmap, (overlay.row, overlay.column), (height, width))
        burned[where] = overlay.level
    return burned
