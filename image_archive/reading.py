"""Read datasets: the header of one just received or stored, and a whole one for pydicom."""

import io
import mmap
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset as read_elements
from pydicom.tag import BaseTag
from pydicom.uid import UID

from image_archive.deflated import inflate, inflate_head
from image_archive.elements import (
    Elements,
    MoreBytesNeededError,
    check_fragments,
    encoding_of,
    walk,
)
from image_archive.errors import ArchiveError, UnreadableInstanceError
from image_archive.file_meta import LARGEST_META_BYTES, FileMeta, read_file_meta
from image_archive.header import WANTED, InstanceHeader, interpret

HEAD_BYTES = 65_536
# What hostile bytes make pydicom raise beside OSError, which a failing disk raises too.
_READ_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
# What looking at a value of a dataset in memory may raise: each means "not readable".
VALUE_ERRORS = (ArchiveError, OSError, *_READ_ERRORS)
_LARGEST_INFLATED_HEAD = 8_388_608
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


@dataclass(frozen=True)
class DatasetSource:
    """A dataset at hand: its first bytes, its length, and a way to all of it when those run out."""

    head: bytes | memoryview
    total_bytes: int
    whole: Callable[[], AbstractContextManager[memoryview]]


def read_header(
    source: DatasetSource, transfer_syntax_uid: str, charset_habit: str
) -> InstanceHeader:
    """Return the header of a dataset, having checked its structure up to the end of its pixels.

    Raises:
        UnreadableInstanceError: the dataset breaks PS3.5, or lacks what identifies it.
        InvalidUidError: a UID in it breaks PS3.5 9.1.
    """
    encoding = encoding_of(transfer_syntax_uid)
    if encoding.deflated:
        elements = _walk_deflated(source)
    else:
        try:
            elements = walk(source.head, source.total_bytes, encoding, WANTED)
        except MoreBytesNeededError:
            with source.whole() as dataset:
                elements = walk(dataset, source.total_bytes, encoding, WANTED)
        if elements.pixels and elements.pixels.length is None:
            with source.whole() as dataset:
                check_fragments(dataset, elements.pixels)
    return interpret(elements, big_endian=encoding.big_endian, charset_habit=charset_habit)


def _walk_deflated(source: DatasetSource) -> Elements:
    with source.whole() as dataset:
        head, total = inflate_head(dataset, _LARGEST_INFLATED_HEAD)
    try:
        return walk(head, total, encoding_of(""), WANTED)
    except MoreBytesNeededError as error:
        raise UnreadableInstanceError("deflated dataset: no pixels in the first 8 MiB") from error


def read_stored_header(stream: BinaryIO) -> tuple[FileMeta, InstanceHeader]:
    """Return file meta information and header of a Part 10 file the archive wrote.

    Raises:
        UnreadableInstanceError, InvalidUidError: as `read_header`.
    """
    meta, head = read_head(stream)
    total = stream.seek(0, io.SEEK_END) - meta.dataset_offset
    source = DatasetSource(head[:total], total, lambda: mapped(stream, meta.dataset_offset))
    habit = meta.origin.charset_habit if meta.origin else ""
    return meta, read_header(source, meta.transfer_syntax_uid, habit)


@contextmanager
def mapped(stream: BinaryIO, offset: int) -> Iterator[memoryview]:
    """Give the dataset of a stored file, mapped where the backend's streams are files."""
    try:
        content: mmap.mmap | bytes = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
    except io.UnsupportedOperation:
        stream.seek(0)
        content = stream.read()
    with memoryview(content) as whole, whole[offset:] as dataset:
        yield dataset


def read_head(stream: BinaryIO) -> tuple[FileMeta, bytes]:
    """Return the file meta information and the first bytes of the dataset.

    Raises:
        UnreadableInstanceError: it is no Part 10 file.
    """
    head = stream.read(LARGEST_META_BYTES + HEAD_BYTES)
    meta = read_file_meta(head)
    return meta, head[meta.dataset_offset :]


def skip_file_meta(stream: BinaryIO) -> FileMeta:
    """Return the file meta information and leave the stream at the first byte of the dataset.

    Raises:
        UnreadableInstanceError: it is no Part 10 file.
    """
    meta = read_file_meta(stream.read(LARGEST_META_BYTES))
    stream.seek(meta.dataset_offset)
    return meta


@contextmanager
def taking_apart() -> Iterator[None]:
    """Let pydicom read a stored object; whatever it raises over the bytes becomes one error.

    Raises:
        UnreadableInstanceError: the bytes are at fault.
        OSError: the disk is.
    """
    try:
        yield
    except _READ_ERRORS as error:
        raise UnreadableInstanceError("the dataset cannot be taken apart") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnreadableInstanceError("the dataset cannot be taken apart") from error


def read_dataset(stream: BinaryIO, *, stop_before_pixels: bool) -> Dataset:
    """Return the dataset of a Part 10 file with the file meta information pydicom needs.

    Elements of groups 0000 and 0002 inside the dataset are left out: a reader that took them for
    file meta information would be told another transfer syntax than the one received.

    Raises:
        UnreadableInstanceError: it is no Part 10 file, pydicom cannot take it apart, or it inflates
            without bound. Looking at a value may still raise one of `VALUE_ERRORS`.
    """
    meta = skip_file_meta(stream)
    encoding = encoding_of(meta.transfer_syntax_uid)
    source = io.BytesIO(inflate(stream.read())) if encoding.deflated else stream
    with taking_apart():
        dataset = read_elements(
            source,
            encoding.implicit,
            not encoding.big_endian,
            stop_when=_at_pixels if stop_before_pixels else None,
        )
    for tag in [tag for tag in dataset.keys() if tag.group in {0x0000, 0x0002}]:  # noqa: SIM118 (iterating a Dataset decodes it)
        del dataset[tag]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(meta.sop_class_uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(meta.sop_instance_uid)
    dataset.file_meta.TransferSyntaxUID = UID(meta.transfer_syntax_uid)
    return dataset


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in _PIXEL_TAGS
