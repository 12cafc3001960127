"""The archive on a local file system: one file per object, durable when `publish` returns.

An object is written under `incoming/`, flushed (fdatasync), renamed to its key, and the folder is
flushed (fsync); a folder is used only once its own entry has been flushed. Measured with simulated
power cuts, this order loses nothing that was acknowledged. Instances are spooled first (`spool.py`)
and published many at a time, which saves most of these flushes.
"""
# What runs for every instance takes paths as text: ten times as fast.
# ruff: noqa: PTH102, PTH104, PTH108, PTH110, PTH120

import errno
import fcntl
import io
import itertools
import mmap
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from hub_kernel.errors import NotFoundError
from image_archive.backend import SpooledObject, require_key
from image_archive.backends.file_part import FilePart
from image_archive.backends.spool import LARGEST_KEPT_BYTES, Spool, Spooled, flush_folder
from image_archive.backends.whole_flush import WholeFlush
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveFullError,
    ArchiveUnavailableError,
)
from image_archive.keys import InstanceNames, instance_key

_INCOMING = "incoming"
_ROOM_HOLDS_S = 0.2
_SHARED = "shared"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# A folder under the name of an object, or the other way round, is no fault of the disk.
_NAMES = frozenset({errno.ENOENT, errno.EISDIR, errno.ENOTDIR})
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM}) | _NAMES
_CREATE = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_READ_BYTES = 262_144
# Remembering a folder only saves a flush; forgetting all of them now and then bounds the memory.
_MOST_KNOWN_FOLDERS = 20_000


