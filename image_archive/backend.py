"""The seam of the archive's bytes: objects under keys, durable once published, never changed after.

A key is a relative path of plain names: `[a-z0-9._-]` joined by `/`. Nothing received from outside
is ever part of a key. Prefixes in use: `instances/`, `quarantine/`, `documents/`, `renditions/`,
`metadata/`, `thumbnails/`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from hub_kernel.errors import InvalidValueError
from image_archive.errors import ArchiveError
from image_archive.keys import InstanceNames

_KEY = re.compile(r"[a-z0-9_][a-z0-9._-]{0,199}(/[a-z0-9_][a-z0-9._-]{0,199}){0,15}")


def require_key(key: str) -> str:
    """Return `key` when it is one; implementations call this before they touch anything.

    Raises:
        InvalidValueError: `key` could name something outside the archive.
    """
    if len(key) > 1000 or not _KEY.fullmatch(key):
        raise InvalidValueError("archive key: lower-case names of [a-z0-9._-] joined by '/'")
    return key


class PendingObject(Protocol):
    """Bytes on their way in. Exactly one of `publish` and `discard` ends it."""

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`.

        Raises:
            ArchiveFullError: no room; the object has been discarded.
            ArchiveUnavailableError: the backend no longer accepts anything.
        """
        ...

    def view(self) -> AbstractContextManager[memoryview]:
        """All bytes written so far, without reading them into memory; not empty."""
        ...

    def publish(self, key: str) -> None:
        """Make the object durable under `key`; it survives a power cut from the moment of return.

        What already stands under `key` is replaced in one step: readers see the old object or the
        new one, never a mixture.

        Raises:
            ArchiveFullError: no room; the object has been discarded.
            ArchiveUnavailableError: a flush failed; nothing may be acknowledged any more.
        """
        ...

    def discard(self) -> None:
        """Forget the object and free its room; does nothing after `publish` or `discard`."""
        ...


class SpooledObject(Protocol):
    """Bytes on their way in that are made safe before they have a key.

    Once secured they outlive their writer: the next start is handed them by
    `ArchiveBackend.abandoned`. `discard` ends that; it is called after publishing too, when nothing
    but the key is needed any more.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; raises as `PendingObject.write`."""
        ...

    def overwrite(self, offset: int, data: bytes) -> None:
        """Replace bytes already written; raises as `write`."""
        ...

    def truncate(self, length: int) -> None:
        """Let the object end after `length` bytes."""
        ...

    def view(self) -> AbstractContextManager[memoryview]:
        """All bytes written so far, without reading them into memory; not empty."""
        ...

    def secure(self) -> None:
        """Make what has been written survive a power cut from the moment of return.

        Raises:
            ArchiveFullError: no room; the object has been discarded.
            ArchiveUnavailableError: a flush failed; nothing may be acknowledged any more.
        """
        ...

    def discard(self) -> None:
        """Forget the object and free its room; does nothing the second time."""
        ...


class ArchiveBackend(Protocol):
    """Holds the bytes of the archive; the contract suite is `tests/contracts`."""

    @property
    def shared_folder(self) -> Path:
        """A local folder that every process of this archive sees, for locks."""
        ...

    @property
    def compares_quickly(self) -> bool:
        """Whether a day's instances are listed and looked up so fast that every start does it."""
        ...

    def instance_key(self, received_at: datetime, names: InstanceNames, dataset_sha256: str) -> str:
        """Return the key under which a received dataset is published (`image_archive.keys`).

        The same for the same arguments; it ends with the hash.
        """
        ...

    def is_one_object(self, key: str, other: str) -> bool:
        """Say whether two keys of instances name one object, which goes with either."""
        ...

    def create(self) -> PendingObject:
        """Start a new object.

        Raises:
            ArchiveFullError: less room is left than the configured reserve.
            ArchiveUnavailableError: the backend no longer accepts anything.
        """
        ...

    def spool(self) -> SpooledObject:
        """Start a new object that is secured before it is published; raises as `create`."""
        ...

    def prepare(self, count: int, size: int) -> None:
        """Make ready for `count` spooled objects at once of `size` bytes each.

        Raises:
            ArchiveError: there is no room, or the disk fails.
        """
        ...

    def publish_together(
        self, objects: Sequence[tuple[SpooledObject, str]]
    ) -> list[ArchiveError | None]:
        """Publish many spooled objects for the price of few flushes; each stays secured.

        Returns for each what `PendingObject.publish` would have raised. An object that failed can
        be published again.
        """
        ...

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream of the object, or of `length` bytes from `start`; seekable within them.

        Raises:
            NotFoundError: nothing is published under `key`.
        """
        ...

    def size(self, key: str) -> int:
        """Return the length of the object in bytes.

        Raises:
            NotFoundError: nothing is published under `key`.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object; does nothing when there is none."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the published keys below the folder `prefix` in ascending order."""
        ...

    def free_bytes(self) -> int:
        """Return the room left, in bytes, above the configured reserve; never negative."""
        ...

    def abandoned(self) -> Iterator[SpooledObject]:
        """Yield what dead writers left unpublished, whole or torn; living ones are spared.

        Each is the caller's to publish and discard before the next is asked for; what is neither is
        there again at the next start.
        """
        ...

    def discard_abandoned(self) -> int:
        """Discard all that `abandoned` yields and return how many."""
        ...

    def close(self) -> None:
        """Give up what is kept for speed alone; objects under way are not touched."""
        ...
