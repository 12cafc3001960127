"""A study as portable media: images, DICOMDIR and a page to read, in one zip (IHE RAD PDI, PS3.10).

The zip is made while it is sent: one piece of one image is in memory at a time.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from pydicom.errors import BytesLengthException

from image_archive.errors import ArchiveError
from image_archive.exporting import as_stored
from image_archive.reading import VALUE_ERRORS, read_dataset
from viewer_api.dicomdir import ListedImage, dicomdir
from viewer_api.dicomdir_records import records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from image_archive.backend import ArchiveBackend
    from image_archive.model import InstanceRecord

MOST_INSTANCES = 5_000
_UNUSABLE = (*VALUE_ERRORS, ArchiveError, BytesLengthException)
# A zip carries a time for each file; this one says nothing about when it was made.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Listing:
    """DICOMDIR, each instance with its place on the medium, and how many could not be read."""

    directory: bytes
    places: tuple[tuple[str, InstanceRecord], ...]
    missing: int = 0


def listing(
    instances: Sequence[InstanceRecord], open_instance: Callable[[str], BinaryIO]
) -> Listing:
    """Return the directory of the medium; an instance that cannot be read is counted, not listed.

    Only headers are read.
    """
    listed, places = [], []
    for number, instance in enumerate(instances):
        name = f"DICOM/{number // 1000:04d}/I{number % 1000:04d}"
        try:
            with open_instance(instance.sop_instance_uid) as stream:
                header = read_dataset(stream, stop_before_pixels=True)
            listed.append(ListedImage(tuple(name.split("/")), header.file_meta, records_of(header)))
        except _UNUSABLE:
            continue
        places.append((name, instance))
    return Listing(dicomdir(listed), tuple(places), len(instances) - len(places))


def zipped(found: Listing, texts: Mapping[str, bytes], backend: ArchiveBackend) -> Iterator[bytes]:
    """Yield the zip, texts first.

    An image whose bytes are gone by then ends it unfinished, never silently.
    """
    whole = {**texts, "DICOMDIR": found.directory}.items()
    yield from zipped_files(
        chain(
            ((name, partial(iter, (data,))) for name, data in whole),
            ((name, as_stored(backend, instance).open) for name, instance in found.places),
        )
    )


def zipped_files(
    files: Iterable[tuple[str, Callable[[], Iterator[bytes]]]],
) -> Iterator[bytes]:
    """Yield a zip of files by name; each is opened when its turn comes."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, opened in files:
            with archive.open(zipfile.ZipInfo(name, _NO_TIME), "w", force_zip64=True) as file:
                for chunk in opened():
                    file.write(chunk)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Where the zip is written: what it got is taken away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def write(self, data: object) -> int:
        """Keep one piece until it is taken."""
        piece = bytes(data)  # type: ignore[call-overload]
        self._pieces.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Return what has been written since the last time."""
        pieces, self._pieces = b"".join(self._pieces), []
        return pieces
