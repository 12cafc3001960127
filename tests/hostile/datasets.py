"""Datasets written byte by byte, so that a test can also say what no library would write."""

import struct
import zlib
from typing import NamedTuple

CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
DEFLATED = "1.2.840.10008.1.2.1.99"
STUDY_ROOT = "1.2.826.0.1.3680043.10.1603.66"
# What may never come back to an attacker or stand in a log.
SECRETS = (b"GEHEIMNAME", b"GEHEIMNUMMER")
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class Raw(NamedTuple):
    """One element as it is written; `length` may lie, `short` forces a 16-bit length field."""

    tag: int
    vr: bytes
    value: bytes
    length: int | None = None

    def encode(self) -> bytes:
        length = len(self.value) if self.length is None else self.length
        head = struct.pack("<HH2s", self.tag >> 16, self.tag & 0xFFFF, self.vr)
        size = struct.pack("<HI", 0, length) if self.vr in _LONG else struct.pack("<H", length)
        return head + size + self.value


def text(tag: int, vr: bytes, value: str | bytes, coding: str = "utf-8") -> Raw:
    coded = value.encode(coding) if isinstance(value, str) else value
    return Raw(tag, vr, coded + (b"\0" if vr == b"UI" else b" ") * (len(coded) % 2))


def short(tag: int, value: int) -> Raw:
    return Raw(tag, b"US", struct.pack("<H", value))


def slice_of(
    study: str, instance: int = 1, changes: tuple[Raw, ...] = (), without: tuple[int, ...] = ()
) -> bytes:
    """An 8 × 8 slice in explicit VR little endian; `changes` replace or add, in tag order."""
    elements = {one.tag: one for one in _plain(study, instance)}
    elements |= {one.tag: one for one in changes}
    return b"".join(elements[tag].encode() for tag in sorted(elements) if tag not in without)


def _plain(study: str, instance: int) -> tuple[Raw, ...]:
    return (
        text(0x00080005, b"CS", "ISO_IR 192"),
        text(0x00080016, b"UI", CT),
        text(0x00080018, b"UI", f"{study}.1.{instance}"),
        text(0x00080020, b"DA", "20261101"),
        text(0x00080050, b"SH", "A1"),
        text(0x00080060, b"CS", "CT"),
        text(0x00081030, b"LO", "HOSTILE"),
        text(0x00100010, b"PN", "GEHEIMNAME^Person"),
        text(0x00100020, b"LO", f"GEHEIMNUMMER{study.rpartition('.')[2]}"),
        text(0x0020000D, b"UI", study),
        text(0x0020000E, b"UI", f"{study}.1"),
        text(0x00200013, b"IS", str(instance)),
        short(0x00280002, 1),
        text(0x00280004, b"CS", "MONOCHROME2"),
        short(0x00280010, 8),
        short(0x00280011, 8),
        short(0x00280100, 16),
        short(0x00280101, 12),
        short(0x00280102, 11),
        short(0x00280103, 0),
        Raw(0x7FE00010, b"OW", b"".join(struct.pack("<H", 60 * n) for n in range(64))),
    )


UNDEFINED = 0xFFFFFFFF
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def nested(depth: int, *, closed: bool = True) -> Raw:
    """Sequences inside sequences of undefined length."""
    inner = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, UNDEFINED) + ITEM
    value = ITEM + inner * (depth - 1)
    if closed:
        value += (ITEM_END + SEQUENCE_END) * depth
    return Raw(0x0040A730, b"SQ", value, UNDEFINED)


def many_tags(count: int) -> bytes:
    """`count` empty private elements, in order."""
    return b"".join(
        struct.pack("<HH2sH", 0x0029 + n // 0xE000 * 2, 0x1000 + n % 0xE000, b"LO", 0)
        for n in range(count)
    )


def before_pixels(dataset: bytes, inserted: bytes) -> bytes:
    at = dataset.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    return dataset[:at] + inserted + dataset[at:]


def deflated(dataset: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(dataset) + squeeze.flush()


def deflated_zeros(dataset: bytes, zeros: int) -> bytes:
    """`dataset` deflated, with `zeros` more bytes of zero behind it, made without holding them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = bytes(1 << 20)
    pieces = [squeeze.compress(dataset)]
    pieces += [squeeze.compress(block) for _ in range(zeros >> 20)]
    return b"".join(pieces) + squeeze.flush()


def fragments(*streams: bytes, table: bytes = b"") -> Raw:
    """Encapsulated pixels (PS3.5 A.4): an offset table and one fragment a stream."""
    padded = [stream + b"\0" * (len(stream) % 2) for stream in streams]
    value = item(table) + b"".join(item(stream) for stream in padded) + SEQUENCE_END
    return Raw(0x7FE00010, b"OB", value, UNDEFINED)
