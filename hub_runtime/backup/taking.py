"""Take a backup of a hub that may be running and receiving.

The order makes it consistent: keys first, then every row in one snapshot, then the objects. What
the rows speak of was published before them, and what is published afterwards comes along without
its row, which the first start after a restore makes from the receipt in the file. The kept head of
the audit trail is older than the snapshot, never newer.

What cannot be read is named and holds nothing else up; where an earlier backup has it whole, that
copy is this backup's too. A copy that was damaged is made again each time, until it is whole.
"""

import hashlib
import json
from collections.abc import Callable, Container, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import merge
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from sqlalchemy import Connection, Table, select

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_runtime import schema
from hub_runtime.backup import protected
from hub_runtime.backup.checking import NAMED_BY_DATASET, digest_of, is_as_received
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
from image_archive.tables import INSTANCE

# Made again from the instances whenever somebody asks for it.
DERIVED = ("metadata/", "thumbnails/")
_CHUNK_BYTES = 1_048_576
_FLUSH_EVERY = 100
_SNAPSHOTS = 3
MOST_NAMED = 1_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Taken:
    """What one backup did: copied anew, and found from earlier ones.

    Not `settled`, what was acknowledged last waited for the archive and is not in it.
    """

    generation: str
    manifest: Manifest
    copied: int
    copied_bytes: int
    settled: bool = True


@dataclass
class _Copied:
    objects: int = 0
    size: int = 0
    new: int = 0
    new_bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)


def take_backup(
    hub: Hub, target: Path, show: Callable[[str], Progress], passphrase: str = ""
) -> Taken:
    """Take one backup of `hub` into the folder `target` and return what it holds.

    Everything acknowledged on this machine before this was called is in it, or the answer says that
    it waited; of other machines, what they had published. `show` gives a progress bar for a label.
    Until it is whole there is no backup; what was copied is found again by the next one.

    Raises:
        BackupError: another one is under way, or the hub removes faster than can be copied.
        ArchiveError: `target` has no room.
    """
    folder = BackupFolder(target)
    with folder.alone():
        _refuse_own_data(hub, folder.root)
        settled = hub.archive.settled()
        for _ in range(_SNAPSHOTS):
            taken = _take(hub, folder, show, passphrase)
            if taken is not None:
                return replace(taken, settled=settled)
    raise BackupError("objects are removed from the archive faster than they are copied")


def _take(
    hub: Hub, folder: BackupFolder, show: Callable[[str], Progress], passphrase: str
) -> Taken | None:
    """Take a backup; None when something its rows speak of was removed before it was copied."""
    begun = begin_manifest(hub, encrypted=bool(passphrase))
    making = folder.begin(f"{datetime.fromisoformat(begun.taken_at):%Y%m%dT%H%M%S.%f}Z")
    (making / PROTECTED).write_bytes(protected.pack(hub.settings, passphrase))
    files = [held_file(making, PROTECTED)]
    tables = dump_tables(hub.database, making, show("rows"))
    files += [held_file(making, f"rows/{table.name}.ndjson.gz") for table in tables]
    source, listed, copied = hub.base.backend.originals, ListWriter(making), _Copied()
    instances = next(table.rows for table in tables if table.name == INSTANCE.name)
    with closing(folder.objects()) as target:
        copying = _Copying(hub.database, source, target, listed, copied)
        copying.run(_known(folder), instances, show("objects"))
        missing = _missing(hub, target, making, copied.unread)
    files.append(listed.finish())
    if missing is None:
        return None
    manifest = replace(
        begun,
        tables=tuple(tables),
        files=tuple(files),
        objects=copied.objects,
        object_bytes=copied.size,
        damaged=tuple(copied.damaged[:MOST_NAMED]),
        missing=tuple(missing[:MOST_NAMED]),
    )
    done = folder.finish(making, manifest)
    return Taken(done.name, manifest, copied.new, copied.new_bytes)


