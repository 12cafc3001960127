"""Turns a stored instance or frame into Explicit VR Little Endian for who asks for the default.

PS3.18 8.7.3.5.2. Text and numbers keep their bytes; only their framing and the pixels change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as DicomSequence

from image_archive.exporting import ExportedInstance, exported_head
from image_archive.reading import VALUE_ERRORS
from viewer_api.dicomweb.bulk_values import pixel_value
from viewer_api.dicomweb.decoded_frames import FrameDecoder, decoded_frames
from viewer_api.dicomweb.json_model import value_representation
from viewer_api.dicomweb.media_types import EXPLICIT_VR_LITTLE_ENDIAN
from viewer_api.dicomweb.multipart import pieces
from viewer_api.dicomweb.stored_frames import frame_shape, number_of_frames
from viewer_api.dicomweb.stored_object import PIXEL_DATA, StoredObject, read_object
from viewer_api.errors import UnusableBytesError

if TYPE_CHECKING:
    from typing import BinaryIO

    from eir_versions.wire import NativeFrame
    from image_archive.model import InstanceRecord

_PIXEL_HEAD = Struct("<HH2sHI")
_LARGEST_VALUE = 0xFFFFFFFE


@dataclass(frozen=True)
class DecodedInstance:
    """A Part 10 file being made: `chunks` gives `size` bytes and closes what it reads from."""

    size: int
    chunks: Iterator[bytes]


def decoded_instance(
    file: BinaryIO, found: InstanceRecord, decode: FrameDecoder
) -> DecodedInstance | None:
    """Return the Part 10 file of `found` in Explicit VR Little Endian, or None if it has none.

    What cannot be decoded or re-framed without loss is better sent as it is stored. `file` is the
    stored one; it is closed with the last byte.
    """
    try:
        stored = read_object(file, found.transfer_syntax_uid)
        length, body = _body(found, stored, decode)
    except (UnusableBytesError, *VALUE_ERRORS):
        file.close()
        return None
    head = exported_head(found.sop_class_uid, found.sop_instance_uid, EXPLICIT_VR_LITTLE_ENDIAN)
    return DecodedInstance(len(head) + length, _closing(file, chain([head], body)))


def explicit_little_endian(
    open_file: Callable[[], BinaryIO], found: InstanceRecord, decode: FrameDecoder
) -> ExportedInstance | None:
    """Return `found` decoded, ready to be sent any number of times; None where that has no form.

    The first frame is decoded now, to know that it can be, and again when it is sent: of a study of
    a thousand images none is held in the meantime.
    """
    with open_file() as file:
        decoded = decoded_instance(file, found, decode)
    if decoded is None:
        return None

    def chunks() -> Iterator[bytes]:
        again = decoded_instance(open_file(), found, decode)
        if again is None:
            raise UnusableBytesError("the stored object can no longer be decoded")
        yield from again.chunks

    return ExportedInstance(EXPLICIT_VR_LITTLE_ENDIAN, decoded.size, chunks)


def _body(
    found: InstanceRecord, stored: StoredObject, decode: FrameDecoder
) -> tuple[int, Iterable[bytes]]:
    """Return the length of the dataset and its pieces."""
    if stored.pixels is None:
        framed = _framed(stored.dataset)
        return len(framed), [framed]
    if stored.pixels.length is not None:
        value = pixel_value(stored)
        vr = stored.pixels.vr.encode("ascii")
        head = _PIXEL_HEAD.pack(
            stored.pixels.tag >> 16, stored.pixels.tag & 0xFFFF, vr, 0, value.length
        )
        value.file.seek(value.offset)
        framed = _framed(stored.dataset) + head
        return len(framed) + value.length, chain([framed], pieces(value.file, value.length))
    return _decoded_body(found, stored, decode)


def _decoded_body(
    found: InstanceRecord, stored: StoredObject, decode: FrameDecoder
) -> tuple[int, Iterable[bytes]]:
    frames = number_of_frames(stored.dataset)
    decoded = decoded_frames(decode, found.sop_instance_uid, range(1, frames + 1))
    # The first frame now: if it cannot be decoded, the stored form can still be sent instead.
    first = next(decoded)
    length = len(first.data) * frames
    if length > _LARGEST_VALUE or len(first.data) * 8 != frame_shape(stored).samples_bits:
        raise UnusableBytesError("the decoded pixels have no place in a native element")
    stored.dataset.PhotometricInterpretation = first.photometric
    if "PlanarConfiguration" in stored.dataset:
        stored.dataset.PlanarConfiguration = 0
    for tag in (0x7FE00001, 0x7FE00002):
        # Extended offset tables describe fragments that are no longer there.
        stored.dataset.pop(tag, None)
    padded = length + length % 2
    framed = _framed(stored.dataset) + _pixel_head(PIXEL_DATA, "OW", padded)
    pixels = chain([first.data], _same_size(decoded, len(first.data)), [b"\0" * (length % 2)])
    return len(framed) + padded, chain([framed], pixels)


def _pixel_head(tag: int, vr: str, length: int) -> bytes:
    return _PIXEL_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), 0, length)


def _same_size(frames: Iterator[NativeFrame], length: int) -> Iterator[bytes]:
    for frame in frames:
        if len(frame.data) != length:
            raise UnusableBytesError("frames of different size")
        yield frame.data


def _framed(dataset: Dataset) -> bytes:
    """Return `dataset` encoded in Explicit VR Little Endian."""
    _with_explicit_vr(dataset)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = False
    buffer.is_little_endian = True
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def _with_explicit_vr(dataset: Dataset) -> None:
    """Give every raw element the VR that has to be written; values keep their bytes."""
    for tag in list(dataset.keys()):
        if tag.group <= 0x0002 or tag.element == 0:
            dataset.pop(tag)
            continue
        held = dataset.get_item(tag)
        vr = value_representation(held, int(tag), signed_pixels=False)
        if vr == "SQ":
            items = dataset[tag].value
            for item in items if isinstance(items, DicomSequence) else ():
                _with_explicit_vr(item)
        elif isinstance(held, RawDataElement) and held.is_little_endian:
            dataset[tag] = held._replace(VR=vr, is_implicit_VR=False)
        else:
            # Big endian numbers: pydicom reads and writes them anew.
            dataset[tag]


def _closing(file: BinaryIO, body: Iterable[bytes]) -> Iterator[bytes]:
    with closing(file):
        yield from body
