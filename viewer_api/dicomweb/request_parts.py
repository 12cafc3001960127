"""Reads the parts of a `multipart/related` request as they come (RFC 2046 5.1, PS3.18 8.6.1.2).

Nothing is held beyond one piece of a part; heads are bounded, whatever the sender claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from viewer_api.errors import BadQueryError

if TYPE_CHECKING:
    from typing import IO

_PIECE = 1 << 18
_LARGEST_HEAD = 1 << 14
_LONGEST_BOUNDARY = 70
_LINE = b"\r\n"
_ENDLESS_HEAD = "the head of a part is too large, or ends with no empty line (lines end in CR LF)"


@dataclass(frozen=True)
class RequestPart:
    """One part: its fields by lower-case name, and its bytes, which can be read once."""

    fields: dict[str, str]
    pieces: Iterator[bytes]


def request_parts(stream: IO[bytes], boundary: str) -> Iterator[RequestPart]:
    """Yield the parts of `stream` in order; what is left unread of one is passed over.

    Raises:
        BadQueryError: the boundary is none, a head is too large, or the body ends early.
    """
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
        raise BadQueryError("multipart/related needs a boundary of at most 70 characters")
    yield from _Parts(stream, boundary.encode("ascii")).all()


class _Parts:
    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self._stream = stream
        self._delimiter = _LINE + b"--" + boundary
        # The first delimiter may stand at the very beginning, without its line break.
        self._held = bytearray(_LINE)
        self._inside = True

    def all(self) -> Iterator[RequestPart]:
        self._pass_over()
        while not self._is_last():
            self._inside = True
            yield RequestPart(self._fields(), self._pieces())
            self._pass_over()

    def _pass_over(self) -> None:
        for _ in self._pieces():
            pass

    def _pieces(self) -> Iterator[bytes]:
        """Yield what stands before the next delimiter, and step behind that."""
        kept = len(self._delimiter) - 1
        while self._inside:
            end = self._held.find(self._delimiter)
            if end >= 0:
                piece = bytes(self._held[:end])
                del self._held[: end + len(self._delimiter)]
                self._inside = False
            else:
                piece = bytes(self._held[:-kept])
                del self._held[: len(piece)]
                self._more()
            if piece:
                yield piece

    def _is_last(self) -> bool:
        while len(self._held) < 2:
            self._more()
        return self._held[:2] == b"--"

    def _fields(self) -> dict[str, str]:
        while (end := self._held.find(_LINE + _LINE)) < 0:
            if len(self._held) > _LARGEST_HEAD:
                raise BadQueryError(_ENDLESS_HEAD)
            self._more()
        if end > _LARGEST_HEAD:
            raise BadQueryError(_ENDLESS_HEAD)
        head = self._held[:end].decode("latin-1")
        del self._held[: end + 4]
        # A part without any byte ends with the line break that its delimiter begins with.
        self._held[:0] = _LINE if self._held.startswith(self._delimiter[2:]) else b""
        lines = (line.partition(":") for line in head.split("\r\n"))
        return {name.strip().lower(): value.strip() for name, _, value in lines if name.strip()}

    def _more(self) -> None:
        piece = self._stream.read(_PIECE)
        if not piece:
            raise BadQueryError("the body ends before its last delimiter")
        self._held += piece
