"""The pixels of a de-identified object: decoded, so no comment, profile or padding comes along.

Bits beyond Bits Stored are cleared (overlays used to be hidden there), masks are blackened, and the
frames are written native, one at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.deidentification.boxes import Box
from eir_versions.deidentification.errors import LeftOutError
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import ImageHeader, image_header

_NATIVE = "1.2.840.10008.1.2.1"
_LARGEST_VALUE = 0xFFFFFFFE


@dataclass(frozen=True)
class FrameShape:
    """How one native frame is laid out in the new object."""

    header: ImageHeader

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return self.header.number_of_frames

    @property
    def frame_bytes(self) -> int:
        """The size of one frame."""
        return self.header.layout.frame_bits // 8

    @property
    def total_bytes(self) -> int:
        """The size of the pixel value, padded to an even one."""
        total = self.frames * self.frame_bytes
        return total + total % 2

    def cleaned(self, data: bytes, masks: Sequence[Box]) -> bytes:
        """Return one decoded frame without hidden bits and with `masks` blackened.

        Raises:
            LeftOutError: the decoder gave another number of bytes than the header says.
        """
        layout = self.header.layout
        if len(data) != self.frame_bytes:
            raise LeftOutError(reasons.LENGTH_MISMATCH)
        shape = (layout.rows, layout.columns, layout.samples)
        framed = _without_hidden_bits(data, self.header).reshape(shape)
        for box in masks:
            rows, columns = box.slices()
            framed[rows, columns] = 0
        return bytes(framed.tobytes())


def frame_shape(dataset: Dataset) -> FrameShape:
    """Return how the frames of `dataset` will be laid out once they are decoded.

    Raises:
        LeftOutError: its pixels have no native form that can be cleaned.
    """
    try:
        header = image_header(dataset, _NATIVE, "PixelData")
    except UnrenderableInstanceError as error:
        raise LeftOutError(error.reason) from error
    shape = FrameShape(header)
    if header.layout.bits_allocated % 8 or shape.total_bytes > _LARGEST_VALUE:
        raise LeftOutError(reasons.UNSUPPORTED_PIXELS)
    return shape


def pixel_element_head(shape: FrameShape) -> bytes:
    """Return the explicit VR little endian head of the pixel element that the frames follow."""
    vr = b"OW" if shape.header.layout.bits_allocated > 8 else b"OB"
    return b"\xe0\x7f\x10\x00" + vr + b"\0\0" + shape.total_bytes.to_bytes(4, "little")


def padded(frames: Iterator[bytes], shape: FrameShape) -> Iterator[bytes]:
    """Yield the frames and the byte that makes their sum even."""
    yield from frames
    if shape.frames * shape.frame_bytes % 2:
        yield b"\0"


def _without_hidden_bits(data: bytes, header: ImageHeader) -> Any:
    """Decoded values are right-aligned; a decoder may have left what stood above Bits Stored."""
    layout = header.layout
    kind = "i" if layout.signed else "u"
    values = np.frombuffer(data, f"<{kind}{layout.bits_allocated // 8}").copy()
    if not layout.signed and layout.bits_stored < layout.bits_allocated:
        values &= values.dtype.type((1 << layout.bits_stored) - 1)
    return values
