"""Rectangles in an image's matrix: where text was found, what is blackened (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub_kernel.errors import InvalidValueError

_MOST_BOXES = 200
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels of the matrix as stored: left and top from 0, width and height."""

    left: int
    top: int
    width: int
    height: int

    def slices(self) -> tuple[slice, slice]:
        """Return what it covers as (rows, columns)."""
        rows = slice(max(self.top, 0), max(self.top + self.height, 0))
        return rows, slice(max(self.left, 0), max(self.left + self.width, 0))

    def grown(self, by: int) -> "Box":
        """Return it with `by` pixels more on every side."""
        return Box(self.left - by, self.top - by, self.width + 2 * by, self.height + 2 * by)

    def scaled(self, across: float, down: float) -> "Box":
        """Return it in another matrix, outward to whole pixels."""
        left, top = int(self.left * across), int(self.top * down)
        right = -int(-(self.left + self.width) * across // 1)
        bottom = -int(-(self.top + self.height) * down // 1)
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True)
class TextBox:
    """Text in a picture: where, what it reads, and how sure that is (0 to 1)."""

    box: Box
    text: str
    score: float


def parse_boxes(text: str) -> tuple[Box, ...]:
    """Return the rectangles of `left,top,width,height` groups, parted by spaces or lines.

    Raises:
        InvalidValueError: a group is no rectangle, or there are too many.
    """
    groups = text.replace(";", " ").split()
    if len(groups) > _MOST_BOXES:
        raise InvalidValueError(f"at most {_MOST_BOXES} rectangles")
    return tuple(_box(group) for group in groups)


def outside(regions: Sequence[Box], columns: int, rows: int) -> tuple[Box, ...]:
    """Return the four bands around what all `regions` cover together; none without regions."""
    if not regions:
        return ()
    left = max(0, min(one.left for one in regions))
    top = max(0, min(one.top for one in regions))
    right = min(columns, max(one.left + one.width for one in regions))
    bottom = min(rows, max(one.top + one.height for one in regions))
    bands = (
        Box(0, 0, columns, top),
        Box(0, bottom, columns, rows - bottom),
        Box(0, top, left, bottom - top),
        Box(right, top, columns - right, bottom - top),
    )
    return tuple(band for band in bands if band.width > 0 and band.height > 0)


def _box(group: str) -> Box:
    parts = group.split(",")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidValueError("a rectangle is left,top,width,height in pixels")
    left, top, width, height = (int(part[:9]) for part in parts)
    if not (0 < width < _LARGEST and 0 < height < _LARGEST and max(left, top) < _LARGEST):
        raise InvalidValueError("a rectangle is left,top,width,height in pixels")
    return Box(left, top, width, height)
