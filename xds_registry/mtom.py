"""Write MTOM messages: multipart/related packages with XOP (W3C MTOM 1.0, XOP 1.0; RFC 2387).

Writing streams: the length is known before the first byte, and a document of any size costs one
chunk of memory. `mtom_reading` reads them.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache

from xds_registry.errors import XdsRegistryError

SOAP_MEDIA_TYPE = "application/soap+xml"
XOP_MEDIA_TYPE = "application/xop+xml"
_ROOT_ID = "root@eirhub"
_CRLF = b"\r\n"


class BadMultipartError(XdsRegistryError):
    """The package is not multipart/related as RFC 2387 has it, or breaks a bound."""


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


@lru_cache(maxsize=64)
def media_type_of(content_type: str) -> tuple[str, Mapping[str, str]]:
    """Return the media type and the parameters of a Content-Type header, names in lower case.

    Remembered, for most requests of a peer say the same.
    """
    message = Message()
    message["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    parameters = message.get_params(failobj=[])[1:]
    return message.get_content_type(), {name.lower(): str(value) for name, value in parameters}


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
