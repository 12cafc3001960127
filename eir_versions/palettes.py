"""Palettes of a dataset: plain, segmented, well known, supplemental (PS3.3 C.7.9, C.7.6.23)."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import numbers, text, value_of
from eir_versions.jobs import PALETTES
from eir_versions.pixels import LookupTable, apply_palette, expand_segmented, lookup_table
from eir_versions.pixels.model import IntegerArray, PictureArray
from eir_versions.transforms import dataset_is_little, frame_scopes, lut_entries, table_of

Palette = tuple[LookupTable, LookupTable, LookupTable]
_COLOURS = ("Red", "Green", "Blue")
_COLOURED = frozenset({"COLOR", "MIXED"})
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
_SHIPPED = Path(pydicom.__file__).parent / "data" / "palettes"
_NAMES = {uid: name for name, uid in PALETTES.items()}


def palette_of(dataset: Dataset, *, signed: bool) -> Palette:
    """Return the red, green and blue tables (PS3.3 C.7.6.3.1.5, C.7.9.2).

    A dataset that names a well-known palette and holds none of its own is given that one.

    Raises:
        UnrenderableInstanceError: a table is missing or unusable.
        PixelsError: a segmented table breaks its rules.
    """
    found = palette_or_none(dataset, signed=signed)
    if found is None:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS)
    return found


def palette_or_none(dataset: Dataset, *, signed: bool) -> Palette | None:
    """Return the tables as `palette_of` does, None where there are none."""
    tables = [_channel(dataset, colour, signed=signed) for colour in _COLOURS]
    found = [table for table in tables if table is not None]
    if len(found) == 3:
        return found[0], found[1], found[2]
    name = _NAMES.get(text(dataset, "PaletteColorLookupTableUID"))
    return None if found or name is None else well_known_palette(name)


@lru_cache(maxsize=len(PALETTES))
def well_known_palette(name: str) -> Palette:
    """Return a palette of PS3.6 annex B by its name in `jobs.PALETTES`; pydicom ships them.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in PALETTES:
        raise KeyError(name)
    found = palette_or_none(pydicom.dcmread(_SHIPPED / f"{name}.dcm"), signed=False)
    if found is None:
        raise KeyError(name)
    return found


def supplemental(dataset: Dataset, frame_index: int, *, signed: bool) -> Palette | None:
    """Return the palette for the values at and above its first, None where none is to be used."""
    if value_of(dataset, "RedPaletteColorLookupTableDescriptor") is None:
        return None
    said = {
        text(scope, "PixelPresentation").upper()
        for macro in _FRAME_TYPES
        for scope in frame_scopes(dataset, frame_index, macro)
    }
    return palette_or_none(dataset, signed=signed) if said & _COLOURED else None


def supplemented(picture: PictureArray, values: IntegerArray, palette: Palette) -> PictureArray:
    """Return (rows, columns, 3): grey below the palette's first value, else its colours."""
    colours = np.stack([picture] * 3, axis=-1)
    mapped = values >= palette[0].first
    colours[mapped] = apply_palette(values[mapped], palette)
    return colours


def _channel(dataset: Dataset, colour: str, *, signed: bool) -> LookupTable | None:
    descriptor = numbers(dataset, f"{colour}PaletteColorLookupTableDescriptor")
    data = value_of(dataset, f"{colour}PaletteColorLookupTableData")
    little = dataset_is_little(dataset)
    if data is not None or len(descriptor) != 3 or not all(np.isfinite(descriptor)):
        table = table_of(descriptor, data, signed=signed, little=little)
        return None if table is None else _declared_depth(table, int(descriptor[2]))
    segments = value_of(dataset, f"Segmented{colour}PaletteColorLookupTableData")
    if segments is None:
        return None
    count, first, bits = (int(part) for part in descriptor)
    count = count & 0xFFFF or 65536
    words = lut_entries(segments, 65536 if bits > 8 else 1 << 20, bits, little=little)
    entries = expand_segmented(words.tolist(), count)
    return lookup_table((count, first, bits), entries, signed=signed)


def _declared_depth(table: LookupTable, bits: int) -> LookupTable:
    """Tables declared with 16 bits but filled with 8-bit values are common: use what is filled."""
    if bits == 16 and table.bits == 16 and int(table.entries.max()) < 256:
        return LookupTable(table.first, 8, table.entries)
    return table
