"""Receive one instance: stream it, judge it, make it durable, only then say so.

The order is the promise (DICOM PS3.4 B.2.3): judged against all that is stored or on its way,
durable in the spool together with its receipt, then success. Its key, its row and its event follow
(`settling.py`); whatever breaks in between, start-up finds the receipt and finishes the work.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from hub_kernel.clock import Clock
from hub_kernel.errors import HubError, InvalidUidError, NotFoundError
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import require_uid
from hub_kernel.metrics import Metrics
from image_archive.backend import ArchiveBackend, SpooledObject
from image_archive.claims import Claims
from image_archive.errors import (
    ArchiveFullError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    IdentityMismatchError,
    UnreadableInstanceError,
)
from image_archive.file_meta import seal, seal_offset, write_file_meta
from image_archive.header import InstanceHeader
from image_archive.index_writing import Arrival, Finding, conflict_record
from image_archive.keys import quarantine_key
from image_archive.model import (
    Condition,
    IncomingHeader,
    QuarantineReason,
    QuarantineRecord,
    Receipt,
    StoreOutcome,
)
from image_archive.reading import HEAD_BYTES, DatasetSource, read_header
from image_archive.recording import ReceiptRecorder
from image_archive.rows import observed_patient
from image_archive.settling import Secured, Settler
from image_archive.verification import examine

Doubted = Callable[[ObservedPatient], bool]
"""Tells whether what is said of a patient contradicts all that is known under that identifier."""


@dataclass(frozen=True)
class Reception:
    """What receiving needs, shared by all instances."""

    backend: ArchiveBackend
    recorder: ReceiptRecorder
    claims: Claims
    settler: Settler
    clock: Clock
    metrics: Metrics | None = None
    doubted: Doubted | None = None


class IncomingInstance:
    """One dataset on its way in; leaving a `with` block aborts it.

    `secure`, `commit` or `abort` ends it.

    Raises:
        InvalidUidError: a UID of the command breaks PS3.5 9.1.
        ArchiveFullError: there is no room.
        ArchiveUnavailableError: the archive no longer acknowledges.
    """

    def __init__(
        self, reception: Reception, header: IncomingHeader, *, undoubted: bool = False
    ) -> None:
        require_uid(header.sop_instance_uid, "Affected SOP Instance UID")
        require_uid(header.sop_class_uid, "Affected SOP Class UID")
        require_uid(header.transfer_syntax_uid, "Transfer Syntax UID")
        self._reception = reception
        self._header = header
        self._undoubted = undoubted
        self._received_at = reception.clock.now()
        self._hash = hashlib.sha256()
        self._head = bytearray()
        self._bytes = 0
        meta = write_file_meta(header, self._received_at)
        self._meta_bytes = len(meta)
        self._seal_offset = seal_offset(meta)
        self._spooled: SpooledObject | None = reception.backend.spool()
        self._spooled.write(meta)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    @property
    def dataset_bytes(self) -> int:
        """Bytes of the dataset written so far."""
        return self._bytes

    @property
    def dataset_sha256(self) -> str:
        """SHA-256 of the dataset written so far, as 64 hex digits."""
        return self._hash.hexdigest()

    def is_emergency(self) -> bool:
        """Tell whether the order behind the dataset, all of it written, was urgent.

        False for one that cannot be read.
        """
        try:
            return self._bytes > 0 and self._read_header().emergency
        except (UnreadableInstanceError, InvalidUidError):
            return False

    def write(self, chunk: bytes | memoryview) -> None:
        """Append a part of the dataset as received; `chunk` may be reused by the caller at once.

        Raises:
            ArchiveFullError: no room; nothing is left behind.
            ArchiveUnavailableError: the archive no longer acknowledges.
        """
        self._pending.write(chunk)
        self._hash.update(chunk)
        missing = HEAD_BYTES - len(self._head)
        if missing > 0:
            self._head += chunk[:missing]
        self._bytes += len(chunk)

    def abort(self) -> None:
        """Forget the instance; does nothing once it is secured or committed."""
        spooled, self._spooled = self._spooled, None
        if spooled is not None:
            spooled.discard()

    def secure(self) -> StoreOutcome:
        """Judge the dataset, make it durable with its receipt, and return; it is found soon after.

        Returning is the promise: the sender may delete its own copy. Raises as `commit`.
        """
        return self._counted(self._secured)

    def commit(self) -> StoreOutcome:
        """Judge the dataset, make it durable and findable, and return.

        Raises:
            ArchiveFullError: no room; nothing is left behind.
            ArchiveUnavailableError: the archive no longer acknowledges.
            ArchiveBusyError: the index could not take the receipt; the sender may try again.
            UnreadableInstanceError: the dataset breaks PS3.5; what there is of it is in quarantine.
            InvalidUidError: a UID inside the dataset breaks PS3.5 9.1; nothing is kept.
            IdentityMismatchError: the dataset is not what the command announced; nothing is kept.
            ConflictingInstanceError: its UID is taken by other bytes; both are kept.
            ConflictingStudyError: its study is another patient's; its bytes are kept apart.
            ContradictingPatientError: its patient ID is known as somebody else's; kept apart.
        """
        return self._counted(self._committed)

    def park(self, reason: QuarantineReason, detail: str) -> None:
        """Keep the dataset apart for a person to decide about, durable and in no study.

        Raises:
            ArchiveError: as `commit`, of an instance that cannot be read or kept.
        """
        try:
            header = self._read_header()
        except UnreadableInstanceError as error:
            self._keep_unreadable(str(error))
            raise
        kept = Arrival(header, self._receipt(quarantine_key(self._hash.hexdigest())))
        self._keep(replace(conflict_record(kept, reason), detail=detail))
        self.abort()

    @property
    def _pending(self) -> SpooledObject:
        if self._spooled is None:
            raise ValueError("this instance is secured, committed or aborted")
        return self._spooled

    def _counted(self, take: Callable[[], StoreOutcome]) -> StoreOutcome:
        started = time.perf_counter()
        counted = "failed"
        try:
            outcome = take()
            counted = outcome.value
        except HubError as error:
            counted = _COUNTED_AS.get(type(error), "failed")
            raise
        finally:
            self.abort()
            self._count(counted, time.perf_counter() - started)
        return outcome

    def _secured(self) -> StoreOutcome:
        secured = self._judge(acknowledged=True)
        return StoreOutcome.STORED if secured else StoreOutcome.ALREADY_STORED

    def _committed(self) -> StoreOutcome:
        secured = self._judge(acknowledged=False)
        if secured is None:
            return StoreOutcome.ALREADY_STORED
        finding = self._reception.settler.finding(secured)
        if finding is Finding.CONFLICTING_INSTANCE:
            raise _conflict(QuarantineReason.CONFLICTING_INSTANCE)
        if finding is Finding.CONFLICTING_STUDY:
            raise _conflict(QuarantineReason.CONFLICTING_STUDY)
        if finding is Finding.ALREADY_STORED:
            return StoreOutcome.ALREADY_STORED
        return StoreOutcome.STORED

    def _judge(self, *, acknowledged: bool) -> Secured | None:
        """Return the instance secured and submitted, None where it is stored already."""
        if not self._bytes:
            raise UnreadableInstanceError("the dataset is empty")
        try:
            header = self._read_header()
        except UnreadableInstanceError as error:
            self._keep_unreadable(str(error))
            raise
        if header.sop_instance_uid != self._header.sop_instance_uid:
            raise IdentityMismatchError("SOP Instance UID: command and dataset differ")
        if header.sop_class_uid != self._header.sop_class_uid:
            raise IdentityMismatchError("SOP Class UID: command and dataset differ")
        held: list[str] = []
        try:
            arrival = self._new_arrival(header, held)
            if arrival is None:
                return None
            return self._hand_over(arrival, held, acknowledged=acknowledged)
        finally:
            for name in held:
                self._reception.claims.release(name)

    def _read_header(self) -> InstanceHeader:
        source = DatasetSource(bytes(self._head), self._bytes, self._whole_dataset)
        header = self._header
        return read_header(source, header.transfer_syntax_uid, header.origin.charset_habit)

    @contextmanager
    def _whole_dataset(self) -> Iterator[memoryview]:
        with self._pending.view() as file, file[self._meta_bytes :] as dataset:
            yield dataset

    def _new_arrival(self, header: InstanceHeader, held: list[str]) -> Arrival | None:
        """Return what is new, None for what is there; keep apart what contradicts the archive.

        Claims what it judges by, in `held`, so that nobody else is told otherwise meanwhile. Who is
        on its way under the same UID holds the claim until the index knows it. What is there is
        read again: a success for what nobody has any more would lose it.
        """
        recorder, claims = self._reception.recorder, self._reception.claims
        backend = self._reception.backend
        study_uid, digest = header.study.study_instance_uid, self._hash.hexdigest()
        claims.hold(header.sop_instance_uid)
        held.append(header.sop_instance_uid)
        key = backend.instance_key(self._received_at, header.names, digest)
        arrival = Arrival(header, self._receipt(key))
        earlier = recorder.instance(header.sop_instance_uid)
        if earlier and earlier.dataset_sha256 != digest:
            self._keep_apart(arrival, QuarantineReason.CONFLICTING_INSTANCE)
        if earlier and earlier.condition == Condition.INTACT:
            found = examine(backend, earlier.storage_key, digest).condition
            if found is Condition.INTACT:
                return None
            recorder.note_condition(header.sop_instance_uid, found)
        study = recorder.study(study_uid)
        if study is None:
            claim = f"study {study_uid}"
            claims.hold(claim, arrival.patient.cx)
            held.append(claim)
            study = recorder.study(study_uid)
        if study and not study.belongs_to(arrival.patient):
            self._keep_apart(arrival, QuarantineReason.CONFLICTING_STUDY)
        if study is None and self._is_doubted(header):
            self._keep_apart(arrival, QuarantineReason.CONTRADICTING_PATIENT)
        return arrival

    def _is_doubted(self, header: InstanceHeader) -> bool:
        """Say whether a new study's patient is somebody else than the index knows by that ID."""
        doubted = self._reception.doubted
        if doubted is None or self._undoubted:
            return False
        return doubted(observed_patient(header, self._header.origin.issuer))

    def _hand_over(self, arrival: Arrival, held: list[str], *, acknowledged: bool) -> Secured:
        """Make the instance durable with its sealed receipt; the claims go with it."""
        settler, receipt = self._reception.settler, arrival.receipt
        settler.require_room()
        self._pending.overwrite(
            self._seal_offset, seal(receipt.dataset_sha256, receipt.dataset_bytes)
        )
        self._pending.secure()
        secured = Secured(arrival, self._pending, tuple(held), acknowledged)
        self._spooled = None
        held.clear()
        settler.submit(secured)
        return secured

    def _receipt(self, key: str) -> Receipt:
        return Receipt(
            origin=self._header.origin,
            transfer_syntax_uid=self._header.transfer_syntax_uid,
            received_at=self._received_at,
            dataset_sha256=self._hash.hexdigest(),
            dataset_bytes=self._bytes,
            storage_key=key,
        )

    def _keep_apart(self, arrival: Arrival, reason: QuarantineReason) -> None:
        """Keep bytes that contradict the archive, and refuse them."""
        key = quarantine_key(arrival.receipt.dataset_sha256)
        kept = Arrival(arrival.header, self._receipt(key))
        self._keep(conflict_record(kept, reason))
        raise _conflict(reason)

    def _keep_unreadable(self, detail: str) -> None:
        receipt = self._receipt(quarantine_key(self._hash.hexdigest()))
        uid = self._header.sop_instance_uid
        self._keep(QuarantineRecord.of(receipt, QuarantineReason.UNREADABLE, uid, detail=detail))

    def _keep(self, record: QuarantineRecord) -> None:
        """Make quarantined bytes durable, once for each dataset."""
        try:
            self._reception.backend.size(record.storage_key)
        except NotFoundError:
            (error,) = self._reception.backend.publish_together(
                [(self._pending, record.storage_key)]
            )
            if error is not None:
                raise error from None
        self._reception.recorder.keep_apart(record)

    def _count(self, outcome: str, seconds: float) -> None:
        metrics = self._reception.metrics
        if metrics is None:
            return
        site = self._header.origin.site_id
        metrics.instances.labels(site, outcome).inc()
        metrics.store_seconds.observe(seconds)
        if outcome == StoreOutcome.STORED:
            metrics.instance_bytes.labels(site).inc(self._bytes)


_COUNTED_AS: dict[type[HubError], str] = {
    ArchiveFullError: "full",
    UnreadableInstanceError: "unreadable",
    IdentityMismatchError: "mismatch",
    ConflictingInstanceError: "conflict",
    ConflictingStudyError: "conflict",
    ContradictingPatientError: "conflict",
}


def _conflict(reason: QuarantineReason) -> HubError:
    if reason is QuarantineReason.CONFLICTING_INSTANCE:
        return ConflictingInstanceError("SOP Instance UID is taken by other bytes; both are kept")
    if reason is QuarantineReason.CONTRADICTING_PATIENT:
        return ContradictingPatientError("the patient ID is known as somebody else's; kept apart")
    return ConflictingStudyError("Study Instance UID belongs to another patient; kept apart")
