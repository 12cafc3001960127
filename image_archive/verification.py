"""Re-read every archived instance and compare it with the hash taken when it was received."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, update

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.errors import UnreadableInstanceError
from image_archive.model import BrokenInstance, Condition, VerifyReport
from image_archive.paging import count_of, instances_in_pages
from image_archive.reading import skip_file_meta
from image_archive.tables import INSTANCE

_CHUNK_BYTES = 1_048_576
_KEPT = select(
    INSTANCE.c.id,
    INSTANCE.c.sop_instance_uid,
    INSTANCE.c.storage_key,
    INSTANCE.c.dataset_sha256,
    INSTANCE.c.condition,
).where(INSTANCE.c.condition != Condition.RELEASED.value)


@dataclass(frozen=True)
class _Found:
    condition: Condition
    size: int


def verify(
    database: Database, backend: ArchiveBackend, progress: Callable[[int, int], None]
) -> VerifyReport:
    """Re-hash every instance, note its condition in the index and report what is broken.

    `progress` is called with (instances checked, instances in all) after each one. Instances that
    arrive meanwhile may or may not be included.
    """
    total = count_of(database, _KEPT)
    checked = checked_bytes = 0
    broken: list[BrokenInstance] = []
    for row in instances_in_pages(database, _KEPT):
        found = examine(backend, row.storage_key, row.dataset_sha256)
        if found.condition != row.condition:
            note_condition(database, row.id, found.condition)
        if found.condition is not Condition.INTACT:
            broken.append(BrokenInstance(row.sop_instance_uid, row.storage_key, found.condition))
        checked += 1
        checked_bytes += found.size
        progress(checked, max(total, checked))
    return VerifyReport(checked, checked_bytes, tuple(broken))


def prove(database: Database, backend: ArchiveBackend, sop_instance_uid: str) -> Condition | None:
    """Re-read one instance, note its condition and return it; None where none is kept here.

    Raises:
        ArchiveError: the backend cannot say now.
    """
    with database.read() as session:
        row = session.execute(_KEPT.where(INSTANCE.c.sop_instance_uid == sop_instance_uid)).first()
    if row is None:
        return None
    found = examine(backend, row.storage_key, row.dataset_sha256).condition
    if found.value != row.condition:
        note_condition(database, row.id, found)
    return found


def examine(backend: ArchiveBackend, storage_key: str, dataset_sha256: str) -> _Found:
    """Return the condition of stored bytes and how many of them were read."""
    digest = hashlib.sha256()
    size = 0
    try:
        with backend.open(storage_key) as stream:
            skip_file_meta(stream)
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except NotFoundError:
        return _Found(Condition.MISSING, 0)
    except (OSError, UnreadableInstanceError):
        return _Found(Condition.DAMAGED, size)
    same = digest.hexdigest() == dataset_sha256
    return _Found(Condition.INTACT if same else Condition.DAMAGED, size)


def note_condition(database: Database, instance_row_id: int, condition: Condition) -> None:
    """Record what was found of an instance's bytes."""
    with database.unit_of_work() as work:
        work.session.execute(
            update(INSTANCE)
            .where(INSTANCE.c.id == instance_row_id)
            .values(condition=condition.value)
        )
