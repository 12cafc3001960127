"""Display size: true aspect and fitting into a box (DICOM PS3.3 C.7.6.3.1.7, PS3.18 8.3.5)."""

import math

_MAX_STRETCH = 20.0


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
