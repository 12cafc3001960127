"""Serve an association that may do more than store: query, retrieve, commit (PS3.4 C and J).

Every request is served to its end in the association's own thread, one after the other, as no more
than one was negotiated (PS3.7 D.3.3.3); `Conversation` hears cancels in between.
"""

import time
from collections.abc import Callable
from contextlib import closing

from dicom_router import pdus
from dicom_router.commands import Command, CommandField, encode_event_report_request
from dicom_router.commitment_messages import PUSH_MODEL_INSTANCE
from dicom_router.connection import Connection
from dicom_router.conversation import Conversation
from dicom_router.dimse_receiver import BoundedBuffer, DatasetSink, Message
from dicom_router.errors import InstanceTooLargeError, PeerAbortedError, PeerReleasedError
from dicom_router.handlers.c_store import StoreReception
from dicom_router.handlers.local import answer_locally
from dicom_router.lane import Lane
from dicom_router.model import Query
from dicom_router.presentation import (
    GET_SOP_CLASSES,
    MOVE_SOP_CLASSES,
    QUERY_SOP_CLASSES,
    STORAGE_COMMITMENT_PUSH_MODEL,
    NegotiatedContext,
)
from dicom_router.services import Services
from dicom_router.statuses import NO_IDENTIFIER, NO_RETRIEVE_IDENTIFIER

_MAX_IDENTIFIER_BYTES = 1024 * 1024
_MAX_REFERENCES_BYTES = 32 * 1024 * 1024
_LOOK_AGAIN_S = 0.1
_LONGEST_WAIT_S = 900.0


class ServiceLane:
    """One established association, served in the calling thread until it ends."""

    def __init__(self, connection: Connection, lane: Lane, services: Services) -> None:
        self._connection = connection
        self._lane = lane
        self._services = services
        self._conversation = Conversation(connection, lane, self._open_sink)
        self._owed: dict[int, NegotiatedContext] = {}

    def run(self) -> str:
        """Serve until the peer releases or aborts; return which of the two, for the record.

        Raises:
            ProtocolViolationError, PeerTooSlowError, PeerGoneError, NodeStoppingError: the
                association ended otherwise; nothing half-received is left.
        """
        try:
            while True:
                self._report_while_idle()
                self._serve(self._conversation.next_request())
        except PeerReleasedError:
            self._connection.send(pdus.RELEASE_RP, self._lane.limits.patience_s)
            return "released"
        except PeerAbortedError:
            return "aborted by the peer"
        except InstanceTooLargeError:
            self._answer_overrun()
            raise
        finally:
            self._conversation.abandon()
            self._services.commitment.desk.leave(self._owed)

    def _serve(self, message: Message) -> None:
        served = _SERVED.get((message.command.field, message.context.abstract_syntax))
        if served is not None:
            self._conversation.begin(message)
            served(self, message)
            return
        answer = answer_locally(message, self._lane.tally)
        if answer is not None:
            self._conversation.answer(message, answer)

    def _find(self, message: Message) -> None:
        query = self._query(message)
        if query is None:
            self._conversation.answer(message, NO_IDENTIFIER)
            return
        lane = self._lane
        answers = self._services.find.answers(
            query, lane.caller, lane.tally, lambda: self._conversation.is_cancelled(message)
        )
        with closing(answers):
            for answer, identifier in answers:
                self._conversation.answer(message, answer, identifier)

    def _retrieve(self, message: Message) -> None:
        query = self._query(message)
        if query is None:
            self._conversation.answer(message, NO_RETRIEVE_IDENTIFIER)
            return
        self._services.retrieve.serve(self._conversation, message, query)

    def _commit(self, message: Message) -> None:
        answer, row_id = self._services.commitment.asked(message, self._lane.caller)
        self._lane.tally.count("commitment")
        if row_id is not None:
            self._owed[row_id] = message.context
        self._conversation.answer(message, answer)

    def _hear_report(self, message: Message) -> None:
        answer = self._services.commitment.told(message, self._lane.caller)
        self._lane.tally.count("commitment report")
        self._conversation.answer(message, answer)

    def _report_while_idle(self) -> None:
        """Say what storage commitment has found, on this association, until the peer speaks.

        A peer that waits for a report is not silent: looking at many instances takes its time.
        """
        deadline = time.monotonic() + _LONGEST_WAIT_S
        desk = self._services.commitment.desk
        while self._owed and not self._conversation.has_request(_LOOK_AGAIN_S):
            for transaction in desk.ready(self._owed):
                context = self._owed[transaction.row_id]
                message_id = self._conversation.next_message_id()
                response = self._conversation.ask(
                    context.context_id,
                    encode_event_report_request(
                        message_id,
                        STORAGE_COMMITMENT_PUSH_MODEL,
                        PUSH_MODEL_INSTANCE,
                        transaction.report().event_type_id,
                    ),
                    [desk.encoded_report(transaction, context.transfer_syntax)],
                    self._lane.limits.patience_s,
                )
                desk.heard(transaction, response.status)
                del self._owed[transaction.row_id]
            if time.monotonic() > deadline:
                return

    def _query(self, message: Message) -> Query | None:
        if not isinstance(message.sink, BoundedBuffer):
            return None
        model = message.context.abstract_syntax
        return Query(
            sop_class_uid=model,
            transfer_syntax_uid=message.context.transfer_syntax,
            identifier=bytes(message.sink.data),
            extended=self._lane.agreed.extended.get(model, b""),
        )

    def _answer_overrun(self) -> None:
        message = self._conversation.unfinished()
        if message is not None and isinstance(message.sink, StoreReception):
            self._conversation.answer(message, message.sink.finish())

    def _open_sink(self, command: Command, context: NegotiatedContext) -> DatasetSink:
        lane = self._lane
        if command.field == CommandField.C_STORE_RQ:
            return self._services.store.receive(command, context, lane.caller, lane.tally)
        keep = (command.field, context.abstract_syntax) in _SERVED
        commitment = context.abstract_syntax == STORAGE_COMMITMENT_PUSH_MODEL
        limit = _MAX_REFERENCES_BYTES if commitment else _MAX_IDENTIFIER_BYTES
        return BoundedBuffer(limit, keep=keep)


_COMMITMENT = frozenset({STORAGE_COMMITMENT_PUSH_MODEL})
_Serving = Callable[[ServiceLane, Message], None]
_OPERATIONS: tuple[tuple[CommandField, frozenset[str], _Serving], ...] = (
    (CommandField.C_FIND_RQ, QUERY_SOP_CLASSES, ServiceLane._find),  # noqa: SLF001 (its own table)
    (CommandField.C_MOVE_RQ, MOVE_SOP_CLASSES, ServiceLane._retrieve),  # noqa: SLF001
    (CommandField.C_GET_RQ, GET_SOP_CLASSES, ServiceLane._retrieve),  # noqa: SLF001
    (CommandField.N_ACTION_RQ, _COMMITMENT, ServiceLane._commit),  # noqa: SLF001
    (CommandField.N_EVENT_REPORT_RQ, _COMMITMENT, ServiceLane._hear_report),  # noqa: SLF001
)
_SERVED: dict[tuple[int, str], _Serving] = {
    (field, sop_class): serving for field, classes, serving in _OPERATIONS for sop_class in classes
}
