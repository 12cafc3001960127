"""What backends share that keep objects elsewhere: bytes on their way in lie in a local folder."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from image_archive.backend import PendingObject, SpooledObject, require_key
from image_archive.backends.filesystem import FilesystemBackend


class Viewable(Protocol):
    """What has bytes that can be handed over."""

    def view(self) -> AbstractContextManager[memoryview]:
        """All bytes written so far."""
        ...


class RemoteBackend(ABC):
    """The local half of an `ArchiveBackend`: `local` is where objects are secured on their way in.

    Several processes of one machine share the local folder. `uploads` threads hand over at once.
    """

    def __init__(self, local: FilesystemBackend, uploads: int) -> None:
        self._local = local
        self._uploads = uploads
        self._starting = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @abstractmethod
    def hand_over(self, source: Viewable, key: str) -> bool:
        """Have the other side hold an object; False when it is to be kept in the local folder.

        Raises:
            ArchiveBusyError: it cannot be reached, or fails; it may be tried again.
            ArchiveUnavailableError: it refuses these credentials.
        """

    @property
    def shared_folder(self) -> Path:
        """A local folder that every process of this machine sees, for locks."""
        return self._local.shared_folder

    def create(self) -> PendingObject:
        """Start a new object (see `ArchiveBackend.create`)."""
        return _PendingUpload(self, self._local.create())

    def spool(self) -> SpooledObject:
        """Start a new object that is secured before it is published."""
        return self._local.spool()

    def prepare(self, count: int, size: int) -> None:
        """Allocate local room for `count` spooled objects at once, `size` bytes each."""
        self._local.prepare(count, size)

    def free_bytes(self) -> int:
        """Return the room left for bytes on their way in; the other side does not say."""
        return self._local.free_bytes()

    def abandoned(self) -> Iterator[SpooledObject]:
        """Yield what dead writers of this machine left unpublished."""
        return self._local.abandoned()

    def discard_abandoned(self) -> int:
        """Discard what dead writers of this machine left."""
        return self._local.discard_abandoned()

    def close(self) -> None:
        """End the uploading threads and give up what is kept for speed alone."""
        with self._starting:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self._local.close()

    def _workers(self) -> ThreadPoolExecutor:
        with self._starting:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._uploads, thread_name_prefix="upload")
            return self._pool


class _PendingUpload:
    """A local file that is handed over when it is published."""

    def __init__(self, backend: RemoteBackend, file: PendingObject) -> None:
        self._backend = backend
        self._file = file
        self._bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`."""
        self._file.write(data)
        self._bytes += len(data)

    def view(self) -> AbstractContextManager[memoryview]:
        """All bytes written so far."""
        return self._file.view() if self._bytes else nullcontext(memoryview(b""))

    def publish(self, key: str) -> None:
        """Make the object durable under `key`; one that cannot be is discarded."""
        require_key(key)
        self._file.write(b"")  # raises when the object has ended
        try:
            if not self._backend.hand_over(self, key):
                self._file.publish(key)
        finally:
            self._file.discard()

    def discard(self) -> None:
        """Forget the file."""
        self._file.discard()
