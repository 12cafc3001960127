"""Read a whole backup again and compare every digest: rows, files, objects, the closed part."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from hub_kernel.errors import HubError
from hub_runtime.backup import protected
from hub_runtime.backup.folder import OBJECT_LIST, PROTECTED, BackupFolder, Generation, lines_of
from hub_runtime.backup.model import DamagedBackupError, HeldFile, HeldObject, Manifest
from image_archive.backend import ArchiveBackend

_CHUNK_BYTES = 1_048_576
_MOST_NAMED = 20

Progress = Callable[[int, int], None]


def check_backup(
    folder: BackupFolder, generation: Generation, progress: Progress, passphrase: str | None = ""
) -> Manifest:
    """Return the manifest of a backup that is whole; a passphrase of None leaves the closed part.

    `progress` is called with (objects read, objects in all).

    Raises:
        DamagedBackupError: something is not what was written; the message names the first of it.
        BackupError: the passphrase is missing or another one.
    """
    manifest = generation.manifest()
    for held in manifest.files:
        _check_file(generation.folder, held)
    for table in manifest.tables:
        digest, rows = hashlib.sha256(), 0
        for line in lines_of(generation.folder / f"rows/{table.name}.ndjson.gz"):
            digest.update(line)
            rows += 1
        if (rows, digest.hexdigest()) != (table.rows, table.sha256):
            raise DamagedBackupError(f"the rows of {table.name} are not those of the manifest")
    if passphrase is not None:
        protected.unpack((generation.folder / PROTECTED).read_bytes(), passphrase)
    _check_objects(folder, generation, manifest, progress)
    return manifest


def object_digest(backend: ArchiveBackend, key: str) -> tuple[int, str]:
    """Return length and SHA-256 of an object; raises as `ArchiveBackend.open`."""
    digest, size = hashlib.sha256(), 0
    with backend.open(key) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _check_file(folder: Path, held: HeldFile) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        with (folder / held.name).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise DamagedBackupError(f"{held.name}: {error.strerror}") from error
    if (size, digest.hexdigest()) != (held.size, held.sha256):
        raise DamagedBackupError(f"{held.name} is not what was written")


def _check_objects(
    folder: BackupFolder, generation: Generation, manifest: Manifest, progress: Progress
) -> None:
    objects, damaged, count, size = folder.objects(), list[str](), 0, 0
    for held in generation.objects():
        if not _is_whole(objects, held):
            damaged.append(held.key)
        count += 1
        size += held.size
        progress(count, max(count, manifest.objects))
    objects.close()
    if damaged:
        named = ", ".join(damaged[:_MOST_NAMED])
        raise DamagedBackupError(f"{len(damaged)} objects are not what was written: {named}")
    if (count, size) != (manifest.objects, manifest.object_bytes):
        raise DamagedBackupError(f"{OBJECT_LIST} does not name what the manifest counts")


def _is_whole(objects: ArchiveBackend, held: HeldObject) -> bool:
    try:
        return object_digest(objects, held.key) == (held.size, held.sha256)
    except (HubError, OSError):
        return False