class FilesystemBackend:
    """Objects as files below `root`, which must lie on one file system.

    With less than `min_free_bytes` of free space no new object is started, so that the database
    beside it can still write. Several machines on one folder are told apart by `node`: what arrives
    at one lies in a folder of its own, into which no other looks.
    """

    compares_quickly = True

    def __init__(self, root: Path, *, min_free_bytes: int = 0, node: str = "") -> None:
        self._root = root.absolute()
        self._incoming = self._root / _INCOMING / node
        self._shared = self._root / _SHARED / node
        self._text = str(self._root)  # paths are made for every instance: as text, ten times faster
        self._min_free_bytes = min_free_bytes
        self._names = itertools.count()
        self._prefix = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._folders: set[str] = set()
        self._making_folders = threading.Lock()
        self._broken = threading.Event()
        self._room_checked_at = 0.0
        self._spool = Spool(self._new_path, self.translated)
        for folder in (self._incoming, self.shared_folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._whole_flush = WholeFlush(self._text)

    @property
    def shared_folder(self) -> Path:
        """Where the processes of this archive on this machine keep their locks."""
        return self._shared

    def instance_key(self, received_at: datetime, names: InstanceNames, dataset_sha256: str) -> str:
        """Return where a dataset is kept."""
        return instance_key(received_at, names, dataset_sha256)

    def is_one_object(self, key: str, other: str) -> bool:
        """Each key has a file of its own."""
        return key == other

    def create(self) -> "PendingFile":
        """Start a new object (see `ArchiveBackend.create`)."""
        self._require_room()
        path = self._new_path()
        with self.translating_errors():
            return PendingFile(self, path, os.open(path, _CREATE, 0o640))

    def spool(self) -> Spooled:
        """Start a new object that is secured before it is published."""
        self._require_room()
        return self._spool.start()

    def prepare(self, count: int, size: int) -> None:
        """Allocate room for `count` spooled objects at once, `size` bytes each."""
        self._require_room()
        self._spool.prepare(count, size)

    def publish_together(
        self, objects: Sequence[tuple[SpooledObject, str]]
    ) -> list[ArchiveError | None]:
        """Publish spooled objects: all copied, then all flushed, then each folder flushed once.

        Many are flushed by one call where that is possible. Where it is not, by the time the first
        is flushed the others are on their way to the disk already.
        """
        outcomes: list[ArchiveError | None] = [None] * len(objects)
        copies: list[tuple[int, PendingFile]] = []
        folders: set[str] = set()
        with self._whole_flush.of(len(objects)) as flush:
            for number, (spooled, _) in enumerate(objects):
                try:
                    copies.append((number, self._copied(spooled, begin_writing=flush is None)))
                except ArchiveError as error:
                    outcomes[number] = error
            flushed = flush is not None and flush()
        for number, copy in copies:
            try:
                folders.add(copy.place(objects[number][1], flushed=flushed))
            except ArchiveError as error:
                outcomes[number] = error
        try:
            with self.translating_errors():
                for folder in folders:
                    flush_folder(folder)
        except ArchiveError as error:
            return [outcome or error for outcome in outcomes]
        return outcomes

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream of the object or of a part of it."""
        try:
            stream = self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFoundError("archive: no object under this key") from error
        if start == 0 and length is None:
            return stream
        size = os.fstat(stream.fileno()).st_size
        start = min(start, size)
        end = size if length is None else min(size, start + length)
        return io.BufferedReader(FilePart(stream, start, end), _READ_BYTES)

    def size(self, key: str) -> int:
        """Return the length of the object in bytes."""
        with suppress(FileNotFoundError, NotADirectoryError):
            found = self._path(key).stat()
            if stat.S_ISREG(found.st_mode):
                return found.st_size
        raise NotFoundError("archive: no object under this key")

    def delete(self, key: str) -> None:
        """Remove the object; does nothing when there is none."""
        path = self._path(key)
        absent = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
        with self.translating_errors(), suppress(*absent):
            path.unlink()
            flush_folder(str(path.parent))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the published keys below the folder `prefix` in ascending order."""
        top = self._path(prefix.rstrip("/")) if prefix else self._root
        for path in _files(top):
            key = path.relative_to(self._root).as_posix()
            if not key.startswith((f"{_INCOMING}/", f"{_SHARED}/")):
                yield key

    def free_bytes(self) -> int:
        """Return the room left above the reserve, in bytes."""
        found = os.statvfs(self._root)
        return max(0, found.f_bavail * found.f_frsize - self._min_free_bytes)

    def abandoned(self) -> Iterator[Spooled]:
        """Yield the unpublished files of dead writers: the lock of a living one still holds."""
        with os.scandir(self._incoming) as entries:
            # Not into folders: they are other machines'.
            paths = sorted(entry.path for entry in entries if entry.is_file(follow_symlinks=False))
        for path in paths:
            with suppress(FileNotFoundError, BlockingIOError):
                left = Spooled.left(self._spool, path)
                try:
                    yield left
                finally:
                    left.release()

    def discard_abandoned(self) -> int:
        """Discard what dead writers left."""
        discarded = 0
        for left in self.abandoned():
            left.discard()
            discarded += 1
        return discarded

    def close(self) -> None:
        """Remove what is kept for speed alone."""
        self._spool.close()

    def folder_of(self, key: str) -> str:
        """Return the folder of `key`, which exists durably from now on.

        Raises:
            OSError: it does not.
        """
        folder = os.path.dirname(self.path_of(key))
        self._require_folder(folder)
        return folder

    def path_of(self, key: str) -> str:
        """Return where the object of `key` is."""
        return f"{self._text}/{require_key(key)}"

    def require_working(self) -> None:
        """Refuse everything after a failed flush.

        Raises:
            ArchiveUnavailableError: a flush failed since the start.
        """
        if self._broken.is_set():
            raise ArchiveUnavailableError("archive: a flush to disk failed; look at the disk")

    @contextmanager
    def translating_errors(self) -> Iterator[None]:
        """Turn the system's errors into the archive's.

        A full disk and a shortage that passes cost one instance; anything else, above all a failed
        flush, ends all acknowledging until the restart.
        """
        try:
            yield
        except OSError as error:
            raise self.translated(error) from error

    def translated(self, error: OSError) -> ArchiveError:
        """Return what the archive says to `error`; see `translating_errors`."""
        reason = os.strerror(error.errno or 0)
        if error.errno in _FULL:
            return ArchiveFullError(f"archive: {reason}")
        if error.errno in _PASSING:
            self._folders.clear()  # one may have been removed by hand
            return ArchiveBusyError(f"archive: {reason}")
        self._broken.set()
        return ArchiveUnavailableError(f"archive: {reason}")

    def _require_room(self) -> None:
        """Refuse to start an object when there is no room; what was seen holds for a moment."""
        self.require_working()
        now = time.monotonic()
        if self._min_free_bytes and now >= self._room_checked_at + _ROOM_HOLDS_S:
            if self.free_bytes() <= 0:
                raise ArchiveFullError("archive: less free space than archive.min_free_bytes")
            self._room_checked_at = now

    def _new_path(self) -> str:
        return f"{self._incoming}/{self._prefix}-{next(self._names)}"

    def _copied(self, spooled: SpooledObject, *, begin_writing: bool) -> "PendingFile":
        """Return the spooled object in a file of its own: a copy, or itself where it is large."""
        if not isinstance(spooled, Spooled):
            raise TypeError("a backend publishes what it spooled itself")
        self.require_working()
        if spooled.length > LARGEST_KEPT_BYTES:
            file = spooled.take()
            return PendingFile(self, file.path, file.descriptor)
        path = self._new_path()
        with self.translating_errors():
            copy = PendingFile(self, path, os.open(path, _CREATE, 0o640))
        copy.fill(spooled, begin_writing=begin_writing)
        return copy

    def _path(self, key: str) -> Path:
        return self._root / require_key(key)

    def _require_folder(self, folder: str) -> None:
        """Make sure that `folder` exists durably, from the root down."""
        if folder in self._folders:
            return
        with self._making_folders:
            if len(self._folders) > _MOST_KNOWN_FOLDERS:
                self._folders.clear()
            step = self._text
            for name in folder[len(step) + 1 :].split("/"):
                parent, step = step, f"{step}/{name}"
                if step not in self._folders:
                    with suppress(FileExistsError):
                        os.mkdir(step)
                    # Also when it stood there: its maker may have died before flushing it.
                    flush_folder(parent)
                    self._folders.add(step)


class PendingFile:
    """A file under `incoming/`, locked for as long as its writer lives."""

    def __init__(self, backend: FilesystemBackend, path: str, descriptor: int) -> None:
        self._backend = backend
        self._path = path
        self._descriptor = descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def fill(self, spooled: Spooled, *, begin_writing: bool) -> None:
        """Copy the object into the file, and begin to write it to the disk; as `write`."""
        with self._discarding_on_error():
            spooled.copy_to(self._descriptor)
            if begin_writing:  # which this does with what is dirty
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; a full disk discards the file."""
        if self._descriptor < 0:
            raise ValueError("this object has been published or discarded")
        rest = memoryview(data)
        with self._discarding_on_error():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    @contextmanager
    def view(self) -> Iterator[memoryview]:
        """Map what has been written so far."""
        with mmap.mmap(self._descriptor, 0, prot=mmap.PROT_READ) as mapped:
            view = memoryview(mapped)
            try:
                yield view
            finally:
                view.release()

    def publish(self, key: str) -> None:
        """Make the file durable under `key`."""
        target = self._backend.path_of(key)
        replaces = os.path.exists(target)
        folder = self.place(key)
        with self._backend.translating_errors():
            try:
                flush_folder(folder)
            except OSError:
                if not replaces:
                    with suppress(OSError):
                        os.unlink(target)
                raise

    def place(self, key: str, *, flushed: bool = False) -> str:
        """Flush the file, unless it is, and name it by its key; return the folder to be flushed."""
        if self._descriptor < 0:
            raise ValueError("this object has been published or discarded")
        with self._discarding_on_error():
            self._backend.require_working()
            if not flushed:
                os.fdatasync(self._descriptor)
            folder = self._backend.folder_of(key)
            os.rename(self._path, self._backend.path_of(key))
        self._close()
        return folder

    def discard(self) -> None:
        """Remove the file, unless it has been published."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.unlink(self._path)
            self._close()

    @contextmanager
    def _discarding_on_error(self) -> Iterator[None]:
        try:
            with self._backend.translating_errors():
                yield
        except ArchiveError:
            self.discard()
            raise

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


def _files(top: Path) -> Iterator[Path]:
    """Yield the files below `top` in ascending order of their paths' texts, folder by folder."""
    try:
        entries = sorted(os.scandir(top), key=lambda e: e.name + "/" * e.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)
