"""Bring a backup back on an empty host: everything is checked first, then restored and read back.

Objects come first, then all rows in one transaction, then keys and settings. A file in the data
folder says that a restore is under way: no hub starts on half of one, and the same command goes on
where it was cut short.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Table, insert
from sqlalchemy.exc import DBAPIError

from access_control.secrets import sync_directory
from access_control.tables import UserSessionRow
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.settings import Settings
from hub_runtime import schema
from hub_runtime.backup import protected
from hub_runtime.backup.checking import check_backup, digest_of
from hub_runtime.backup.folder import PROTECTED, flush_file
from hub_runtime.backup.marker import MARKER
from hub_runtime.backup.model import (
    BackupError,
    DamagedBackupError,
    HeldObject,
    HeldTable,
    Manifest,
    Source,
)
from hub_runtime.foundation import ARCHIVE_BACKENDS
from hub_runtime.table_rows import ROWS, canonical, count, row_of, rows_of, set_sequences
from image_archive.backend import ArchiveBackend
from image_archive.tables_tiers import TierCopyRow
from image_archive.tiers import TieredBackend

_CHUNK_BYTES = 1_048_576

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Restored:
    """What came back; `sessions` readers have to sign in again."""

    generation: str
    manifest: Manifest
    sessions: int


def restore(
    source: Source, settings: Settings, show: Callable[[str], Progress], passphrase: str = ""
) -> Restored:
    """Bring the hub in `source` back as `settings` say.

    Raises:
        DamagedBackupError: something in it is not what was written; nothing has been restored.
        BackupError: the place to restore to is not empty, or the passphrase is another.
    """
    data = settings.hub.data_dir
    resumed = _may_restore(data, source)
    manifest = check_backup(source, show("checking"), passphrase)
    _mark(data, source)
    database = Database(settings.database_url)
    backend = ARCHIVE_BACKENDS[settings.archive.backend](settings)
    try:
        if not resumed:
            _require_empty(database, backend)
        _restore_objects(source, manifest, backend, show("objects"))
        _restore_rows(database, source, manifest, show("rows"))
        schema.upgrade(database)
        files = protected.unpack((source.folder / PROTECTED).read_bytes(), passphrase)
        protected.write(files, data)
        sessions = _forget_what_passed(database)
    finally:
        backend.close()
        database.dispose()
    (data / MARKER).unlink()
    sync_directory(data)
    return Restored(source.name, manifest, sessions)


def _may_restore(data: Path, source: Source) -> bool:
    """Return whether an earlier restore of this backup is to be gone on with.

    Raises:
        BackupError: `data` holds something else.
    """
    marker = data / MARKER
    if marker.is_file():
        begun = json.loads(marker.read_bytes() or b"{}").get("source", source.name)
        if begun != source.name:
            raise BackupError(f"{data} is half restored from {begun}; name that one, or empty it")
        return True
    if data.exists() and any(data.iterdir()):
        raise BackupError(f"{data} is not empty: restore to a new folder")
    return False


def _mark(data: Path, source: Source) -> None:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / MARKER).write_text(json.dumps({"source": source.name}), "utf-8")
    flush_file(data / MARKER)
    sync_directory(data)


def _require_empty(database: Database, backend: ArchiveBackend) -> None:
    if schema.revision_of(database) is not None:
        raise BackupError("the database to restore to is not empty")
    near = backend.near if isinstance(backend, TieredBackend) else backend
    if next(near.keys(), None) is not None:
        raise BackupError("the archive to restore to is not empty")


def _restore_objects(
    source: Source, manifest: Manifest, backend: ArchiveBackend, progress: Progress
) -> None:
    for number, held in enumerate(source.objects(), start=1):
        if not _is_there(backend, held):
            _copy(source.open_object(held), backend, held.key)
            if not _is_there(backend, held):
                raise BackupError(f"{held.key}: what was restored reads back differently")
        progress(number, manifest.objects)


def _is_there(backend: ArchiveBackend, held: HeldObject) -> bool:
    try:
        return digest_of(backend.open(held.key)) == (held.size, held.sha256)
    except NotFoundError:
        return False


def _copy(stream: BinaryIO, target: ArchiveBackend, key: str) -> None:
    pending = target.create()
    try:
        with stream:
            while chunk := stream.read(_CHUNK_BYTES):
                pending.write(chunk)
        pending.publish(key)
    finally:
        pending.discard()


def _restore_rows(
    database: Database, source: Source, manifest: Manifest, progress: Progress
) -> None:
    """Load all rows in one transaction and read them back, unless an earlier run has."""
    if schema.revision_of(database) not in {None, manifest.revision}:
        return  # they were loaded, and the schema brought up to date, before the interruption
    schema.upgrade(database, manifest.revision)
    tables = {table.name: table for table in schema.METADATA.sorted_tables}
    with database.engine.begin() as writing:
        if any(count(writing, tables[held.name]) for held in manifest.tables if held.rows):
            return
        done = 0
        for held in manifest.tables:
            _load(writing, tables[held.name], held, source)
            done += held.rows
            progress(done, manifest.rows)
        set_sequences(writing, list(tables.values()))


def _load(writing: Connection, table: Table, held: HeldTable, source: Source) -> None:
    lines = source.rows(held.name)
    while some := list(islice(lines, ROWS)):
        try:
            writing.execute(insert(table), [_row(line, table) for line in some])
        except DBAPIError as error:
            raise BackupError(f"{table.name}: {type(error.orig).__name__}") from None
    digest = hashlib.sha256()
    for row in rows_of(writing, table, held.columns):
        digest.update(canonical(row))
    if digest.hexdigest() != held.sha256:
        raise BackupError(f"{table.name}: what was restored reads back differently")


def _row(line: bytes, table: Table) -> dict[str, Any]:
    try:
        return row_of(line, table)
    except KeyError as error:
        raise DamagedBackupError(
            f"{table.name} has no column {error} in this version: restore with the version that "
            "took the backup, then upgrade"
        ) from error


def _forget_what_passed(database: Database) -> int:
    """End every session, for who has signed out since is not known; return how many.

    Which instances are far is found out anew: everything may have come back near.
    """
    with database.unit_of_work() as work:
        work.session.query(TierCopyRow).delete()
        return work.session.query(UserSessionRow).delete()
