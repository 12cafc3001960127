"""The seam of the archive's bytes: objects under keys, durable once published, never changed after.

A key is a relative path of plain names: `[a-z0-9._-]` joined by `/`. Nothing received from outside
is ever part of a key. Prefixes in use: `instances/`, `quarantine/`, `documents/`, `renditions/`.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from hub_kernel.errors import InvalidValueError

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


class ArchiveBackend(Protocol):
    """Holds the bytes of the archive; the contract suite is `tests/contracts`."""

    def create(self) -> PendingObject:
        """Start a new object.

        Raises:
            ArchiveFullError: less room is left than the configured reserve.
            ArchiveUnavailableError: the backend no longer accepts anything.
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

    def discard_abandoned(self) -> int:
        """Remove what dead writers left unpublished and return how many; living ones are spared."""
        ...
