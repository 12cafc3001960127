"""What goes wrong between an edge and its hub, one error per decision a caller can take."""

from hub_kernel.errors import HubError


class EdgeError(HubError):
    """The root of the gateway's errors."""


class LineDownError(EdgeError):
    """The hub was not reached, or the line broke: nothing is decided, try again."""


class UnprovenHubError(LineDownError):
    """Who answered does not prove to be the hub, so nothing was said; `reason` names why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class HubNotReadyError(EdgeError):
    """The hub answered that it cannot take anything now: try again later."""


class NotAdmittedError(EdgeError):
    """The hub does not know this edge, or not for this site: a person must mend the credential."""


class RefusedByHubError(EdgeError):
    """The hub refuses this one instance for good; `problem` names why (`edge_gateway.problems`)."""

    def __init__(self, problem: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class BadRequestError(EdgeError):
    """The edge said something the protocol does not know; answered with 400."""


class OffsetMismatchError(EdgeError):
    """The chunk does not begin where the hub's bytes end; answered with 409."""


class ChecksumMismatchError(EdgeError):
    """The chunk was changed on its way; nothing of it was kept; answered with 460."""


class DigestMismatchError(EdgeError):
    """The whole dataset is not what was offered; it was thrown away, begin again."""


class UploadBusyError(EdgeError):
    """Another request works on this upload; answered with 423."""


class TooManyUploadsError(EdgeError):
    """The site's room for unfinished uploads is taken; answered with 507."""


class InstanceTooLargeError(EdgeError):
    """The offered dataset is larger than the hub takes; answered with 413."""


class UploadGoneError(EdgeError):
    """There is no such unfinished upload; offer the instance again."""


class RefusedBeforeError(EdgeError):
    """These very bytes were refused before and lie in quarantine; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"refused before: {reason}")
        self.reason = reason


class SopClassRefusedError(EdgeError):
    """The site may not send instances of this SOP class."""


class QuotaExceededError(EdgeError):
    """The site has sent what it may send today; tomorrow it goes on."""
