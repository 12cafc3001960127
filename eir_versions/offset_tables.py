"""Whether the offset tables of encapsulated pixels may be believed (PS3.5 A.4, PS3.3 C.7.6.3.1.8).

They are what a sender says; a frame read where a lie points would be another frame, or rubbish.
"""

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_ITEM = struct.pack("<HH", 0xFFFE, 0xE000)
_HEAD = struct.Struct("<4sL")


@dataclass(frozen=True)
class WithinFile:
    """A file whose reads ask for no more than there is: a length that lies takes no memory."""

    file: BinaryIO
    size: int

    def read(self, length: int = -1) -> bytes:
        """Return `length` bytes, fewer where the file ends before, all that are left below 0."""
        left = max(0, self.size - self.file.tell())
        return self.file.read(left if length < 0 else min(length, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as the file does."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return where the file stands."""
        return self.file.tell()


def within_file(file: BinaryIO) -> WithinFile:
    """Return `file`, standing where it stood, with its size."""
    at = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(at)
    return WithinFile(file, size)


def check_offsets(source: WithinFile, index: int, extended: tuple[bytes, bytes] | None) -> None:
    """Return when the table that is used rises from 0 and begins and ends frame `index` at items.

    `source` stands before the Basic Offset Table, and does so again. Without a table there is
    nothing to believe. Frames are counted from 0.

    Raises:
        ValueError: it points elsewhere, backwards, beyond the file, or has no entry for the frame.
    """
    start = source.tell()
    try:
        table = _item_length(source, start)
        base = start + _HEAD.size + table
        if extended is not None:
            fragment = _item_length(source, base + _rising("<u8", extended[0], index)[0])
            if int(_entries("<u8", extended[1], index)[index]) > fragment:
                raise ValueError("a frame is longer than its fragment")
        elif table:
            source.seek(start + _HEAD.size)
            for offset in _rising("<u4", source.read(table), index):
                _item_length(source, base + offset)
    finally:
        source.seek(start)


def _rising(form: str, table: bytes, index: int) -> list[int]:
    """Return where a frame begins and, but for the last, where the next one does."""
    offsets = _entries(form, table, index)
    if offsets[0] != 0 or np.any(offsets[1:] <= offsets[:-1]):
        raise ValueError("the offsets do not rise from 0")
    return [int(offset) for offset in offsets[index : index + 2]]


def _entries(form: str, table: bytes, index: int) -> NDArray[Any]:
    size = np.dtype(form).itemsize
    entries = np.frombuffer(table[: len(table) // size * size], form)
    if index >= len(entries):
        raise ValueError("the table has no entry for this frame")
    return entries


def _item_length(source: WithinFile, position: int) -> int:
    """Return the length of the item at `position`; it must be one, and end within the file."""
    if position + _HEAD.size > source.size:
        raise ValueError("an offset lies beyond the file")
    source.seek(position)
    tag, length = _HEAD.unpack(source.read(_HEAD.size))
    if tag != _ITEM or position + _HEAD.size + length > source.size:
        raise ValueError("no item stands where an offset points")
    return int(length)
