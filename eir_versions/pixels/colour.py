"""Colour: YBR to RGB, palettes, planar configuration (DICOM PS3.3 C.7.6.3.1.2, C.7.6.3.1.3)."""

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.luts import LookupTable
from eir_versions.pixels.model import IntegerArray, PictureArray, PixelFormat

_CHROMA_ZERO = 128.0
_D50_WHITE = np.array([0.96422, 1.0, 0.82521])
# IEC 61966-2-1, adapted from D65 to D50 by Bradford.
_SRGB_FROM_D50 = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)


def interleave(samples: IntegerArray, layout: PixelFormat, *, planar: bool) -> IntegerArray:
    """Return (rows, columns[, samples]) from the flat samples of a frame (Planar Configuration)."""
    if layout.samples == 1:
        return samples.reshape(layout.rows, layout.columns)
    if planar:
        planes = samples.reshape(layout.samples, layout.rows, layout.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return samples.reshape(layout.rows, layout.columns, layout.samples)


def to_eight_bits(values: IntegerArray, bits_stored: int) -> PictureArray:
    """Return colour samples of any depth as 8 bits: the most significant bits are kept."""
    if bits_stored > 8:
        return (values.astype(np.int64) >> (bits_stored - 8)).astype(np.uint8)
    return values.astype(np.uint8)


def rgb_from_ybr(ybr: PictureArray, *, partial: bool = False) -> PictureArray:
    """Return RGB of YBR_FULL (or YBR_PARTIAL) samples, shape (…, 3), uint8 in and out.

    Coefficients are those of PS3.3 C.7.6.3.1.2 (CCIR 601-2).
    """
    luma = ybr[..., 0].astype(np.float64)
    blue = ybr[..., 1].astype(np.float64) - _CHROMA_ZERO
    red = ybr[..., 2].astype(np.float64) - _CHROMA_ZERO
    if partial:
        luma = (luma - 16.0) * (255.0 / 219.0)
        blue = blue * (255.0 / 224.0)
        red = red * (255.0 / 224.0)
    rgb = np.stack(
        [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1
    )
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def expand_422(data: NDArray[np.uint8], layout: PixelFormat) -> PictureArray:
    """Return (rows, columns, 3) YBR_FULL of native YBR_FULL_422 bytes: Y1 Y2 Cb Cr per pixel pair.

    Raises:
        PixelsError: the number of columns is odd, or bytes are missing.
    """
    if layout.columns % 2:
        raise PixelsError("YBR_FULL_422 needs an even number of columns")
    needed = layout.pixel_count * 2
    if data.size < needed:
        raise PixelsError("Pixel Data is shorter than Rows x Columns asks for")
    pairs = data[:needed].reshape(layout.rows, layout.columns // 2, 4)
    out = np.empty((layout.rows, layout.columns, 3), dtype=np.uint8)
    out[:, 0::2, 0], out[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    for channel in (1, 2):
        out[..., channel] = np.repeat(pairs[..., channel + 1], 2, axis=1)
    return out


def apply_palette(
    values: IntegerArray, tables: tuple[LookupTable, LookupTable, LookupTable]
) -> PictureArray:
    """Return (rows, columns, 3) RGB of palette indices (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6)."""
    channels = [to_eight_bits(table.apply(values), table.bits) for table in tables]
    return np.stack(channels, axis=-1)


def rgb_from_cielab(encoded: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return sRGB of a CIELab value as DICOM writes it: 0 to 65535, D50 (PS3.3 C.10.7.1.1)."""
    lightness = encoded[0] * 100.0 / 65535.0
    a, b = (part * 255.0 / 65535.0 - 128.0 for part in encoded[1:])
    y = (lightness + 16.0) / 116.0
    ratios = np.array([y + a / 500.0, y, y - b / 200.0])
    small = 6.0 / 29.0
    xyz = np.where(ratios > small, ratios**3, 3 * small**2 * (ratios - 4.0 / 29.0)) * _D50_WHITE
    linear = np.clip(_SRGB_FROM_D50 @ xyz, 0.0, 1.0)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = np.rint(curved * 255.0).astype(int).tolist()
    return red, green, blue
