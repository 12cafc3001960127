"""What eir_versions refuses or cannot do."""

from eir_versions import reasons
from hub_kernel.errors import ConfigurationError, HubError


class EirError(HubError):
    """Root of the errors of this package."""


class UnrenderableInstanceError(EirError):
    """No picture can be made of this instance or frame.

    `reason` is a short word of `eir_versions.reasons`, safe to store and to show.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"unrenderable: {reason}")
        self.reason = reason


class StateNotPossibleError(UnrenderableInstanceError):
    """A presentation state asks for what is not done; `why` says for what, in words."""

    def __init__(self, why: str) -> None:
        super().__init__(reasons.STATE_NOT_POSSIBLE)
        self.why = why


class FrameNotFoundError(EirError):
    """The frame number is outside 1 to Number of Frames."""


class InvalidRecipeError(ConfigurationError):
    """A recipe file breaks the rule named in the message."""


class DecoderPoolStoppedError(EirError):
    """The decoder pool is not running."""


class RenditionLostError(EirError):
    """The stored bytes of a picture are missing or no longer match their digest."""


class VersionOvertakenError(EirError):
    """Another version was recorded while this one was rendered; the work is done over."""
