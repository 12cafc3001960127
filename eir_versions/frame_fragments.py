"""Which fragments of encapsulated pixels make up which frame (PS3.5 A.4, PS3.3 C.7.6.3.1.8).

Offset tables are what a sender says; a frame read where a lie points would be another frame, or
rubbish. One judgement for everybody who takes a frame out of a file: rendering and DICOMweb.
"""

import io
import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

Fragment = tuple[int, int]
"""Where the bytes of a fragment begin in the file, and how many they are."""

_HEAD = struct.Struct("<HHL")
_ITEM, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_MOST_ITEMS = 1_000_000
_MOST_REMEMBERED_FILES, _MOST_REMEMBERED_FRAGMENTS = 4, 100_000
# What every codestream of JPEG, JPEG-LS and JPEG 2000 begins with.
_CODESTREAMS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
_LONGEST_MARK = 4


@dataclass(frozen=True)
class FrameFragments:
    """Fragments in order, and which is the first of each frame and one past the last."""

    fragments: Sequence[Fragment]
    firsts: Sequence[int]

    def of_frame(self, index: int) -> Sequence[Fragment]:
        """Return the fragments of a frame, counted from 0."""
        return self.fragments[self.firsts[index] : self.firsts[index + 1]]


def frame_fragments(
    file: BinaryIO, offset: int, frames: int, extended: bytes | None = None
) -> FrameFragments:
    """Return whose the fragments of the encapsulated pixel value at `offset` are.

    One frame has them all. As many fragments as frames are one each, whatever a table says. Else a
    table decides that names beginnings of fragments alone, in order: the Extended Offset Table
    `extended`, then the basic one. Without one, as many codestreams as there are frames.

    Raises:
        ValueError: the items do not follow PS3.5 A.4, lead outside the file, or none of these
            tells for certain.
    """
    items = _items(file, offset)
    if not items:
        raise ValueError("encapsulated pixels without an offset table")
    table, fragments = items[0], items[1:]
    if frames == 1:
        return FrameFragments(fragments, (0, len(fragments)))
    if len(fragments) == frames:
        return FrameFragments(fragments, range(frames + 1))
    tables = (
        _numbers("Q", extended or b""),
        _numbers("L", _read(file, *table)),
    )
    firsts = _by_table(fragments, frames, tables) or _by_codestream(
        fragments, frames, lambda place: _read(file, place, _LONGEST_MARK)
    )
    if firsts is None:
        raise ValueError("nothing says for certain which fragments are whose")
    return FrameFragments(fragments, firsts)


def remembered_fragments(
    file: BinaryIO, offset: int, frames: int, extended: bytes | None = None
) -> FrameFragments:
    """Return the same as `frame_fragments`, found out once for the files asked for lately.

    Where one frame is read, the next one often is. Raises as `frame_fragments`.
    """
    identity = file_identity(file)
    if identity is None:
        return frame_fragments(file, offset, frames, extended)
    key = (identity, offset, frames)
    found = _lately.pop(key, None) or frame_fragments(file, offset, frames, extended)
    if len(found.fragments) <= _MOST_REMEMBERED_FRAGMENTS:
        _lately[key] = found
    while len(_lately) > _MOST_REMEMBERED_FILES:
        _lately.popitem(last=False)
    return found


def file_identity(file: BinaryIO) -> Hashable | None:
    """Return what is another value once an object has been written anew; None: nobody can tell."""
    raw = getattr(file, "raw", None)
    if isinstance(raw, io.FileIO):
        said = os.fstat(raw.fileno())
        return said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns
    identity: Hashable | None = getattr(raw, "identity", None)
    return identity


_lately: OrderedDict[Hashable, FrameFragments] = OrderedDict()


def _by_table(
    fragments: Sequence[Fragment], frames: int, tables: Iterable[Sequence[int]]
) -> Sequence[int] | None:
    base = fragments[0][0] if fragments else 0
    index_of = {place - base: index for index, (place, _) in enumerate(fragments)}
    for table in tables:
        firsts = [index_of.get(offset, -1) for offset in table]
        if len(firsts) == frames and firsts[0] == 0 and all(a < b for a, b in pairwise(firsts)):
            return [*firsts, len(fragments)]
    return None


def _by_codestream(
    fragments: Sequence[Fragment], frames: int, begins: Callable[[int], bytes]
) -> Sequence[int] | None:
    firsts = [
        index
        for index, (place, length) in enumerate(fragments)
        if length >= _LONGEST_MARK and begins(place).startswith(_CODESTREAMS)
    ]
    return [*firsts, len(fragments)] if len(firsts) == frames and firsts[0] == 0 else None


def _items(file: BinaryIO, offset: int) -> list[Fragment]:
    """Return the items of a pixel value, the offset table first."""
    end = file.seek(0, io.SEEK_END)
    items: list[Fragment] = []
    while len(items) < _MOST_ITEMS:
        head = _read(file, offset, _HEAD.size)
        if len(head) < _HEAD.size:
            # A missing delimiter alone loses nothing: every fragment was complete.
            break
        group, element, length = _HEAD.unpack(head)
        if (group, element) == _SEQUENCE_END:
            break
        if (group, element) != _ITEM or offset + _HEAD.size + length > end:
            raise ValueError("a pixel data item does not follow PS3.5 A.4")
        items.append((offset + _HEAD.size, length))
        offset += _HEAD.size + length
    return items


def _numbers(form: str, table: bytes) -> Sequence[int]:
    size = struct.calcsize(f"<{form}")
    return struct.unpack(f"<{len(table) // size}{form}", table[: len(table) // size * size])


def _read(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)
