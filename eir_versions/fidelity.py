"""How far a lossy picture is from what it was made of: PSNR and SSIM."""

import math

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.model import PictureArray

_BLOCK = 8
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr_db(original: PictureArray, shown: PictureArray) -> float:
    """Return the peak signal-to-noise ratio in decibels; infinite for identical pictures."""
    difference = original.astype(np.float64) - shown.astype(np.float64)
    error = float(np.mean(difference * difference))
    return math.inf if error == 0 else 10.0 * math.log10(255.0 * 255.0 / error)


def ssim(original: PictureArray, shown: PictureArray) -> float:
    """Return the mean structural similarity over non-overlapping 8 x 8 blocks, 1 for identical.

    Colour pictures are compared by the mean of their channels. Pictures smaller than a block are
    one block.
    """
    first, second = _blocks(_gray(original)), _blocks(_gray(shown))
    mean_1, mean_2 = first.mean(axis=-1), second.mean(axis=-1)
    variance_1, variance_2 = first.var(axis=-1), second.var(axis=-1)
    covariance = (first * second).mean(axis=-1) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return float(np.mean(luminance * structure))


def _gray(picture: PictureArray) -> NDArray[np.float64]:
    values = picture.astype(np.float64)
    return values.mean(axis=-1) if values.ndim == 3 else values


def _blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = (edge // _BLOCK for edge in values.shape)
    if not rows or not columns:
        return values.reshape(1, -1)
    cut = values[: rows * _BLOCK, : columns * _BLOCK]
    blocks = cut.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3)
    return blocks.reshape(rows * columns, _BLOCK * _BLOCK)
