"""Compaction: masters take the place of originals where the original is proved to come back.

The order decides that nothing is ever lost: the master is made aside, restored and compared byte by
byte and by the recorded hash, published durably, read again, and only then is the original removed.
Until that last step the original is what everybody reads; whatever dies on the way is begun anew.
"""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from sqlalchemy import Select, delete, insert, select

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.named_locks import held_alone
from image_archive.errors import (
    CompactionRunningError,
    NotCompactableError,
    UnreadableInstanceError,
)
from image_archive.masters import BackendWithMasters, MasterReader, master_key
from image_archive.paging import (
    ALL,
    Part,
    count_of,
    has_had_its_turn,
    instances_in_pages,
    of_age,
)
from image_archive.reading import skip_file_meta
from image_archive.tables import COMPACTION, INSTANCE, SERIES
from image_archive.tables_tiers import TIER_COPY

MASTER, KEPT = "master", "kept"
KEPT_APART = "kept_apart"
NOT_SMALLER = "not_smaller"
NOT_RESTORED = "not_restored"
DAMAGED = "damaged"

_CHUNK_BYTES = 1_048_576


class MasterMaker(Protocol):
    """Makes masters (`eir_versions.master_making`)."""

    def make(self, open_original: Callable[[], BinaryIO], out: BinaryIO) -> None:
        """Write the master of a Part 10 file to the empty file `out`.

        Raises:
            NotCompactableError: the original has to stay.
        """
        ...


@dataclass(frozen=True)
class CompactionParts:
    """What compaction works with."""

    database: Database
    backend: BackendWithMasters
    reader: MasterReader
    maker: MasterMaker


@dataclass(frozen=True)
class CompactionPolicy:
    """Which instances have their turn: of these modalities (none: all), received this long ago."""

    modalities: tuple[str, ...] = ()
    older_than_days: int = 0
    part: Part = ALL


@dataclass
class CompactionReport:
    """What one run did: bytes are those of files; `kept` counts originals that stay, by reason.

    `through` is the last row that had its turn.
    """

    examined: int = 0
    through: int = 0
    converted: int = 0
    original_bytes: int = 0
    master_bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def saved_bytes(self) -> int:
        """By how much the archive has become smaller."""
        return self.original_bytes - self.master_bytes


