"""DICOM JSON as the diagnostic viewer needs it: without what it never reads, compressed on the way.

A scanner writes a hundred and more private attributes into each slice. The viewer takes every one
of a thousand slices apart before it asks for the first picture. The hub's own origin has them all.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from flask import request

from viewer_api.dicomweb.media_types import DICOM_JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask import Flask, Response

# Those that OHIF 3.13 does read: b-values of Siemens, GE and Philips, SUV factors of Philips, time
# of injection of GE. Whose block an element is of (gggg,00hh) stays as well.
_READ = b"0019100C|00431039|20011003|70531000|70531009|0009100D"
# An element that holds no items, with the comma after it. No quote inside a text stands bare, so
# that nothing but a key follows `{` or `,` with a quote; nothing is tried twice.
_UNREAD = re.compile(
    rb'(?<=[{,])"(?!' + _READ + rb')[0-9A-F]{3}[13579BDF](?!00)[0-9A-F]{4}":'
    rb'\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+")*+\},',
    re.DOTALL,
)
_GZIP_BITS, _FAST = 31, 1


def install_lean_metadata(app: Flask) -> None:
    """Let every answer of `app` in DICOM JSON leave so."""
    app.after_request(_lean)


def without_unread(body: bytes) -> bytes:
    """Return DICOM JSON without private attributes that the viewer does not read.

    Private sequences stay, and so does what ends an object.
    """
    return _UNREAD.sub(b"", body)


def _lean(answer: Response) -> Response:
    if answer.mimetype != DICOM_JSON or answer.status_code != 200:
        return answer
    pieces: Iterable[bytes] = map(without_unread, answer.iter_encoded())
    answer.headers["Vary"] = "Accept-Encoding"
    if request.accept_encodings.quality("gzip") > 0:
        answer.headers["Content-Encoding"] = "gzip"
        pieces = _squeezed(pieces)
    answer.headers.pop("Content-Length", None)
    answer.call_on_close(getattr(answer.response, "close", lambda: None))
    answer.response = pieces
    return answer


def _squeezed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP_BITS)
    for piece in pieces:
        yield squeeze.compress(piece)
    yield squeeze.flush()
