"""One frame of an instance to an 8-bit picture array: decoding, grayscale or colour, overlays."""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.codecs import DecodedFrame, decode_frame
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import numbers, value_of
from eir_versions.instance_file import InstanceFile
from eir_versions.pixels import (
    LookupTable,
    Overlay,
    PixelsError,
    Window,
    apply_palette,
    burn_overlays,
    expand_segmented,
    lookup_table,
    render_grayscale,
    rgb_from_ybr,
    to_eight_bits,
)
from eir_versions.pixels.model import PictureArray
from eir_versions.pixels.overlays import overlay_bitmap
from eir_versions.reduced import reduced_frame
from eir_versions.transforms import dataset_is_little, grayscale_transform, lut_entries, table_of

_COLOURS = ("Red", "Green", "Blue")
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)


@dataclass(frozen=True)
class FrameRequest:
    """Which frame, through which window (None: the stored VOI), with overlays or without.

    `halvings` gives it at a half, a quarter, … of its size; overlays fit the whole size only.
    """

    frame_number: int = 1
    window: Window | None = None
    overlays: bool = False
    halvings: int = 0


def render_frame(instance: InstanceFile, request: FrameRequest) -> PictureArray:
    """Return (rows, columns) or (rows, columns, 3) uint8, in the matrix as stored.

    Raises:
        UnrenderableInstanceError: with the reason; FrameNotFoundError for a number out of range.
    """
    if request.halvings:
        decoded = reduced_frame(instance, request.frame_number, request.halvings)
    else:
        decoded = decode_frame(instance, request.frame_number)
    try:
        picture = _picture(instance, decoded, request)
        if request.overlays:
            planes = _overlays(instance.dataset, request.frame_number - 1)
            picture = burn_overlays(picture, planes)
    except PixelsError as error:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS) from error
    return picture


def _picture(instance: InstanceFile, decoded: DecodedFrame, request: FrameRequest) -> PictureArray:
    header = instance.header
    if decoded.photometric == "PALETTE COLOR":
        return apply_palette(decoded.values, palette(instance.dataset, signed=header.layout.signed))
    if header.layout.samples == 1:
        transform = grayscale_transform(
            instance.dataset, header, request.frame_number - 1, request.window
        )
        return render_grayscale(decoded.values, header.layout, transform)
    samples = to_eight_bits(decoded.values[..., :3], header.layout.bits_stored)
    if decoded.photometric.startswith("YBR_"):
        return rgb_from_ybr(samples, partial="PARTIAL" in decoded.photometric)
    return np.ascontiguousarray(samples)


def palette(dataset: Dataset, *, signed: bool) -> tuple[LookupTable, LookupTable, LookupTable]:
    """Return the red, green and blue tables, plain or segmented (PS3.3 C.7.6.3.1.5, C.7.9.2).

    Raises:
        UnrenderableInstanceError: a table is missing or unusable.
    """
    tables = [_palette_channel(dataset, colour, signed=signed) for colour in _COLOURS]
    found = [table for table in tables if table is not None]
    if len(found) != 3:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS)
    return found[0], found[1], found[2]


def _palette_channel(dataset: Dataset, colour: str, *, signed: bool) -> LookupTable | None:
    descriptor = numbers(dataset, f"{colour}PaletteColorLookupTableDescriptor")
    data = value_of(dataset, f"{colour}PaletteColorLookupTableData")
    little = dataset_is_little(dataset)
    if data is not None or len(descriptor) != 3 or not all(np.isfinite(descriptor)):
        table = table_of(descriptor, data, signed=signed, little=little)
        return None if table is None else _declared_depth(table, int(descriptor[2]))
    segments = value_of(dataset, f"Segmented{colour}PaletteColorLookupTableData")
    if segments is None:
        return None
    count, first, bits = (
        int(descriptor[0]) & 0xFFFF or 65536,
        int(descriptor[1]),
        int(descriptor[2]),
    )
    words = lut_entries(segments, 65536 if bits > 8 else 1 << 20, bits, little=little)
    entries = expand_segmented(words.tolist(), count)
    return lookup_table((count, first, bits), entries, signed=signed)


def _declared_depth(table: LookupTable, bits: int) -> LookupTable:
    """Tables declared with 16 bits but filled with 8-bit values are common: use what is filled."""
    if bits == 16 and table.bits == 16 and int(table.entries.max()) < 256:
        return LookupTable(table.first, 8, table.entries)
    return table


def _overlays(dataset: Dataset, frame_index: int) -> tuple[Overlay, ...]:
    planes = (
        _overlay(dataset.group_dataset(group), group, frame_index) for group in _OVERLAY_GROUPS
    )
    return tuple(plane for plane in planes if plane is not None)


def _overlay(plane: Dataset, group: int, frame_index: int) -> Overlay | None:
    def word(element: int, default: int) -> int:
        found = plane.get((group, element))
        return default if found is None else int(_first(found.value, default))

    data = plane.get((group, 0x3000))
    if data is None or not isinstance(data.value, bytes):
        return None
    origin = plane.get((group, 0x0050))
    row, column = origin.value if origin is not None and origin.VM == 2 else (1, 1)
    frames = word(0x0015, 1)
    first = word(0x0051, 1) - 1
    frame = frame_index - first if frames > 1 else 0
    if not 0 <= frame < max(frames, 1):
        return None
    bitmap = overlay_bitmap(data.value, word(0x0010, 0), word(0x0011, 0), frame)
    return Overlay(int(row), int(column), bitmap)


def _first(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | float | str) and value != "" else default