class Compaction:
    """Compacts one archive; one run at a time, in whichever process."""

    def __init__(self, parts: CompactionParts) -> None:
        self._parts = parts
        self._originals = parts.backend.originals

    def run(
        self,
        policy: CompactionPolicy,
        progress: Callable[[int, int], None],
        *,
        dry_run: bool = False,
    ) -> CompactionReport:
        """Give every instance of `policy` that had no turn yet its turn, and report.

        With `dry_run` each master is made and proved, and nothing is changed. `progress` is called
        with (instances looked at, instances in all).

        Raises:
            CompactionRunningError: another run is under way.
            ArchiveFullError: no room for a master; what is done is done.
        """
        report = CompactionReport()
        with self._alone():
            wanted = self._wanted(policy)
            total = count_of(self._parts.database, wanted, policy.part)
            for row in instances_in_pages(self._parts.database, wanted, policy.part):
                self._take(row, report, dry_run=dry_run)
                report.examined += 1
                report.through = row.id
                progress(report.examined, max(total, report.examined))
        return report

    def _take(self, row: Any, report: CompactionReport, *, dry_run: bool) -> None:
        try:
            sizes = self._compact(row, dry_run=dry_run)
        except NotFoundError:
            return  # removed meanwhile, or missing: for `verify` to say
        except NotCompactableError as error:
            report.kept[error.reason] += 1
            if not dry_run:
                self._record(row.id, KEPT, error.reason, (row.dataset_bytes, row.dataset_bytes))
            return
        if not dry_run and not self._record(row.id, MASTER, "", sizes):
            self._parts.backend.delete(row.storage_key)  # deleted meanwhile, for good
            return
        report.converted += 1
        report.original_bytes += sizes[0]
        report.master_bytes += sizes[1]

    def _compact(self, row: Any, *, dry_run: bool) -> tuple[int, int]:
        """Return the bytes of original and master; the former is gone unless `dry_run`."""
        key, master = row.storage_key, master_key(row.storage_key)
        if master is None:
            raise NotCompactableError(KEPT_APART)
        try:
            original_bytes = self._originals.size(key)
        except NotFoundError:  # a run died before it could say that it was done
            return self._parts.backend.size(key), self._originals.size(master)
        with tempfile.TemporaryFile(dir=self._originals.shared_folder) as spool:
            self._parts.maker.make(lambda: self._originals.open(key), spool)
            master_bytes = spool.tell()
            if master_bytes >= original_bytes:
                raise NotCompactableError(NOT_SMALLER)
            self._prove(row, spool)
            if not dry_run:
                self._publish(spool, master)
                self._originals.delete(key)
        return original_bytes, master_bytes

    def _prove(self, row: Any, spool: BinaryIO) -> None:
        """Restore from `spool`; every byte of the file, and the hash taken when it was received.

        Raises:
            NotCompactableError: not the same.
        """
        spool.flush()
        with self._originals.open(row.storage_key) as original:
            offset = skip_file_meta(original).dataset_offset
            if _sha256(original) != row.dataset_sha256:
                raise NotCompactableError(DAMAGED)
            original.seek(0)
            again = os.fdopen(os.dup(spool.fileno()), "rb")
            try:
                with again, self._parts.reader.restored(again) as restored:
                    same = _same(original, restored)
                    restored.seek(offset)
                    same = same and _sha256(restored) == row.dataset_sha256
            except UnreadableInstanceError as error:
                raise NotCompactableError(NOT_RESTORED) from error
        if not same:
            raise NotCompactableError(NOT_RESTORED)

    def _publish(self, spool: BinaryIO, master: str) -> None:
        """Publish the master and read it again.

        Raises:
            NotCompactableError: it is not what was written.
        """
        spool.seek(0)
        pending = self._originals.create()
        try:
            while chunk := spool.read(_CHUNK_BYTES):
                pending.write(chunk)
            pending.publish(master)
        finally:
            pending.discard()
        spool.seek(0)
        with self._originals.open(master) as published:
            if not _same(spool, published):
                raise NotCompactableError(NOT_RESTORED)

    def _record(self, row_id: int, outcome: str, reason: str, sizes: tuple[int, int]) -> bool:
        """Write down what was done; False where the instance is no longer in the index."""
        with self._parts.database.unit_of_work() as work:
            there = select(INSTANCE.c.id).where(INSTANCE.c.id == row_id)
            if work.session.scalar(there.with_for_update(key_share=True)) is None:
                return False
            # What is kept now is another object, which has no copy in the far tier yet.
            if outcome == MASTER:
                work.session.execute(delete(TIER_COPY).where(TIER_COPY.c.instance_row_id == row_id))
            work.session.execute(delete(COMPACTION).where(COMPACTION.c.instance_row_id == row_id))
            work.session.execute(
                insert(COMPACTION).values(
                    instance_row_id=row_id,
                    outcome=outcome,
                    reason=reason,
                    original_bytes=sizes[0],
                    kept_bytes=sizes[1],
                    done_at=work.clock.now(),
                )
            )
        return True

    def _wanted(self, policy: CompactionPolicy) -> Select[Any]:
        columns = (
            INSTANCE.c.id,
            INSTANCE.c.storage_key,
            INSTANCE.c.dataset_sha256,
            INSTANCE.c.dataset_bytes,
        )
        return (
            select(*columns)
            .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
            .outerjoin(COMPACTION, has_had_its_turn(COMPACTION.c.instance_row_id, policy.part))
            .where(
                COMPACTION.c.instance_row_id.is_(None),
                *of_age(self._parts.database, policy.modalities, policy.older_than_days),
            )
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with held_alone(self._parts.database, "compaction") as held:
            if not held:
                raise CompactionRunningError("this archive is being compacted already")
            yield


def _same(one: BinaryIO, other: BinaryIO) -> bool:
    """Whether two streams give the same bytes to their ends."""
    while chunk := one.read(_CHUNK_BYTES):
        if other.read(len(chunk)) != chunk:
            return False
    return not other.read(1)


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
