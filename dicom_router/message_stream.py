"""Whole DIMSE messages over one established association, in both directions (PS3.7 6.3, PS3.8 9.3).

One thread uses a stream: it sends a message, or waits for one. Datasets are never held: those that
come in go to a sink fragment by fragment, those that go out are asked for piece by piece.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dicom_router import pdus
from dicom_router.connection import Connection
from dicom_router.dimse_receiver import DimseReceiver, Message, OpenSink
from dicom_router.errors import (
    DicomRouterError,
    PeerAbortedError,
    PeerReleasedError,
    ProtocolViolationError,
)
from dicom_router.p_data import take_p_data, unexpected_pdu
from dicom_router.pdu_stream import PduStream
from dicom_router.pdus import PduType
from dicom_router.presentation import NegotiatedContext

_LAST_FRAGMENT = 0x02
_FRAGMENT = 0x00
_MAX_WAITING = 8


@dataclass(frozen=True)
class Limits:
    """`patience_s` bounds any silence; the lengths bound a P-DATA-TF, in bytes."""

    patience_s: float
    peer_max_length: int
    own_max_length: int


class MessageStream:
    """The messages of one association, whichever side asked for it."""

    def __init__(
        self,
        connection: Connection,
        contexts: Iterable[NegotiatedContext],
        open_sink: OpenSink,
        limits: Limits,
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._bytes = PduStream(connection)
        accepted = {context.context_id: context for context in contexts if context.accepted}
        self._receiver = DimseReceiver(accepted, open_sink)
        self._arrived: deque[Message] = deque()

    def send(self, context_id: int, command: bytes, dataset: Iterable[bytes] = ()) -> None:
        """Send one message; what `dataset` raises leaves it torn, so that only an abort can follow.

        Raises:
            PeerTooSlowError, PeerGoneError: as `Connection.send`.
        """
        unsent = pdus.command_p_data(context_id, command, self._limits.peer_max_length)
        for fragment, last in _fragments(dataset, self._room):
            control = _LAST_FRAGMENT if last else _FRAGMENT
            unsent += pdus.HEADER.pack(PduType.P_DATA_TF, len(fragment) + pdus.PDV_HEADER.size)
            unsent += pdus.PDV_HEADER.pack(len(fragment) + 2, context_id, control)
            self._connection.send(unsent + fragment, self._limits.patience_s)
            unsent = b""
        if unsent:
            self._connection.send(unsent, self._limits.patience_s)

    def receive(self, patience_s: float) -> Message:
        """Return the next message; it may take `patience_s` to begin.

        Raises:
            PeerReleasedError: the peer wishes to end the association; it waits for an answer.
            PeerAbortedError: it has ended it.
            PeerTooSlowError, PeerGoneError, NodeStoppingError, ProtocolViolationError: it is over.
        """
        while not self._arrived:
            if self._receiver.between_messages:
                self._connection.pace(patience_s, between_messages=True)
            self._take_pdu()
        return self._arrived.popleft()

    def waiting(self) -> Iterator[Message]:
        """Yield what the peer has sent meanwhile; raises as `receive`, never waits for a beginning.

        Raises:
            ProtocolViolationError: more requests at once than were negotiated.
        """
        while self.has_begun():
            yield self.receive(self._limits.patience_s)

    def has_begun(self, patience_s: float = 0.0) -> bool:
        """Tell whether something is there to be received, waiting up to `patience_s` for it."""
        if self._arrived or self._bytes.has_unread:
            return True
        return self._connection.has_unread_bytes(patience_s)

    def unfinished(self) -> Message | None:
        """Return the message under way, as far as it has come."""
        return self._receiver.unfinished()

    def abandon(self) -> None:
        """Drop what has not been taken out, and the message under way."""
        self._receiver.abandon()
        while self._arrived:
            sink = self._arrived.popleft().sink
            if sink is not None:
                sink.abandon()

    @property
    def _room(self) -> int:
        """The longest fragment that fits a P-DATA-TF; even, as some peers wish."""
        return (self._limits.peer_max_length - pdus.PDV_HEADER.size) & ~1

    def _take_pdu(self) -> None:
        kind, length = pdus.HEADER.unpack(self._bytes.take(pdus.HEADER.size))
        if kind == PduType.P_DATA_TF:
            take_p_data(
                self._connection,
                self._bytes,
                length,
                self._limits.own_max_length,
                self._take_fragment,
            )
        elif kind in _ENDINGS and length == 4:
            self._bytes.take(4)
            error, words = _ENDINGS[kind]
            raise error(words)
        else:
            raise unexpected_pdu(kind)

    def _take_fragment(self, context_id: int, control: int, length: int) -> None:
        self._receiver.begin(context_id, control)
        while length:
            piece = self._bytes.some(length)
            length -= len(piece)
            self._receiver.data(piece)
        message = self._receiver.end()
        if message is not None:
            if len(self._arrived) >= _MAX_WAITING:
                raise ProtocolViolationError("more requests at once than were negotiated")
            self._arrived.append(message)


_ENDINGS: dict[int, tuple[type[DicomRouterError], str]] = {
    PduType.RELEASE_RQ: (PeerReleasedError, "the peer released the association"),
    PduType.ABORT: (PeerAbortedError, "the peer aborted the association"),
}


def _fragments(dataset: Iterable[bytes], room: int) -> Iterator[tuple[bytes, bool]]:
    """Yield (fragment, whether it is the last): all of `room` bytes but the last."""
    held = bytearray()
    for piece in dataset:
        held += piece
        at = 0
        while len(held) - at > room:
            yield bytes(held[at : at + room]), False
            at += room
        del held[:at]
    if held:
        yield bytes(held), True
