"""An association this node asks for: connect, negotiate, talk, release (PS3.8 7.1 to 7.3).

Every wait has a deadline. Whatever breaks it off closes the connection before the error leaves.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from dicom_router import pdus
from dicom_router.commands import Command
from dicom_router.connection import Connection
from dicom_router.dimse_receiver import BoundedBuffer, DatasetSink, Message
from dicom_router.errors import (
    AbortReason,
    DicomRouterError,
    PeerAbortedError,
    PeerGoneError,
    PeerReleasedError,
    ProtocolViolationError,
)
from dicom_router.message_stream import Limits, MessageStream
from dicom_router.pdus import PduType
from dicom_router.presentation import NegotiatedContext
from dicom_router.sending.errors import (
    AssociationRejectedError,
    DestinationUnreachableError,
    SendingCancelledError,
)
from dicom_router.sending.handshake import Acceptance, associate_rq, parse_acceptance
from dicom_router.sending.model import Destination, Proposal, SendLimits

_MAX_ANSWER_BYTES = 64 * 1024
_MAX_DATASET_BYTES = 8 * 1024 * 1024
_FAREWELL_S = 5.0

Answering = Callable[[Message], bytes | None]


class RequestedAssociation:
    """One association with a destination; used by one thread, `cancel` excepted.

    `contexts` are all that were proposed, each with its outcome; `scp_of` are the SOP classes in
    which the peer lets us be SCP.
    """

    def __init__(
        self, connection: Connection, accepted: Acceptance, limits: SendLimits, answer: Answering
    ) -> None:
        self.contexts: tuple[NegotiatedContext, ...] = accepted.contexts
        self.scp_of = accepted.scp_of
        self._connection = connection
        self._limits = limits
        self._answer = answer
        self._last_message_id = 0
        self.is_over = False
        self._cancelled = threading.Event()
        lengths = Limits(
            limits.patience_s, pdus.clamped_length(accepted.max_length), limits.own_max_length
        )
        self._stream = MessageStream(connection, accepted.contexts, _small_dataset, lengths)

    def context_for(
        self, sop_class_uid: str, transfer_syntax_uid: str | None = None
    ) -> NegotiatedContext | None:
        """Return the accepted context of a SOP class (in that transfer syntax), None without."""
        return next(
            (
                context
                for context in self.contexts
                if context.accepted
                and context.abstract_syntax == sop_class_uid
                and transfer_syntax_uid in (None, context.transfer_syntax)
            ),
            None,
        )

    def next_message_id(self) -> int:
        """Return a message ID that no request under way has: 1 to 65535, then from the start."""
        self._last_message_id = self._last_message_id % 0xFFFF + 1
        return self._last_message_id

    def request(
        self, context_id: int, command: bytes, dataset: Iterable[bytes], message_id: int
    ) -> Command:
        """Send a request and return the command of its response.

        The peer's own requests that come in between are answered as the association was made to.

        Raises:
            PeerTooSlowError, PeerGoneError, ProtocolViolationError, SendingCancelledError: the
                association is over. So it is when `dataset` raises something after its first byte.
        """
        with self.ending_on_failure():
            self._stream.send(context_id, command, dataset)
            while True:
                message = self._stream.receive(self._limits.answer_s)
                if not message.command.wants_answer:
                    break
                self._serve(message)
        if message.command.message_id != message_id:
            self.abort()
            raise ProtocolViolationError("a response to no request of ours")
        return message.command

    def serve(self, patience_s: float) -> None:
        """Wait for one request of the peer's and answer it; raises as `request`."""
        with self.ending_on_failure():
            self._serve(self._stream.receive(patience_s))

    def release(self) -> None:
        """End the association in order; does nothing when it has ended. Never raises for a peer."""
        if self.is_over:
            return
        try:
            self._connection.send(pdus.RELEASE_RQ, _FAREWELL_S)
            while True:
                self._serve(self._stream.receive(_FAREWELL_S))
        except PeerReleasedError:  # both at once (PS3.8 9.2.3): answer, and it is over
            with suppress(DicomRouterError):
                self._connection.send(pdus.RELEASE_RP, _FAREWELL_S)
        except DicomRouterError:
            pass  # the A-RELEASE-RP, or a peer that just closes
        finally:
            self._end()

    def abort(self) -> None:
        """End the association at once (A-ABORT); does nothing when it has ended."""
        if not self.is_over:
            with suppress(DicomRouterError):
                self._connection.send(pdus.USER_ABORT, _FAREWELL_S)
            self._end()

    def cancel(self) -> None:
        """Break off what is under way; safe from any thread, and for good."""
        self._cancelled.set()
        self._connection.shut()

    @contextmanager
    def ending_on_failure(self) -> Iterator[None]:
        """End the association when anything is raised inside, and say so if it was cancelled."""
        try:
            yield
        except (PeerGoneError, PeerReleasedError) as gone:
            self._end()
            if self._cancelled.is_set():
                raise SendingCancelledError("sending was cancelled") from gone
            if isinstance(gone, PeerReleasedError):
                raise PeerGoneError("the peer released in the middle of our work") from gone
            raise
        except BaseException:
            self.abort()
            raise

    def _serve(self, message: Message) -> None:
        response = self._answer(message)
        if response is not None:
            self._stream.send(message.context.context_id, response)

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._stream.abandon()
            self._connection.close()


