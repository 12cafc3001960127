"""What a master says of its original: one block at the end of a DICOM file (PS3.10 7.2).

A master is a Part 10 file in HTJ2K Lossless RPCL that any reader of that syntax can show. Its last
element, Data Set Trailing Padding (FFFC,FFFC), holds what the pixels alone do not: the bytes of the
original before and after its pixel values, how samples lie in it, and where each codestream is.
"""

import json
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from image_archive.errors import UnreadableInstanceError

REVISION = 1
_MAGIC = b"EIRMSTR1"
_FOOTER = struct.Struct("<LL8s")  # length of the block, its CRC-32, the magic
_HEAD = struct.Struct("<LL")  # lengths of the description and of what stood before the pixels
_ELEMENT = struct.Struct("<HH2sHL")
_LARGEST_BLOCK = 1 << 29


@dataclass(frozen=True)
class Packing:
    """How the samples of a frame lie in the original.

    `word` is a numpy type as "<u2", `bits` how many of each word carry the value (the others are
    zero), `planar` whether each component is a plane of its own, `paired` whether bytes are swapped
    in pairs (8-bit samples in big endian words).
    """

    word: str
    bits: int
    planar: bool
    paired: bool

    def packed(self, values: NDArray[Any]) -> bytes:
        """Return the bytes of a frame: (rows, columns[, samples]) integers in."""
        kind = np.dtype(self.word)
        words = values.astype(kind.newbyteorder("="), copy=False)
        if self.bits < kind.itemsize * 8:
            words = words & words.dtype.type((1 << self.bits) - 1)
        if self.planar and words.ndim == 3:
            words = words.transpose(2, 0, 1)
        data = np.ascontiguousarray(words, kind).tobytes()
        return np.frombuffer(data, "<u2").byteswap().tobytes() if self.paired else data


@dataclass(frozen=True)
class Description:
    """Where the codestreams lie in the master and how they give the original's pixels.

    `frames` are (offset, length, CRC-32) in the master file; each gives `frame_bytes` bytes.
    """

    frames: tuple[tuple[int, int, int], ...]
    frame_bytes: int
    packing: Packing
    revision: int = REVISION


@dataclass(frozen=True)
class Block:
    """The whole of it: `before` and `after` are the original's bytes around its frames."""

    description: Description
    before: bytes
    after: bytes

    @property
    def original_size(self) -> int:
        """Length of the original file in bytes."""
        frames = len(self.description.frames) * self.description.frame_bytes
        return len(self.before) + frames + len(self.after)


def trailing_element(block: Block) -> bytes:
    """Return the element that ends a master."""
    text = json.dumps(asdict(block.description), separators=(",", ":")).encode()
    head = _HEAD.pack(len(text), len(block.before))
    packed = zlib.compress(head + text + block.before + block.after, 9)
    packed += b"\0" * (len(packed) % 2)
    footer = _FOOTER.pack(len(packed), zlib.crc32(packed), _MAGIC)
    value = packed + footer
    return _ELEMENT.pack(0xFFFC, 0xFFFC, b"OB", 0, len(value)) + value


def read_block(master: BinaryIO) -> Block:
    """Return what the end of a master says.

    Raises:
        UnreadableInstanceError: it is no master, or these bytes are damaged.
    """
    try:
        return _read_block(master)
    except (struct.error, ValueError, KeyError, TypeError, zlib.error, OSError) as error:
        raise UnreadableInstanceError("a master is damaged") from error


def _read_block(master: BinaryIO) -> Block:
    end = master.seek(0, 2)
    master.seek(max(0, end - _FOOTER.size))
    length, checksum, magic = _FOOTER.unpack(master.read(_FOOTER.size))
    if magic != _MAGIC or length > min(end - _FOOTER.size, _LARGEST_BLOCK):
        raise ValueError("no master")
    master.seek(end - _FOOTER.size - length)
    packed = master.read(length)
    if zlib.crc32(packed) != checksum:
        raise ValueError("the block of a master has changed")
    content = zlib.decompress(packed)
    text_length, before_length = _HEAD.unpack_from(content)
    text_end = _HEAD.size + text_length
    said = json.loads(content[_HEAD.size : text_end])
    before_end = text_end + before_length
    description = Description(
        tuple((int(at), int(size), int(crc)) for at, size, crc in said["frames"]),
        int(said["frame_bytes"]),
        Packing(**said["packing"]),
        int(said["revision"]),
    )
    if description.revision != REVISION:
        raise ValueError("a master of another revision")
    return Block(description, content[text_end:before_end], content[before_end:])
