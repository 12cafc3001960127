"""Inflate a deflated dataset within bounds (DICOM PS3.5 A.5)."""

import zlib
from collections.abc import Iterator

from image_archive.errors import UnreadableInstanceError

LARGEST_INFLATED_BYTES = 268_435_456
_STEP_BYTES = 1_048_576
_INPUT_BYTES = 65_536


def inflate_head(data: bytes | memoryview, keep_bytes: int) -> tuple[bytes, int]:
    """Return the first `keep_bytes` of the inflated dataset and the length of all of it.

    The whole stream is inflated once, piece by piece, so that a stream that breaks off or grows
    without bound is refused at the door and not met later by a reader.

    Raises:
        UnreadableInstanceError: the stream is damaged, cut off or inflates beyond 256 MiB.
    """
    head = bytearray()
    total = 0
    for piece in _pieces(data):
        total += len(piece)
        if len(head) < keep_bytes:
            head += piece[: keep_bytes - len(head)]
    return bytes(head), total


def inflate(data: bytes | memoryview) -> bytes:
    """Return the inflated dataset.

    Raises:
        UnreadableInstanceError: the stream is damaged, cut off or inflates beyond 256 MiB.
    """
    return b"".join(_pieces(data))


def _pieces(data: bytes | memoryview) -> Iterator[bytes]:
    """Yield the inflated bytes in pieces of at most 1 MiB."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    for start in range(0, len(data), _INPUT_BYTES):
        rest: bytes | memoryview = data[start : start + _INPUT_BYTES]
        piece = b"\0"
        while rest or len(piece) == _STEP_BYTES:
            piece, rest = _step(stream, rest)
            total += len(piece)
            if total > LARGEST_INFLATED_BYTES:
                raise UnreadableInstanceError("deflated dataset: inflates beyond 256 MiB")
            yield piece
            if stream.eof:
                return
    raise UnreadableInstanceError("deflated dataset: the stream is cut off")


def _step(stream: "zlib._Decompress", rest: bytes | memoryview) -> tuple[bytes, bytes]:
    try:
        return stream.decompress(rest, _STEP_BYTES), stream.unconsumed_tail
    except zlib.error as error:
        raise UnreadableInstanceError("deflated dataset: the stream is damaged") from error
