"""At the start: compare bytes and rows, and make them agree without losing either.

A crash leaves unpublished files, or bytes without a row. The first are removed: nobody was told
they had arrived. The second are recorded as if they had just been received, with the receipt kept
in the file itself.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import chain, islice
from typing import BinaryIO

from sqlalchemy import insert, select, union_all

from hub_kernel.database import Database
from hub_kernel.errors import InvalidUidError, NotFoundError
from image_archive import keys
from image_archive.backend import ArchiveBackend, SpooledObject
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveUnavailableError,
    FarTierUnreachableError,
    UnreadableInstanceError,
)
from image_archive.file_meta import LARGEST_META_BYTES, FileMeta, read_file_meta, seal
from image_archive.header import InstanceHeader
from image_archive.index_writing import (
    Arrival,
    Finding,
    conflict_record,
)
from image_archive.masters import BackendWithMasters
from image_archive.model import (
    Condition,
    InstanceOrigin,
    QuarantineReason,
    QuarantineRecord,
    Receipt,
    ReconcileReport,
)
from image_archive.reading import DatasetSource, mapped, read_head, read_header
from image_archive.recording import ReceiptRecorder
from image_archive.tables import INSTANCE, QUARANTINE, RECONCILIATION, SERIES, STUDY
from image_archive.tables_deletion import DELETED_OBJECT
from image_archive.tiers import TieredBackend
from image_archive.verification import note_condition

log = logging.getLogger(__name__)

_KEYS_PER_QUERY = 500
_CHUNK_BYTES = 1_048_576
# Clocks are set back, and a receipt is dated before its row is written.
_OVERLAP = timedelta(days=1)


@dataclass
class Reconciliation:
    """One comparison. `full` looks at everything instead of what came since the last one."""

    database: Database
    backend: ArchiveBackend
    recorder: ReceiptRecorder
    full: bool = False
    rebuilt: int = 0
    superfluous: int = 0
    missing: list[str] = field(default_factory=list)
    unrecognised: list[str] = field(default_factory=list)

    def run(self) -> ReconcileReport:
        """Compare, mend, remember that it was done, and report.

        The archive may be receiving meanwhile: what living writers hold is spared, and recording an
        instance twice is recognised.
        """
        started_at = self.database.clock.now()
        since = None if self.full else self._last_run()
        abandoned = self._finish_spooled()
        for key in self._keys_without_rows(since):
            self._adopt(key)
        if self._compares:
            self._find_missing(since)
        report = ReconcileReport(
            abandoned=abandoned,
            rebuilt=self.rebuilt,
            superfluous=self.superfluous,
            missing=tuple(self.missing),
            unrecognised=tuple(self.unrecognised),
        )
        with self.database.unit_of_work() as work:
            work.session.execute(
                insert(RECONCILIATION).values(
                    started_at=started_at,
                    abandoned=abandoned,
                    rebuilt=self.rebuilt,
                    superfluous=self.superfluous,
                    missing=len(self.missing),
                    unrecognised=len(self.unrecognised),
                )
            )
        return report

    @property
    def _compares(self) -> bool:
        """Whether to compare: where it takes long only when asked to, for the spool is enough."""
        return self.full or self.backend.compares_quickly

    def _finish_spooled(self) -> int:
        """Publish what was secured and acknowledged, discard what is torn; return how many."""
        discarded = 0
        for left in self.backend.abandoned():
            arrival = _spooled_arrival(self.backend, left)
            if arrival is None:
                discarded += 1
            else:
                (error,) = self.backend.publish_together([(left, arrival.receipt.storage_key)])
                if error is not None:
                    raise error
                self._record(arrival)
            left.discard()
        return discarded

    def _last_run(self) -> date | None:
        """The day to begin with; None for everything, also when the clock has been set back."""
        newest = select(RECONCILIATION.c.started_at).order_by(RECONCILIATION.c.id.desc()).limit(1)
        with self.database.read() as session:
            last: datetime | None = session.execute(newest).scalar_one_or_none()
        if last is None or last > self.database.clock.now() + _OVERLAP:
            return None
        return (last - _OVERLAP).date()

    def _keys_without_rows(self, since: date | None) -> Iterator[str]:
        """Yield the keys of instances and quarantined bytes that no row names."""
        if not self._compares:
            prefixes: Iterable[str] = ()
        elif since is None:
            prefixes = (keys.INSTANCES,)
        else:
            last = (self.database.clock.now() + _OVERLAP).date()
            prefixes = keys.day_prefixes(since, last)
        near, far = _places(self.backend)
        everything = chain.from_iterable(map(near.keys, (*prefixes, keys.QUARANTINE)))
        if far is not None and since is None and self._compares:
            everything = chain(everything, _reachable(far.keys(keys.INSTANCES)))
        while some := list(islice(everything, _KEYS_PER_QUERY)):
            with self.database.read() as session:
                named = set(
                    session.scalars(
                        union_all(
                            select(INSTANCE.c.storage_key).where(INSTANCE.c.storage_key.in_(some)),
                            select(QUARANTINE.c.storage_key).where(
                                QUARANTINE.c.storage_key.in_(some)
                            ),
                            # Of a deleted study, about to go.
                            select(DELETED_OBJECT.c.storage_key).where(
                                DELETED_OBJECT.c.storage_key.in_(some)
                            ),
                        )
                    )
                )
            yield from (key for key in some if key not in named)

    def _adopt(self, key: str) -> None:
        """Record bytes that have no row, by the receipt in their file."""
        try:
            with self.backend.open(key) as stream:
                meta, head = read_head(stream)
                if meta.origin is None or meta.received_at is None:
                    self.unrecognised.append(key)
                    return
                receipt = _receipt(stream, meta, meta.origin, key)
                source = DatasetSource(
                    head, receipt.dataset_bytes, partial(mapped, stream, meta.dataset_offset)
                )
                self._adopt_dataset(source, receipt, meta)
        except NotFoundError:
            return  # published and removed again by a living writer
        except (UnreadableInstanceError, InvalidUidError):
            self.unrecognised.append(key)

    def _adopt_dataset(self, source: DatasetSource, receipt: Receipt, meta: FileMeta) -> None:
        quarantined = receipt.storage_key.startswith(f"{keys.QUARANTINE}/")
        try:
            header = read_header(source, receipt.transfer_syntax_uid, receipt.origin.charset_habit)
        except (UnreadableInstanceError, InvalidUidError) as error:
            if not quarantined:
                raise
            self.recorder.keep_apart(
                QuarantineRecord.of(
                    receipt, QuarantineReason.UNREADABLE, meta.sop_instance_uid, detail=str(error)
                )
            )
            self.rebuilt += 1
            return
        arrival = Arrival(header, receipt)
        if quarantined:
            self.recorder.keep_apart(conflict_record(arrival, self._why_apart(header)))
            self.rebuilt += 1
            return
        self._record(arrival)

    def _why_apart(self, header: InstanceHeader) -> QuarantineReason:
        if self.recorder.instance(header.sop_instance_uid):
            return QuarantineReason.CONFLICTING_INSTANCE
        if self.recorder.study(header.study.study_instance_uid):
            return QuarantineReason.CONFLICTING_STUDY
        return QuarantineReason.CONTRADICTING_PATIENT

    def _record(self, arrival: Arrival) -> None:
        if self.recorder.record(arrival) is not Finding.ALREADY_STORED:
            self.rebuilt += 1
            return
        live = self.recorder.instance(arrival.header.sop_instance_uid)
        key = arrival.receipt.storage_key
        if live and not self.backend.is_one_object(live.storage_key, key):
            self.backend.delete(key)
            self.superfluous += 1

    def _find_missing(self, since: date | None) -> None:
        """Note instances whose bytes are gone, so that sending them again brings them back."""
        rows = (
            select(INSTANCE.c.id, INSTANCE.c.sop_instance_uid, INSTANCE.c.storage_key)
            .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
            .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
            .where(INSTANCE.c.condition == Condition.INTACT.value)
            .order_by(INSTANCE.c.id)
            .limit(_KEYS_PER_QUERY)
        )
        if since is not None:
            day = _midnight(since)
            rows = rows.where(STUDY.c.last_received_at >= day, INSTANCE.c.received_at >= day)
        last = 0
        while True:
            with self.database.read() as session:
                some = session.execute(rows.where(INSTANCE.c.id > last)).all()
            if not some:
                return
            for row in some:
                if not self._exists(row.storage_key):
                    note_condition(self.database, row.id, Condition.MISSING)
                    self.missing.append(row.sop_instance_uid)
            last = some[-1].id

    def _exists(self, key: str) -> bool:
        try:
            self.backend.size(key)
        except NotFoundError:
            return False
        except FarTierUnreachableError:
            return True  # nothing says that it is gone
        return True


def _places(backend: ArchiveBackend) -> tuple[ArchiveBackend, ArchiveBackend | None]:
    """Return where bytes without a row can be.

    Only what has a row goes to a far tier; but after a restore its row may be gone, and after a
    restore the first start looks at everything.
    """
    if isinstance(backend, BackendWithMasters) and isinstance(backend.originals, TieredBackend):
        return backend.over(backend.originals.near), backend.over(backend.originals.far)
    return backend, None


def _reachable(far: Iterator[str]) -> Iterator[str]:
    """Yield keys for as long as the far tier answers: a hub starts without it too."""
    try:
        yield from far
    except (ArchiveBusyError, ArchiveUnavailableError) as error:
        log.warning("the far tier was not compared", extra={"error": str(error)})


def _spooled_arrival(backend: ArchiveBackend, left: SpooledObject) -> Arrival | None:
    """Return what was secured whole, having cut it to its length.

    The spool alone says who sent it: where a backend has the dataset already, its file may not.
    """
    try:
        with left.view() as view:
            meta = read_file_meta(bytes(view[:LARGEST_META_BYTES]))
            length = int(meta.seal[64:]) if meta.seal else 0
            end = meta.dataset_offset + length
            if not length or end > len(view) or meta.received_at is None or meta.origin is None:
                return None
            digest = hashlib.sha256(view[meta.dataset_offset : end]).hexdigest()
            if seal(digest, length) != meta.seal:
                return None
            with view[meta.dataset_offset : end] as dataset:
                source = DatasetSource(dataset, length, lambda: nullcontext(dataset))
                header = read_header(source, meta.transfer_syntax_uid, meta.origin.charset_habit)
    except (UnreadableInstanceError, InvalidUidError, ValueError):
        return None
    left.truncate(end)
    key = backend.instance_key(meta.received_at, header.names, digest)
    receipt = Receipt(meta.origin, meta.transfer_syntax_uid, meta.received_at, digest, length, key)
    return Arrival(header, receipt)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _receipt(stream: BinaryIO, meta: FileMeta, origin: InstanceOrigin, key: str) -> Receipt:
    """Return the receipt of a stored file, with the hash of the dataset as it is now."""
    digest = hashlib.sha256()
    size = 0
    stream.seek(meta.dataset_offset)
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    if meta.received_at is None or not key.endswith(digest.hexdigest()):
        raise UnreadableInstanceError("the stored bytes are not those the name was made from")
    return Receipt(
        origin=origin,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        received_at=meta.received_at,
        dataset_sha256=digest.hexdigest(),
        dataset_bytes=size,
        storage_key=key,
    )
