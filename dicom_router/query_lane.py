"""Serve an association that may query, on pynetdicom's state machine and C-FIND SCP (PS3.4 C.4.1).

What pynetdicom leaves open is closed here: its socket reads under a deadline and a length cap, and
messages are taken apart by the hub's own receiver, so that instances never pile up in memory and
only queries reach pynetdicom.
"""

import logging
import queue
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicom_router import pdus
from dicom_router.answer import Answer
from dicom_router.commands import Command, CommandField, encode_answer
from dicom_router.connection import Connection
from dicom_router.dimse_receiver import BoundedBuffer, DatasetSink, DimseReceiver, Message
from dicom_router.errors import DicomRouterError, InstanceTooLargeError, ProtocolViolationError
from dicom_router.handlers.c_find import agree_extended
from dicom_router.handlers.c_store import StoreReception
from dicom_router.handlers.local import answer_locally
from dicom_router.lane import Lane
from dicom_router.presentation import QUERY_SOP_CLASSES, ContextOutcome, NegotiatedContext
from dicom_router.statuses import NO_IDENTIFIER
from image_archive.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    from pynetdicom.pdu_primitives import _PDUPrimitiveType

log = logging.getLogger(__name__)

_MAX_IDENTIFIER_BYTES = 1024 * 1024
_MAX_QUEUED_MESSAGES = 8
_MAX_QUEUED_PDUS = 32
_LOOK_AGAIN_S = 0.5
_DATA_TRANSFER = "Sta6"  # PS3.8 9.2.1
_COMMAND_LAST = b"\x03"
_DATASET_LAST = b"\x02"


class QueryLane:
    """One association, from its A-ASSOCIATE-RQ on, until it ends."""

    def __init__(self, connection: Connection, lane: Lane, application_entity: AE) -> None:
        self._lane = lane
        self._association = Association(application_entity, MODE_ACCEPTOR)
        self._receiver = _GuardedDimse(self._association, lane)
        self._association.dul = _GuardedDul(self._association)
        self._association.dimse = self._receiver
        self._association.set_socket(_GuardedSocket(self._association, connection, lane))
        self._configure(connection)

    def run(self) -> str:
        """Serve until the association ends; return how, for the record.

        Raises:
            ProtocolViolationError: neither released nor aborted by the peer.
        """
        self._association.start()
        self._association.join()
        self._association.dul.join()
        self._receiver.abandon()
        if self._association.is_released:
            return "released"
        if self._receiver.violation is not None:
            raise self._receiver.violation
        return "aborted"

    def _configure(self, connection: Connection) -> None:
        association, limits = self._association, self._lane.limits
        association.acse_timeout = limits.patience_s
        association.dimse_timeout = limits.patience_s
        association.network_timeout = limits.patience_s
        acceptor = association.acceptor
        acceptor.maximum_length = limits.own_max_length
        acceptor.ae_title = association.ae.ae_title
        acceptor.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        acceptor.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        acceptor.address_info = AddressInformation.from_tuple(connection.socket.getsockname())
        acceptor.supported_contexts = _supported(self._lane.contexts)
        remote = AddressInformation.from_tuple(connection.socket.getpeername())
        association.requestor.address_info = remote
        association.bind(evt.EVT_REQUESTED, _clamp_maximum_length, [limits.peer_max_length])
        association.bind(evt.EVT_SOP_EXTENDED, agree_extended)
        find = self._lane.services.find.answers
        association.bind(
            evt.EVT_C_FIND, find, [self._lane.caller, self._lane.tally, self._receiver.is_cancelled]
        )


