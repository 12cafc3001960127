"""Display shutters: what lies outside them is painted over (DICOM PS3.3 C.7.6.11, C.7.6.15)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.model import PictureArray

_MAX_VERTICES = 10_000
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rectangle:
    """The pixels between these rows and columns, both ends shown, 1-based."""

    left: int
    right: int
    upper: int
    lower: int


@dataclass(frozen=True)
class Circle:
    """The pixels whose centres are not farther than `radius` from a pixel, 1-based."""

    row: int
    column: int
    radius: float


@dataclass(frozen=True)
class Polygon:
    """The pixels inside a polygon or on its outline; (row, column) of each vertex, 1-based."""

    vertices: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Bitmap:
    """The pixels where an overlay's bits are not set; outside of its plane all is shown."""

    row: int
    column: int
    covered: Mask


Shape = Rectangle | Circle | Polygon | Bitmap


@dataclass(frozen=True)
class Shutter:
    """Shapes that must all contain a pixel to show it; `level` is painted over the others.

    `colour` is painted in colour pictures; None means `level` there too.
    """

    shapes: tuple[Shape, ...]
    level: int = 0
    colour: tuple[int, int, int] | None = None


def apply_shutter(picture: PictureArray, shutter: Shutter | None) -> PictureArray:
    """Return the picture with all that the shutter hides painted over.

    Raises:
        PixelsError: a polygon has fewer than three vertices or absurdly many.
    """
    if shutter is None or not shutter.shapes:
        return picture
    rows, columns = picture.shape[:2]
    shown = np.ones((rows, columns), np.bool_)
    for shape in shutter.shapes:
        shown &= _inside(shape, rows, columns)
    closed = picture.copy()
    colour = shutter.colour or (shutter.level,) * 3
    closed[~shown] = colour if picture.ndim == 3 else shutter.level
    return closed


def _inside(shape: Shape, rows: int, columns: int) -> Mask:
    match shape:
        case Rectangle():
            return _rectangle(shape, rows, columns)
        case Circle():
            down = (np.arange(1, rows + 1, dtype=np.float64) - shape.row) ** 2
            across = (np.arange(1, columns + 1, dtype=np.float64) - shape.column) ** 2
            circle: Mask = down[:, None] + across[None, :] <= shape.radius**2
            return circle
        case Polygon():
            return _polygon(shape, rows, columns)
        case Bitmap():
            return ~placed(shape.covered, (shape.row, shape.column), (rows, columns))


def placed(bitmap: Mask, origin: tuple[int, int], size: tuple[int, int]) -> Mask:
    """Return the bitmap as a mask of (rows, columns), its first bit at `origin`, 1-based."""
    mask = np.zeros(size, np.bool_)
    top, left = origin[0] - 1, origin[1] - 1
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + bitmap.shape[0], size[0]), min(left + bitmap.shape[1], size[1])
    if y0 < y1 and x0 < x1:
        mask[y0:y1, x0:x1] = bitmap[y0 - top : y1 - top, x0 - left : x1 - left]
    return mask


def _rectangle(shape: Rectangle, rows: int, columns: int) -> Mask:
    down, across = np.arange(1, rows + 1), np.arange(1, columns + 1)
    within_rows = (down >= shape.upper) & (down <= shape.lower)
    within_columns = (across >= shape.left) & (across <= shape.right)
    return within_rows[:, None] & within_columns[None, :]


def _polygon(shape: Polygon, rows: int, columns: int) -> Mask:
    """Row by row between pairs of crossings, by both half-open rules: outlines belong to it."""
    if not 3 <= len(shape.vertices) <= _MAX_VERTICES:
        raise PixelsError("Vertices of the Polygonal Shutter are no polygon")
    start = np.array(shape.vertices, np.float64)
    end = np.roll(start, -1, axis=0)
    top, bottom = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    slope = (end[:, 1] - start[:, 1]) / np.where(top == bottom, 1.0, end[:, 0] - start[:, 0])
    mask = np.zeros((rows, columns), np.bool_)
    for row in range(rows):
        y = row + 1.0
        for crossing in ((top <= y) & (y < bottom), (top < y) & (y <= bottom)):
            at = np.sort(start[crossing, 1] + (y - start[crossing, 0]) * slope[crossing])
            for left, right in zip(at[::2], at[1::2], strict=True):
                first, last = int(np.ceil(left - 1e-9)), int(np.floor(right + 1e-9))
                mask[row, max(first - 1, 0) : max(last, 0)] = True
    return mask
