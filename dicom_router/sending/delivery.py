"""Archived instances to one destination, over as many associations as it takes.

An association that breaks costs the instance it broke on; the next goes over a new one. What one
association cannot propose (128 contexts) goes over another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dicom_router.commands import MoveOriginator
from dicom_router.errors import DicomRouterError
from dicom_router.sending.errors import DestinationUnreachableError
from dicom_router.sending.model import Destination, Proposal, SendLimits, StoreAnswer
from dicom_router.sending.outgoing import OutgoingInstances
from dicom_router.sending.storing import StoreAssociation, proposals_for
from image_archive.model import InstanceRecord

_MOST_BROKEN = 3


@dataclass(frozen=True)
class DeliveryParts:
    """How instances are made ready, and the deadlines of sending them."""

    outgoing: OutgoingInstances
    limits: SendLimits


class Delivery:
    """Sends `records` to a destination; `store` them in any order, then leave the block."""

    def __init__(
        self, parts: DeliveryParts, destination: Destination, records: Iterable[InstanceRecord]
    ) -> None:
        self._parts = parts
        self._destination = destination
        coded = dict.fromkeys((one.sop_class_uid, one.transfer_syntax_uid) for one in records)
        self._plans = proposals_for(coded)
        self._plan: tuple[Proposal, ...] = ()
        self._peer: StoreAssociation | None = None
        self._broken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the association, in order if nothing was raised."""
        if self._peer is not None:
            self._peer.__exit__(kind, error, trace)

    @property
    def is_hopeless(self) -> bool:
        """Tell whether the destination broke three associations in a row: more would be torture."""
        return self._broken >= _MOST_BROKEN

    def store(self, record: InstanceRecord, originator: MoveOriginator | None) -> StoreAnswer:
        """Send one instance and return the destination's answer, whatever it says.

        Raises:
            DestinationUnreachableError, AssociationRejectedError: there is no association.
            NoAcceptableContextError, TranscodingError, InstanceUnavailableError: only this one
                cannot go.
            PeerTooSlowError, PeerGoneError, ProtocolViolationError: the association broke on it.
        """
        peer = self._association_for(record)
        accepted = peer.accepted.get(record.sop_class_uid, ())
        with self._parts.outgoing.fitted(record, accepted) as instance:
            try:
                answer = peer.store(instance, originator)
            except DicomRouterError:
                self._broken += peer.is_over
                raise
        self._broken = 0
        return answer

    def _association_for(self, record: InstanceRecord) -> StoreAssociation:
        plan = next(
            plan
            for plan in self._plans
            if any(one.sop_class_uid == record.sop_class_uid for one in plan)
        )
        if self._peer is not None and not self._peer.is_over:
            if plan == self._plan:
                return self._peer
            self._peer.release()
        try:
            self._peer = StoreAssociation.open(self._destination, plan, self._parts.limits)
        except DicomRouterError as error:
            self._peer, self._broken = None, _MOST_BROKEN
            raise DestinationUnreachableError(str(error)) from error
        self._plan = plan
        return self._peer