def open_association(
    destination: Destination,
    proposals: Sequence[Proposal],
    limits: SendLimits,
    answer: Answering,
) -> RequestedAssociation:
    """Return an established association; `answer` makes the responses to the peer's requests.

    Raises:
        DestinationUnreachableError: no connection, or no TLS.
        AssociationRejectedError: the peer says no, and why.
        PeerTooSlowError, PeerGoneError, ProtocolViolationError: it says nothing, or nonsense.
    """
    connection = _connected(destination, limits)
    try:
        request = associate_rq(destination, proposals, limits.own_max_length)
        connection.send(request, limits.connect_s)
        accepted = _acceptance(connection, proposals, limits)
    except BaseException as failed:
        if isinstance(failed, ProtocolViolationError):
            with suppress(DicomRouterError):
                connection.send(pdus.abort(failed.reason), _FAREWELL_S)
        connection.close()
        raise
    return RequestedAssociation(connection, accepted, limits, answer)


def _connected(destination: Destination, limits: SendLimits) -> Connection:
    try:
        plain = socket.create_connection((destination.host, destination.port), limits.connect_s)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DestinationUnreachableError(f"no connection: {reason}") from error
    if destination.tls is None:
        return Connection(plain, destination.host)
    try:
        secured = destination.tls.wrap_socket(plain, server_hostname=destination.host)
    except (OSError, ssl.SSLError) as error:
        plain.close()
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "timeout"
        raise DestinationUnreachableError(f"no TLS: {reason}") from error
    return Connection(secured, destination.host)


def _acceptance(
    connection: Connection, proposals: Sequence[Proposal], limits: SendLimits
) -> Acceptance:
    connection.pace(limits.connect_s)
    kind, length = pdus.HEADER.unpack(connection.receive_exactly(pdus.HEADER.size))
    if kind not in _ANSWERS or length > _MAX_ANSWER_BYTES:
        raise ProtocolViolationError("no answer to an A-ASSOCIATE-RQ", AbortReason.UNEXPECTED_PDU)
    body = connection.receive_exactly(length)
    if kind == PduType.ASSOCIATE_RJ and length == 4:
        raise AssociationRejectedError(body[1], body[2], body[3])
    if kind == PduType.ABORT:
        raise PeerAbortedError("the peer aborted instead of answering")
    return parse_acceptance(body, proposals)


_ANSWERS = frozenset({PduType.ASSOCIATE_AC, PduType.ASSOCIATE_RJ, PduType.ABORT})


def _small_dataset(_command: Command, _context: NegotiatedContext) -> DatasetSink:
    return BoundedBuffer(_MAX_DATASET_BYTES)
