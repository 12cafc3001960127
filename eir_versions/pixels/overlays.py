"""Overlay planes 60xx burned into a picture (DICOM PS3.3 C.9.2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.model import PictureArray

_MAX_BITS = 1 << 28


@dataclass(frozen=True, eq=False)
class Overlay:
    """One overlay frame; `row` and `column` are its origin in the image, 1-based."""

    row: int
    column: int
    bitmap: NDArray[np.bool_]


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


def burn_overlays(picture: PictureArray, overlays: tuple[Overlay, ...]) -> PictureArray:
    """Return the picture with every set overlay bit drawn white; parts outside are cut off."""
    if not overlays:
        return picture
    burned = picture.copy()
    height, width = picture.shape[:2]
    for overlay in overlays:
        top, left = overlay.row - 1, overlay.column - 1
        rows, columns = overlay.bitmap.shape
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + rows, height), min(left + columns, width)
        if y0 < y1 and x0 < x1:
            part = overlay.bitmap[y0 - top : y1 - top, x0 - left : x1 - left]
            burned[y0:y1, x0:x1][part] = 255
    return burned
