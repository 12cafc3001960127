"""Two tiers of one archive: what is recent lies near, what is old far; readers see one archive.

Everything is written near. `image_archive.tiering` copies old instances to the far tier and later
removes the near copy; whoever opens a key gets the near object, else the far one. Only instances
and their masters are ever far.
"""

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from hub_kernel.errors import NotFoundError
from image_archive import keys
from image_archive.backend import ArchiveBackend, PendingObject, SpooledObject
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveUnavailableError,
    FarTierUnreachableError,
)
from image_archive.masters import MASTERS

_MAY_BE_FAR = (f"{keys.INSTANCES}/", f"{MASTERS}/")
_MOST_WANTED = 1_000


class TieredBackend:
    """An archive backend in front of two; see `ArchiveBackend`.

    Where the far tier cannot be reached, only what lies there alone raises
    `FarTierUnreachableError`.
    """

    def __init__(self, near: ArchiveBackend, far: ArchiveBackend) -> None:
        self.near = near
        self.far = far
        self._wanted: dict[str, None] = {}
        self._wanting = threading.Lock()

    @property
    def shared_folder(self) -> Path:
        """See `ArchiveBackend`."""
        return self.near.shared_folder

    @property
    def compares_quickly(self) -> bool:
        """See `ArchiveBackend`."""
        return self.near.compares_quickly

    def instance_key(
        self, received_at: datetime, names: keys.InstanceNames, dataset_sha256: str
    ) -> str:
        """See `ArchiveBackend`."""
        return self.near.instance_key(received_at, names, dataset_sha256)

    def is_one_object(self, key: str, other: str) -> bool:
        """See `ArchiveBackend`."""
        return self.near.is_one_object(key, other)

    def create(self) -> PendingObject:
        """See `ArchiveBackend`."""
        return self.near.create()

    def spool(self) -> SpooledObject:
        """See `ArchiveBackend`."""
        return self.near.spool()

    def prepare(self, count: int, size: int) -> None:
        """See `ArchiveBackend`."""
        self.near.prepare(count, size)

    def publish_together(
        self, objects: Sequence[tuple[SpooledObject, str]]
    ) -> list[ArchiveError | None]:
        """See `ArchiveBackend`."""
        return self.near.publish_together(objects)

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream of the object or of a part of it, from wherever it is."""
        try:
            return self.near.open(key, start=start, length=length)
        except NotFoundError:
            if not key.startswith(_MAY_BE_FAR):
                raise
        try:
            stream = self.far.open(key, start=start, length=length)
        except (ArchiveBusyError, ArchiveUnavailableError) as error:
            raise FarTierUnreachableError(_UNREACHABLE) from error
        self._want(key)
        return stream

    def size(self, key: str) -> int:
        """Return the length of the object in bytes."""
        try:
            return self.near.size(key)
        except NotFoundError:
            if not key.startswith(_MAY_BE_FAR):
                raise
        try:
            return self.far.size(key)
        except (ArchiveBusyError, ArchiveUnavailableError) as error:
            raise FarTierUnreachableError(_UNREACHABLE) from error

    def delete(self, key: str) -> None:
        """Remove the object from both tiers; what cannot be removed far stays near too."""
        if key.startswith(_MAY_BE_FAR):
            self.far.delete(key)
        self.near.delete(key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the published keys of both tiers below `prefix` in ascending order, each once."""
        both = [self.near.keys(prefix)]
        if not prefix or f"{prefix.rstrip('/')}/".startswith(_MAY_BE_FAR):
            both.append(self.far.keys(prefix))
        yield from (key for key, _ in groupby(merge(*both)))

    def free_bytes(self) -> int:
        """Return the room left near."""
        return self.near.free_bytes()

    def abandoned(self) -> Iterator[SpooledObject]:
        """See `ArchiveBackend`."""
        return self.near.abandoned()

    def discard_abandoned(self) -> int:
        """See `ArchiveBackend`."""
        return self.near.discard_abandoned()

    def close(self) -> None:
        """See `ArchiveBackend`."""
        self.far.close()
        self.near.close()

    def wanted(self) -> list[str]:
        """Return the studies (as prefixes of keys) that were read far since the last call."""
        with self._wanting:
            wanted, self._wanted = list(self._wanted), {}
        return wanted

    def _want(self, key: str) -> None:
        study = key.rpartition("/")[0].replace(f"{MASTERS}/", f"{keys.INSTANCES}/", 1)
        with self._wanting:
            if len(self._wanted) < _MOST_WANTED:
                self._wanted[study] = None


_UNREACHABLE = "archive: this older examination is in the far tier, which cannot be reached now"
