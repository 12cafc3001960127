"""Put whole bytes in the place of damaged or missing ones, from wherever a whole copy is.

What is whole is decided by the hash taken when the instance was received, never by what a copy says
of itself. A copy that is not whole changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.errors import ArchiveError
from image_archive.masters import BackendWithMasters, master_key
from image_archive.model import Condition
from image_archive.paging import count_of, instances_in_pages
from image_archive.tables import COMPACTION, INSTANCE
from image_archive.tables_tiers import TIER_COPY
from image_archive.tiers import TieredBackend
from image_archive.verification import examine, note_condition

_BROKEN = select(
    INSTANCE.c.id,
    INSTANCE.c.sop_instance_uid,
    INSTANCE.c.storage_key,
    INSTANCE.c.dataset_sha256,
).where(INSTANCE.c.condition.in_([Condition.DAMAGED.value, Condition.MISSING.value]))
_CHUNK_BYTES = 1_048_576
_LAST = "last-repair"


@dataclass(frozen=True)
class RepairReport:
    """Which instances are whole again, and which are not: SOP Instance UIDs."""

    repaired: tuple[str, ...]
    left: tuple[str, ...]


def repair(
    database: Database,
    backend: BackendWithMasters,
    copies: Sequence[ArchiveBackend],
    progress: Callable[[int, int], None],
    *,
    dry_run: bool = False,
) -> RepairReport:
    """Repair every instance that `verify` found damaged or missing, and report.

    Looked at are `copies`, and both tiers where the archive has two. With `dry_run` nothing is
    changed. `progress` is called with (instances looked at, instances in all).
    """
    sources = [*map(backend.over, [*_tiers(backend), *copies])]
    total = count_of(database, _BROKEN)
    repaired, left = list[str](), list[str]()
    for number, row in enumerate(instances_in_pages(database, _BROKEN), start=1):
        good = next((one for one in sources if _is_whole(one, row)), None)
        mended = good is not None and (dry_run or _replace(database, backend, good, row))
        (repaired if mended else left).append(row.sop_instance_uid)
        progress(number, max(number, total))
    if repaired and not dry_run:
        (backend.shared_folder / _LAST).touch()
    return RepairReport(tuple(repaired), tuple(left))


def last_repair(shared_folder: Path) -> int:
    """Return another number after a repair by any process on this machine.

    `shared_folder` is the backend's. Who remembers what was made of stored bytes looks at it.
    """
    try:
        return (shared_folder / _LAST).stat().st_mtime_ns
    except OSError:
        return 0


def _tiers(backend: BackendWithMasters) -> list[ArchiveBackend]:
    tiered = backend.originals
    return [tiered.near, tiered.far] if isinstance(tiered, TieredBackend) else []


def _is_whole(source: ArchiveBackend, row: Any) -> bool:
    try:
        return examine(source, row.storage_key, row.dataset_sha256).condition is Condition.INTACT
    except ArchiveError:  # a tier that cannot be reached is no copy now
        return False


def _replace(
    database: Database, backend: BackendWithMasters, source: ArchiveBackend, row: Any
) -> bool:
    """Publish the original over what is broken; tell whether it reads back whole."""
    pending = backend.create()
    try:
        with source.open(row.storage_key) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                pending.write(chunk)
        pending.publish(row.storage_key)
    except NotFoundError:
        return False
    finally:
        pending.discard()
    if not _is_whole(backend, row):
        return False
    master = master_key(row.storage_key)
    if master is not None:
        # Pictures are read from the master first, and nobody knows which of the two was broken.
        backend.originals.delete(master)
    with database.unit_of_work() as work:
        there = select(INSTANCE.c.id).where(INSTANCE.c.id == row.id)
        deleted = work.session.scalar(there) is None
        for table in (COMPACTION, TIER_COPY):
            work.session.execute(delete(table).where(table.c.instance_row_id == row.id))
    if deleted:  # meanwhile, for good
        backend.delete(row.storage_key)
        return False
    note_condition(database, row.id, Condition.INTACT)
    return True
