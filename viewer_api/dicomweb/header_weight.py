"""Weigh a stored header before anything builds objects from it (PS3.5 7).

A few megabytes of tiny elements become hundreds of megabytes of objects. Here only element heads
are read, flat, with no memory beyond one open level each; the archive has checked the structure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pydicom.datadict import dictionary_VR

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ELEMENTS = 100_000
MOST_TEXT_BYTES = 4 << 20
MOST_BULK_BYTES = 64 << 20

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MARKS = frozenset({_ITEM, _ITEM_END, _SEQUENCE_END})
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_BULK_VRS = frozenset(b"OB OD OF OL OV OW UN".split())


def is_too_heavy(file: BinaryIO, *, implicit: bool, big_endian: bool) -> bool:
    """Say whether the dataset at `file`'s position has a header too large to build objects from.

    Counted are data elements and items at every depth, the bytes of text and numbers, and those of
    bulk values, which stay bytes. The position is the same afterwards.
    """
    start = file.tell()
    try:
        return _Scale(file, implicit=implicit, big_endian=big_endian).exceeds()
    finally:
        file.seek(start)


@dataclass(frozen=True, slots=True)
class _Head:
    """One element head."""

    tag: int
    vr: bytes
    length: int


class _Scale:
    """One weighing; `_open` holds, per sequence of undefined length, whether VRs are implicit."""

    def __init__(self, file: BinaryIO, *, implicit: bool, big_endian: bool) -> None:
        self._file = file
        order = ">" if big_endian else "<"
        self._halves: Callable[[bytes], tuple[int, ...]] = struct.Struct(f"{order}HH").unpack
        self._short: Callable[[bytes], tuple[int, ...]] = struct.Struct(f"{order}H").unpack
        self._long: Callable[[bytes], tuple[int, ...]] = struct.Struct(f"{order}I").unpack
        self._open = [implicit]
        self._inside_until = 0
        self._elements = 0
        self._text_bytes = 0
        self._bulk_bytes = 0

    def exceeds(self) -> bool:
        while not self._is_over():
            head = self._next()
            if head is None or (head.tag in _PIXEL_TAGS and self._is_at_top()):
                return False
            self._elements += 1
            self._pass(head)
        return True

    def _is_at_top(self) -> bool:
        return len(self._open) == 1 and self._file.tell() > self._inside_until

    def _is_over(self) -> bool:
        return (
            self._elements > MOST_ELEMENTS
            or self._text_bytes > MOST_TEXT_BYTES
            or self._bulk_bytes > MOST_BULK_BYTES
        )

    def _next(self) -> _Head | None:
        raw = self._file.read(8)
        if len(raw) < 8:
            return None
        group, element = self._halves(raw[:4])
        tag, vr = group << 16 | element, raw[4:6]
        # Some writers switch to implicit VR inside a dataset; marks have no VR at all.
        if tag in _MARKS or self._open[-1] or not (vr.isalpha() and vr.isupper()):
            known = b"" if tag in _MARKS else _known_vr(tag)
            return _Head(tag, known, self._long(raw[4:])[0])
        if vr not in _LONG_VRS:
            return _Head(tag, vr, self._short(raw[6:])[0])
        rest = self._file.read(4)
        return _Head(tag, vr, self._long(rest)[0]) if len(rest) == 4 else None

    def _pass(self, head: _Head) -> None:
        """Step into sequences and items, over values."""
        if head.tag == _SEQUENCE_END and len(self._open) > 1:
            self._open.pop()
        elif head.tag in _MARKS:
            return
        elif head.vr == b"SQ" and head.length != _UNDEFINED:
            self._inside_until = max(self._inside_until, self._file.tell() + head.length)
        elif head.length != _UNDEFINED:
            self._weigh(head)
        elif head.vr in _BULK_VRS - {b"UN"}:
            self._pass_fragments()
        else:
            # PS3.5 6.2.2 note 2: a UN of undefined length is encoded as implicit VR inside.
            self._open.append(self._open[-1] or head.vr == b"UN")

    def _weigh(self, head: _Head) -> None:
        if head.vr == b"UN" and _known_vr(head.tag) == b"SQ":
            # A reader would open it: at worst it is elements alone.
            self._elements += head.length // 8
        elif head.vr in _BULK_VRS:
            self._bulk_bytes += head.length
        else:
            self._text_bytes += head.length
        self._file.seek(head.length, 1)

    def _pass_fragments(self) -> None:
        while not self._is_over():
            head = self._next()
            if head is None or head.tag != _ITEM:
                return
            self._elements += 1
            self._bulk_bytes += head.length
            self._file.seek(head.length, 1)


def _known_vr(tag: int) -> bytes:
    """Return the VR that PS3.6 gives `tag`; UN for private and unknown ones."""
    try:
        return dictionary_VR(tag)[:2].encode("ascii")
    except KeyError:
        return b"UN"
