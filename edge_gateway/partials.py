"""Unfinished uploads at the hub: one file each, grown chunk by chunk, durable before it is said.

The size of the file is the offset that a resuming edge is told. It is flushed before every answer.
A power cut may leave a file longer than what was last flushed and said; the digest of the whole,
checked before anything is archived, decides about such bytes.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from edge_gateway.errors import (
    BadRequestError,
    ChecksumMismatchError,
    OffsetMismatchError,
    TooManyUploadsError,
    UploadBusyError,
    UploadGoneError,
)
from edge_gateway.model import Offer
from edge_gateway.protocol import ALGORITHMS, upload_id
from hub_kernel.clock import Clock
from image_archive.errors import ArchiveFullError

_PIECE_BYTES = 262_144
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ReadableBody(Protocol):
    """Where the bytes of a request come from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


@dataclass(frozen=True)
class PartialLimits:
    """What one site may leave unfinished: declared bytes in all, how many, and for how long.

    Emergencies may take as much room again.
    """

    site_bytes: int
    site_uploads: int = 256
    keep: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Chunk:
    """Bytes on their way in: where they begin, how many there are, and their checksum."""

    offset: int
    length: int
    body: ReadableBody
    checksum: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Held:
    """One unfinished upload while nobody else may touch it."""

    offer: Offer
    path: Path
    about: Path

    @property
    def offset(self) -> int:
        """Bytes that are there, durably."""
        with self.path.open("rb") as file:
            os.fdatasync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def append(self, chunk: Chunk) -> int:
        """Add a chunk durably and return the new offset; of a bad chunk nothing is kept.

        Raises:
            OffsetMismatchError: it begins elsewhere than these bytes end.
            BadRequestError: it is shorter than it said, or goes beyond the offered length.
            ChecksumMismatchError: it was changed on its way.
            ArchiveFullError: the disk has no room for it.
        """
        with self.path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if chunk.offset != size:
                raise OffsetMismatchError(f"the hub holds {size} bytes")
            if size + chunk.length > self.offer.dataset_bytes:
                raise BadRequestError("the chunk goes beyond the offered length")
            try:
                file.seek(size)
                _copy(chunk, file)
                file.flush()
                os.fdatasync(file.fileno())
            except BaseException as error:
                with suppress(OSError):
                    os.ftruncate(file.fileno(), size)
                if isinstance(error, OSError) and error.errno in _FULL:
                    raise ArchiveFullError("uploads: no space left") from error
                raise
        return size + chunk.length

    def open(self) -> BinaryIO:
        """Return the bytes."""
        return self.path.open("rb")

    def remove(self) -> None:
        """Forget the upload."""
        self.path.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)


class PartialUploads:
    """The unfinished uploads below `root`, a folder for each site; safe from several processes."""

    def __init__(self, root: Path, limits: PartialLimits, clock: Clock) -> None:
        self._root = root
        self._limits = limits
        self._clock = clock

    @contextmanager
    def begun(self, offer: Offer) -> Iterator[Held]:
        """Hold the upload of `offer`, a new one or the one that was begun earlier.

        Raises:
            TooManyUploadsError: the site's room for unfinished uploads is taken.
            UploadBusyError: another request holds it.
            ArchiveFullError: the disk is full.
        """
        folder = self._folder(offer.site_id)
        about = folder / f"{upload_id(offer)}.json"
        if not about.exists():
            self._require_room(folder, offer)
            _write_new(about, json.dumps(asdict(offer)).encode())
        with self.held(offer.site_id, upload_id(offer)) as held:
            yield held

    @contextmanager
    def held(self, site_id: str, name: str) -> Iterator[Held]:
        """Hold the upload called `name` of a site.

        Raises:
            UploadGoneError: there is none.
            UploadBusyError: another request holds it.
        """
        about = self._folder(site_id) / f"{name}.json"
        if len(name) != 40 or not name.isalnum() or not about.exists():
            raise UploadGoneError("no such unfinished upload")
        with about.open("rb") as locked:
            try:
                fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UploadBusyError("another request works on this upload") from error
            if not about.exists():
                raise UploadGoneError("no such unfinished upload")
            path = about.with_suffix(".part")
            if not path.exists():
                _write_new(path, b"")
            yield Held(Offer(**json.loads(locked.read())), path, about)

    def known(self, offer: Offer) -> bool:
        """Tell whether an upload of this offer was begun and not finished."""
        return (self._folder(offer.site_id) / f"{upload_id(offer)}.json").exists()

    def expires_at(self, held: Held) -> datetime:
        """Return when the upload will be removed unless it goes on."""
        touched = datetime.fromtimestamp(held.path.stat().st_mtime, UTC)
        return touched + self._limits.keep

    def purge(self) -> int:
        """Remove what nobody went on with for too long; return how many."""
        removed = 0
        for about in self._root.glob("*/*.json"):
            name, site = about.stem, about.parent
            touched = _last_touched(about)
            if touched is None or self._clock.now() - touched < self._limits.keep:
                continue
            with suppress(UploadGoneError, UploadBusyError), self._held_in(site, name) as held:
                held.remove()
                removed += 1
        return removed

    @contextmanager
    def _held_in(self, folder: Path, name: str) -> Iterator[Held]:
        site_id = json.loads((folder / f"{name}.json").read_bytes())["site_id"]
        with self.held(site_id, name) as held:
            yield held

    def _folder(self, site_id: str) -> Path:
        # Hashed: no path is ever made of a name that came from outside.
        return self._root / hashlib.sha256(site_id.encode()).hexdigest()[:32]

    def _require_room(self, folder: Path, offer: Offer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        begun = list(folder.glob("*.json"))
        # What was left unfinished must not keep an emergency out.
        times = 2 if offer.emergency else 1
        if len(begun) >= times * self._limits.site_uploads:
            raise TooManyUploadsError(f"{len(begun)} uploads are unfinished")
        taken = sum(_declared(about) for about in begun)
        if taken + offer.dataset_bytes > times * self._limits.site_bytes:
            raise TooManyUploadsError(f"{taken} bytes are spoken for by unfinished uploads")


def _copy(chunk: Chunk, file: BinaryIO) -> None:
    """Write the chunk's bytes to `file`; they are what was announced, or an error is raised."""
    algorithm, expected = chunk.checksum or ("sha256", None)
    digest = ALGORITHMS[algorithm]()
    left = chunk.length
    while left and (piece := chunk.body.read(min(_PIECE_BYTES, left))):
        file.write(piece)
        digest.update(piece)
        left -= len(piece)
    if left:
        raise BadRequestError("the chunk is shorter than it said")
    if expected is not None and digest.digest() != expected:
        raise ChecksumMismatchError("the chunk was changed on its way")


def _write_new(path: Path, content: bytes) -> None:
    """Make a file and its name durable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.{os.getpid()}-{id(content):x}")
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in _FULL:
            raise ArchiveFullError("uploads: no space left") from error
        raise


def _declared(about: Path) -> int:
    with suppress(OSError, ValueError, KeyError):
        return int(json.loads(about.read_bytes())["dataset_bytes"])
    return 0


def _last_touched(about: Path) -> datetime | None:
    for path in (about.with_suffix(".part"), about):
        with suppress(OSError):
            return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return None
