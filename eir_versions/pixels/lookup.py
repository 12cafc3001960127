"""A table looked up for every pixel, as fast as this installation can.

OpenCV, where it is installed, takes a third of numpy's time; the entries are the same.
"""

import importlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.model import PictureArray

_ROWS_AT_ONCE = 32
_LOOKS_UP_WORDS = 5  # the first version of OpenCV that has tables for 16 bits


def looked_up(values: NDArray[Any], table: PictureArray, lowest: int) -> PictureArray:
    """Return the entries of `table`, whose first is that of `lowest`, for integers.

    `lowest` is 0 or negative. Integers beyond an end of the table get the entry at that end.
    """
    opencv = _opencv() if values.dtype.itemsize <= 2 and values.ndim == 2 else None
    if opencv is None:
        return _by_numpy(values, table, lowest)
    words = np.ascontiguousarray(values)
    every = _for_every_word(table, lowest, words.dtype)
    found: PictureArray = opencv.LUT(words.view(f"u{words.dtype.itemsize}"), every)
    return found


def _by_numpy(values: NDArray[Any], table: PictureArray, lowest: int) -> PictureArray:
    """Look up a few rows at a time: what lies in between then stays in the processor's cache."""
    picture = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), _ROWS_AT_ONCE):
        rows = values[first : first + _ROWS_AT_ONCE]
        places = np.subtract(rows, lowest, dtype=np.intp)
        table.take(places, out=picture[first : first + _ROWS_AT_ONCE], mode="clip")
    return picture


def _for_every_word(table: PictureArray, lowest: int, dtype: np.dtype[Any]) -> PictureArray:
    """Return the table for all words of a type, taken for unsigned ones."""
    count = 1 << (dtype.itemsize * 8)
    negatives = count // 2 if dtype.kind == "i" else 0
    below = min(-lowest, negatives)
    above = table[-lowest:][: count - negatives]
    every = np.empty(count, np.uint8)
    every[: len(above)] = above
    every[len(above) : count - negatives] = table[-1]
    every[count - negatives : count - below] = table[0]
    every[count - below :] = table[-lowest - below : -lowest]
    return every


@cache
def _opencv() -> Any:
    """Return the library, None where it is missing or older; only who draws pictures loads it."""
    try:
        found = importlib.import_module("cv2")
    except ImportError:
        return None
    return found if int(found.__version__.partition(".")[0]) >= _LOOKS_UP_WORDS else None
