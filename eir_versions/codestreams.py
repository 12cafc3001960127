"""Sizes that a compressed frame claims for itself, read before a decoder allocates anything.

JPEG and JPEG-LS frame headers (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2), JPEG 2000 SIZ (ISO 15444-1).
"""

import struct
from dataclasses import dataclass

_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOFS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SOS = 0xDA


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
