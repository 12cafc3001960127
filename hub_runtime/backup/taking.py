"""Take a backup of a hub that may be running and receiving.

The order makes it consistent: keys first, then every row in one snapshot, then the objects. What
the rows speak of was published before them, and what is published afterwards comes along without
its row, which the first start after a restore makes from the receipt in the file. The kept head of
the audit trail is older than the snapshot, never newer.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Connection, Table, select

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_runtime import schema
from hub_runtime.backup import protected
from hub_runtime.backup.folder import (
    PROTECTED,
    BackupFolder,
    ListWriter,
    compressed,
    held_file,
    left_behind,
    lines_of,
)
from hub_runtime.backup.model import BackupError, HeldObject, HeldTable, Manifest
from hub_runtime.hub import Hub
from hub_runtime.table_rows import begin_snapshot, canonical, count, rows_of
from image_archive import keys
from image_archive.backend import ArchiveBackend
from image_archive.errors import UnreadableInstanceError
from image_archive.masters import master_key
from image_archive.model import Condition
from image_archive.reading import skip_file_meta
from image_archive.tables import INSTANCE

# Made again from the instances whenever somebody asks for it.
DERIVED = ("metadata/", "thumbnails/")
_CHUNK_BYTES = 1_048_576
_FLUSH_EVERY = 100
_SNAPSHOTS = 3
_MOST_NAMED = 1_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Taken:
    """What one backup did: copied anew, and found from earlier ones."""

    generation: str
    manifest: Manifest
    copied: int
    copied_bytes: int


@dataclass
class _Copied:
    objects: int = 0
    size: int = 0
    new: int = 0
    new_bytes: int = 0
    damaged: list[str] = field(default_factory=list)


def take_backup(
    hub: Hub, target: Path, show: Callable[[str], Progress], passphrase: str = ""
) -> Taken:
    """Take one backup of `hub` into the folder `target` and return what it holds.

    Everything acknowledged before this was called is in it. `show` gives a progress bar for a
    label. Until it is whole there is no backup; what was copied is found again by the next one.

    Raises:
        BackupError: another one is under way, or the hub removes faster than can be copied.
        ArchiveError: `target` has no room.
    """
    folder = BackupFolder(target)
    with folder.alone():
        _refuse_own_data(hub, folder.root)
        hub.archive.settled()
        for _ in range(_SNAPSHOTS):
            taken = _take(hub, folder, show, passphrase)
            if taken is not None:
                return taken
    raise BackupError("objects are removed from the archive faster than they are copied")


def _take(
    hub: Hub, folder: BackupFolder, show: Callable[[str], Progress], passphrase: str
) -> Taken | None:
    """Take a backup; None when something its rows speak of was removed before it was copied."""
    now = hub.base.clock.now()
    making = folder.begin(f"{now:%Y%m%dT%H%M%S.%f}Z")
    (making / PROTECTED).write_bytes(protected.pack(hub.settings, passphrase))
    files = [held_file(making, PROTECTED)]
    tables = dump_tables(hub.database, making, show("rows"))
    files += [held_file(making, f"rows/{table.name}.ndjson.gz") for table in tables]
    source, listed, copied = hub.base.backend.originals, ListWriter(making), _Copied()
    copying = _Copying(source, folder, listed, copied)
    instances = next(table.rows for table in tables if table.name == INSTANCE.name)
    copying.run(_known(folder), instances, show("objects"))
    files.append(listed.finish())
    missing = _missing(hub, folder.objects(), making)
    if missing is None:
        return None
    manifest = Manifest(
        taken_at=now.isoformat(),
        version=version("eirhub"),
        revision=schema.head(),
        hub=hub.settings.hub.name,
        tables=tuple(tables),
        files=tuple(files),
        objects=copied.objects,
        object_bytes=copied.size,
        encrypted=bool(passphrase),
        damaged=tuple(copied.damaged[:_MOST_NAMED]),
        missing=tuple(missing[:_MOST_NAMED]),
    )
    done = folder.finish(making, manifest)
    return Taken(done.name, manifest, copied.new, copied.new_bytes)


def dump_tables(
    database: Database, making: Path, progress: Progress, *, packed: bool = True
) -> list[HeldTable]:
    """Write every row of every table below `making/rows`, all as of one moment."""
    tables = list(schema.METADATA.sorted_tables)
    with database.engine.connect() as reading:
        begin_snapshot(reading)
        total, done, held = sum(count(reading, table) for table in tables), 0, []
        for table in tables:
            held.append(_dump(reading, table, making, packed=packed))
            done += held[-1].rows
            progress(done, max(total, done))
    return held


def _dump(reading: Connection, table: Table, making: Path, *, packed: bool) -> HeldTable:
    digest, rows = hashlib.sha256(), 0
    plain = making / f"rows/{table.name}.ndjson"
    with compressed(plain.with_suffix(".ndjson.gz")) if packed else plain.open("wb") as file:
        for row in rows_of(reading, table):
            line = canonical(row)
            digest.update(line)
            file.write(line)
            rows += 1
    return HeldTable(table.name, tuple(table.columns.keys()), rows, digest.hexdigest())


def _refuse_own_data(hub: Hub, target: Path) -> None:
    data = hub.settings.hub.data_dir.absolute()
    if target == data or data in target.parents:
        raise BackupError("a backup inside the hub's own data folder goes when that goes")


def _known(folder: BackupFolder) -> Iterator[HeldObject]:
    """Yield what earlier backups have copied, unfinished ones too, in ascending order."""
    lists = [one.objects() for one in folder.generations()[-1:]]
    lists += [left_behind(path) for path in folder.cut_short()]
    return merge(*lists, key=lambda held: held.key)


@dataclass
class _Copying:
    source: ArchiveBackend
    folder: BackupFolder
    listed: ListWriter
    copied: _Copied

    def run(self, known: Iterator[HeldObject], expected: int, progress: Progress) -> None:
        """Copy what is not there yet; list everything, `expected` objects or more."""
        target = self.folder.objects()
        candidate = next(known, None)
        for number, key in enumerate(self.source.keys(), start=1):
            if key.startswith(DERIVED):
                continue
            found = None
            while candidate is not None and candidate.key <= key:
                found = candidate if candidate.key == key else found
                candidate = next(known, None)
            there = found is not None and _size(target, key) == found.size
            held = found if there else self._copy(target, key)
            if held is not None:
                self._list(held)
            progress(number, max(number, expected))
            if number % _FLUSH_EVERY == 0:
                self.listed.flush()
        target.close()

    def _list(self, held: HeldObject) -> None:
        self.listed.add(held)
        self.copied.objects += 1
        self.copied.size += held.size

    def _copy(self, target: ArchiveBackend, key: str) -> HeldObject | None:
        """Copy one object; None when it was removed meanwhile."""
        try:
            stream = self.source.open(key)
        except NotFoundError:
            return None
        digest, size = hashlib.sha256(), 0
        pending = target.create()
        try:
            with stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    pending.write(chunk)
            pending.publish(key)
        finally:
            pending.discard()
        self.copied.new += 1
        self.copied.new_bytes += size
        if key.startswith((f"{keys.INSTANCES}/", f"{keys.QUARANTINE}/")):
            self._judge(target, key)
        return HeldObject(key, size, digest.hexdigest())

    def _judge(self, target: ArchiveBackend, key: str) -> None:
        """Say which instances were damaged before: their names are the hashes of their datasets."""
        digest = hashlib.sha256()
        try:
            with target.open(key) as stream:
                skip_file_meta(stream)
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
            whole = key.endswith(digest.hexdigest())
        except UnreadableInstanceError:
            whole = False
        if not whole:
            self.copied.damaged.append(key)


def _missing(hub: Hub, target: ArchiveBackend, making: Path) -> list[str] | None:
    """Return the instances whose bytes were gone before; None if any went while this was copied."""
    gone: list[str] = []
    for line in lines_of(making / f"rows/{INSTANCE.name}.ndjson.gz"):
        row = json.loads(line)
        key = row["storage_key"]
        if row["condition"] != Condition.INTACT.value or _held(target, key):
            continue
        if _held(hub.base.backend.originals, key) or not _still_named(hub.database, key):
            return None
        gone.append(row["sop_instance_uid"])
    return gone


def _held(backend: ArchiveBackend, key: str) -> bool:
    return any(_size(backend, one) is not None for one in (key, master_key(key)) if one)


def _size(backend: ArchiveBackend, key: str) -> int | None:
    try:
        return backend.size(key)
    except NotFoundError:
        return None


def _still_named(database: Database, key: str) -> bool:
    wanted = select(INSTANCE.c.condition).where(INSTANCE.c.storage_key == key)
    with database.read() as session:
        return session.scalar(wanted) == Condition.INTACT.value
