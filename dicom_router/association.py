"""One association from its first byte to its record: request, admission, negotiation, lane.

The upper layer's part is PS3.8 9.2: states 2 (awaiting the A-ASSOCIATE-RQ) to 6 (established).
"""

import logging
from dataclasses import dataclass

from dicom_router import pdus
from dicom_router.admission import Admission
from dicom_router.association_audit import AssociationAudit
from dicom_router.association_request import AssociationRequest, parse_association_request
from dicom_router.connection import Connection
from dicom_router.door import Door, Slot
from dicom_router.errors import (
    AbortReason,
    AssociationRefusedError,
    NodeStoppingError,
    PeerGoneError,
    PeerTooSlowError,
    ProtocolViolationError,
)
from dicom_router.fast_lane import FastLane
from dicom_router.lane import Lane
from dicom_router.message_stream import Limits
from dicom_router.model import Caller, Tally
from dicom_router.pdus import PduType, clamped_length
from dicom_router.presentation import Offer
from dicom_router.service_lane import ServiceLane
from dicom_router.services import Services
from hub_kernel.metrics import Metrics
from hub_kernel.settings import RouterSettings

log = logging.getLogger(__name__)

_MAX_REQUEST_BYTES = 256 * 1024
_FAREWELL_S = 2.0
_ENDINGS = (ProtocolViolationError, PeerTooSlowError, PeerGoneError, NodeStoppingError)


@dataclass(frozen=True)
class Reception:
    """What every association of the node is met with."""

    settings: RouterSettings
    admission: Admission
    offer: Offer
    services: Services
    door: Door
    audit: AssociationAudit
    metrics: Metrics

    def serve(self, connection: Connection) -> None:
        """Serve `connection` until its association has ended; leaves it open, but silent."""
        title = ""
        try:
            request = self._request(connection)
            title = request.calling_ae_title
            caller = self.admission.admit(request, connection)
            self.door.establish(connection, Slot.of(caller.site))
        except AssociationRefusedError as refusal:
            self._refuse(connection, title, refusal)
        except _ENDINGS as ending:
            self._break_off(connection, ending)
            if not isinstance(ending, NodeStoppingError):
                self._count("failed")
                self.audit.refused(connection.address, title, str(ending))
        else:
            self._serve_admitted(connection, request, caller)

    def turned_away(self, connection: Connection, reason: str) -> None:
        """Note a peer that never came as far as an A-ASSOCIATE-RQ."""
        self._count("failed")
        self.audit.refused(connection.address, "", reason)

    def _request(self, connection: Connection) -> AssociationRequest:
        connection.pace(self.settings.association_timeout_s, between_messages=True)
        header = connection.receive_exactly(pdus.HEADER.size)
        kind, length = pdus.HEADER.unpack(header)
        if kind != PduType.ASSOCIATE_RQ:
            known = kind in set(PduType)
            raise ProtocolViolationError(
                "not an A-ASSOCIATE-RQ",
                AbortReason.UNEXPECTED_PDU if known else AbortReason.UNRECOGNIZED_PDU,
            )
        if length > _MAX_REQUEST_BYTES:
            raise ProtocolViolationError(
                "an A-ASSOCIATE-RQ of more than 256 KiB", AbortReason.INVALID_PDU_PARAMETER
            )
        return parse_association_request(header + connection.receive_exactly(length))

    def _serve_admitted(
        self, connection: Connection, request: AssociationRequest, caller: Caller
    ) -> None:
        lane = Lane(
            caller=caller,
            request=request,
            agreed=self.offer.for_site(caller.site).agree(request),
            limits=Limits(
                patience_s=self.settings.idle_timeout_s,
                peer_max_length=clamped_length(request.max_length),
                own_max_length=self.settings.max_pdu_bytes,
            ),
            tally=Tally(),
        )
        log.info("association admitted", extra=_names(caller))
        try:
            with self.metrics.associations_open.track_inprogress():
                ending = self._run(connection, lane)
        except _ENDINGS as broken:
            self.door.leave(connection)
            self._break_off(connection, broken)
            self._count("failed")
            self._record(lane, str(broken), orderly=False)
        else:
            self.door.leave(connection)
            self._count("served")
            self._record(lane, ending, orderly=ending == "released")

    def _run(self, connection: Connection, lane: Lane) -> str:
        if connection.has_unread_bytes():
            raise ProtocolViolationError(
                "data before the association was accepted", AbortReason.UNEXPECTED_PDU
            )
        accepted = pdus.associate_ac(lane.request, lane.agreed, lane.limits.own_max_length)
        connection.send(accepted, lane.limits.patience_s)
        if lane.agreed.is_store_only:
            return FastLane(connection, lane, self.services.store).run()
        return ServiceLane(connection, lane, self.services).run()

    def _refuse(self, connection: Connection, title: str, refusal: AssociationRefusedError) -> None:
        self._count("rejected")
        log.warning(
            "association rejected",
            extra={"calling": ascii(title), "address": connection.address, "reason": str(refusal)},
        )
        self.audit.refused(connection.address, title, str(refusal))
        self._say(connection, pdus.associate_rj(refusal))

    def _break_off(self, connection: Connection, ending: Exception) -> None:
        if isinstance(ending, PeerGoneError):
            return
        reason = getattr(ending, "reason", AbortReason.NOT_SPECIFIED)
        self._say(connection, pdus.abort(reason))

    def _say(self, connection: Connection, pdu: bytes) -> None:
        """Send a last PDU and give the peer a moment to take it and close (PS3.8 state 13)."""
        try:
            connection.send(pdu, _FAREWELL_S)
            connection.drain(_FAREWELL_S)
        except (PeerGoneError, PeerTooSlowError):
            return  # nobody is left to be told

    def _record(self, lane: Lane, ending: str, *, orderly: bool) -> None:
        log.info(
            "association ended",
            extra=_names(lane.caller) | {"ending": ending, "outcomes": str(lane.tally)},
        )
        self.audit.ended(lane.caller, lane.tally, ending, orderly=orderly)

    def _count(self, outcome: str) -> None:
        self.metrics.associations.labels(outcome).inc()


def _names(caller: Caller) -> dict[str, str]:
    """Who calls, safe in a log line whatever is in the titles."""
    return {
        "site": caller.site.site_id,
        "calling": ascii(caller.calling_ae_title),
        "called": ascii(caller.called_ae_title),
        "address": caller.address,
    }
