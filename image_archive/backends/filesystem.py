"""The archive on a local file system: one file per object, durable when `publish` returns.

An object is written under `incoming/`, flushed (fdatasync), renamed to its key, and the folder is
flushed (fsync); a folder is used only once its own entry has been flushed. Measured with simulated
power cuts, this order loses nothing that was acknowledged.
"""

import errno
import fcntl
import io
import itertools
import mmap
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hub_kernel.errors import NotFoundError
from image_archive.backend import require_key
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveError,
    ArchiveFullError,
    ArchiveUnavailableError,
)

_INCOMING = "incoming"
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
    beside it can still write.
    """

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self._root = root.absolute()
        self._incoming = self._root / _INCOMING
        self._min_free_bytes = min_free_bytes
        self._names = itertools.count()
        self._prefix = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._folders: set[Path] = set()
        self._making_folders = threading.Lock()
        self._broken = threading.Event()
        self._incoming.mkdir(parents=True, exist_ok=True)

    def create(self) -> "PendingFile":
        """Start a new object (see `ArchiveBackend.create`)."""
        self.require_working()
        if self._min_free_bytes and self.free_bytes() <= 0:
            raise ArchiveFullError("archive: less free space than archive.min_free_bytes")
        path = self._incoming / f"{self._prefix}-{next(self._names)}"
        with self.translating_errors():
            return PendingFile(self, path, os.open(path, _CREATE, 0o640))

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
        return io.BufferedReader(_FilePart(stream, start, end), _READ_BYTES)

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
            _flush_folder(path.parent)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the published keys below the folder `prefix` in ascending order."""
        top = self._path(prefix.rstrip("/")) if prefix else self._root
        for path in _files(top):
            key = path.relative_to(self._root).as_posix()
            if not key.startswith(f"{_INCOMING}/"):
                yield key

    def free_bytes(self) -> int:
        """Return the room left above the reserve, in bytes."""
        found = os.statvfs(self._root)
        return max(0, found.f_bavail * found.f_frsize - self._min_free_bytes)

    def discard_abandoned(self) -> int:
        """Remove unpublished files whose writers are dead: the lock of a living one still holds."""
        removed = 0
        for path in _files(self._incoming):
            with suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    removed += 1
                finally:
                    os.close(descriptor)
        return removed

    def adopt(self, pending: Path, key: str) -> None:
        """Move a flushed file to its key and make the move durable."""
        target = self._path(key)
        self._require_folder(target.parent)
        replaces = target.exists()
        pending.rename(target)
        try:
            _flush_folder(target.parent)
        except OSError:
            if not replaces:
                with suppress(OSError):
                    target.unlink()
            raise

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
            reason = os.strerror(error.errno or 0)
            if error.errno in _FULL:
                raise ArchiveFullError(f"archive: {reason}") from error
            if error.errno in _PASSING:
                self._folders.clear()  # one may have been removed by hand
                raise ArchiveBusyError(f"archive: {reason}") from error
            self._broken.set()
            raise ArchiveUnavailableError(f"archive: {reason}") from error

    def _path(self, key: str) -> Path:
        return self._root / require_key(key)

    def _require_folder(self, folder: Path) -> None:
        """Make sure that `folder` exists durably, from the root down."""
        if folder in self._folders:
            return
        with self._making_folders:
            if len(self._folders) > _MOST_KNOWN_FOLDERS:
                self._folders.clear()
            parts = folder.relative_to(self._root).parts
            for depth in range(len(parts)):
                step = self._root.joinpath(*parts[: depth + 1])
                if step not in self._folders:
                    step.mkdir(exist_ok=True)
                    # Also when it stood there: its maker may have died before flushing it.
                    _flush_folder(step.parent)
                    self._folders.add(step)


class PendingFile:
    """A file under `incoming/`, locked for as long as its writer lives."""

    def __init__(self, backend: FilesystemBackend, path: Path, descriptor: int) -> None:
        self._backend = backend
        self._path = path
        self._descriptor = descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

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
        if self._descriptor < 0:
            raise ValueError("this object has been published or discarded")
        with self._discarding_on_error():
            self._backend.require_working()
            os.fdatasync(self._descriptor)
            self._backend.adopt(self._path, key)
        self._close()

    def discard(self) -> None:
        """Remove the file, unless it has been published."""
        if self._descriptor >= 0:
            with suppress(OSError):
                self._path.unlink()
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


class _FilePart(io.RawIOBase):
    """The bytes of a file from `start` to `end`, as a stream that begins at 0."""

    def __init__(self, stream: BinaryIO, start: int, end: int) -> None:
        super().__init__()
        self._stream = stream
        self._start = start
        self._end = end
        stream.seek(start)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the end of the part."""
        left = self._end - self._stream.tell()
        data = self._stream.read(max(0, min(len(buffer), left)))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Read what is left of the part in one step."""
        return self._stream.read(max(0, self._end - self._stream.tell()))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move inside the part; positions count from its start."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._stream.tell(), io.SEEK_END: self._end}
        position = min(max(base[whence] + offset, self._start), self._end)
        return self._stream.seek(position) - self._start

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
