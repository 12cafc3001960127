"""An association in the middle of its work: answer, look for a cancel, ask something back (PS3.7).

Whatever serves a request holds the association's one thread. What the peer sends meanwhile is taken
in here: a C-CANCEL-RQ is noted, other requests wait for their turn.
"""

from collections import deque
from collections.abc import Iterable

from pydicom.dataset import Dataset

from dicom_router.answer import Answer
from dicom_router.commands import Command, CommandField, encode_answer
from dicom_router.connection import Connection
from dicom_router.datasets import encode_dataset
from dicom_router.dimse_receiver import Message, OpenSink
from dicom_router.errors import ProtocolViolationError
from dicom_router.lane import Lane
from dicom_router.message_stream import MessageStream

_MOST_WAITING = 8


class Conversation:
    """The messages of one served association; used by its own thread alone."""

    def __init__(self, connection: Connection, lane: Lane, open_sink: OpenSink) -> None:
        self.lane = lane
        self._connection = connection
        self._stream = MessageStream(connection, lane.agreed.contexts, open_sink, lane.limits)
        self._waiting: deque[Message] = deque()
        self._cancelled: set[int] = set()
        self._last_message_id = 0

    def next_request(self) -> Message:
        """Return the next message that is for nobody else; raises as `MessageStream.receive`."""
        if self._waiting:
            return self._waiting.popleft()
        return self._stream.receive(self.lane.limits.patience_s)

    def has_request(self, patience_s: float) -> bool:
        """Tell whether something is there to be received, waiting up to `patience_s` for it."""
        return bool(self._waiting) or self._stream.has_begun(patience_s)

    def answer(self, message: Message, answer: Answer, dataset: Dataset | None = None) -> None:
        """Send a response to `message`."""
        context = message.context
        pieces = [] if dataset is None else [encode_dataset(dataset, context.transfer_syntax)]
        pieces = [piece for piece in pieces if piece]
        command = encode_answer(message.command, answer, has_dataset=bool(pieces))
        self._stream.send(context.context_id, command, pieces)

    def begin(self, message: Message) -> None:
        """Forget a cancel of an earlier request that had the same message ID."""
        self._cancelled.discard(message.command.message_id)

    def is_cancelled(self, message: Message) -> bool:
        """Hear what the peer has sent meanwhile; tell whether it no longer wants `message` served.

        Raises:
            PeerReleasedError, PeerGoneError, ProtocolViolationError: it is not there any more.
        """
        for heard in self._stream.waiting():
            self._keep(heard)
        return message.command.message_id in self._cancelled

    def next_message_id(self) -> int:
        """Return the ID for a request of our own."""
        self._last_message_id = self._last_message_id % 0xFFFF + 1
        return self._last_message_id

    def ask(
        self, context_id: int, command: bytes, dataset: Iterable[bytes], patience_s: float
    ) -> Command:
        """Send a request of our own and return the response; other messages wait for their turn.

        Raises:
            PeerTooSlowError, PeerGoneError, ProtocolViolationError: the association is over.
        """
        self._stream.send(context_id, command, dataset)
        while True:
            message = self._stream.receive(patience_s)
            if message.command.is_response:
                if message.command.message_id != self._last_message_id:
                    raise ProtocolViolationError("a response to no request of ours")
                return message.command
            self._keep(message)

    def unfinished(self) -> Message | None:
        """Return the message under way, as far as it has come."""
        return self._stream.unfinished()

    def abandon(self) -> None:
        """Drop whatever has not been served."""
        self._stream.abandon()
        for message in self._waiting:
            if message.sink is not None:
                message.sink.abandon()

    def _keep(self, message: Message) -> None:
        if message.command.field == CommandField.C_CANCEL_RQ:
            self._cancelled.add(message.command.message_id)
        elif len(self._waiting) >= _MOST_WAITING:
            raise ProtocolViolationError("more requests at once than were negotiated")
        else:
            self._waiting.append(message)
