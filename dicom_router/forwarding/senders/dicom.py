"""Destinations that take C-STORE, plain or by TLS (PS3.4 annex B)."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from pydicom.uid import UID

from dicom_router.errors import PeerGoneError, PeerTooSlowError, ProtocolViolationError
from dicom_router.forwarding.sender import DestinationUnavailableError, Pace, Parcel, Sent, paced
from dicom_router.forwarding.verdicts import Verdict, verdict_of
from dicom_router.routing.model import TransferChoice
from dicom_router.sending.errors import (
    AssociationRejectedError,
    DestinationUnreachableError,
    InstanceUnavailableError,
    NoAcceptableContextError,
    TranscodingError,
)
from dicom_router.sending.model import Destination, OutgoingInstance, SendLimits, StoreAnswer
from dicom_router.sending.outgoing import OutgoingInstances
from dicom_router.sending.storing import StoreAssociation, proposals_for

SYNTAX_OF: Mapping[TransferChoice, str] = {
    TransferChoice.HTJ2K_LOSSLESS: "1.2.840.10008.1.2.4.201",
    TransferChoice.JPEG_LS_LOSSLESS: "1.2.840.10008.1.2.4.80",
    TransferChoice.UNCOMPRESSED: "1.2.840.10008.1.2.1",
}
NO_BYTES = "the archive's bytes are missing or damaged; run eirhub archive verify"
_OVER = (PeerGoneError, PeerTooSlowError, ProtocolViolationError)


@dataclass(frozen=True)
class DicomSender:
    """Sends by C-STORE; what the peer does not take as stored is recoded without loss."""

    destination: Destination
    instances: OutgoingInstances
    limits: SendLimits = SendLimits()

    def send(self, parcels: Sequence[Parcel], pace: Pace) -> Generator[Sent, None, None]:
        """Send over one association; over more only for more SOP classes than one can name."""
        coded = [(one.instance.sop_class_uid, one.instance.transfer_syntax_uid) for one in parcels]
        wanted = dict.fromkeys(filter(None, map(wanted_syntax, parcels)))
        left = list(parcels)
        for proposals in proposals_for(coded, tuple(wanted)):
            named = {proposal.sop_class_uid for proposal in proposals}
            here = [one for one in left if one.instance.sop_class_uid in named]
            left = [one for one in left if one not in here]
            try:
                association = StoreAssociation.open(self.destination, proposals, self.limits)
            except AssociationRejectedError as error:
                permanent = not error.transient
                raise DestinationUnavailableError(str(error), permanent=permanent) from error
            except (DestinationUnreachableError, *_OVER) as error:
                raise DestinationUnavailableError(str(error)) from error
            with association:
                yield from self._stored(association, here, pace)

    def _stored(
        self, association: StoreAssociation, parcels: Sequence[Parcel], pace: Pace
    ) -> Iterator[Sent]:
        for parcel in parcels:
            try:
                yield self._store(association, parcel, pace)
            except _OVER as error:
                reason = f"the association broke: {error}"
                in_flight = parcel.item.item_id
                raise DestinationUnavailableError(reason, in_flight=in_flight) from error

    def _store(self, association: StoreAssociation, parcel: Parcel, pace: Pace) -> Sent:
        item_id = parcel.item.item_id
        taken = association.accepted.get(parcel.instance.sop_class_uid, ())
        try:
            with ExitStack() as stack:
                outgoing = self._fitted(stack, parcel, taken)
                slowly = replace(outgoing, dataset=lambda: paced(outgoing.dataset(), pace))
                answer = association.store(slowly)
        except InstanceUnavailableError:
            return Sent(item_id, Verdict.PARK, "no bytes", NO_BYTES)
        except (NoAcceptableContextError, TranscodingError):
            return Sent(item_id, Verdict.PARK, "no context", _refused(parcel, taken))
        return _sent(item_id, answer, outgoing.transfer_syntax_uid)

    def _fitted(self, stack: ExitStack, parcel: Parcel, taken: Sequence[str]) -> OutgoingInstance:
        """Return the form to send: as the rule wants, else as stored, else what the peer takes."""
        wanted = wanted_syntax(parcel)
        if wanted in taken and wanted != parcel.instance.transfer_syntax_uid:
            with suppress(TranscodingError):
                recoded = self.instances.recoding.recoded(parcel.instance, [wanted])
                return stack.enter_context(recoded)
        return stack.enter_context(self.instances.fitted(parcel.instance, taken))


def wanted_syntax(parcel: Parcel) -> str:
    """Return the transfer syntax the rule wants, empty for the stored one."""
    return SYNTAX_OF.get(TransferChoice(parcel.item.wanted_syntax), "")


def _sent(item_id: int, answer: StoreAnswer, syntax: str) -> Sent:
    known = verdict_of(answer.status)
    comment = f"{known.meaning}: {answer.comment}" if answer.comment else known.meaning
    return Sent(item_id, known.verdict, f"0x{answer.status:04X}", comment, syntax)


def _refused(parcel: Parcel, taken: Sequence[str]) -> str:
    sop_class = UID(parcel.instance.sop_class_uid).name
    if not taken:
        return f"the destination does not take {sop_class}"
    stored = UID(parcel.instance.transfer_syntax_uid).name
    return f"the destination does not take {sop_class} as {stored}, and it cannot be transcoded"
