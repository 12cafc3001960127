"""Aspect, turning and cutting out (PS3.3 C.7.6.3.1.7, C.10.4, C.10.6; PS3.18 8.3.5)."""

import math
from dataclasses import dataclass

import numpy as np

from eir_versions.pixels.model import PictureArray

_MAX_STRETCH = 20.0
_MAX_MARGIN = 4


def display_size(rows: int, columns: int, spacing: tuple[float, float] | None) -> tuple[int, int]:
    """Return (width, height) in square pixels for `spacing` = (between rows, between columns).

    The finer direction keeps its pixels, the coarser is stretched, so nothing is lost. A spacing
    that is absent, not positive, not finite or distorted beyond 20:1 counts as square.
    """
    if spacing is None or not all(math.isfinite(part) and part > 0 for part in spacing):
        return columns, rows
    ratio = spacing[0] / spacing[1]
    if ratio == 1.0 or not 1 / _MAX_STRETCH <= ratio <= _MAX_STRETCH:
        return columns, rows
    if ratio > 1.0:
        return columns, max(1, round(rows * ratio))
    return max(1, round(columns / ratio)), rows


def fit_within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) of the same aspect inside `box`; never an enlargement."""
    scale = min(box[0] / size[0], box[1] / size[1], 1.0)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class Turn:
    """Clockwise rotation in degrees (0, 90, 180, 270), then a flip of left and right (C.10.6)."""

    rotation: int = 0
    flip: bool = False

    @property
    def swaps_axes(self) -> bool:
        """Whether rows become columns."""
        return self.rotation in (90, 270)

    def apply(self, picture: PictureArray) -> PictureArray:
        """Return the picture turned."""
        turned = np.rot90(picture, -(self.rotation // 90))
        return np.ascontiguousarray(np.fliplr(turned) if self.flip else turned)

    def point(self, x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
        """Return where a point of the matrix of `size` = (rows, columns) comes to lie.

        Coordinates are continuous: (0, 0) is the outer corner of the first pixel.
        """
        rows, columns = size
        x, y = {
            90: (rows - y, x),
            180: (columns - x, rows - y),
            270: (y, columns - x),
        }.get(self.rotation, (x, y))
        width = rows if self.swaps_axes else columns
        return (width - x if self.flip else x), y


@dataclass(frozen=True)
class Area:
    """A part of a matrix: first and last column and row, 1-based; it may reach beyond."""

    left: int
    top: int
    right: int
    bottom: int

    def turned(self, turn: Turn, size: tuple[int, int]) -> "Area":
        """Return the same part of the matrix of `size` after it has been turned."""
        first = turn.point(self.left - 1, self.top - 1, size)
        last = turn.point(self.right, self.bottom, size)
        (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(first, last, strict=True))
        return Area(int(x0) + 1, int(y0) + 1, int(x1), int(y1))

    def within(self, size: tuple[int, int]) -> "Area":
        """Return the part to show: one that is empty or absurdly large becomes the whole matrix."""
        rows, columns = size
        width, height = self.right - self.left + 1, self.bottom - self.top + 1
        sane = 0 < width <= _MAX_MARGIN * columns and 0 < height <= _MAX_MARGIN * rows
        meets = self.left <= columns and self.top <= rows and min(self.right, self.bottom) >= 1
        return self if sane and meets else Area(1, 1, columns, rows)

    def cut(self, picture: PictureArray) -> PictureArray:
        """Return this part of the picture; what lies beyond the matrix is black."""
        rows, columns = picture.shape[:2]
        height, width = self.bottom - self.top + 1, self.right - self.left + 1
        out = np.zeros((height, width, *picture.shape[2:]), np.uint8)
        y0, x0 = max(self.top, 1), max(self.left, 1)
        y1, x1 = min(self.bottom, rows), min(self.right, columns)
        if y0 <= y1 and x0 <= x1:
            part = picture[y0 - 1 : y1, x0 - 1 : x1]
            out[y0 - self.top : y1 - self.top + 1, x0 - self.left : x1 - self.left + 1] = part
        return out
