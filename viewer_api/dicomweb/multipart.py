"""Streams `multipart/related` answers part by part (RFC 2387, PS3.18 8.6.1.2)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flask import Response

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Part:
    """One part: its full content type, where it can be fetched alone, and its bytes in pieces."""

    content_type: str
    body: Iterable[bytes]
    location: str = ""


def multipart_response(media_type: str, parts: Iterator[Part]) -> Response:
    """Return an answer that streams `parts`; nothing is held beyond one piece at a time.

    The first part is opened before the status line, so what cannot be read at all still
    answers with an error. A later failure breaks the connection: never a silently short answer.
    """
    boundary = secrets.token_hex(16)
    first = next(parts, None)
    body = _encoded(first, parts, boundary)
    content_type = f'multipart/related; type="{media_type}"; boundary={boundary}'
    return Response(body, content_type=content_type)


def single_response(part: Part) -> Response:
    """Return `part` alone as the whole answer."""
    answer = Response(part.body, content_type=part.content_type)
    if part.location:
        answer.headers["Content-Location"] = part.location
    return answer


def pieces(file: object, length: int) -> Iterator[bytes]:
    """Yield `length` bytes of the open `file` from where it stands, then close it.

    Raises:
        EOFError: the file ends early; the answer must not look complete.
    """
    with file as source:  # type: ignore[attr-defined]
        left = length
        while left > 0:
            piece = source.read(min(_CHUNK, left))
            if not piece:
                raise EOFError("stored bytes end before their recorded length")
            left -= len(piece)
            yield piece


def _encoded(first: Part | None, rest: Iterator[Part], boundary: str) -> Iterator[bytes]:
    part = first
    while part is not None:
        head = f"\r\n--{boundary}\r\nContent-Type: {part.content_type}\r\n"
        if part.location:
            head += f"Content-Location: {part.location}\r\n"
        yield f"{head}\r\n".encode()
        yield from part.body
        part = next(rest, None)
    yield f"\r\n--{boundary}--\r\n".encode()