def quiet_pynetdicom() -> None:
    """Keep pynetdicom from decoding and logging what it carries: it would log patient data."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


class _GuardedSocket(AssociationSocket):
    """The connection as pynetdicom wants it, beginning with the request that was read already."""

    def __init__(self, association: Association, connection: Connection, lane: Lane) -> None:
        super().__init__(association, client_socket=connection.socket)
        self._connection = connection
        self._limits = lane.limits
        self._replay = bytearray(lane.request.raw)

    @property
    def ready(self) -> bool:
        """Tell whether something can be read; also above 1023 descriptors, unlike the original."""
        if self._replay:
            return True
        if self.socket is None:
            return False
        return self._connection.has_unread_bytes()

    def recv(self, nr_bytes: int) -> bytearray:
        """Return exactly `nr_bytes`.

        Raises:
            OSError: it takes too long, the peer is gone, or the length is beyond every agreement.
        """
        if self._replay:
            piece = self._replay[:nr_bytes]
            del self._replay[:nr_bytes]
            return piece
        if nr_bytes > self._limits.own_max_length:
            self._abort(ProtocolViolationError("a PDU longer than agreed"))
        self._connection.pace(self._limits.patience_s, between_messages=True)
        try:
            return bytearray(self._connection.receive_exactly(nr_bytes))
        except DicomRouterError as error:
            raise OSError(str(error)) from error

    def send(self, bytestream: bytes) -> None:
        """Send all of it; a peer that takes nothing counts as gone."""
        try:
            self._connection.send(bytestream, self._limits.patience_s)
        except DicomRouterError:
            self.event_queue.put("Evt17")

    def _abort(self, violation: ProtocolViolationError) -> None:
        self._connection.send(pdus.abort(violation.reason), self._limits.patience_s)
        raise OSError(str(violation))


class _GuardedDul(DULServiceProvider):
    """The upper layer, whose thread ends quietly whatever a peer has done to it.

    Answers wait in a short queue, and the peer is listened to between any two of them. In
    pynetdicom they pile up without limit, and a C-CANCEL-RQ is read only when all are out.
    """

    def __init__(self, association: Association) -> None:
        super().__init__(association)
        self.to_provider_queue = queue.Queue(_MAX_QUEUED_PDUS)
        self._heard_last = False

    def run(self) -> None:
        """Run the state machine until the connection is closed."""
        try:
            super().run()
        except Exception:  # the outermost edge of a thread: one peer's failure is its own
            log.warning("association broken off", exc_info=True)
            self.assoc.is_aborted = True

    def send_pdu(self, primitive: "_PDUPrimitiveType") -> None:
        """Queue `primitive` as soon as there is room; drop it when the association is over."""
        while self.is_alive():
            with suppress(queue.Full):
                self.to_provider_queue.put(primitive, timeout=_LOOK_AGAIN_S)
                return

    def _process_recv_primitive(self) -> bool:
        self._heard_last = not self._heard_last and self._something_to_hear()
        return not self._heard_last and super()._process_recv_primitive()

    def _something_to_hear(self) -> bool:
        established = self.state_machine.current_state == _DATA_TRANSFER
        return established and self.socket is not None and self.socket.ready


class _GuardedDimse(DIMSEServiceProvider):
    """The messages of one association: queries go on to pynetdicom, all others end here."""

    def __init__(self, association: Association, lane: Lane) -> None:
        super().__init__(association)
        self.violation: ProtocolViolationError | None = None
        self._lane = lane
        self._receiver: DimseReceiver | None = None
        self._cancelled: set[int] = set()

    def is_cancelled(self, message_id: int) -> bool:
        """Tell whether the query of this message ID is no longer wanted.

        pynetdicom's own record forgets every cancel that is in before the query is begun.
        """
        return message_id in self._cancelled

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA; a violation makes the state machine abort."""
        if self._receiver is None:
            self._receiver = DimseReceiver(self._accepted(), self._open_sink)
        try:
            for context_id, data in primitive.presentation_data_value_list:
                self._take_fragment(self._receiver, context_id, data)
        except ProtocolViolationError as violation:
            self.violation = violation
            self.abandon()
            self.dul.event_queue.put("Evt19")

    def abandon(self) -> None:
        """Drop the message under way."""
        if self._receiver is not None:
            self._receiver.abandon()

    def _take_fragment(self, receiver: DimseReceiver, context_id: int, data: bytes) -> None:
        if not data:
            raise ProtocolViolationError("a presentation data value without a header")
        receiver.begin(context_id, data[0])
        try:
            receiver.data(memoryview(data)[1:])
        except InstanceTooLargeError:
            unfinished = receiver.unfinished()
            if unfinished is not None and isinstance(unfinished.sink, StoreReception):
                self._send_answer(unfinished, unfinished.sink.finish())
            raise
        message = receiver.end()
        if message is not None:
            self._dispatch(message)

    def _dispatch(self, message: Message) -> None:
        query = message.context.abstract_syntax in QUERY_SOP_CLASSES
        if query and message.command.field == CommandField.C_FIND_RQ:
            if isinstance(message.sink, BoundedBuffer):
                self._cancelled.discard(message.command.message_id)
                self._hand_over(message, bytes(message.sink.data))
            else:
                self._send_answer(message, NO_IDENTIFIER)
        elif message.command.field == CommandField.C_CANCEL_RQ:
            self._cancelled.add(message.command.message_id)
        else:
            answer = answer_locally(message, self._lane.tally)
            if answer is not None:
                self._send_answer(message, answer)

    def _hand_over(self, message: Message, identifier: bytes) -> None:
        """Give a complete query to pynetdicom as if it had come in one piece."""
        if self.msg_queue.qsize() > _MAX_QUEUED_MESSAGES:
            raise ProtocolViolationError("more requests at once than were negotiated")
        values = [_COMMAND_LAST + message.command_set, _DATASET_LAST + identifier]
        super().receive_primitive(_p_data(message.context.context_id, *values))

    def _send_answer(self, message: Message, answer: Answer) -> None:
        """Send at once: this runs in the one thread that sends, in the state that may."""
        if self.dul.socket is not None:
            self.dul.socket.send(
                pdus.command_p_data(
                    message.context.context_id,
                    encode_answer(message.command, answer),
                    self._lane.limits.peer_max_length,
                )
            )

    def _open_sink(self, command: Command, context: NegotiatedContext) -> DatasetSink:
        lane = self._lane
        if command.field == CommandField.C_STORE_RQ:
            return lane.services.store.receive(command, context, lane.caller, lane.tally)
        keep = command.field == CommandField.C_FIND_RQ
        return BoundedBuffer(_MAX_IDENTIFIER_BYTES, keep=keep)

    def _accepted(self) -> dict[int, NegotiatedContext]:
        return {
            context.context_id: NegotiatedContext(
                context.context_id,
                str(context.abstract_syntax),
                str(context.transfer_syntax[0]),
                ContextOutcome.ACCEPTED,
            )
            for context in self.assoc.accepted_contexts
            if context.context_id is not None
        }


def _p_data(context_id: int, *values: bytes) -> P_DATA:
    primitive = P_DATA()
    # pynetdicom's annotation says tuples, its setter takes lists only
    primitive.presentation_data_value_list = [[context_id, value] for value in values]  # type: ignore[misc]
    return primitive


def _supported(contexts: Iterable[NegotiatedContext]) -> list[PresentationContext]:
    """The accepted contexts in pynetdicom's terms: one for each SOP class, with all its codings."""
    supported: dict[str, PresentationContext] = {}
    for context in contexts:
        if context.accepted:
            entry = supported.setdefault(context.abstract_syntax, PresentationContext())
            entry.abstract_syntax = UID(context.abstract_syntax)
            entry.add_transfer_syntax(UID(context.transfer_syntax))
    return list(supported.values())


def _clamp_maximum_length(event: evt.Event, longest: int) -> None:
    """Replace the peer's maximum length by one that can be kept (PS3.8 D.1)."""
    request = event.assoc.requestor.primitive
    if request is None:
        return
    clamped = MaximumLengthNotification()
    clamped.maximum_length_received = longest
    request.user_information = [
        item for item in request.user_information if not isinstance(item, MaximumLengthNotification)
    ] + [clamped]
