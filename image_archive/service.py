"""The archive as the other packages see it: receive, open, verify, reconcile, complete."""

import logging
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from sqlalchemy import select, update

from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.metrics import Metrics
from image_archive.backend import ArchiveBackend
from image_archive.claims import Claims, open_claims
from image_archive.completion import complete_quiet_studies
from image_archive.errors import ArchiveError, UnreadableInstanceError
from image_archive.file_meta import LARGEST_META_BYTES, FileMeta, read_file_meta
from image_archive.masters import master_key
from image_archive.model import (
    Condition,
    IncomingHeader,
    InstanceOrigin,
    ReconcileReport,
    StoreOutcome,
    VerifyReport,
)
from image_archive.reading import DatasetSource, read_dataset, read_header, skip_file_meta
from image_archive.receiving import Doubted, IncomingInstance, Reception
from image_archive.reconciliation import Reconciliation
from image_archive.recording import ReceiptRecorder
from image_archive.settling import Settler
from image_archive.tables import INSTANCE
from image_archive.verification import prove, verify

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1_048_576
_SETTLED_S = 10.0
_PREPARED, _PREPARED_BYTES = 32, 589_824  # a CT slice fits


class ArchiveService:
    """One archive: a database for the index, a backend for the bytes. Safe from many threads."""

    def __init__(
        self,
        database: Database,
        backend: ArchiveBackend,
        clock: Clock,
        metrics: Metrics | None = None,
        *,
        quiet_period_s: float = 60.0,
        doubted: Doubted | None = None,
    ) -> None:
        self._database = database
        self._backend = backend
        self._quiet_period_s = quiet_period_s
        self._recorder = ReceiptRecorder(database)
        self._claims = Claims(self.open_claims())
        self._settler = Settler(backend, self._recorder, self._claims, metrics)
        self._reception = Reception(
            backend, self._recorder, self._claims, self._settler, clock, metrics, doubted
        )

    @property
    def backend(self) -> ArchiveBackend:
        """Where the bytes are; other packages keep theirs there under prefixes of their own."""
        return self._backend

    def open_claims(self) -> int:
        """Return a descriptor for the claims of one process; claims last as long as it is open."""
        return open_claims(self._backend.shared_folder / "claims")

    def claim_through(self, descriptor: int) -> None:
        """Before anything is received: claim through a descriptor that outlives this process."""
        self._claims.go_through(descriptor)

    def incoming(self, header: IncomingHeader, *, undoubted: bool = False) -> IncomingInstance:
        """Start to receive one instance; see `IncomingInstance` for what may be raised.

        `undoubted` says that a person has looked at whose it is.
        """
        return IncomingInstance(self._reception, header, undoubted=undoubted)

    def store_file(self, source: Path | bytes, origin: InstanceOrigin) -> StoreOutcome:
        """Store one Part 10 file as if `origin` had sent its dataset by C-STORE.

        Raises:
            UnreadableInstanceError: it is no Part 10 file; nothing is kept of it.
            ArchiveError: as `IncomingInstance.commit`.
        """
        data = source if isinstance(source, bytes) else source.read_bytes()
        meta = read_file_meta(data)
        header = _announced(data, meta, origin)
        with self.incoming(header) as incoming, memoryview(data) as view:
            for start in range(meta.dataset_offset, len(data), _CHUNK_BYTES):
                incoming.write(view[start : start + _CHUNK_BYTES])
            return incoming.commit()

    def open_instance(self, sop_instance_uid: str) -> BinaryIO:
        """Return the Part 10 file of an instance as the archive keeps it.

        Raises:
            NotFoundError: there is no such instance, or its bytes are missing.
        """
        return self._backend.open(self._storage_key(sop_instance_uid))

    def open_pixels(self, sop_instance_uid: str, storage_key: str = "") -> BinaryIO:
        """Return a Part 10 file with the pixel values of an instance: its master where it has one.

        Good for decoding pictures, and only for that: transfer syntax and header may differ from
        what was received. `storage_key` is that of its row, to who has read it already.

        Raises:
            NotFoundError: there is no such instance, or its bytes are missing.
        """
        key = storage_key or self._storage_key(sop_instance_uid)
        master = master_key(key)
        if master is not None:
            with suppress(NotFoundError):
                return self._backend.open(master)
        return self._backend.open(key)

    def open_dataset(self, sop_instance_uid: str) -> BinaryIO:
        """Return the dataset of an instance, bit for bit as received; the stream begins with it.

        Raises:
            NotFoundError: there is no such instance, or its bytes are missing.
        """
        key = self._storage_key(sop_instance_uid)
        with self._backend.open(key, length=LARGEST_META_BYTES) as head:
            offset = skip_file_meta(head).dataset_offset
        return self._backend.open(key, start=offset)

    def read_dataset(self, sop_instance_uid: str, *, stop_before_pixels: bool = False) -> Dataset:
        """Return the dataset of an instance for pydicom, with its file meta information.

        Raises:
            NotFoundError: there is no such instance, or its bytes are missing.
            UnreadableInstanceError: its bytes are damaged.
        """
        with self.open_instance(sop_instance_uid) as stream:
            return read_dataset(stream, stop_before_pixels=stop_before_pixels)

    def release(self, sop_instance_uid: str) -> bool:
        """Let the bytes of an instance go; its row stays, and says so.

        Only for a spool, whose instances are safe elsewhere: the caller knows. Sending the same
        dataset again brings the bytes back. Returns whether there was something to let go.
        """
        with self._database.unit_of_work() as work:
            key = work.session.scalar(
                update(INSTANCE)
                .where(
                    INSTANCE.c.sop_instance_uid == sop_instance_uid,
                    INSTANCE.c.condition == Condition.INTACT.value,
                )
                .values(condition=Condition.RELEASED.value)
                .returning(INSTANCE.c.storage_key)
            )
        if key is None:
            return False
        # The row first: a crash in between leaves bytes that are not counted on, never the reverse.
        self._backend.delete(key)
        return True

    def finish_release(self, sop_instance_uid: str) -> None:
        """Remove the bytes of an instance whose `release` was cut short; others keep theirs."""
        with self._database.read() as session:
            key = session.scalar(
                select(INSTANCE.c.storage_key).where(
                    INSTANCE.c.sop_instance_uid == sop_instance_uid,
                    INSTANCE.c.condition == Condition.RELEASED.value,
                )
            )
        if key is not None:
            self._backend.delete(key)

    def verify(self, progress: Callable[[int, int], None]) -> VerifyReport:
        """Re-hash every instance; `progress` is called with (checked, in all)."""
        return verify(self._database, self._backend, progress)

    def prove(self, sop_instance_uid: str) -> bool:
        """Re-read an instance now; tell whether the archive holds the very bytes it received.

        What is found is noted, so that the same dataset sent again mends it.

        Raises:
            ArchiveError: the bytes cannot be read now, which says nothing about them.
        """
        self.settled()
        return prove(self._database, self._backend, sop_instance_uid) is Condition.INTACT

    def reconcile(self, *, full: bool = False) -> ReconcileReport:
        """Make bytes and rows agree; run at every start, before anything is received.

        Without `full` it looks at the days since the last run, which is where a crash can have left
        something; the first run is always full.
        """
        return Reconciliation(self._database, self._backend, self._recorder, full=full).run()

    def prepare(self) -> None:
        """Allocate room for what arrives first; without it the first instances are slower."""
        try:
            self._backend.prepare(_PREPARED, _PREPARED_BYTES)
        except ArchiveError as error:
            log.warning("no spool files were prepared", extra={"error": str(error)})

    def settled(self, patience_s: float = _SETTLED_S) -> bool:
        """Wait until all that was acknowledged before now can be found.

        False when that took longer than `patience_s`: the index is in trouble, and says so itself.
        """
        return self._settler.wait(patience_s)

    def close(self) -> None:
        """Settle what was acknowledged; what cannot be is left for the next start."""
        self._settler.close()
        self._backend.close()

    def complete_quiet_studies(self) -> int:
        """Complete studies without a new instance for the quiet period; return how many."""
        return complete_quiet_studies(self._database, self._quiet_period_s)

    def _storage_key(self, sop_instance_uid: str) -> str:
        self.settled()
        with self._database.read() as session:
            key: str | None = session.scalar(
                select(INSTANCE.c.storage_key).where(
                    INSTANCE.c.sop_instance_uid == sop_instance_uid
                )
            )
        if key is None:
            raise NotFoundError("archive: no such instance")
        return key


def _announced(data: bytes, meta: FileMeta, origin: InstanceOrigin) -> IncomingHeader:
    """Return what a C-STORE of the file would announce: the UIDs of its dataset.

    File meta information that says otherwise is no more than a label somebody forgot to change.
    """
    sop_class_uid, sop_instance_uid = meta.sop_class_uid, meta.sop_instance_uid
    with suppress(UnreadableInstanceError), memoryview(data)[meta.dataset_offset :] as dataset:
        source = DatasetSource(dataset, len(dataset), lambda: nullcontext(dataset))
        found = read_header(source, meta.transfer_syntax_uid, origin.charset_habit)
        sop_class_uid, sop_instance_uid = found.sop_class_uid, found.sop_instance_uid
    return IncomingHeader(sop_class_uid, sop_instance_uid, meta.transfer_syntax_uid, origin)
