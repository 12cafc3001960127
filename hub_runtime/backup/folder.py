"""Where a backup lies: objects once for all generations, and a folder for each generation.

    objects/               the archive's objects under their keys, written once, never again
    generations/NAME/      manifest.json, its digest, rows/*.ndjson.gz, objects.ndjson.gz, protected
    unfinished/NAME/       a generation that is being made, or was cut short

A generation appears under `generations/` by one rename, after everything in it has been flushed.
"""

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from access_control.secrets import sync_directory
from hub_runtime.backup.model import (
    BackupError,
    DamagedBackupError,
    HeldFile,
    HeldObject,
    Manifest,
    manifest_of,
)
from image_archive.backend import require_key
from image_archive.backends.filesystem import FilesystemBackend

OBJECT_LIST = "objects.ndjson.gz"
PARTIAL_LIST = "objects.ndjson"
PROTECTED = "protected"
_MANIFEST, _DIGEST = "manifest.json", "manifest.sha256"
_CHUNK_BYTES = 1_048_576


@dataclass(frozen=True)
class Generation:
    """One complete backup (a `Source`): its name is the moment it was begun."""

    name: str
    folder: Path
    has_masters = True

    def manifest(self) -> Manifest:
        """Return what it consists of; raises as `read_manifest`."""
        return read_manifest(self.folder)

    def objects(self) -> Iterator[HeldObject]:
        """Yield what the archive held, in ascending order of the keys."""
        return _listed(self.folder / OBJECT_LIST)

    def open_object(self, held: HeldObject) -> BinaryIO:
        """Return the bytes of an object; raises OSError where there are none."""
        return (self.folder.parent.parent / "objects" / require_key(held.key)).open("rb")

    def rows(self, table: str) -> Iterator[bytes]:
        """Yield the rows of a table, one line each."""
        return lines_of(self.folder / f"rows/{table}.ndjson.gz")


class BackupFolder:
    """The target of backups; made by the first."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._generations = self.root / "generations"
        self._unfinished = self.root / "unfinished"

    def objects(self) -> FilesystemBackend:
        """Return where the objects are."""
        return FilesystemBackend(self.root / "objects")

    def generations(self) -> list[Generation]:
        """Return the complete backups, oldest first."""
        if not self._generations.is_dir():
            return []
        folders = sorted(path for path in self._generations.iterdir() if path.is_dir())
        return [Generation(folder.name, folder) for folder in folders]

    def generation(self, name: str = "") -> Generation:
        """Return the backup of this name; the newest where none is named.

        Raises:
            BackupError: there is none.
        """
        found = [one for one in self.generations() if name in {"", one.name}]
        if not found:
            what = f"no backup {name}" if name else "no complete backup"
            raise BackupError(f"{what} in {self.root}")
        return found[-1]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other writer out.

        Raises:
            BackupError: another one is at work.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.root / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackupError("another backup to this folder is under way") from error
            yield

    def begin(self, name: str) -> Path:
        """Return a new, empty folder for the generation `name`."""
        folder = self._unfinished / name
        (folder / "rows").mkdir(mode=0o700, parents=True)
        return folder

    def cut_short(self) -> list[Path]:
        """Return the folders of generations that never became complete."""
        return sorted(self._unfinished.iterdir()) if self._unfinished.is_dir() else []

    def finish(self, folder: Path, manifest: Manifest) -> Generation:
        """Make the generation in `folder` complete: from the moment of return it is a backup."""
        write_manifest(folder, manifest)
        for path in (folder / "rows", folder):
            sync_directory(path)
        self._generations.mkdir(mode=0o700, exist_ok=True)
        final = self._generations / folder.name
        folder.rename(final)
        for path in (self._generations, self._unfinished, self.root):
            sync_directory(path)
        for left in self.cut_short():
            shutil.rmtree(left)
        return Generation(final.name, final)

    def remove(self, generation: Generation) -> None:
        """Remove a generation and the objects that no other one has."""
        kept = [one for one in self.generations() if one.name != generation.name]
        superfluous = {held.key for held in generation.objects()}
        for other in kept:
            superfluous.difference_update(held.key for held in other.objects())
        doomed = self._unfinished / generation.name
        self._unfinished.mkdir(mode=0o700, exist_ok=True)
        generation.folder.rename(doomed)
        objects = self.objects()
        for key in sorted(superfluous):
            objects.delete(key)
        shutil.rmtree(doomed)


class ListWriter:
    """Writes the list of objects as they are copied, so that what is cut short can go on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / PARTIAL_LIST).open("wb")

    def add(self, held: HeldObject) -> None:
        """Append one object, which is durable already."""
        self._file.write(_line(held))

    def flush(self) -> None:
        """Let what was added survive the death of this process."""
        self._file.flush()

    def finish(self) -> HeldFile:
        """Compress the list and return what it became."""
        self._file.close()
        partial = self._folder / PARTIAL_LIST
        with partial.open("rb") as plain, compressed(self._folder / OBJECT_LIST) as packed:
            shutil.copyfileobj(plain, packed, _CHUNK_BYTES)
        partial.unlink()
        return held_file(self._folder, OBJECT_LIST)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of what is in `folder`, and its digest, durably."""
    said = json.dumps(manifest.told(), ensure_ascii=False, indent=1).encode()
    (folder / _MANIFEST).write_bytes(said)
    (folder / _DIGEST).write_text(hashlib.sha256(said).hexdigest() + "\n", "ascii")
    for path in (folder / _MANIFEST, folder / _DIGEST):
        flush_file(path)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in `folder`.

    Raises:
        DamagedBackupError: there is none, or it is not what was written.
        BackupError: a later version of the hub wrote it.
    """
    try:
        said = (folder / _MANIFEST).read_bytes()
        digest = (folder / _DIGEST).read_text("ascii", "replace").strip()
    except OSError as error:
        raise DamagedBackupError(f"{folder.name}: {_MANIFEST}: {error.strerror}") from error
    if hashlib.sha256(said).hexdigest() != digest:
        raise DamagedBackupError(f"{folder.name}: {_MANIFEST} is not what was written")
    return manifest_of(json.loads(said))


def left_behind(folder: Path) -> Iterator[HeldObject]:
    """Yield what an unfinished generation in `folder` had copied; a torn line ends it."""
    for name in (PARTIAL_LIST, OBJECT_LIST):
        try:
            yield from _listed(folder / name)
        except (DamagedBackupError, FileNotFoundError):
            continue


def held_file(folder: Path, name: str) -> HeldFile:
    """Flush the file `name` of a generation and return its length and digest."""
    path = folder / name
    flush_file(path)
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return HeldFile(name, size, digest.hexdigest())


def flush_file(path: Path) -> None:
    """Make the bytes of a written file survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def compressed(path: Path) -> Iterator[BinaryIO]:
    """Write a gzip file that is the same for the same content."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        yield packed  # type: ignore[misc]  # it has what is used of a BinaryIO


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, a compressed one by its name.

    Raises:
        DamagedBackupError: it cannot be unpacked.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedBackupError(f"{path.name} cannot be unpacked") from error


def _line(held: HeldObject) -> bytes:
    said = [held.key, held.size, held.sha256, *(["damaged"] if held.damaged else [])]
    return json.dumps(said).encode() + b"\n"


def _listed(path: Path) -> Iterator[HeldObject]:
    for line in lines_of(path):
        try:
            key, size, digest, *more = json.loads(line)
        except ValueError as error:
            raise DamagedBackupError(f"{path.name} holds something else than objects") from error
        yield HeldObject(key, size, digest, damaged=bool(more))
