"""Digital subtraction: means of frames, the shifted mask, the difference (PS3.3 C.7.6.10.1)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.model import PixelFormat, RealArray

_DOUBLE_BITS = 64


def mean_of(frames: Sequence[RealArray]) -> RealArray:
    """Return the mean of frames of one shape, whole numbers where there is only one.

    Raises:
        PixelsError: there is none.
    """
    if not frames:
        raise PixelsError("Mask Frame Numbers names no frame")
    if len(frames) == 1:
        return frames[0]
    total = frames[0].astype(np.float64)
    for frame in frames[1:]:
        total += frame
    mean: RealArray = total / len(frames)
    return mean


def shifted(mask: RealArray, down: float, left: float) -> RealArray:
    """Return the mask moved by so many rows down and columns to the left.

    Between pixels it is interpolated linearly; beyond its border it goes on as at the border.
    """
    moved = mask
    for axis, by in ((0, down), (1, -left)):
        if by:
            moved = _moved(moved, axis, by)
    return moved


def difference(contrast: RealArray, mask: RealArray, visible: float = 0.0) -> RealArray:
    """Return contrast minus mask, signed: 0 where they are equal.

    A share `visible` of the mask, 0 to 1, is not subtracted (Mask Visibility, C.8.19.7.1).
    """
    found: RealArray = contrast.astype(np.float64) - (1.0 - visible) * mask.astype(np.float64)
    return found


def format_of_difference(layout: PixelFormat, low: float, high: float) -> PixelFormat:
    """Return the format of differences of values from `low` to `high`: signed, one bit more."""
    bits = min(max(int(high - low).bit_length(), 1) + 1, _DOUBLE_BITS)
    return replace(
        layout,
        bits_allocated=_DOUBLE_BITS,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=True,
        floating=True,
    )


def _moved(values: RealArray, axis: int, by: float) -> RealArray:
    last = values.shape[axis] - 1
    places = np.clip(np.arange(last + 1) - by, 0, last)
    before = np.floor(places).astype(np.intp)
    share = places - before
    lower = np.take(values, before, axis).astype(np.float64)
    upper = np.take(values, np.minimum(before + 1, last), axis).astype(np.float64)
    share = share[:, np.newaxis] if axis == 0 else share
    moved: RealArray = lower + (upper - lower) * share
    return moved
