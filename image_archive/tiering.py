"""Move what is old to the far tier and bring back what is read, losing nothing on the way.

Copy, read the copy back and compare, write the row, wait, look at the copy again, and only then
remove the near one: whatever dies in between leaves at least one whole copy that readers find.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, delete, insert, or_, select, update

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.named_locks import held_alone
from image_archive.backend import ArchiveBackend
from image_archive.errors import ArchiveBusyError, TieringRunningError
from image_archive.masters import master_key
from image_archive.model import Condition
from image_archive.paging import (
    ALL,
    Part,
    count_of,
    has_had_its_turn,
    instances_in_pages,
    of_age,
)
from image_archive.tables import INSTANCE, SERIES, STUDY
from image_archive.tables_tiers import TIER_COPY
from image_archive.tiers import TieredBackend
from image_archive.verification import examine, note_condition

COPIED, MOVED = "copied", "moved"

_CHUNK_BYTES = 1_048_576

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TierPolicy:
    """Which instances go far: of these modalities (none: all), received this long ago.

    The near copy stays `grace_days` beside the far one.
    """

    modalities: tuple[str, ...] = ()
    older_than_days: int = 0
    grace_days: float = 7.0
    part: Part = ALL


@dataclass
class TieringReport:
    """What one run did, in instances and bytes: copied far, and freed near.

    `damaged` are those whose bytes are damaged or gone; they stay, and say so in the index.
    `through` is the last row that had its turn to be copied.
    """

    examined: int = 0
    through: int = 0
    copied: int = 0
    copied_bytes: int = 0
    freed: int = 0
    freed_bytes: int = 0
    damaged: int = 0


class Tiering:
    """Moves the instances of one archive between its tiers; one run at a time."""

    def __init__(self, database: Database, backend: TieredBackend) -> None:
        self._database = database
        self._backend = backend

    def run(
        self, policy: TierPolicy, progress: Progress, *, dry_run: bool = False
    ) -> TieringReport:
        """Copy far what `policy` names, free near what has been far for the days of grace.

        With `dry_run` nothing is changed and the report says what would be. `progress` is called
        with (instances looked at, instances in all).

        Raises:
            TieringRunningError: another run is under way.
            ArchiveBusyError: the far tier cannot be reached; what is done is done.
        """
        report = TieringReport()
        with self._alone():
            # What is freed was copied days before, so it is not among what comes after `part`.
            steps = (
                (self._old, self._copy, policy.part),
                (self._free, self._let_go, replace(policy.part, after=0)),
            )
            database = self._database
            total = sum(count_of(database, wanted(policy), part) for wanted, _, part in steps)
            for wanted, take, part in steps:
                for row in instances_in_pages(database, wanted(policy), part):
                    with suppress(NotFoundError):  # removed or compacted meanwhile: its turn comes
                        take(row, report, dry_run=dry_run)
                    report.examined += 1
                    if take == self._copy:
                        report.through = row.id
                    progress(report.examined, max(total, report.examined))
        return report

    def recall(self, study: str) -> int:
        """Bring the instances of a study back near; return how many came.

        `study` is a Study Instance UID, or the beginning of storage keys. They stay for the days
        of grace.

        Raises:
            ArchiveBusyError: the far tier cannot be reached.
        """
        wanted = (
            self._instances()
            .join(TIER_COPY, TIER_COPY.c.instance_row_id == INSTANCE.c.id)
            .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
            .where(
                TIER_COPY.c.state == MOVED,
                or_(
                    STUDY.c.study_instance_uid == study,
                    INSTANCE.c.storage_key.between(f"{study}/", f"{study}/~"),
                ),
            )
        )
        return sum(map(self._bring_back, instances_in_pages(self._database, wanted)))

    def _copy(self, row: Any, report: TieringReport, *, dry_run: bool) -> None:
        near = [key for key in _keys(row) if _size(self._backend.near, key) is not None]
        if not near:
            self._find_far(row, report, dry_run=dry_run)
            return
        size = sum(_size(self._backend.near, key) or 0 for key in near)
        if not dry_run:
            found = examine(self._backend.near, near[0], row.dataset_sha256).condition
            if found not in _SOUND[near[0] == row.storage_key]:
                self._note_broken(row.id, found, report)
                return
            for key in near:
                _carry(self._backend.near, self._backend.far, key)
            if not self._note(row.id, size):  # deleted meanwhile, for good: so is the copy
                for key in near:
                    self._backend.far.delete(key)
                return
        report.copied += 1
        report.copied_bytes += size

    def _find_far(self, row: Any, report: TieringReport, *, dry_run: bool) -> None:
        """Note what is far without a row, as after a restore."""
        sizes = [_size(self._backend.far, key) for key in _keys(row)]
        if dry_run:
            return
        if any(sizes):
            self._note(row.id, sum(size or 0 for size in sizes), MOVED)
        else:
            self._note_broken(row.id, Condition.MISSING, report)

    def _note_broken(self, row_id: int, found: Condition, report: TieringReport) -> None:
        """Say it as `verify` does: what stays for a person must not stand before all others."""
        note_condition(self._database, row_id, found)
        report.damaged += 1

    def _let_go(self, row: Any, report: TieringReport, *, dry_run: bool) -> None:
        """Free the near copy, if the far one is still what was copied."""
        far = self._backend.far
        near = {key: _size(self._backend.near, key) for key in _keys(row)}
        there = {key: size for key, size in near.items() if size is not None}
        if any(_digest(far, key) != _digest(self._backend.near, key) for key in there):
            if not dry_run:
                self._forget(row.id)  # it is copied once more
            return
        report.freed += 1
        report.freed_bytes += sum(there.values())
        if dry_run:
            return
        for key in there:
            self._backend.near.delete(key)
        self._set_state(row.id, MOVED)

    def _bring_back(self, row: Any) -> bool:
        came = False
        for key in _keys(row):
            if _size(self._backend.near, key) is None:
                with suppress(NotFoundError):
                    _carry(self._backend.far, self._backend.near, key)
                    came = True
        if not self._set_state(row.id, COPIED):  # deleted meanwhile, for good
            for key in _keys(row):
                self._backend.near.delete(key)
            return False
        return came

    def _old(self, policy: TierPolicy) -> Select[Any]:
        return (
            self._instances()
            .outerjoin(TIER_COPY, has_had_its_turn(TIER_COPY.c.instance_row_id, policy.part))
            .where(
                TIER_COPY.c.instance_row_id.is_(None),
                *of_age(self._database, policy.modalities, policy.older_than_days),
            )
        )

    def _free(self, policy: TierPolicy) -> Select[Any]:
        before = self._database.clock.now() - timedelta(days=policy.grace_days)
        return (
            self._instances()
            .join(TIER_COPY, TIER_COPY.c.instance_row_id == INSTANCE.c.id)
            .where(TIER_COPY.c.state == COPIED, TIER_COPY.c.changed_at <= before)
        )

    @staticmethod
    def _instances() -> Select[Any]:
        columns = (INSTANCE.c.id, INSTANCE.c.storage_key, INSTANCE.c.dataset_sha256)
        return select(*columns).join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)

    def _note(self, row_id: int, size: int, state: str = COPIED) -> bool:
        """Note a far copy; False where the instance is no longer in the index."""
        with self._database.unit_of_work() as work:
            there = select(INSTANCE.c.id).where(INSTANCE.c.id == row_id)
            if work.session.scalar(there.with_for_update(key_share=True)) is None:
                return False
            values = {"state": state, "far_bytes": size, "changed_at": work.clock.now()}
            work.session.execute(insert(TIER_COPY).values(instance_row_id=row_id, **values))
        return True

    def _set_state(self, row_id: int, state: str) -> bool:
        """Change what is noted; False where nothing is."""
        with self._database.unit_of_work() as work:
            changed = work.session.execute(
                update(TIER_COPY)
                .where(TIER_COPY.c.instance_row_id == row_id)
                .values(state=state, changed_at=work.clock.now())
                .returning(TIER_COPY.c.instance_row_id)
            ).first()
        return changed is not None

    def _forget(self, row_id: int) -> None:
        with self._database.unit_of_work() as work:
            work.session.execute(delete(TIER_COPY).where(TIER_COPY.c.instance_row_id == row_id))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with held_alone(self._database, "tiering") as held:
            if not held:
                raise TieringRunningError("instances are being moved already")
            yield


# An original must be what was received; a master is judged by reading it back whole.
_SOUND = {True: (Condition.INTACT,), False: (Condition.INTACT, Condition.DAMAGED)}


def _keys(row: Any) -> list[str]:
    master = master_key(row.storage_key)
    return [row.storage_key] if master is None else [row.storage_key, master]


def _size(backend: ArchiveBackend, key: str) -> int | None:
    try:
        return backend.size(key)
    except NotFoundError:
        return None


def _digest(backend: ArchiveBackend, key: str) -> bytes | None:
    """Return the SHA-256 of an object; None where there is none."""
    digest = hashlib.sha256()
    try:
        with backend.open(key) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except NotFoundError:
        return None
    return digest.digest()


def _carry(source: ArchiveBackend, target: ArchiveBackend, key: str) -> None:
    """Copy one object and read the copy back.

    Raises:
        ArchiveBusyError: the copy is not what was written.
    """
    sent, pending = hashlib.sha256(), target.create()
    try:
        with source.open(key) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                sent.update(chunk)
                pending.write(chunk)
        pending.publish(key)
    finally:
        pending.discard()
    if _digest(target, key) != sent.digest():
        target.delete(key)
        raise ArchiveBusyError("archive: a copy between tiers reads back differently")
