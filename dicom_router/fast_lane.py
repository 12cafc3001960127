"""Serve an association that negotiated only storage and verification (PS3.8 9.2, states 6 to 13).

PDUs are read in place and dataset fragments go straight into the archive; every message is answered
by the very handlers that the service lane uses.
"""

from dicom_router import pdus
from dicom_router.answer import Answer
from dicom_router.commands import Command, CommandField, encode_answer
from dicom_router.connection import Connection
from dicom_router.dimse_receiver import BoundedBuffer, DatasetSink, DimseReceiver, Message
from dicom_router.errors import InstanceTooLargeError
from dicom_router.handlers.c_store import StoreReception, StoreService
from dicom_router.handlers.local import answer_locally
from dicom_router.lane import Lane
from dicom_router.p_data import take_p_data, unexpected_pdu
from dicom_router.pdu_stream import PduStream
from dicom_router.pdus import PduType
from dicom_router.presentation import NegotiatedContext

_MAX_UNKNOWN_DATASET_BYTES = 1024 * 1024


class FastLane:
    """One established association, served in the calling thread until it ends."""

    def __init__(self, connection: Connection, lane: Lane, store: StoreService) -> None:
        self._connection = connection
        self._lane = lane
        self._store = store
        self._stream = PduStream(connection)
        self._receiver = DimseReceiver(
            {c.context_id: c for c in lane.agreed.contexts if c.accepted}, self._open_sink
        )

    def run(self) -> str:
        """Serve until the peer releases or aborts; return which of the two, for the record.

        Raises:
            ProtocolViolationError, PeerTooSlowError, PeerGoneError, NodeStoppingError: the
                association ended otherwise; nothing half-received is left.
        """
        try:
            return self._serve()
        finally:
            self._receiver.abandon()

    def _serve(self) -> str:
        while True:
            if self._receiver.between_messages:
                self._connection.pace(self._lane.limits.patience_s, between_messages=True)
            kind, length = pdus.HEADER.unpack(self._stream.take(pdus.HEADER.size))
            if kind == PduType.P_DATA_TF:
                take_p_data(
                    self._connection,
                    self._stream,
                    length,
                    self._lane.limits.own_max_length,
                    self._take_fragment,
                )
            elif kind in _ENDINGS and length == 4:
                self._stream.take(4)
                ending, farewell = _ENDINGS[kind]
                if farewell:
                    self._connection.send(farewell, self._lane.limits.patience_s)
                return ending
            else:
                raise unexpected_pdu(kind)

    def _take_fragment(self, context_id: int, control: int, length: int) -> None:
        self._receiver.begin(context_id, control)
        while length:
            piece = self._stream.some(length)
            length -= len(piece)
            try:
                self._receiver.data(piece)
            except InstanceTooLargeError:
                self._answer_overrun()
                raise
        message = self._receiver.end()
        if message is not None:
            self._answer(message)

    def _open_sink(self, command: Command, context: NegotiatedContext) -> DatasetSink:
        if command.field == CommandField.C_STORE_RQ:
            lane = self._lane
            return self._store.receive(command, context, lane.caller, lane.tally)
        return BoundedBuffer(_MAX_UNKNOWN_DATASET_BYTES, keep=False)

    def _answer(self, message: Message) -> None:
        answer = answer_locally(message, self._lane.tally)
        if answer is not None:
            self._send_answer(message, answer)

    def _answer_overrun(self) -> None:
        message = self._receiver.unfinished()
        if message is not None and isinstance(message.sink, StoreReception):
            self._send_answer(message, message.sink.finish())

    def _send_answer(self, message: Message, answer: Answer) -> None:
        data = pdus.command_p_data(
            message.context.context_id,
            encode_answer(message.command, answer),
            self._lane.limits.peer_max_length,
        )
        self._connection.send(data, self._lane.limits.patience_s)


_ENDINGS: dict[int, tuple[str, bytes]] = {
    PduType.RELEASE_RQ: ("released", pdus.RELEASE_RP),
    PduType.ABORT: ("aborted by the peer", b""),
}
