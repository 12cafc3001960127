"""What can end an association early; each error knows what PS3.8 wants the peer to be told."""

from dataclasses import replace
from enum import IntEnum

from dicom_router.answer import Answer
from hub_kernel.errors import HubError


class DicomRouterError(HubError):
    """The root of this package's errors."""


class AbortReason(IntEnum):
    """Reason of an A-ABORT sent by the service provider (PS3.8 table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER = 6


class ProtocolViolationError(DicomRouterError):
    """The peer broke PS3.7 or PS3.8; the association ends with an A-ABORT of that reason."""

    def __init__(self, message: str, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        super().__init__(message)
        self.reason = reason


class PeerTooSlowError(DicomRouterError):
    """The peer fell silent, or sent slower than anything that is still alive."""


class PeerGoneError(DicomRouterError):
    """The transport connection was closed or reset by the peer."""


class TlsRefusedError(DicomRouterError):
    """A TLS handshake failed; the message says why, for the log and the audit trail."""


class ProxyHeaderError(DicomRouterError):
    """A proxy did not say properly for whom it speaks; the message says why."""


class PeerAbortedError(PeerGoneError):
    """The peer sent an A-ABORT; there is nothing to answer."""


class PeerReleasedError(DicomRouterError):
    """The peer sent an A-RELEASE-RQ; it waits for the A-RELEASE-RP."""


class NodeStoppingError(DicomRouterError):
    """The node is being stopped and the association was between two messages."""


class AssociationRefusedError(DicomRouterError):
    """The association is answered with an A-ASSOCIATE-RJ (PS3.8 table 9-21).

    `result` 1 is permanent, 2 transient. `source` 1 is the service user, 2 and 3 the provider.
    """

    def __init__(self, message: str, *, result: int, source: int, reason: int) -> None:
        super().__init__(message)
        self.result = result
        self.source = source
        self.reason = reason


class InstanceTooLargeError(ProtocolViolationError):
    """A dataset passed the size limit; it is answered at once and the association ended."""


class QueryRefusedError(DicomRouterError):
    """A C-FIND that is answered with a failure status at once, naming the offending elements."""

    def __init__(self, answer: Answer, *offending_tags: int) -> None:
        super().__init__(answer.comment)
        self.answer = replace(answer, offending_tags=offending_tags)


class UnreadableRequestError(DicomRouterError):
    """The dataset of a storage commitment message cannot be understood."""
