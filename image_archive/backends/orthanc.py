"""The archive in an Orthanc: instances there, all else in a local folder, which is also the spool.

What arrives is secured in spool files as by the filesystem backend, so an answer costs one flush
whatever Orthanc does. Publishing an instance hands its file to Orthanc, which keeps it unchanged.
Its key names the identifier that Orthanc derives from four attributes of the dataset. What Orthanc
does not take, or has other bytes for already, stays in the local folder under the same key.
"""

import hashlib
import heapq
import io
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from hub_kernel.errors import NotFoundError
from image_archive import keys
from image_archive.backend import SpooledObject, require_key
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc_client import OrthancClient, OrthancServer
from image_archive.backends.remote import RemoteBackend, Viewable
from image_archive.errors import ArchiveBusyError, ArchiveError, UnreadableInstanceError
from image_archive.file_meta import LARGEST_META_BYTES, read_file_meta
from image_archive.keys import InstanceNames

log = logging.getLogger(__name__)

_KEY = re.compile(rf"{keys.INSTANCES}/.*/([0-9a-f]{{40}})-([0-9a-f]{{64}})")
_CHUNK_BYTES = 1_048_576
_IN_MEMORY_BYTES = 4_194_304
_LISTED_AT_ONCE = 1_000


@dataclass(frozen=True)
class _Place:
    """What a key says of an instance in Orthanc: the identifier there, the hash of the dataset."""

    key: str
    instance_id: str
    dataset_sha256: str


class OrthancBackend(RemoteBackend):
    """Instances in `server`, everything else in `local`; see `ArchiveBackend`.

    A machine that is lost for good takes along what it had acknowledged and not handed over, and
    what else the local folder holds.
    """

    compares_quickly = False

    def __init__(self, server: OrthancServer, local: FilesystemBackend) -> None:
        super().__init__(local, server.uploads)
        self._client = OrthancClient(server)

    @property
    def client(self) -> OrthancClient:
        """What asks Orthanc, for whoever has more to ask than this backend."""
        return self._client

    def instance_key(self, received_at: datetime, names: InstanceNames, dataset_sha256: str) -> str:
        """Return the key of a dataset, which names its identifier in Orthanc too."""
        return keys.instance_key(received_at, names, f"{_orthanc_sha1(names)}-{dataset_sha256}")

    def is_one_object(self, key: str, other: str) -> bool:
        """Orthanc has a dataset once, whatever the day of its receipt."""
        one, another = _place(key), _place(other)
        if one is None or another is None:
            return key == other
        return replace(one, key=other) == another

    def publish_together(
        self, objects: Sequence[tuple[SpooledObject, str]]
    ) -> list[ArchiveError | None]:
        """Hand instances over side by side, and publish the rest in the local folder."""
        outcomes = list(self._workers().map(lambda pair: self._tried(*pair), objects))
        ours = [number for number, outcome in enumerate(outcomes) if outcome is False]
        kept = self._local.publish_together([objects[number] for number in ours])
        told = dict(zip(ours, kept, strict=True))
        return [
            outcome if isinstance(outcome, ArchiveError) else told.get(number)
            for number, outcome in enumerate(outcomes)
        ]

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream of the object, or of `length` bytes from `start`.

        Orthanc sends a file from its beginning; nothing is read of it behind what was asked for.

        Raises:
            ArchiveBusyError: Orthanc cannot be reached.
            UnreadableInstanceError: Orthanc cannot read its file.
        """
        try:
            return self._local.open(key, start=start, length=length)
        except NotFoundError:
            place = self._held(key)
        with self._client.file(place.instance_id) as answer:
            return _part(answer, start, length, self.shared_folder)

    def size(self, key: str) -> int:
        """Return the length of the object in bytes."""
        try:
            return self._local.size(key)
        except NotFoundError:
            return self._client.size(self._held(key).instance_id)

    def delete(self, key: str) -> None:
        """Remove the object; does nothing when there is none.

        An instance is removed from Orthanc only under the key it was published with.
        """
        self._local.delete(key)
        place = _place(key)
        if place is not None:
            with suppress(NotFoundError):
                if self._client.key_of(place.instance_id) == key:
                    self._client.remove(place.instance_id)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the published keys below the folder `prefix` in ascending order.

        Orthanc does not know them in order: all of its instances are asked for theirs.
        """
        here = self._local.keys(prefix)
        folder = f"{require_key(prefix.rstrip('/'))}/" if prefix else ""
        root = f"{keys.INSTANCES}/"
        if not (folder.startswith(root) or root.startswith(folder)):
            yield from here
            return
        there = sorted(key for key in self._noted_keys() if key.startswith(folder))
        last = ""
        for key in heapq.merge(here, there):
            if key != last:
                yield key
            last = key

    def close(self) -> None:
        """See `RemoteBackend`; the idle connections go too."""
        super().close()
        self._client.close()

    def hand_over(self, source: Viewable, key: str) -> bool:
        """Have Orthanc hold the instance of `key`, if it takes it and has no other bytes for it."""
        place = _place(require_key(key))
        if place is None:
            return False
        self._local.require_working()
        held = self._held_dataset(place.instance_id)
        if held is None:
            with source.view() as view:
                taken = self._client.store(view)
            if taken is None or taken.instance_id != place.instance_id:
                log.warning("Orthanc does not keep an instance; it stays in the archive folder")
                return False
            held = place.dataset_sha256 if taken.new else self._held_dataset(place.instance_id)
        if held != place.dataset_sha256:
            log.warning("Orthanc has other bytes for an instance; it stays in the archive folder")
            return False
        try:
            self._client.key_of(place.instance_id)
        except NotFoundError:
            self._note(place)
        return True

    def _note(self, place: _Place) -> None:
        try:
            self._client.note_key(place.instance_id, place.key)
        except NotFoundError as error:
            raise ArchiveBusyError("archive: Orthanc has just lost an instance") from error

    def _tried(self, spooled: SpooledObject, key: str) -> ArchiveError | bool:
        try:
            return self.hand_over(spooled, key)
        except ArchiveError as error:
            return error

    def _held_dataset(self, instance_id: str) -> str | None:
        """Return the hash of the dataset Orthanc holds: None without one, empty if it is torn."""
        try:
            with self._client.file(instance_id) as answer:
                head = answer.read(LARGEST_META_BYTES)
                digest = hashlib.sha256(head[read_file_meta(head).dataset_offset :])
                while chunk := answer.read(_CHUNK_BYTES):
                    digest.update(chunk)
                return digest.hexdigest()
        except NotFoundError:
            return None
        except UnreadableInstanceError:
            return ""

    def _held(self, key: str) -> _Place:
        """Return where Orthanc holds the dataset of `key`.

        Where nothing is noted, it is what Orthanc has that tells: who deletes an instance there and
        sends it again, or lets Orthanc rebuild it, takes away the note and not the dataset.

        Raises:
            NotFoundError: it does not, or what it holds was put there by somebody else since.
        """
        place = _place(require_key(key))
        if place is None:
            raise NotFoundError("archive: no object under this key")
        try:
            noted = _place(self._client.key_of(place.instance_id))
            held = noted.dataset_sha256 if noted else ""
        except NotFoundError:
            held = self._held_dataset(place.instance_id) or ""
            if held == place.dataset_sha256:
                self._note(place)
        if held != place.dataset_sha256:
            raise NotFoundError("archive: no object under this key")
        return place

    def _noted_keys(self) -> Iterator[str]:
        for some in self._client.all_instances(_LISTED_AT_ONCE):
            for key in self._workers().map(self._noted_key, some):
                if _KEY.fullmatch(key):
                    yield key

    def _noted_key(self, instance_id: str) -> str:
        try:
            return self._client.key_of(instance_id)
        except NotFoundError:
            return ""


