"""Instances as they leave the hub: file meta of our own, the dataset bit for bit (PS3.10 7.1).

The stored meta also says who sent the instance, when and from where; that stays inside.
"""

import hashlib
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from image_archive.backend import ArchiveBackend
from image_archive.errors import UnreadableInstanceError
from image_archive.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    LARGEST_META_BYTES,
    dataset_offset,
)
from image_archive.model import InstanceRecord
from image_archive.reading import taking_apart

_IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class ExportedInstance:
    """One instance ready to be sent as a Part 10 file.

    `open` may be called any number of times; each time it gives exactly `size` bytes.
    """

    transfer_syntax_uid: str
    size: int
    open: Callable[[], Iterator[bytes]]


def as_stored(backend: ArchiveBackend, instance: InstanceRecord) -> ExportedInstance:
    """Return the instance in the transfer syntax it is kept in; its bytes are there and readable.

    While they are sent they are compared with the hash they were received with: the last piece of
    an instance that has changed since is withheld, so that it can never pass for a whole one.

    Raises:
        NotFoundError: the bytes are missing.
        UnreadableInstanceError: the bytes are damaged.
    """
    with backend.open(instance.storage_key) as file:
        offset, skipped = _checked_place(file, instance)
    head = exported_head(
        instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid
    )

    def chunks() -> Iterator[bytes]:
        yield head
        with backend.open(instance.storage_key, start=offset) as dataset:
            yield from _unchanged(dataset, instance, skipped)

    size = len(head) + instance.dataset_bytes - skipped
    return ExportedInstance(instance.transfer_syntax_uid, size, chunks)


def opened_as_stored(backend: ArchiveBackend, instance: InstanceRecord) -> Iterator[bytes]:
    """Return what `as_stored` gives to send, once: its file is opened one time instead of two.

    The file is closed at the end, or when the iterator is given up.

    Raises:
        NotFoundError, UnreadableInstanceError: as `as_stored`, before anything is sent.
    """
    pieces = _sendable(backend, instance)
    return chain([next(pieces)], pieces)


def stored_dataset(backend: ArchiveBackend, instance: InstanceRecord) -> Iterator[bytes]:
    """Yield the dataset as `as_stored` sends it, without preamble and file meta.

    Raises:
        NotFoundError: the bytes are missing.
        UnreadableInstanceError: they are damaged; known only when all but the last piece is out.
    """
    with backend.open(instance.storage_key) as file:
        offset, skipped = _place(file, instance.transfer_syntax_uid)
        file.seek(offset)
        yield from _unchanged(file, instance, skipped)


def exported_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble, prefix and file meta of one instance, ready for its dataset to follow."""
    elements = b"".join(
        (
            _long(0x0001, b"OB", b"\x00\x01"),
            _short(0x0002, b"UI", _uid(sop_class_uid)),
            _short(0x0003, b"UI", _uid(sop_instance_uid)),
            _short(0x0010, b"UI", _uid(transfer_syntax_uid)),
            _short(0x0012, b"UI", _uid(IMPLEMENTATION_CLASS_UID)),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()),
        )
    )
    group_length = _short(0x0000, b"UL", struct.pack("<I", len(elements)))
    return bytes(128) + b"DICM" + group_length + elements


def _place(file: BinaryIO, transfer_syntax_uid: str) -> tuple[int, int]:
    """Return where the dataset begins, and how many of its first bytes must not be sent.

    Those are elements of groups 0000 and 0002 inside the dataset: whoever reads on would take them
    for file meta information and trust another transfer syntax than the true one.
    """
    implicit = transfer_syntax_uid == _IMPLICIT_VR_LITTLE_ENDIAN
    little_endian = transfer_syntax_uid != _EXPLICIT_VR_BIG_ENDIAN
    with taking_apart():
        offset = dataset_offset(file.read(LARGEST_META_BYTES))
        file.seek(offset)
        first = struct.unpack("<H" if little_endian else ">H", file.read(2))[0]
        file.seek(offset)
        if first in {0x0000, 0x0002} and transfer_syntax_uid != _DEFLATED:
            read_dataset(file, implicit, little_endian, stop_when=_is_data)
        return offset, file.tell() - offset


def _sendable(backend: ArchiveBackend, instance: InstanceRecord) -> Iterator[bytes]:
    with backend.open(instance.storage_key) as file:
        offset, skipped = _checked_place(file, instance)
        yield exported_head(
            instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid
        )
        file.seek(offset)
        yield from _unchanged(file, instance, skipped)


def _checked_place(file: BinaryIO, instance: InstanceRecord) -> tuple[int, int]:
    offset, skipped = _place(file, instance.transfer_syntax_uid)
    if file.seek(0, io.SEEK_END) - offset != instance.dataset_bytes:
        raise UnreadableInstanceError("the stored dataset does not have its recorded length")
    return offset, skipped


def _unchanged(file: BinaryIO, instance: InstanceRecord, skipped: int) -> Iterator[bytes]:
    """Yield the dataset behind its first `skipped` bytes, the last chunk only if all is intact."""
    digest = hashlib.sha256()
    held = b""
    digest.update(file.read(skipped))
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    if digest.hexdigest() != instance.dataset_sha256:
        raise UnreadableInstanceError("the stored dataset has changed since it was received")
    if held:
        yield held


def _is_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group not in {0x0000, 0x0002}


def _uid(text: str) -> bytes:
    raw = text.encode("ascii")
    return raw + b"\0" * (len(raw) % 2)


def _short(element: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def _long(element: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sHI", 0x0002, element, vr, 0, len(value)) + value
