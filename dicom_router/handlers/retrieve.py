"""C-MOVE and C-GET SCP on Patient Root and Study Root (PS3.4 C.4.2, C.4.3).

Both select alike and report alike; they differ in where the sub-operations go.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from dicom_router.answer import Answer, Counts
from dicom_router.association_audit import AssociationAudit
from dicom_router.commands import MoveOriginator, encode_store_request
from dicom_router.conversation import Conversation
from dicom_router.dimse_receiver import Message
from dicom_router.errors import DicomRouterError, ProtocolViolationError, QueryRefusedError
from dicom_router.model import Query
from dicom_router.presentation import MOVE_SOP_CLASSES
from dicom_router.selection import Selection, Selector, read_selection
from dicom_router.sending.delivery import Delivery, DeliveryParts
from dicom_router.sending.errors import (
    DestinationUnreachableError,
    InstanceUnavailableError,
    SendingError,
)
from dicom_router.sending.model import Destination, OutgoingInstance, StoreAnswer, StoreOutcome
from dicom_router.statuses import UNKNOWN_DESTINATION
from image_archive.model import InstanceRecord

log = logging.getLogger(__name__)

_PENDING = 0xFF00
_CANCELLED = 0xFE00
_SUCCESS = 0x0000
_SOME_FAILED = 0xB000
_ALL_FAILED = 0xA702

Store = Callable[[InstanceRecord], StoreAnswer]


@dataclass
class SubOperations:
    """What has become of the instances of one retrieval (PS3.7 9.1.3.1, 9.1.4.1)."""

    remaining: int
    completed: int = 0
    failed: list[str] = field(default_factory=list)
    warned: int = 0
    first_reason: str = ""

    def note(self, record: InstanceRecord, answer: StoreAnswer) -> None:
        """Count the answer to one instance."""
        self.remaining -= 1
        if answer.outcome is StoreOutcome.SUCCESS:
            self.completed += 1
        elif answer.outcome is StoreOutcome.WARNING:
            self.warned += 1
        else:
            self._fail(record, answer.comment or f"status 0x{answer.status:04X}")

    def note_failure(self, record: InstanceRecord, error: Exception) -> None:
        """Count an instance that could not be sent."""
        self.remaining -= 1
        self._fail(record, str(error))

    def counts(self, *, final: bool) -> Counts:
        """Return the counts of a response; the last one does not say what remains."""
        remaining = None if final else self.remaining
        return remaining, self.completed, len(self.failed), self.warned

    def last_answer(self) -> Answer:
        """Return the answer when nothing remains: table C.4-2, C.4-3."""
        status = _SUCCESS
        if self.failed or self.warned:
            status = _SOME_FAILED if self.completed or self.warned else _ALL_FAILED
        return Answer(status, self.first_reason, counts=self.counts(final=True))

    def __str__(self) -> str:
        return f"{self.completed} sent, {self.warned} with a warning, {len(self.failed)} failed"

    def _fail(self, record: InstanceRecord, reason: str) -> None:
        self.failed.append(record.sop_instance_uid)
        self.first_reason = self.first_reason or reason


@dataclass(frozen=True)
class RetrieveService:
    """What every retrieval needs; `destinations` are those a C-MOVE may name, by AE title."""

    selector: Selector
    delivery: DeliveryParts
    destinations: Mapping[str, Destination]
    audit: AssociationAudit

    def serve(self, conversation: Conversation, message: Message, query: Query) -> None:
        """Serve one C-MOVE-RQ or C-GET-RQ to its last response, and record it.

        Raises:
            PeerReleasedError, PeerTooSlowError, PeerGoneError, ProtocolViolationError: whoever
                asked is not there any more.
        """
        progress = _Progress()
        try:
            selection = read_selection(query)
            progress.level = selection.level
            if query.sop_class_uid in MOVE_SOP_CLASSES:
                self._move(conversation, message, selection, progress)
            else:
                self._get(conversation, message, selection, progress)
        except QueryRefusedError as refused:
            progress.ending = refused.answer.comment
            conversation.answer(message, refused.answer)
        finally:
            conversation.lane.tally.count("retrieval")
            self.audit.retrieved(
                conversation.lane.caller,
                dict.fromkeys(record.study_instance_uid for record in progress.records),
                f"{progress.what} {progress.level}: {progress.ending or progress.done}",
                succeeded=progress.succeeded,
            )

    def _move(
        self,
        conversation: Conversation,
        message: Message,
        selection: Selection,
        progress: "_Progress",
    ) -> None:
        caller = conversation.lane.caller
        title = message.command.move_destination
        destination = self.destinations.get(title)
        progress.what = f"C-MOVE to {ascii(title)}"
        if destination is None:
            raise QueryRefusedError(UNKNOWN_DESTINATION)
        progress.select(self.selector.instances(selection, caller))
        originator = MoveOriginator(caller.calling_ae_title, message.command.message_id)
        with Delivery(self.delivery, destination, progress.records) as delivery:

            def store(record: InstanceRecord) -> StoreAnswer:
                if delivery.is_hopeless:
                    raise DestinationUnreachableError("the destination cannot be reached")
                return delivery.store(record, originator)

            _perform(conversation, message, progress, _Errors(store, DicomRouterError))

    def _get(
        self,
        conversation: Conversation,
        message: Message,
        selection: Selection,
        progress: "_Progress",
    ) -> None:
        progress.what = "C-GET"
        progress.select(self.selector.instances(selection, conversation.lane.caller))

        def store(record: InstanceRecord) -> StoreAnswer:
            return self._send_back(conversation, record)

        _perform(conversation, message, progress, _Errors(store, SendingError))

    def _send_back(self, conversation: Conversation, record: InstanceRecord) -> StoreAnswer:
        """Send one instance on the association it was asked for on."""
        contexts = conversation.lane.agreed.sendable(record.sop_class_uid)
        by_syntax = {context.transfer_syntax: context for context in contexts}
        with self.delivery.outgoing.fitted(record, tuple(by_syntax)) as instance:
            message_id = conversation.next_message_id()
            response = conversation.ask(
                by_syntax[instance.transfer_syntax_uid].context_id,
                encode_store_request(message_id, instance.sop_class_uid, instance.sop_instance_uid),
                _whole(instance),
                conversation.lane.limits.patience_s,
            )
        return StoreAnswer(response.status, response.error_comment)


@dataclass(frozen=True)
class _Errors:
    """How an instance is sent, and which errors concern that instance alone."""

    store: Store
    of_one_instance: type[DicomRouterError]


@dataclass
class _Progress:
    """What the audit record says of a retrieval, however it ends."""

    what: str = "C-MOVE or C-GET"
    level: str = "without level"
    records: tuple[InstanceRecord, ...] = ()
    done: SubOperations = field(default_factory=lambda: SubOperations(0))
    ending: str = ""
    succeeded: bool = False

    def select(self, records: tuple[InstanceRecord, ...]) -> None:
        self.records = records
        self.done = SubOperations(len(records))


def _perform(
    conversation: Conversation, message: Message, progress: _Progress, sending: _Errors
) -> None:
    """Send instance by instance, saying how far it is after each, until all are out or unwanted."""
    done = progress.done
    for record in progress.records:
        if conversation.is_cancelled(message):
            answer = Answer(_CANCELLED, counts=done.counts(final=False))
            progress.ending = f"cancelled; {done}"
            break
        try:
            done.note(record, sending.store(record))
        except sending.of_one_instance as error:
            log.warning("an instance could not be sent", extra={"reason": str(error)})
            done.note_failure(record, error)
        if done.remaining:
            conversation.answer(message, Answer(_PENDING, counts=done.counts(final=False)))
    else:
        answer = done.last_answer()
        progress.succeeded = answer.status == _SUCCESS
    conversation.answer(message, answer, _failed_list(done))


def _failed_list(done: SubOperations) -> Dataset | None:
    """Return the identifier that names what failed (PS3.4 C.4.2.1.4.2), None when nothing did."""
    if not done.failed:
        return None
    identifier = Dataset()
    identifier.FailedSOPInstanceUIDList = done.failed
    return identifier


def _whole(instance: OutgoingInstance) -> Iterator[bytes]:
    """Return the dataset, its first piece had already: what fails later must end the association.

    Raises:
        InstanceUnavailableError: there is no first piece; nothing has been sent.
    """
    pieces = instance.dataset()
    first = next(pieces, b"")
    if not first:
        raise InstanceUnavailableError("the dataset is empty")

    def all_of_it() -> Iterator[bytes]:
        yield first
        try:
            yield from pieces
        except InstanceUnavailableError as error:
            raise ProtocolViolationError("an instance broke off while it was sent") from error

    return all_of_it()
