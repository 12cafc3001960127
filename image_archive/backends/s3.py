"""The archive in a bucket of an object store that speaks S3; on their way in, bytes lie on disk.

What arrives is secured in spool files of a local folder exactly as by the filesystem backend, so an
answer costs one flush whatever the bucket does. Publishing uploads, large objects in parts, and is
over when the bucket has said that it holds the object. Nothing here lists the bucket except `keys`.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore import GetOptions

from hub_kernel.errors import NotFoundError
from image_archive.backend import SpooledObject, require_key
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.remote import RemoteBackend, Viewable
from image_archive.backends.s3_reading import FIRST_BYTES, Fetched, ObjectPart
from image_archive.errors import ArchiveBusyError, ArchiveError, ArchiveUnavailableError
from image_archive.keys import InstanceNames

_PART_BYTES = 8_388_608
_PARTS_AT_ONCE = 4
_RETRIES = 3
_REFUSED = (PermissionDeniedError, UnauthenticatedError)


@dataclass(frozen=True)
class Bucket:
    """Where the objects are, and who asks for them.

    `endpoint` is a URL, empty for Amazon's own of the `region`; `prefix` shares a bucket with
    others. `encryption` asks the server to encrypt, with `kms_key_id` where it wants one.
    """

    name: str
    endpoint: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    kms_key_id: str = ""
    timeout_s: float = 60.0
    uploads: int = 8

    def store(self) -> S3Store:
        """Return a client; nothing is asked of the server yet."""
        wanted: dict[str, Any] = {
            "endpoint": self.endpoint or None,
            "prefix": self.prefix or None,
            "access_key_id": self.access_key_id or None,
            "secret_access_key": self.secret_access_key or None,
            "server_side_encryption": self.encryption or None,
            "sse_kms_key_id": self.kms_key_id or None,
        }
        return S3Store(
            self.name,
            region=self.region,
            client_options={
                "allow_http": self.endpoint.startswith("http://"),
                "timeout": timedelta(seconds=self.timeout_s),
                "connect_timeout": timedelta(seconds=min(5.0, self.timeout_s)),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=self.timeout_s),
            },
            **{name: value for name, value in wanted.items() if value is not None},
        )


class S3Backend(RemoteBackend):
    """Objects in a bucket; see `ArchiveBackend`.

    A machine that is lost for good takes along what it had acknowledged and not uploaded, at most a
    second's worth while all works.
    """

    compares_quickly = True

    def __init__(self, bucket: Bucket, local: FilesystemBackend) -> None:
        super().__init__(local, bucket.uploads)
        self._store = bucket.store()

    def instance_key(self, received_at: datetime, names: InstanceNames, dataset_sha256: str) -> str:
        """Return where a dataset is kept."""
        return self._local.instance_key(received_at, names, dataset_sha256)

    def is_one_object(self, key: str, other: str) -> bool:
        """Each key has an object of its own."""
        return key == other

    def publish_together(
        self, objects: Sequence[tuple[SpooledObject, str]]
    ) -> list[ArchiveError | None]:
        """Upload spooled objects side by side; what failed can be published again."""
        if len(objects) < 2:
            return [self._published(spooled, key) for spooled, key in objects]
        return list(self._workers().map(lambda pair: self._published(*pair), objects))

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream that fetches what is read; an object replaced meanwhile is an error.

        Raises:
            ArchiveBusyError: the bucket cannot be reached; also while reading.
        """
        path = require_key(key)
        first = self._first(path, start, FIRST_BYTES if length is None else length)
        end = first.size if length is None else min(first.size, start + length)

        def fetch(begin: int, stop: int) -> Fetched:
            return self._fetched(path, begin, stop, if_match=first.tag)

        return io.BufferedReader(ObjectPart(fetch, first, min(start, first.size), end), FIRST_BYTES)

    def size(self, key: str) -> int:
        """Return the length of the object in bytes."""
        with _translated():
            return obstore.head(self._store, require_key(key))["size"]

    def delete(self, key: str) -> None:
        """Remove the object; does nothing when there is none."""
        path = require_key(key)
        try:
            with _translated():
                obstore.delete(self._store, path)
        except NotFoundError:
            return

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the published keys below the folder `prefix` in ascending order, folder by folder.

        Servers differ in the order in which they list, so each folder is sorted here.
        """
        folder = prefix.rstrip("/")
        with _translated():
            found = obstore.list_with_delimiter(self._store, folder or None)
        # Some servers list an empty folder as an object of its own name.
        names = [one["path"] for one in found["objects"] if one["path"] != folder]
        folders = [f"{one.rstrip('/')}/" for one in found["common_prefixes"]]
        for name in sorted([*names, *folders]):
            if name.endswith("/"):
                yield from self.keys(name)
            else:
                yield name

    def hand_over(self, source: Viewable, key: str) -> bool:
        """Put the bytes of `source` under `key`, in one step for whoever reads it."""
        path = require_key(key)
        self._local.require_working()
        with source.view() as view:
            try:
                self._put(path, view)
            except NotFoundError as error:
                raise ArchiveUnavailableError("archive: the bucket does not exist") from error
        return True

    def _put(self, path: str, view: memoryview) -> None:
        parts = (view[at : at + _PART_BYTES] for at in range(0, len(view), _PART_BYTES))
        with _translated():
            if len(view) <= _PART_BYTES:
                obstore.put(self._store, path, view, use_multipart=False)
            else:
                obstore.put(
                    self._store,
                    path,
                    parts,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )

    def _published(self, spooled: SpooledObject, key: str) -> ArchiveError | None:
        try:
            self.hand_over(spooled, key)
        except ArchiveError as error:
            return error
        return None

    def _first(self, path: str, start: int, length: int) -> Fetched:
        """Return the first bytes of a part, with the size and the tag of its object.

        A range that begins behind the end is an error to the server: then only these are asked.
        """
        failure: ArchiveBusyError | None = None
        if length:
            try:
                return self._fetched(path, start, start + min(length, FIRST_BYTES))
            except ArchiveBusyError as error:
                failure = error
        with _translated():
            head = obstore.head(self._store, path)
        if failure is not None and start < head["size"]:
            raise failure
        return Fetched(start, memoryview(b""), head["size"], head["e_tag"] or "")

    def _fetched(self, path: str, begin: int, stop: int, *, if_match: str = "") -> Fetched:
        options: GetOptions = {"range": (begin, stop)}
        if if_match:
            options["if_match"] = if_match
        with _translated():
            found = obstore.get(self._store, path, options=options)
            data = memoryview(found.bytes())
        return Fetched(begin, data, found.meta["size"], found.meta["e_tag"] or "")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the client's errors into the archive's."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError("archive: no object under this key") from error
    except _REFUSED:
        raise ArchiveUnavailableError("archive: the bucket refuses the hub's credentials") from None
    except PreconditionError:
        raise ArchiveBusyError("archive: the object was replaced while it was read") from None
    except (BaseError, OSError):
        raise ArchiveBusyError("archive: the bucket cannot be reached") from None
