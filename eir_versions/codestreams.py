"""Sizes that a compressed frame claims for itself, read before a decoder allocates anything.

JPEG and JPEG-LS frame headers (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2), JPEG 2000 SIZ (ISO 15444-1),
JPEG XL SizeHeader (ISO 18181-1).
"""

import struct
from dataclasses import dataclass

_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOFS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SOS = 0xDA
_JXL_START, _JXL_HEAD = b"\xff\x0a", 16
_JXL_WIDTHS = (9, 13, 18, 30)
_JXL_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JXL_BOXES = {b"jxlc": 0, b"jxlp": 4}  # bytes before the codestream


@dataclass(frozen=True)
class Codestream:
    """What a codestream says: size in pixels, components, bits per component and colour hints.

    `adobe_transform` is that of an APP14 marker, None without one. `component_ids` are the JPEG
    component identifiers. `signed` is meaningful for JPEG 2000 only.
    """

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False
    has_jfif: bool = False
    adobe_transform: int | None = None
    component_ids: bytes = b""


def read_jpeg(data: bytes) -> Codestream | None:
    """Return what a JPEG or JPEG-LS stream claims, None when no frame header is found."""
    position, jfif, adobe = 2, False, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1
            continue
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE or marker == 0:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == _SOS:
            return None
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if marker in _SOFS:
            return _frame_header(body, has_jfif=jfif, adobe_transform=adobe)
        jfif = jfif or (marker == 0xE0 and body.startswith(b"JFIF"))
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        position += 2 + max(length, 2)
    return None


def read_jpeg2000(data: bytes) -> Codestream | None:
    """Return what a JPEG 2000 or HTJ2K codestream claims, inside a JP2 box or not."""
    start = data.find(_SOC_SIZ, 0, 4096)
    if start < 0 or len(data) < start + 45:
        return None
    at = start + 8  # SOC, SIZ, Lsiz, Rsiz
    width, height, x_offset, y_offset = struct.unpack(">4L", data[at : at + 16])
    components, first_depth = struct.unpack(">HB", data[at + 32 : at + 35])
    return Codestream(
        rows=height - y_offset,
        columns=width - x_offset,
        components=components,
        precision=(first_depth & 0x7F) + 1,
        signed=bool(first_depth & 0x80),
    )


def read_jpegxl(data: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) that a JPEG XL codestream claims, bare or in a container."""
    stream = data[:_JXL_HEAD] if data.startswith(_JXL_START) else _boxed(data)
    if not stream.startswith(_JXL_START):
        return None
    bits = _Bits(stream[len(_JXL_START) :])
    try:
        if bits.take(1):
            rows = 8 * (bits.take(5) + 1)
            ratio = bits.take(3)
            columns = 0 if ratio else 8 * (bits.take(5) + 1)
        else:
            rows = bits.take(_JXL_WIDTHS[bits.take(2)]) + 1
            ratio = bits.take(3)
            columns = 0 if ratio else bits.take(_JXL_WIDTHS[bits.take(2)]) + 1
    except IndexError:
        return None
    above, below = _JXL_RATIOS[ratio]
    return rows, rows * above // below if ratio else columns


class _Bits:
    """Numbers of a few bits each, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        """Return the next number; IndexError where the data end before."""
        self._left -= count
        if self._left < 0:
            raise IndexError("the data end here")
        number = self._value & ((1 << count) - 1)
        self._value >>= count
        return number


def _boxed(data: bytes) -> bytes:
    """The beginning of the codestream in a container: its jxlc box, or the first jxlp box."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack(">L4s", data[at : at + 8])
        head = 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if kind in _JXL_BOXES:
            start = at + head + _JXL_BOXES[kind]
            return data[start : start + _JXL_HEAD]
        if length < head:
            break
        at += length
    return b""


def _frame_header(body: bytes, *, has_jfif: bool, adobe_transform: int | None) -> Codestream | None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        return None
    precision, rows, columns, components = struct.unpack(">BHHB", body[:6])
    identifiers = body[6 : 6 + 3 * components : 3]
    return Codestream(
        rows=rows,
        columns=columns,
        components=components,
        precision=precision,
        has_jfif=has_jfif,
        adobe_transform=adobe_transform,
        component_ids=identifiers,
    )
