"""The byte range a request asks for (RFC 9110 14)."""

from __future__ import annotations

from flask import request

from viewer_api.errors import RangeNotSatisfiableError


def asked_range(length: int) -> tuple[int, int]:
    """Return first byte and one past the last; more than one range counts as none (RFC 9110).

    Raises:
        RangeNotSatisfiableError: the range lies outside.
    """
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return 0, length
    found = asked.range_for_length(length)
    if found is None:
        raise RangeNotSatisfiableError(length)
    return found
