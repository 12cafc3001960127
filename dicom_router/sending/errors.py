"""Why an instance did not go out; the errors of an association itself are in `dicom_router.errors`.

A caller that keeps a queue tells apart: the peer is away or busy (try again later), the peer says
no for good (a person must act), and this one instance cannot go (the others can).
"""

from dicom_router.errors import DicomRouterError


class SendingError(DicomRouterError):
    """The root of these errors."""


class DestinationUnreachableError(SendingError):
    """No transport connection could be made, TLS included."""


class AssociationRejectedError(SendingError):
    """The peer answered with an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        words = _REASONS.get((source, reason), "no reason given")
        kind = "for now" if result == 2 else "for good"
        super().__init__(f"association rejected {kind}: {words}")
        self.result = result
        self.source = source
        self.reason = reason

    @property
    def transient(self) -> bool:
        """Tell whether the peer says that a later try may succeed."""
        return self.result == 2


class NoAcceptableContextError(SendingError):
    """The peer takes the SOP class not at all, or not in this transfer syntax; others may go."""


class InstanceUnavailableError(SendingError):
    """The instance's own bytes are missing or damaged; nothing of it was sent, others may go."""


class TranscodingError(SendingError):
    """The instance cannot be brought into what the peer takes; `reason` is a short word."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot be transcoded: {reason}")
        self.reason = reason


class SendingCancelledError(SendingError):
    """`cancel` was called; what was under way was broken off."""


_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
