"""The bytes of one element of a stored object, in little endian order (PS3.18 10.4.1.1.5)."""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from image_archive.reading import VALUE_ERRORS
from viewer_api.dicomweb.stored_frames import word_bytes
from viewer_api.dicomweb.stored_object import StoredObject
from viewer_api.errors import UnusableBytesError

_MAX_SWAPPED_BYTES = 256 << 20
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


@dataclass(frozen=True)
class Value:
    """The bytes of one element: `length` of them, from `offset` on in `file`."""

    file: BinaryIO
    offset: int
    length: int


def pixel_value(stored: StoredObject) -> Value:
    """Return the native pixel data of `stored`; whoever calls closes its file.

    Raises:
        UnusableBytesError: there is none, or it is encapsulated.
    """
    if stored.pixels is None or stored.pixels.length is None:
        raise UnusableBytesError("the instance holds no native pixel data")
    value = Value(stored.file, stored.pixels.offset, stored.pixels.length)
    if not stored.is_big_endian:
        return value
    if value.length > _MAX_SWAPPED_BYTES:
        raise UnusableBytesError("too large to be turned into little endian")
    with closing(value.file) as file:
        file.seek(value.offset)
        return _little_endian(file.read(value.length), word_bytes(stored), stored)


def element_value(stored: StoredObject, tags: list[str]) -> Value:
    """Return the value at the path `tags`: tag, then item number and tag, and so on.

    Raises:
        UnusableBytesError: there is no such element, or it holds no bytes.
    """
    with closing(stored.file):
        try:
            dataset = stored.dataset
            for key, item in zip(tags[0:-1:2], tags[1::2], strict=True):
                dataset = _item(dataset, int(key, 16), int(item))
            element = dataset.get_item(int(tags[-1], 16))
        except VALUE_ERRORS as error:
            raise UnusableBytesError("no such element") from error
    value = getattr(element, "value", None)
    if not isinstance(value, bytes) or int(tags[-1], 16) >> 16 <= 0x0002:
        raise UnusableBytesError("no such bulk data")
    return _little_endian(value, _WORD_BYTES.get(str(getattr(element, "VR", "")), 1), stored)


def _item(dataset: Dataset, tag: int, number: int) -> Dataset:
    items = dataset[tag].value
    if not isinstance(items, DicomSequence) or number >= len(items):
        raise UnusableBytesError("no such item")
    found = items[number]
    assert isinstance(found, Dataset)  # noqa: S101 - what pydicom promises of a sequence
    return found


def _little_endian(value: bytes, size: int, stored: StoredObject) -> Value:
    if stored.is_big_endian and size > 1 and len(value) % size == 0:
        value = np.frombuffer(value, f">u{size}").byteswap().tobytes()
    return Value(io.BytesIO(value), 0, len(value))