class _Readable(Protocol):
    """An answer under way."""

    def read(self, amt: int) -> bytes: ...


def _part(answer: _Readable, start: int, length: int | None, folder: Path) -> BinaryIO:
    """Read a part of a file from its beginning on: into memory, into a file if it is large."""
    skipped = start
    while skipped and (chunk := answer.read(min(skipped, _CHUNK_BYTES))):
        skipped -= len(chunk)
    wanted = length
    part: BinaryIO = io.BytesIO()
    while wanted != 0 and (chunk := answer.read(min(_CHUNK_BYTES, wanted or _CHUNK_BYTES))):
        part.write(chunk)
        wanted = None if wanted is None else wanted - len(chunk)
        if isinstance(part, io.BytesIO) and part.tell() > _IN_MEMORY_BYTES:
            part = _in_file(part, folder)
    part.seek(0)
    return part


def _in_file(part: io.BytesIO, folder: Path) -> BinaryIO:
    file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    file.write(part.getbuffer())
    return file


def _place(key: str) -> _Place | None:
    """Return what the key of an instance says; None for all other keys."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    sha1 = found[1]
    instance_id = "-".join(sha1[at : at + 8] for at in range(0, len(sha1), 8))
    return _Place(key, instance_id, found[2])


def _orthanc_sha1(names: InstanceNames) -> str:
    """Return what Orthanc names an instance by: so it knows one patient level for the world."""
    parts = (
        names.patient_id,
        names.study_instance_uid,
        names.series_instance_uid,
        names.sop_instance_uid,
    )
    return hashlib.sha1("|".join(parts).encode(), usedforsecurity=False).hexdigest()
