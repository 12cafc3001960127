"""Overlay planes of a dataset, in elements of their own or in unused bits of the pixels (C.9.2)."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from eir_versions.headers import ImageHeader
from eir_versions.pixels import Overlay, PixelsError
from eir_versions.pixels.model import IntegerArray
from eir_versions.pixels.overlays import embedded_bitmap, overlay_bitmap

OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _FRAMES, _ORIGIN, _FIRST_FRAME = 0x0010, 0x0011, 0x0015, 0x0050, 0x0051
_BITS_ALLOCATED, _BIT_POSITION, _LAYER, _DATA = 0x0100, 0x0102, 0x1001, 0x3000
_WHITE = 255


@dataclass(frozen=True, eq=False)
class FrameWords:
    """The frame that overlays lie on: its number from 0, and its words as allocated where known."""

    header: ImageHeader
    index: int
    words: IntegerArray | None = None


def overlays_of(
    dataset: Dataset, frame: FrameWords, level: Callable[[int, str], int | None] | None = None
) -> tuple[Overlay, ...]:
    """Return the planes that belong to a frame.

    `level` gives the grey of a plane from its group and its activation layer, None leaves it out.

    Raises:
        PixelsError: a plane is impossibly large, or its data are shorter than its size.
    """
    found = []
    for group in OVERLAY_GROUPS:
        plane = dataset.group_dataset(group)
        if not plane:
            continue
        grey = _WHITE if level is None else level(group, layer_of(plane, group))
        overlay = None if grey is None else overlay_of(plane, group, frame, grey)
        if overlay is not None:
            found.append(overlay)
    return tuple(found)


def overlay_of(
    dataset: Dataset, group: int, frame: FrameWords, level: int = _WHITE
) -> Overlay | None:
    """Return one plane, None where it is absent or not of this frame; raises as `overlays_of`."""
    bitmap = _bitmap(dataset, group, frame)
    if bitmap is None:
        return None
    origin = _numbers(dataset, group, _ORIGIN)
    row, column = (origin[0], origin[1]) if len(origin) == 2 else (1, 1)
    return Overlay(row, column, bitmap, level)


def _bitmap(dataset: Dataset, group: int, frame: FrameWords) -> NDArray[np.bool_] | None:
    data = dataset.get((group, _DATA))
    if data is None or not isinstance(data.value, bytes):
        return _embedded(dataset, group, frame)
    frames = _word(dataset, group, _FRAMES, 1)
    first = _word(dataset, group, _FIRST_FRAME, 1) - 1
    index = frame.index - first if frames > 1 else 0
    if not 0 <= index < max(frames, 1):
        return None
    rows, columns = (_word(dataset, group, element, 0) for element in (_ROWS, _COLUMNS))
    return overlay_bitmap(data.value, rows, columns, index)


def _embedded(dataset: Dataset, group: int, frame: FrameWords) -> NDArray[np.bool_] | None:
    allocated = _word(dataset, group, _BITS_ALLOCATED, 1)
    if frame.words is None or allocated != frame.header.layout.bits_allocated:
        return None
    if frame.header.layout.samples != 1 or frame.header.layout.floating:
        return None
    position = _word(dataset, group, _BIT_POSITION, -1)
    with suppress(PixelsError):  # a plane may claim the bits of the image itself: it is none
        return embedded_bitmap(frame.words, frame.header.layout, position)
    return None


def _word(dataset: Dataset, group: int, element: int, default: int) -> int:
    found = _numbers(dataset, group, element)
    return found[0] if found else default


def _numbers(dataset: Dataset, group: int, element: int) -> list[int]:
    found = dataset.get((group, element))
    value = None if found is None else found.value
    many = [value] if isinstance(value, int | float | str) else list(value or ())
    try:
        return [int(item) for item in many]
    except (ValueError, TypeError, OverflowError):
        return []


def layer_of(dataset: Dataset, group: int) -> str:
    """Return the Overlay Activation Layer of a group (C.11.7), empty where it has none."""
    found = dataset.get((group, _LAYER))
    return "" if found is None or found.value is None else str(found.value).strip()
