"""Read a whole backup again and compare every digest: rows, files, objects, the closed part."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hub_kernel.errors import HubError
from hub_runtime.backup import protected
from hub_runtime.backup.folder import PROTECTED
from hub_runtime.backup.model import DamagedBackupError, HeldFile, HeldObject, Manifest, Source
from image_archive import keys
from image_archive.errors import UnreadableInstanceError
from image_archive.reading import skip_file_meta

NAMED_BY_DATASET = (f"{keys.INSTANCES}/", f"{keys.QUARANTINE}/")
_CHUNK_BYTES = 1_048_576
_MOST_NAMED = 20

Progress = Callable[[int, int], None]


def check_backup(source: Source, progress: Progress, passphrase: str | None = "") -> Manifest:
    """Return the manifest of what is whole; a passphrase of None leaves the closed part.

    `progress` is called with (objects read, objects in all).

    Raises:
        DamagedBackupError: something is not what was written; the message names the first of it.
        BackupError: the passphrase is missing or another one.
    """
    manifest = source.manifest()
    for held in manifest.files:
        _check_file(source.folder, held)
    for table in manifest.tables:
        digest, rows = hashlib.sha256(), 0
        for line in source.rows(table.name):
            digest.update(line)
            rows += 1
        if (rows, digest.hexdigest()) != (table.rows, table.sha256):
            raise DamagedBackupError(f"the rows of {table.name} are not those of the manifest")
    if passphrase is not None:
        protected.unpack((source.folder / PROTECTED).read_bytes(), passphrase)
    _check_objects(source, manifest, progress)
    return manifest


def digest_of(stream: BinaryIO) -> tuple[int, str]:
    """Return length and SHA-256 of a stream, and close it."""
    digest, size = hashlib.sha256(), 0
    with stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def is_as_received(stream: BinaryIO, key: str) -> bool:
    """Tell whether the bytes are those that `key` was made of, and close the stream.

    Instances and parked bytes are named by the hash of their dataset; of other objects the name
    says nothing that is judged here.
    """
    digest = hashlib.sha256()
    with stream:
        if not key.startswith(NAMED_BY_DATASET):
            return True
        try:
            skip_file_meta(stream)
        except UnreadableInstanceError:
            return False
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return key.endswith(digest.hexdigest())


def _check_file(folder: Path, held: HeldFile) -> None:
    try:
        size, digest = digest_of((folder / held.name).open("rb"))
    except OSError as error:
        raise DamagedBackupError(f"{held.name}: {error.strerror}") from error
    if (size, digest) != (held.size, held.sha256):
        raise DamagedBackupError(f"{held.name} is not what was written")


def _check_objects(source: Source, manifest: Manifest, progress: Progress) -> None:
    damaged, count, size = list[str](), 0, 0
    for held in source.objects():
        if not _is_whole(source, held):
            damaged.append(held.key)
        count += 1
        size += held.size
        progress(count, max(count, manifest.objects))
    if damaged:
        named = ", ".join(damaged[:_MOST_NAMED])
        raise DamagedBackupError(f"{len(damaged)} objects are not what was written: {named}")
    if (count, size) != (manifest.objects, manifest.object_bytes):
        raise DamagedBackupError("the list of objects does not name what the manifest counts")


def _is_whole(source: Source, held: HeldObject) -> bool:
    try:
        found = digest_of(source.open_object(held))
    except (HubError, OSError):
        return False
    return held.damaged or found == (held.size, held.sha256)
