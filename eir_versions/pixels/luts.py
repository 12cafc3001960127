"""Lookup tables: descriptor, data, segments (DICOM PS3.3 C.7.6.3.1.5, C.7.9.2, C.11.1.1.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.errors import PixelsError

_MAX_ENTRIES = 65536
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A table whose first entry belongs to input value `first`; entries have `bits` bits.

    Inputs below the first or above the last entry take that entry, so a table that is shorter than
    its descriptor says still gives a picture.
    """

    first: int
    bits: int
    entries: NDArray[np.uint16]

    @property
    def maximum(self) -> int:
        """The largest output value the table can name: 2^bits - 1."""
        return (1 << self.bits) - 1

    def apply(self, values: NDArray[np.integer[Any]]) -> NDArray[np.uint16]:
        """Return the entry of each value, same shape."""
        index = np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[index]


def lookup_table(
    descriptor: Sequence[int], data: NDArray[np.uint16], *, signed: bool
) -> LookupTable:
    """Return the table of a LUT Descriptor (count, first, bits) and its entries.

    `signed` says how a first value written as US is to be read. A count of 0 means 65536. A bit
    depth that the entries contradict is corrected from the entries.

    Raises:
        PixelsError: the descriptor has not three values, or there is no entry.
    """
    if len(descriptor) != 3:
        raise PixelsError("LUT Descriptor has not three values")
    count = descriptor[0] & 0xFFFF or _MAX_ENTRIES
    first = descriptor[1]
    if signed and first > 0x7FFF:
        first -= 0x10000
    entries = np.ascontiguousarray(data[:count], dtype=np.uint16)
    if entries.size == 0:
        raise PixelsError("LUT Data is empty")
    needed = max(int(entries.max()).bit_length(), 1)
    bits = descriptor[2] if 0 < descriptor[2] <= 16 else needed
    return LookupTable(first, max(bits, needed), entries)


def expand_segmented(words: Sequence[int], count: int) -> NDArray[np.uint16]:
    """Expand Segmented Palette Color LUT Data (PS3.3 C.7.9.2) to at most `count` entries.

    `words` are the segment stream as unsigned numbers (16-bit, or 8-bit for an 8-bit palette).

    Raises:
        PixelsError: a segment is cut short, unknown, or begins with a linear segment.
    """
    out: list[int] = []
    _expand(list(words), 0, None, out, count)
    return np.array(out[:count], dtype=np.uint16)


def _expand(words: list[int], at: int, segments: int | None, out: list[int], count: int) -> None:
    done = 0
    while len(out) < count and at < len(words) and (segments is None or done < segments):
        try:
            if words[at] == _INDIRECT:
                if segments is not None:
                    raise PixelsError("an indirect palette segment points to an indirect segment")
                target = words[at + 2] | words[at + 3] << 16
                _expand(words, target, words[at + 1], out, count)
                at += 4
            else:
                at = _expand_plain(words, at, out)
        except IndexError as error:
            raise PixelsError("Segmented Palette Color LUT Data is cut short") from error
        done += 1


def _expand_plain(words: list[int], at: int, out: list[int]) -> int:
    opcode, length = words[at], words[at + 1]
    if opcode == _DISCRETE:
        values = words[at + 2 : at + 2 + length]
        if len(values) < length:
            raise PixelsError("Segmented Palette Color LUT Data is cut short")
        out.extend(values)
        return at + 2 + length
    if opcode == _LINEAR and out:
        start, end = out[-1], words[at + 2]
        steps = np.arange(1, length + 1, dtype=np.float64) / max(length, 1)
        out.extend(np.rint(start + (end - start) * steps).astype(int).tolist())
        return at + 3
    raise PixelsError(f"palette segment type {opcode} is not possible here")
