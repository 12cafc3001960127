"""Masters: a lossless compressed copy that stands for an original and gives it back bit for bit.

A master is kept under `masters/` beside, and after compaction instead of, the original under
`instances/`. Whoever opens the original's key gets the original bytes, whichever of the two holds
them; where both do, the original is read.
"""

import heapq
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Protocol

from hub_kernel.errors import NotFoundError
from image_archive import keys
from image_archive.backend import ArchiveBackend, PendingObject, SpooledObject
from image_archive.backends.file_part import FilePart
from image_archive.errors import ArchiveError

MASTERS = "masters"
_READ_BYTES = 262_144


def master_key(key: str) -> str | None:
    """Return where the master of the instance under `key` is kept; None for what can have none."""
    prefix = f"{keys.INSTANCES}/"
    return f"{MASTERS}/{key.removeprefix(prefix)}" if key.startswith(prefix) else None


class MasterReader(Protocol):
    """Gives back originals (`eir_versions.master_reading`)."""

    def restored(self, master: BinaryIO) -> BinaryIO:
        """Return the original file, seekable and restored as it is read; closing it closes both.

        Raises:
            UnreadableInstanceError: it is no master or is damaged; also while it is read.
        """
        ...

    def original_size(self, master: BinaryIO) -> int:
        """Return the length of the original file in bytes; raises as `restored`."""
        ...


class BackendWithMasters:
    """An archive backend whose instances may be held as masters; see `ArchiveBackend`.

    `open`, `size` and `keys` answer for an instance that only its master holds as for any other;
    opening a damaged one raises `UnreadableInstanceError`.
    """

    def __init__(self, backend: ArchiveBackend, reader: MasterReader) -> None:
        self._backend = backend
        self._reader = reader

    @property
    def originals(self) -> ArchiveBackend:
        """The backend itself, which shows originals and masters as the objects they are."""
        return self._backend

    def over(self, backend: ArchiveBackend) -> "BackendWithMasters":
        """Return the same view of another backend."""
        return BackendWithMasters(backend, self._reader)

    @property
    def shared_folder(self) -> Path:
        """See `ArchiveBackend`."""
        return self._backend.shared_folder

    @property
    def compares_quickly(self) -> bool:
        """See `ArchiveBackend`."""
        return self._backend.compares_quickly

    def instance_key(
        self, received_at: datetime, names: keys.InstanceNames, dataset_sha256: str
    ) -> str:
        """See `ArchiveBackend`."""
        return self._backend.instance_key(received_at, names, dataset_sha256)

    def is_one_object(self, key: str, other: str) -> bool:
        """See `ArchiveBackend`."""
        return self._backend.is_one_object(key, other)

    def create(self) -> PendingObject:
        """See `ArchiveBackend`."""
        return self._backend.create()

    def spool(self) -> SpooledObject:
        """See `ArchiveBackend`."""
        return self._backend.spool()

    def prepare(self, count: int, size: int) -> None:
        """See `ArchiveBackend`."""
        self._backend.prepare(count, size)

    def publish_together(
        self, objects: Sequence[tuple[SpooledObject, str]]
    ) -> list[ArchiveError | None]:
        """See `ArchiveBackend`."""
        return self._backend.publish_together(objects)

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream of the object or of a part of it, restored where a master holds it."""
        try:
            return self._backend.open(key, start=start, length=length)
        except NotFoundError:
            master = master_key(key)
            if master is None:
                raise
        stream = self._restored(master)
        if start == 0 and length is None:
            return stream
        size = stream.seek(0, io.SEEK_END)
        start = min(start, size)
        end = size if length is None else min(size, start + length)
        return io.BufferedReader(FilePart(stream, start, end), _READ_BYTES)

    def size(self, key: str) -> int:
        """Return the length of the object in bytes: of an instance, that of its original."""
        try:
            return self._backend.size(key)
        except NotFoundError:
            master = master_key(key)
            if master is None:
                raise
        with self._backend.open(master) as stream:
            return self._reader.original_size(stream)

    def delete(self, key: str) -> None:
        """Remove the object, and the master that stands for it."""
        self._backend.delete(key)
        master = master_key(key)
        if master is not None:
            self._backend.delete(master)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the published keys below `prefix` in ascending order.

        An instance is named once, by the key of its original; masters are not named, unless they
        are asked for.
        """
        hidden = f"{MASTERS}/"
        if prefix.startswith(MASTERS):
            yield from self._backend.keys(prefix)
            return
        named = (key for key in self._backend.keys(prefix) if not key.startswith(hidden))
        stood_for = master_key(f"{prefix.rstrip('/')}/") if prefix else hidden
        if stood_for is None:
            yield from named
            return
        originals = (
            f"{keys.INSTANCES}/{key.removeprefix(hidden)}"
            for key in self._backend.keys(stood_for.rstrip("/"))
        )
        yield from (key for key, _ in groupby(heapq.merge(named, originals)))

    def free_bytes(self) -> int:
        """See `ArchiveBackend`."""
        return self._backend.free_bytes()

    def abandoned(self) -> Iterator[SpooledObject]:
        """See `ArchiveBackend`."""
        return self._backend.abandoned()

    def discard_abandoned(self) -> int:
        """See `ArchiveBackend`."""
        return self._backend.discard_abandoned()

    def close(self) -> None:
        """See `ArchiveBackend`."""
        self._backend.close()

    def _restored(self, master: str) -> BinaryIO:
        stream = self._backend.open(master)
        try:
            return self._reader.restored(stream)
        except ArchiveError:
            stream.close()
            raise
