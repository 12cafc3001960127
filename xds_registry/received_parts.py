"""Parts of a request on their way into the archive: spooled while hashing, never whole in memory.

A part lies on the archive's volume from its first byte; what is not made durable is gone with the
request, and after a crash with the next `discard_abandoned` of the backend.
"""

import hashlib
import io
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO

from image_archive.backend import ArchiveBackend, PendingObject
from image_archive.errors import ArchiveError
from xds_registry.mtom_reading import TooLargeError


@dataclass
class ReceivedPart:
    """One part as it came: what it says it is, how long it is, and its hashes in lower-case hex.

    `open` returns a new stream of the bytes, seekable; the caller closes it.
    """

    media_type: str
    size: int
    sha1: str
    sha256: str
    _open: Callable[[], BinaryIO]
    _pending: PendingObject | None = field(default=None, repr=False)

    @property
    def storage_key(self) -> str:
        """Where the bytes lie once durable: the same bytes lie in one place."""
        return storage_key(self.sha256)

    def open(self) -> BinaryIO:
        """Return a stream of the part from its first byte."""
        return self._open()

    def make_durable(self, backend: ArchiveBackend) -> None:
        """Publish the bytes under `storage_key`; durable on return, and repeating it is harmless.

        Raises:
            ArchiveFullError, ArchiveBusyError, ArchiveUnavailableError: nothing was promised.
        """
        if self._pending is None:
            return
        self._pending.publish(self.storage_key)
        self._pending = None
        self._open = lambda: backend.open(self.storage_key)


class Spool:
    """Writes one part to the archive's volume while hashing it.

    What the archive cannot take is still counted and hashed, and told to the reception.
    """

    def __init__(self, reception: "Reception", media_type: str) -> None:
        self._reception = reception
        self._media_type = media_type
        self._pending = reception.create()
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            TooLargeError: the documents of the request are longer than they may be.
        """
        self._reception.count(len(data))
        self._sha1.update(data)
        self._sha256.update(data)
        self._size += len(data)
        if self._pending is not None and self._reception.failure is None:
            try:
                self._pending.write(data)
            except ArchiveError as error:
                self._reception.failure = error

    def finish(self) -> ReceivedPart:
        """Return the part; nothing may be written any more."""
        pending, size = self._pending, self._size
        return ReceivedPart(
            self._media_type,
            size,
            self._sha1.hexdigest(),
            self._sha256.hexdigest(),
            lambda: _viewed(pending) if size and pending else io.BytesIO(),
            pending,
        )


class Reception:
    """Spools the parts of one request and discards at its end what was not made durable.

    `most_bytes` bounds them all together. `failure` says that the archive could not take them; the
    request is still read to its end, so that it can be answered with the right code.
    """

    def __init__(self, backend: ArchiveBackend, most_bytes: int) -> None:
        self.failure: ArchiveError | None = None
        self._backend = backend
        self._most_bytes = most_bytes
        self._bytes = 0
        self._cleanup = ExitStack()

    def __enter__(self) -> "Reception":
        return self

    def __exit__(self, *_error: object) -> None:
        self._cleanup.close()

    def create(self) -> PendingObject | None:
        """Start an object that is discarded at the end of the request; None after a failure."""
        if self.failure is not None:
            return None
        try:
            pending = self._backend.create()
        except ArchiveError as error:
            self.failure = error
            return None
        self._cleanup.callback(pending.discard)
        return pending

    def count(self, size: int) -> None:
        """Say that `size` more bytes of documents have come.

        Raises:
            TooLargeError: the documents of the request are longer than they may be.
        """
        self._bytes += size
        if self._bytes > self._most_bytes:
            raise TooLargeError("documents of one request / 单次请求的文档", self._most_bytes)

    def keep(self, media_type: str, chunks: Iterable[bytes]) -> ReceivedPart:
        """Spool a whole part.

        Raises:
            TooLargeError: the documents of the request are longer than they may be.
        """
        spool = Spool(self, media_type)
        for chunk in chunks:
            spool.write(chunk)
        return spool.finish()


def storage_key(sha256: str) -> str:
    """Two levels of folders: tens of millions of documents must not share one."""
    return f"documents/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def kept_part(
    backend: ArchiveBackend, media_type: str, size: int, sha1: str, sha256: str
) -> ReceivedPart:
    """Return a part whose bytes were made durable before."""
    return ReceivedPart(media_type, size, sha1, sha256, lambda: backend.open(storage_key(sha256)))


def _viewed(pending: PendingObject) -> BinaryIO:
    return io.BufferedReader(_View(pending.view()))


class _View(io.RawIOBase):
    """A pending object read as a stream; its view is held until the stream is closed."""

    def __init__(self, opened: AbstractContextManager[memoryview]) -> None:
        super().__init__()
        self._opened = opened
        self._view = opened.__enter__()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, target: object) -> int:
        into = memoryview(target).cast("B")  # type: ignore[arg-type]
        piece = self._view[self._position : self._position + len(into)]
        into[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._view = memoryview(b"")
            self._opened.__exit__(None, None, None)
        super().close()
