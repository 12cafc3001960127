"""The grayscale pipeline from stored values to P-values of 8 bits (DICOM PS3.4 N.2).

stored value → padding out → Modality LUT or rescale → VOI LUT or window → Presentation LUT →
inversion → floor(255·y).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.lookup import looked_up
from eir_versions.pixels.luts import LookupTable
from eir_versions.pixels.model import (
    FullRange,
    GrayscaleTransform,
    Padding,
    PictureArray,
    PixelFormat,
    RealArray,
    Rescale,
    Window,
    WindowFunction,
)
from eir_versions.pixels.voi import WHITE, Reals, full_range, window_of_range, windowed

Mask = NDArray[np.bool_]

_TABLE_BITS = 16
_MIN_LEVELS = 256
_FAR = float(1 << 40)


def render_grayscale(
    values: RealArray, layout: PixelFormat, transform: GrayscaleTransform
) -> PictureArray:
    """Return the picture of one frame: uint8, same shape as `values`, 0 black, 255 white.

    Rounding is fixed: modality values are truncated to integers, the scale is inverted for
    MONOCHROME1 after the VOI step, and floor(255·y) is taken last. Padding pixels become black and
    take no part in an automatic window. Floating point pixels, and rescaled ranges of fewer than
    256 integers, keep their fractions: truncation would leave nothing to see.
    """
    padding = padding_mask(values, transform.padding)
    voi = _usable_voi(values, padding, layout, transform)
    resolved = replace(transform, voi=voi, padding=None)
    if _table_pays(values, layout):
        domain = np.arange(layout.lowest, layout.highest + 1)
        table = _levels(domain, layout, resolved)
        picture = looked_up(values, table, layout.lowest)
    else:
        picture = _levels(values, layout, resolved)
    if padding is not None:
        picture[padding] = 0
    return picture


def modality_values(
    values: RealArray, layout: PixelFormat, modality: LookupTable | Rescale | None
) -> RealArray:
    """Return the modality values (for CT: HU) of stored values, truncated as described above."""
    if isinstance(modality, LookupTable):
        return modality.apply(values.astype(np.int64))
    if modality is None or not modality.is_usable or modality == Rescale():
        return values
    rescaled: Reals = values.astype(np.float64) * modality.slope + modality.intercept
    return rescaled if _keeps_fractions(layout, modality) else np.trunc(rescaled)


def _keeps_fractions(layout: PixelFormat, rescale: Rescale) -> bool:
    levels = abs(rescale.slope) * ((1 << layout.bits_stored) - 1)
    whole = float(rescale.slope).is_integer()
    return layout.floating or (levels < _MIN_LEVELS and not whole)


def padding_mask(values: RealArray, padding: Padding | None) -> Mask | None:
    """Return where stored values are no part of the image, None where all are."""
    if padding is None:
        return None
    low, high = sorted((padding.low, padding.high))
    mask = (values >= low) & (values <= high)
    return mask if mask.any() else None


def _usable_voi(
    values: RealArray,
    padding: Mask | None,
    layout: PixelFormat,
    transform: GrayscaleTransform,
) -> LookupTable | Window | FullRange:
    if isinstance(transform.voi, LookupTable | FullRange):
        return transform.voi
    if transform.voi is not None and transform.voi.is_usable:
        return transform.voi
    shown = values if padding is None else values[~padding]
    if layout.floating:
        shown = shown[np.isfinite(shown)]
    if shown.size == 0:
        return window_of_range(0.0, WHITE)
    modality = modality_values(shown, layout, transform.modality)
    low, high = float(modality.min()), float(modality.max())
    if low == high or _is_whole(modality):
        return window_of_range(low, high)
    return Window((low + high) / 2.0, high - low, WindowFunction.LINEAR_EXACT)


def _is_whole(values: RealArray) -> bool:
    return bool(np.issubdtype(values.dtype, np.integer) or (np.trunc(values) == values).all())


def _table_pays(values: RealArray, layout: PixelFormat) -> bool:
    small = not layout.floating and layout.bits_stored <= _TABLE_BITS
    return small and values.size > (1 << layout.bits_stored)


def _levels(values: RealArray, layout: PixelFormat, transform: GrayscaleTransform) -> PictureArray:
    modality = modality_values(values, layout, transform.modality)
    table = transform.presentation
    if table is None:
        display = _through_voi(modality, layout, transform, WHITE)
    else:
        last = len(table.entries) - 1
        display = _through_voi(modality, layout, replace(transform, inverse=False), float(last))
        index = np.clip(np.floor(np.nan_to_num(display)), 0, last).astype(np.int64)
        display = _p_values(table.entries[index], table.maximum, transform)
    display = np.nan_to_num(display, nan=0.0, posinf=WHITE, neginf=0.0)
    return np.clip(np.floor(display), 0, 255).astype(np.uint8)


def _p_values(entries: NDArray[np.uint16], maximum: int, transform: GrayscaleTransform) -> Reals:
    """A table's output to 0 to 255: to the ends after a window, else in equal shares as before."""
    if not isinstance(transform.voi, Window):
        return full_range(entries, 0.0, maximum, inverse=transform.inverse)
    levels: Reals = entries.astype(np.float64) * (WHITE / maximum)
    return WHITE - levels if transform.inverse else levels


def _through_voi(
    modality: RealArray, layout: PixelFormat, transform: GrayscaleTransform, white: float
) -> Reals:
    """Return display values in [0, white], not rounded; NaN stays."""
    voi, inverse = transform.voi, transform.inverse
    if isinstance(voi, FullRange):
        low, high = modality_range(layout, transform.modality)
        return full_range(modality, low, high, white, inverse=inverse)
    if isinstance(voi, LookupTable):
        return full_range(_entries(modality, voi), 0.0, voi.maximum, white, inverse=inverse)
    return windowed(modality, voi or window_of_range(0.0, WHITE), white, inverse=inverse)


def modality_range(
    layout: PixelFormat, modality: LookupTable | Rescale | None
) -> tuple[float, float]:
    """Return the least and the greatest modality value that a format can give."""
    if isinstance(modality, LookupTable):
        return 0.0, float(modality.maximum)
    rescale = modality if modality is not None and modality.is_usable else Rescale()
    ends = [
        end * rescale.slope + rescale.intercept
        for end in (float(layout.lowest), float(layout.highest))
    ]
    return min(ends), max(ends)


def _entries(values: RealArray, table: LookupTable) -> NDArray[np.uint16]:
    whole = np.nan_to_num(np.trunc(values), nan=0.0, posinf=_FAR, neginf=-_FAR)
    return table.apply(np.clip(whole, -_FAR, _FAR).astype(np.int64))
