"""MTOM messages: multipart/related packages with XOP (W3C MTOM 1.0, XOP 1.0; RFC 2387, RFC 2046).

Reading is bounded in parts and header bytes. Writing streams: the length is known
before the first byte, and a document of any size costs one chunk of memory.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import unquote

from lxml import etree

from xds_registry.errors import XdsRegistryError
from xds_registry.vocabulary import XOP

SOAP_MEDIA_TYPE = "application/soap+xml"
XOP_MEDIA_TYPE = "application/xop+xml"
_ROOT_ID = "root@eirhub"
_CRLF = b"\r\n"


class BadMultipartError(XdsRegistryError):
    """The package is not multipart/related as RFC 2387 has it, or breaks a bound."""


@dataclass(frozen=True)
class MultipartLimits:
    """Bounds of one package: its parts, and the bytes of headers of each."""

    parts: int = 100
    header_bytes: int = 8 * 1024


DEFAULT_LIMITS = MultipartLimits()


@dataclass(frozen=True)
class Package:
    """A package that was read: the SOAP envelope, and the attachments by content id."""

    root: bytes
    attachments: Mapping[str, bytes]


@dataclass(frozen=True)
class Attachment:
    """One attachment to be sent; `open` is called when its turn comes and gives exactly `size`."""

    content_id: str
    media_type: str
    size: int
    open: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class OutgoingPackage:
    """A package ready to be streamed; `length` is the exact number of bytes of `chunks`."""

    content_type: str
    length: int
    chunks: Iterator[bytes]


def media_type_of(content_type: str) -> tuple[str, dict[str, str]]:
    """Return the media type and the parameters of a Content-Type header, names in lower case."""
    message = Message()
    message["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    parameters = message.get_params(failobj=[])[1:]
    return message.get_content_type(), {name.lower(): str(value) for name, value in parameters}


def read_package(
    data: bytes, content_type: str, limits: MultipartLimits = DEFAULT_LIMITS
) -> Package:
    """Take apart a multipart/related package whose root is a SOAP envelope.

    Raises:
        BadMultipartError: no boundary, no end, no root, or more than `limits` allow.
    """
    _, parameters = media_type_of(content_type)
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if not 1 <= len(boundary) <= 70:
        raise BadMultipartError("multipart/related needs a boundary of 1 to 70 characters")
    parts = list(_parts(data, boundary, limits))
    if not parts:
        raise BadMultipartError("the package has no part")
    start = parameters.get("start", "").strip("<>")
    roots = [part for part in parts if part[0] == start] if start else parts[:1]
    if len(roots) != 1:
        raise BadMultipartError("the package does not hold the root its start parameter names")
    attachments = {content_id: body for content_id, body in parts if content_id}
    return Package(roots[0][1], attachments)


def refuse_foreign_includes(root: etree._Element, attachments: Mapping[str, bytes]) -> None:
    """Let only `cid:` references to parts of the same package through (XOP 1.0, 2.1).

    Raises:
        BadMultipartError: an include points at a missing part, a file or another host.
    """
    for include in root.iter(f"{{{XOP}}}Include"):
        scheme, _, target = (include.get("href") or "").partition(":")
        if scheme != "cid" or unquote(target) not in attachments:
            raise BadMultipartError("an xop:Include must name a part of the same package by cid:")


def build_package(
    envelope: bytes, attachments: tuple[Attachment, ...], action: str
) -> OutgoingPackage:
    """Return the package of `envelope` and `attachments`, in that order."""
    boundary = f"eirhub-{secrets.token_hex(16)}"
    heads = [
        _head(boundary, f'{XOP_MEDIA_TYPE}; charset=UTF-8; type="{SOAP_MEDIA_TYPE}"', _ROOT_ID)
    ]
    heads += [_head(boundary, part.media_type, part.content_id) for part in attachments]
    tail = f"--{boundary}--\r\n".encode()
    sizes = len(envelope) + sum(part.size for part in attachments)
    length = sizes + sum(len(head) + len(_CRLF) for head in heads) + len(tail)
    content_type = (
        f'multipart/related; type="{XOP_MEDIA_TYPE}"; boundary="{boundary}"; '
        f'start="<{_ROOT_ID}>"; start-info="{SOAP_MEDIA_TYPE}"; action="{action}"'
    )

    def chunks() -> Iterator[bytes]:
        yield heads[0] + envelope + _CRLF
        for head, part in zip(heads[1:], attachments, strict=True):
            yield head
            yield from part.open()
            yield _CRLF
        yield tail

    return OutgoingPackage(content_type, length, chunks())


def _head(boundary: str, content_type: str, content_id: str) -> bytes:
    return (
        f"--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <{content_id}>\r\n\r\n"
    ).encode()


def _parts(data: bytes, boundary: bytes, limits: MultipartLimits) -> Iterator[tuple[str, bytes]]:
    """Yield (content id, body) of each part, in order."""
    delimiter = b"\r\n--" + boundary
    position = (_CRLF + data).find(delimiter)
    if position < 0:
        raise BadMultipartError("the boundary does not occur in the package")
    position += len(delimiter) - len(_CRLF)
    for _ in range(limits.parts):
        if data.startswith(b"--", position):
            return
        line_end = data.find(_CRLF, position)
        if line_end < 0 or data[position:line_end].strip(b" \t"):
            raise BadMultipartError("a boundary line is malformed")
        end = data.find(delimiter, line_end)
        if end < 0:
            raise BadMultipartError("the package has no closing boundary")
        yield _part(data[line_end + len(_CRLF) : end], limits)
        position = end + len(delimiter)
    raise BadMultipartError(f"the package has more than {limits.parts} parts")


def _part(part: bytes, limits: MultipartLimits) -> tuple[str, bytes]:
    head, separator, body = (_CRLF + part).partition(_CRLF * 2)
    if not separator or len(head) > limits.header_bytes:
        raise BadMultipartError("a part has no end of headers, or too many")
    headers = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("content-transfer-encoding", "binary").lower() not in {"binary", "8bit", "7bit"}:
        raise BadMultipartError("parts must be sent binary, not base64 or quoted-printable")
    return headers.get("content-id", "").strip("<>"), body
