"""Which modality and VOI transformation a frame has, functional groups included (PS3.3 C.7.6.16).

The nearest description wins: the frame's own functional group, the shared one, the dataset itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from eir_versions.headers import ImageHeader, integer, items, numbers, text, value_of
from eir_versions.mask_module import is_logarithmic
from eir_versions.pixels import (
    GrayscaleTransform,
    LookupTable,
    Padding,
    PixelsError,
    Rescale,
    Window,
    WindowFunction,
    lookup_table,
)

T = TypeVar("T")

_INVERSE_SHAPES = {"IDENTITY": False, "INVERSE": True}  # it decides where it stands (C.11.6)
_NO_MODALITY_LUT = frozenset({"PALETTE COLOR"})


def frame_scopes(dataset: Dataset, frame_index: int, macro: str) -> Iterator[Dataset]:
    """Yield the datasets that may hold a macro's attributes for a frame, the nearest first."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    groups = per_frame[frame_index : frame_index + 1]
    groups += items(dataset, "SharedFunctionalGroupsSequence")[:1]
    for group in groups:
        yield from items(group, macro)[:1]
    yield dataset


def grayscale_transform(
    dataset: Dataset, header: ImageHeader, frame_index: int, window: Window | None = None
) -> GrayscaleTransform:
    """Return the transformation of one frame; a reader's own `window` replaces the stored VOI.

    Several stored windows are alternatives: the first usable one is taken. A VOI LUT Sequence
    replaces the window (PS3.3 C.11.2.1.1). Nothing usable gives the range of the frame.
    """
    modality = _modality(dataset, header, frame_index)
    signed = may_be_negative(header, modality)
    voi = window or _stored_voi(dataset, frame_index, signed=signed)
    shape = text(dataset, "PresentationLUTShape").upper()
    inverse = _INVERSE_SHAPES.get(shape, header.photometric == "MONOCHROME1")
    return GrayscaleTransform(modality, voi, padding_of(dataset, header), inverse)


def difference_transform(
    dataset: Dataset, header: ImageHeader, frame_index: int, window: Window | None = None
) -> GrayscaleTransform:
    """Return the transformation of a frame that is subtracted as the image recommends.

    Values stored logarithmic are subtracted as they are. A VOI of the image is taken when it can be
    for differences: 0 lies inside; else there is none.
    """
    modality = None if is_logarithmic(dataset) else _modality(dataset, header, frame_index)
    voi: LookupTable | Window | None = window
    if voi is None:
        stored = _stored_voi(dataset, frame_index, signed=True)
        voi = stored if stored is not None and _has_nothing_inside(stored) else None
    native = grayscale_transform(dataset, header, frame_index, window)
    return replace(native, modality=modality, voi=voi)


def undone_transform(
    dataset: Dataset, header: ImageHeader, frame_index: int, window: Window | None = None
) -> GrayscaleTransform:
    """Return the transformation of a frame that is shown as it is, whatever the image recommends.

    A VOI that `difference_transform` takes is one of differences, and would show one flat grey.
    """
    native = grayscale_transform(dataset, header, frame_index, window)
    of_differences = difference_transform(dataset, header, frame_index).voi is not None
    return replace(native, voi=None) if of_differences and window is None else native


def pixel_spacing(dataset: Dataset, frame_index: int) -> tuple[float, float] | None:
    """Return (between rows, between columns) for the display aspect, None when nothing says it.

    Pixel Aspect Ratio is vertical size to horizontal size (PS3.3 C.7.6.3.1.7); otherwise Pixel
    Spacing, then Imager Pixel Spacing. Only the ratio means anything to the caller.
    """
    for scope in frame_scopes(dataset, frame_index, "PixelMeasuresSequence"):
        for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
            values = numbers(scope, keyword)
            if len(values) == 2 and all(np.isfinite(values)) and min(values) > 0:
                return values[0], values[1]
    return None


def slice_thickness_mm(dataset: Dataset, frame_index: int = 0) -> float | None:
    """Return the Slice Thickness in millimetres, None when it is not said."""
    for scope in frame_scopes(dataset, frame_index, "PixelMeasuresSequence"):
        values = numbers(scope, "SliceThickness")
        if values and np.isfinite(values[0]) and values[0] > 0:
            return values[0]
    return None


def dataset_is_little(dataset: Dataset) -> bool:
    """Return the byte order the dataset was read with."""
    encoding: tuple[bool | None, bool | None] = dataset.original_encoding
    return encoding[1] is not False


def table_of(
    descriptor: tuple[float, ...], data: object, *, signed: bool, little: bool
) -> LookupTable | None:
    """Return the lookup table of a descriptor and its data, None when they are unusable."""
    if len(descriptor) != 3 or not all(np.isfinite(descriptor)):
        return None
    count, first, bits = (int(part) for part in descriptor)
    try:
        entries = lut_entries(data, count & 0xFFFF or 65536, bits, little=little)
        return lookup_table((count, first, bits), entries, signed=signed)
    except (PixelsError, ValueError, TypeError, OverflowError):
        return None


