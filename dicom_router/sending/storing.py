"""C-STORE SCU and Storage Commitment SCU on one association (PS3.4 annexes B and J).

    with StoreAssociation.open(destination, proposals, limits) as peer:
        answer = peer.store(instance)

`NoAcceptableContextError` and `InstanceUnavailableError` concern one instance and leave the
association as it was; everything else that is raised has ended it: open another for the rest.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import TracebackType
from typing import Self

from dicom_router.answer import Answer
from dicom_router.association_request import MAX_CONTEXTS
from dicom_router.commands import (
    CommandField,
    MoveOriginator,
    encode_action_request,
    encode_answer,
    encode_store_request,
)
from dicom_router.commitment_messages import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_ACTION,
    CommitmentReport,
    CommitmentRequest,
    decode_report,
    encode_request,
)
from dicom_router.dimse_receiver import BoundedBuffer, Message
from dicom_router.errors import PeerTooSlowError, UnreadableRequestError
from dicom_router.presentation import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dicom_router.sending.association import RequestedAssociation, open_association
from dicom_router.sending.errors import InstanceUnavailableError, NoAcceptableContextError
from dicom_router.sending.model import (
    Destination,
    OutgoingInstance,
    Proposal,
    SendLimits,
    StoreAnswer,
)

NATIVE = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
COMMITMENT = Proposal(PUSH_MODEL, NATIVE)
_SUCCESS = Answer(0x0000)
_UNRECOGNIZED = Answer(0x0211)
_UNREADABLE = Answer(0x0115)


class StoreAssociation:
    """An established association to store on. Used by one thread, `cancel` excepted."""

    def __init__(
        self, destination: Destination, proposals: Sequence[Proposal], limits: SendLimits
    ) -> None:
        self._reports: dict[str, CommitmentReport] = {}
        self._peer: RequestedAssociation = open_association(
            destination, proposals, limits, self._answer
        )

    @classmethod
    def open(
        cls,
        destination: Destination,
        proposals: Sequence[Proposal],
        limits: SendLimits | None = None,
    ) -> Self:
        """Return an association on which 1 to 128 `proposals` have been decided by the peer.

        Raises:
            DestinationUnreachableError, AssociationRejectedError: no association.
            PeerTooSlowError, PeerGoneError, ProtocolViolationError: the same, less politely.
        """
        return cls(destination, proposals, limits or SendLimits())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the association; abort it if something was raised."""
        if kind is None:
            self.release()
        else:
            self._peer.abort()

    @property
    def accepted(self) -> Mapping[str, tuple[str, ...]]:
        """The transfer syntaxes the peer takes, by SOP class, in the order proposed."""
        taken: dict[str, tuple[str, ...]] = {}
        for context in self._peer.contexts:
            if context.accepted:
                known = taken.get(context.abstract_syntax, ())
                taken[context.abstract_syntax] = (*known, context.transfer_syntax)
        return taken

    def store(
        self, instance: OutgoingInstance, originator: MoveOriginator | None = None
    ) -> StoreAnswer:
        """Send one instance as it is and return the peer's answer, whatever it says.

        Raises:
            NoAcceptableContextError: no context for its SOP class in its transfer syntax.
            InstanceUnavailableError: its bytes cannot be had; nothing was sent.
            PeerTooSlowError, PeerGoneError, ProtocolViolationError, SendingCancelledError: the
                association is over; whether the peer has kept the instance is not known.
                Any error of `instance.dataset` after its first piece ends it just so.
        """
        context = self._peer.context_for(instance.sop_class_uid, instance.transfer_syntax_uid)
        if context is None:
            raise NoAcceptableContextError("the peer does not take this SOP class so encoded")
        pieces = instance.dataset()
        first = next(pieces, b"")
        if not first:
            raise InstanceUnavailableError("the dataset is empty")
        message_id = self._peer.next_message_id()
        command = encode_store_request(
            message_id, instance.sop_class_uid, instance.sop_instance_uid, originator
        )
        dataset = chain([first], pieces)
        response = self._peer.request(context.context_id, command, dataset, message_id)
        return StoreAnswer(response.status, response.error_comment)

    def request_commitment(self, request: CommitmentRequest) -> StoreAnswer:
        """Ask the peer to take over the instances named; return its answer to the asking.

        The report comes later: by `await_report` on this association, or on one the peer opens.
        `COMMITMENT` must be among the proposals.

        Raises:
            NoAcceptableContextError: the peer does not provide storage commitment.
            PeerTooSlowError, PeerGoneError, ProtocolViolationError, SendingCancelledError: the
                association is over; the peer may have taken the request.
        """
        context = self._peer.context_for(PUSH_MODEL)
        if context is None:
            raise NoAcceptableContextError("the peer does not provide storage commitment")
        message_id = self._peer.next_message_id()
        command = encode_action_request(message_id, PUSH_MODEL, PUSH_MODEL_INSTANCE, REQUEST_ACTION)
        dataset = [encode_request(request, context.transfer_syntax)]
        response = self._peer.request(context.context_id, command, dataset, message_id)
        return StoreAnswer(response.status, response.error_comment)

    def await_report(self, transaction_uid: str, patience_s: float) -> CommitmentReport | None:
        """Return the report on a transaction, None when it has not come after `patience_s`.

        After None the association is over: the peer then opens one of its own to report.

        Raises:
            PeerGoneError, ProtocolViolationError, SendingCancelledError: the association is over.
        """
        deadline = time.monotonic() + patience_s
        while transaction_uid not in self._reports:
            rest_s = deadline - time.monotonic()
            if rest_s <= 0:
                self.release()
                return None
            try:
                self._peer.serve(rest_s)
            except PeerTooSlowError:
                return None
        return self._reports.pop(transaction_uid)

    @property
    def is_over(self) -> bool:
        """Tell whether the association has ended."""
        return self._peer.is_over

    def release(self) -> None:
        """End the association in order; harmless when it has ended."""
        self._peer.release()

    def cancel(self) -> None:
        """Break off what is under way, from any thread: it raises `SendingCancelledError`."""
        self._peer.cancel()

    def _answer(self, message: Message) -> bytes | None:
        """Answer what the peer asks of us: a report on a commitment, or an echo."""
        command = message.command
        if not command.wants_answer:
            return None
        answer = _SUCCESS if command.field == CommandField.C_ECHO_RQ else _UNRECOGNIZED
        if command.field == CommandField.N_EVENT_REPORT_RQ:
            answer = self._hear(message)
        return encode_answer(command, answer)

    def _hear(self, message: Message) -> Answer:
        data = bytes(message.sink.data) if isinstance(message.sink, BoundedBuffer) else b""
        try:
            report = decode_report(data, message.context.transfer_syntax)
        except UnreadableRequestError:
            return _UNREADABLE
        self._reports[report.transaction_uid] = report
        return _SUCCESS


def proposals_for(
    coded: Iterable[tuple[str, str]], preferred: Sequence[str] = ()
) -> list[tuple[Proposal, ...]]:
    """Return what to propose for instances of (SOP class, stored transfer syntax).

    There is one tuple for each association that is needed: one, in all but absurd cases.
    Every SOP class is proposed in each `preferred` syntax, in each stored one, and in the native
    ones every peer must take (PS3.5 10.1), each in a context of its own so that the answer says
    all that the peer takes.
    """
    stored: dict[str, list[str]] = {}
    for sop_class_uid, syntax in coded:
        stored.setdefault(sop_class_uid, []).append(syntax)
    associations: list[tuple[Proposal, ...]] = []
    for sop_class_uid, syntaxes in stored.items():
        wanted = dict.fromkeys((*preferred, *syntaxes, *NATIVE))
        proposals = tuple(Proposal(sop_class_uid, (syntax,)) for syntax in wanted)[:MAX_CONTEXTS]
        if associations and len(associations[-1]) + len(proposals) <= MAX_CONTEXTS:
            associations[-1] += proposals
        else:
            associations.append(proposals)
    return associations
