"""The errors viewer_api raises between its own parts; the HTTP edge turns them into statuses."""

from __future__ import annotations

from hub_kernel.errors import HubError


class ViewerError(HubError):
    """Root of what viewer_api raises."""


class BadQueryError(ViewerError):
    """A query parameter cannot be understood or is out of bounds; answered with 400."""


class NotAcceptableError(ViewerError):
    """No representation the asker accepts can be made of what is stored; answered with 406."""


class UnusableBytesError(ViewerError):
    """The stored bytes do not hold what was asked for (a frame, an element); answered with 404."""


class MediumTooLargeError(ViewerError):
    """A study holds more than a medium takes; answered with 413 and what to do instead."""


class RangeNotSatisfiableError(ViewerError):
    """A byte range lies outside the representation of `length` bytes; answered with 416."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the byte range lies outside the {length} bytes there are")
        self.length = length