def lut_entries(data: object, count: int, bits: int, *, little: bool) -> NDArray[np.uint16]:
    """Return LUT Data as numbers, be it OW bytes, packed 8-bit entries or US values."""
    if isinstance(data, bytes):
        if bits <= 8 and len(data) < count * 2:
            return np.frombuffer(data, np.uint8).astype(np.uint16)
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")
        return words.astype(np.uint16)
    values = np.atleast_1d(np.asarray(data, dtype=np.int64))
    if bits <= 8 and values.size * 2 in (count, count + 1):
        return values.astype("<u2").view(np.uint8).astype(np.uint16)
    return values.astype(np.uint16)


def _modality(
    dataset: Dataset, header: ImageHeader, frame_index: int
) -> LookupTable | Rescale | None:
    if header.photometric in _NO_MODALITY_LUT:
        return None
    little = dataset_is_little(dataset)
    for item in items(dataset, "ModalityLUTSequence")[:1]:
        table = table_item(item, signed=header.layout.signed, little=little)
        if table is not None:
            return table
    scopes = frame_scopes(dataset, frame_index, "PixelValueTransformationSequence")
    return _first(scopes, rescale_of)


def _stored_voi(dataset: Dataset, frame_index: int, *, signed: bool) -> LookupTable | Window | None:
    little = dataset_is_little(dataset)
    for scope in frame_scopes(dataset, frame_index, "FrameVOILUTSequence"):
        voi = voi_of(scope, signed=signed, little=little)
        if voi is not None:
            return voi
    return None


def _has_nothing_inside(voi: LookupTable | Window) -> bool:
    if isinstance(voi, LookupTable):
        return voi.first < 0 < voi.first + len(voi.entries) - 1
    return abs(voi.center) < voi.width / 2


def rescale_of(scope: Dataset) -> Rescale | None:
    """Return the rescale that a dataset itself states, None where there is no usable one."""
    slope, intercept = numbers(scope, "RescaleSlope"), numbers(scope, "RescaleIntercept")
    if not slope or not intercept:
        return None
    rescale = Rescale(slope[0], intercept[0])
    return rescale if rescale.is_usable else None


def voi_of(scope: Dataset, *, signed: bool, little: bool) -> LookupTable | Window | None:
    """Return the VOI that a dataset itself states: its table, else its first usable window."""
    for item in items(scope, "VOILUTSequence"):
        table = table_item(item, signed=signed, little=little)
        if table is not None:
            return table
    name = text(scope, "VOILUTFunction").upper()
    known = name in WindowFunction.__members__
    function = WindowFunction(name) if known else WindowFunction.LINEAR
    pairs = zip_longest(
        numbers(scope, "WindowCenter"), numbers(scope, "WindowWidth"), fillvalue=float("nan")
    )
    windows = (Window(center, width, function) for center, width in pairs)
    return next((window for window in windows if window.is_usable), None)


def table_item(item: Dataset, *, signed: bool, little: bool) -> LookupTable | None:
    """Return the table of an item of a LUT sequence, None where it is unusable."""
    data = value_of(item, "LUTData")
    return table_of(numbers(item, "LUTDescriptor"), data, signed=signed, little=little)


def padding_of(dataset: Dataset, header: ImageHeader) -> Padding | None:
    """Return the stored values that are no part of the image (PS3.3 C.7.5.1.1.2)."""
    if value_of(dataset, "PixelPaddingValue") is None or header.layout.floating:
        return None
    value = integer(dataset, "PixelPaddingValue", 0)
    limit = integer(dataset, "PixelPaddingRangeLimit", value)
    return Padding(_as_stored(value, header), _as_stored(limit, header))


def _as_stored(value: int, header: ImageHeader) -> int:
    """Read a padding value that was written with the other sign than the pixels."""
    top = 1 << header.layout.bits_allocated
    if header.layout.signed and value >= top // 2:
        return value - top
    return value + top if not header.layout.signed and value < 0 else value


def may_be_negative(header: ImageHeader, modality: LookupTable | Rescale | None) -> bool:
    """Return whether modality values can be below 0, so a LUT's first value written as US too."""
    if isinstance(modality, LookupTable):
        return False
    rescale = modality or Rescale()
    ends = (header.layout.lowest, header.layout.highest)
    return min(end * rescale.slope + rescale.intercept for end in ends) < 0


def _first(scopes: Iterator[Dataset], read: Callable[[Dataset], T | None]) -> T | None:
    return next((found for scope in scopes if (found := read(scope)) is not None), None)
