"""Bring a backup back on an empty host: everything is checked first, then restored and read back.

Objects come first, then all rows in one transaction, then keys and settings. A file in the data
folder says that a restore is under way, of what and to where: no hub starts on half of one, and the
same command goes on where it was cut short.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

from sqlalchemy import Connection, Table, delete, insert
from sqlalchemy.exc import DBAPIError

from access_control.tables import UserSessionRow
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.settings import Settings
from hub_runtime import schema
from hub_runtime.backup import protected
from hub_runtime.backup.checking import check_backup, digest_of
from hub_runtime.backup.folder import PROTECTED
from hub_runtime.backup.marker import Mark, alone, mark_in, place_of, remove_mark, write_mark
from hub_runtime.backup.model import (
    BackupError,
    HeldTable,
    Manifest,
    Source,
)
from hub_runtime.foundation import ARCHIVE_BACKENDS
from hub_runtime.table_rows import ROWS, canonical, count, row_of, rows_of, set_sequences
from image_archive.backend import ArchiveBackend
from image_archive.compaction import MASTER
from image_archive.tables import COMPACTION, RECONCILIATION
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
    data, manifest = settings.hub.data_dir, source.manifest()
    _require_known(manifest)
    begun = Mark(source.name, manifest.taken_at)
    mark_in(data, begun)  # before the long look at the backup
    check_backup(source, show("checking"), passphrase)
    with alone(data):
        marked = mark_in(data, begun)
        if marked is None:
            write_mark(data, begun)
        seen_empty = marked is not None and marked.place == place_of(settings)
        files = protected.unpack((source.folder / PROTECTED).read_bytes(), passphrase)
        sessions = _bring_back(source, settings, show, files, seen_empty=seen_empty)
        remove_mark(data)
    return Restored(source.name, manifest, sessions)


def _bring_back(
    source: Source,
    settings: Settings,
    show: Callable[[str], Progress],
    files: dict[PurePosixPath, bytes],
    *,
    seen_empty: bool,
) -> int:
    """Restore what a marked folder lacks; return how many sessions have ended."""
    data, manifest = settings.hub.data_dir, source.manifest()
    database = Database(settings.database_url)
    backend = ARCHIVE_BACKENDS[settings.archive.backend](settings)
    try:
        if not seen_empty:
            _require_empty(database, backend)
            write_mark(data, Mark(source.name, manifest.taken_at, place_of(settings)))
        _restore_objects(source, manifest, backend, show("objects"))
        _restore_rows(database, source, manifest, show("rows"))
        schema.upgrade(database)
        protected.write(files, data)
        tiered = isinstance(backend, TieredBackend)
        return _forget_what_passed(database, source, tiered=tiered)
    finally:
        backend.close()
        database.dispose()


def _require_known(manifest: Manifest) -> None:
    """Refuse what this version has no place for, before anything is written.

    Raises:
        BackupError: a later version wrote it, or an earlier one whose columns are gone by now.
    """
    if not schema.is_known(manifest.revision):
        raise BackupError(
            f"this backup is of version {manifest.version} (revision {manifest.revision}), which "
            "is newer: restore it with that version or a newer one"
        )
    for held in manifest.tables:
        table = schema.METADATA.tables.get(held.name)
        gone = set(held.columns) - set(table.columns.keys() if table is not None else ())
        if gone:
            raise BackupError(
                f"{held.name} has no column {min(gone)} in this version: restore with version "
                f"{manifest.version}, which took the backup, then upgrade"
            )


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
        wanted = (held.size, held.sha256)
        if held.damaged:  # a later backup may have put whole bytes in its place
            wanted = digest_of(source.open_object(held))
        if not _is_there(backend, held.key, wanted):
            _copy(source.open_object(held), backend, held.key)
            if not _is_there(backend, held.key, wanted):
                raise BackupError(f"{held.key}: what was restored reads back differently")
        progress(number, manifest.objects)


def _is_there(backend: ArchiveBackend, key: str, wanted: tuple[int, str]) -> bool:
    try:
        return digest_of(backend.open(key)) == wanted
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
    if schema.is_past(database, manifest.revision):
        return  # they were loaded, and the schema brought up to date, before the interruption
    # Where that was interrupted, a database may be at any revision on the way.
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
            writing.execute(insert(table), [row_of(line, table) for line in some])
        except DBAPIError as error:
            raise BackupError(f"{table.name}: {type(error.orig).__name__}") from None
    digest = hashlib.sha256()
    for row in rows_of(writing, table, held.columns):
        digest.update(canonical(row))
    if digest.hexdigest() != held.sha256:
        raise BackupError(f"{table.name}: what was restored reads back differently")


def _forget_what_passed(database: Database, source: Source, *, tiered: bool) -> int:
    """End every session, for who has signed out since is not known; return how many.

    Which instances are far or are held as masters is found out anew: everything may have come back
    near, and as what it once was. What went far after the backup is in no row: where there are two
    tiers the first start looks at all of both.
    """
    with database.unit_of_work() as work:
        work.session.query(TierCopyRow).delete()
        if not source.has_masters:
            work.session.execute(delete(COMPACTION).where(COMPACTION.c.outcome == MASTER))
        if tiered:
            work.session.execute(delete(RECONCILIATION))
        return work.session.query(UserSessionRow).delete()