def begin_manifest(hub: Hub, *, encrypted: bool) -> Manifest:
    """Return the manifest of what is taken of `hub` from now on; nothing is in it yet."""
    return Manifest(
        taken_at=hub.base.clock.now().isoformat(),
        version=version("eirhub"),
        revision=schema.head(),
        hub=hub.settings.hub.name,
        tables=(),
        files=(),
        objects=0,
        object_bytes=0,
        encrypted=encrypted,
    )


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
    by_key = groupby(merge(*lists, key=lambda held: held.key), lambda held: held.key)
    for _, (*_, newest) in by_key:
        yield newest


@dataclass
class _Copying:
    database: Database
    source: ArchiveBackend
    target: ArchiveBackend
    listed: ListWriter
    copied: _Copied

    def run(self, known: Iterator[HeldObject], expected: int, progress: Progress) -> None:
        """Copy what is not there yet; list everything, `expected` objects or more."""
        candidate = next(known, None)
        for number, key in enumerate(self.source.keys(), start=1):
            if key.startswith(DERIVED):
                continue
            while candidate is not None and candidate.key < key:
                self._list(self._outlived(candidate))
                candidate = next(known, None)
            found = candidate if candidate is not None and candidate.key == key else None
            self._list(self._kept(key, found) or self._copy(key))
            progress(number, max(number, expected))
            if number % _FLUSH_EVERY == 0:
                self.listed.flush()
            candidate = next(known, None) if found is not None else candidate
        for left in (candidate, *known) if candidate is not None else ():
            self._list(self._outlived(left))

    def _list(self, held: HeldObject | None) -> None:
        if held is not None:
            self.listed.add(held)
            self.copied.objects += 1
            self.copied.size += held.size

    def _outlived(self, held: HeldObject) -> HeldObject | None:
        """Return the copy of an instance that the archive has lost; None if it was removed."""
        of_instances = held.key.startswith(f"{keys.INSTANCES}/")
        if not of_instances or _held(self.source, held.key):
            return None
        if _condition(self.database, held.key) in {None, Condition.RELEASED.value}:
            return None
        self.copied.damaged.append(held.key)
        return self._kept(held.key, held)

    def _kept(self, key: str, found: HeldObject | None) -> HeldObject | None:
        """Return what an earlier backup has of an object; None when it is to be copied."""
        size = _size(self.target, key)
        if size is None:
            return None
        if found is not None and found.size == size and not found.damaged:
            return found
        # An older one than the last may have it, and must not lose what it names.
        if key.startswith(NAMED_BY_DATASET) and is_as_received(self.target.open(key), key):
            return HeldObject(key, *digest_of(self.target.open(key)))
        return None

    def _copy(self, key: str) -> HeldObject | None:
        """Copy one object; None when it was removed meanwhile, or cannot be read."""
        digest, size = hashlib.sha256(), 0
        pending = self.target.create()
        try:
            with self.source.open(key) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    pending.write(chunk)
            pending.publish(key)
        except NotFoundError:
            return None
        except (OSError, UnreadableInstanceError):  # of the source: the target's are the archive's
            self.copied.damaged.append(key)
            self.copied.unread.add(key)
            return None
        finally:
            pending.discard()
        self.copied.new += 1
        self.copied.new_bytes += size
        damaged = not is_as_received(self.target.open(key), key)
        if damaged:
            self.copied.damaged.append(key)
        return HeldObject(key, size, digest.hexdigest(), damaged=damaged)


def _missing(
    hub: Hub, target: ArchiveBackend, making: Path, unread: Container[str]
) -> list[str] | None:
    """Return the instances whose bytes were gone before; None if any went while this was copied."""
    gone: list[str] = []
    for line in lines_of(making / f"rows/{INSTANCE.name}.ndjson.gz"):
        row = json.loads(line)
        key = row["storage_key"]
        if row["condition"] == Condition.RELEASED.value or _held(target, key):
            continue
        known = row["condition"] != Condition.INTACT.value
        if not (known or key in unread or master_key(key) in unread) and (
            _held(hub.base.backend.originals, key)
            or _condition(hub.database, key) != Condition.INTACT.value
        ):
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


def _condition(database: Database, key: str) -> str | None:
    """Return the condition of the instance kept under `key`; None where no row names it."""
    wanted = select(INSTANCE.c.condition).where(INSTANCE.c.storage_key == key)
    with database.read() as session:
        return session.scalar(wanted)
