"""Storage Commitment SCP: look at what is stored, then tell whoever asked (PS3.4 annex J).

A worker re-reads and re-hashes instance by instance, a few of each transaction in turn so that a
large one holds up nobody. The report goes out on the association it was asked for on while that
lasts, else on a new one, again and again until it is heard.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from dicom_router.answer import Answer
from dicom_router.commands import CommandField, encode_answer, encode_event_report_request
from dicom_router.commitment_ledger import CommitmentLedger, Transaction
from dicom_router.commitment_messages import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentRequest,
    SopReference,
    encode_report,
)
from dicom_router.dimse_receiver import Message
from dicom_router.errors import DicomRouterError
from dicom_router.model import Caller
from dicom_router.sending.association import open_association
from dicom_router.sending.model import Destination, Proposal, SendLimits
from dicom_router.sending.storing import NATIVE
from hub_kernel.database import Database
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from image_archive.model import Condition
from image_archive.verification import examine

log = logging.getLogger(__name__)

PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119
_AT_ONCE = 100
_IDLE_S = 0.5
_GRACE_S = 5.0
_RENEW_S = 15.0
_AS_SCP = (Proposal(PUSH_MODEL, NATIVE, as_scp=True),)


@dataclass(frozen=True)
class CommitmentParts:
    """What the desk works with; `destinations` says where a requester is, by AE title."""

    database: Database
    index: ArchiveIndex
    backend: ArchiveBackend
    destinations: Mapping[str, Destination]
    limits: SendLimits
    ae_title: str
    owner: str
    is_dead: Callable[[str], bool]


class CommitmentDesk:
    """Takes requests from any thread; a thread of its own does the work, from start to stop."""

    def __init__(self, parts: CommitmentParts) -> None:
        self._parts = parts
        self._ledger = CommitmentLedger(parts.database, parts.owner)
        self._lock = threading.Lock()
        self._waiting: dict[int, Transaction | None] = {}
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take up what was owed when the hub last stopped, and whatever comes."""
        self._stopping.clear()
        self._ledger.release_dead(self._parts.is_dead)
        self._threads = [
            threading.Thread(target=self._work, name="storage-commitment", daemon=True),
            threading.Thread(target=self._hold_on, name="commitment-lease", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the step under way; the rest stays owed."""
        self._stopping.set()
        self._due.set()
        for thread in self._threads:
            thread.join(_GRACE_S)

    def take(self, caller: Caller, request: CommitmentRequest) -> int:
        """Keep a request durably; return its row, whose report the caller's association awaits.

        Raises:
            SQLAlchemyError: it could not be kept.
        """
        row_id = self._ledger.begin(caller, request)
        with self._lock:
            self._waiting[row_id] = None
        self._due.set()
        return row_id

    def ready(self, row_ids: Collection[int]) -> list[Transaction]:
        """Return those of an association's transactions whose report can be sent on it."""
        with self._lock:
            return [done for row_id in row_ids if (done := self._waiting.get(row_id)) is not None]

    def encoded_report(self, transaction: Transaction, transfer_syntax_uid: str) -> bytes:
        """Return the dataset that reports a transaction."""
        return encode_report(transaction.report(), transfer_syntax_uid, self._parts.ae_title)

    def heard(self, transaction: Transaction, status: int) -> None:
        """Note what the requester said to the report on its own association."""
        if status:
            self._ledger.postpone(transaction, f"the report was answered with 0x{status:04X}")
        else:
            self._ledger.note_reported(transaction.row_id)
        self.leave([transaction.row_id])

    def leave(self, row_ids: Collection[int]) -> None:
        """The association is over: reports still owed go out on a new one."""
        with self._lock:
            for row_id in row_ids:
                self._waiting.pop(row_id, None)
        self._due.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._due.clear()
            try:
                busy = self._step()
            except SQLAlchemyError:
                log.exception("storage commitment cannot reach the database; trying again")
                busy = False
            if not busy:
                self._due.wait(_IDLE_S)

    def _hold_on(self) -> None:
        """Keep other processes off what is under way here, however long it takes.

        The report belongs to the process that has the requester's association.
        """
        while not self._stopping.wait(_RENEW_S):
            try:
                self._ledger.renew()
            except SQLAlchemyError:
                log.exception("the leases of storage commitment could not be renewed")

    def _step(self) -> bool:
        """Do a little of the transaction whose turn it is; False when there is nothing to do."""
        with self._lock:
            held = [row_id for row_id, done in self._waiting.items() if done is not None]
        transaction = self._ledger.claim(without=held)
        if transaction is None:
            return False
        if transaction.rest:
            reasons = [self._reason(one) for one in transaction.rest[:_AT_ONCE]]
            transaction = self._ledger.note_found(transaction, reasons)
        if not transaction.rest and not self._handed_over(transaction):
            self._report(transaction)
        return True

    def _handed_over(self, transaction: Transaction) -> bool:
        """Leave the report to the requester's own association, if it is still there."""
        with self._lock:
            if transaction.row_id not in self._waiting:
                return False
            self._waiting[transaction.row_id] = transaction
            return True

    def _reason(self, reference: SopReference) -> int:
        """Return the failure reason of one instance (PS3.3 C.14.1.1), 0 when it is safely here.

        What a rejection note has taken back is hidden, and kept: who asks may delete its copy.
        """
        record = self._parts.index.instance(reference.sop_instance_uid, with_rejected=True)
        if record is None:
            return NO_SUCH_INSTANCE
        if record.sop_class_uid != reference.sop_class_uid:
            return CLASS_CONFLICT
        found = examine(self._parts.backend, record.storage_key, record.dataset_sha256)
        if found.condition is Condition.INTACT:
            return 0
        log.error("an instance asked to be committed is not intact", extra={"is": found.condition})
        return PROCESSING_FAILURE

    def _report(self, transaction: Transaction) -> None:
        """Report on an association of our own."""
        destination = self._parts.destinations.get(transaction.calling_ae_title)
        if destination is None:
            self._ledger.postpone(transaction, "router.destinations has no such AE title")
            return
        try:
            status = self._say(destination, transaction)
        except DicomRouterError as error:
            self._ledger.postpone(transaction, str(error))
            return
        if status:
            self._ledger.postpone(transaction, f"the report was answered with 0x{status:04X}")
        else:
            self._ledger.note_reported(transaction.row_id)

    def _say(self, destination: Destination, transaction: Transaction) -> int:
        peer = open_association(destination, _AS_SCP, self._parts.limits, _echo_only)
        try:
            context = peer.context_for(PUSH_MODEL)
            if context is None:
                raise DicomRouterError("the requester does not take reports on storage commitment")
            message_id = peer.next_message_id()
            event = transaction.report().event_type_id
            response = peer.request(
                context.context_id,
                encode_event_report_request(message_id, PUSH_MODEL, PUSH_MODEL_INSTANCE, event),
                [self.encoded_report(transaction, context.transfer_syntax)],
                message_id,
            )
        finally:
            peer.release()
        return response.status


def _echo_only(message: Message) -> bytes | None:
    if not message.command.wants_answer:
        return None
    status = 0x0000 if message.command.field == CommandField.C_ECHO_RQ else 0x0211
    return encode_answer(message.command, Answer(status))
