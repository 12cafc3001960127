"""Read the body of a SOAP request as it arrives: plain or MTOM, its documents spooled on the way.

The SOAP message has one bound, the documents of a request another; neither is ever exceeded by more
than a chunk, whatever the lengths the sender declares.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO

from lxml import etree

from xds_registry import mtom
from xds_registry import vocabulary as v
from xds_registry.mtom import BadMultipartError
from xds_registry.mtom_reading import (
    Keep,
    MultipartLimits,
    Package,
    Read,
    TooLargeError,
    read_package,
    refuse_foreign_includes,
)
from xds_registry.received_parts import ReceivedPart, Reception, Spool
from xds_registry.safe_xml import TakeOut, XmlLimits
from xds_registry.soap import (
    FaultCode,
    SoapFaultError,
    SoapRequest,
    envelope_element,
    envelope_request,
)
from xds_registry.wsgi_answers import Environ, HttpRefusalError

_LENGTH = re.compile(r"[0-9]{1,18}")
_SOAP_MEDIA_TYPES = frozenset({mtom.SOAP_MEDIA_TYPE, "text/xml"})
_DOCUMENT = f"{{{v.XDS_B}}}Document"
_INCLUDE = f"{{{v.XOP}}}Include"
_INLINE_MEDIA_TYPE = "application/octet-stream"
# Boundaries and headers of parts; base64 is longer than what it stands for by a third, and lines.
_MIME_OVERHEAD = 1024 * 1024


@dataclass(frozen=True)
class BodyLimits:
    """Bounds of one request in bytes: the SOAP message, and all its documents together."""

    soap_bytes: int
    document_bytes: int = 0


@dataclass(frozen=True)
class ReceivedRequest:
    """A request and its documents by content id; in `soap.body` every document is an Include."""

    soap: SoapRequest
    attachments: Mapping[str, ReceivedPart]


class BodyReader:
    """Reads requests within `limits`; `understood` are namespaces of further SOAP headers."""

    def __init__(self, limits: BodyLimits, understood: Collection[str] = ()) -> None:
        self._limits = limits
        self._understood = understood

    def read(self, environ: Environ, reception: Reception | None) -> ReceivedRequest:
        """Return the request; documents go to `reception`, or are refused where there is none.

        Raises:
            HttpRefusalError: too long, no length, or another media type.
            SoapFaultError: the message is not acceptable SOAP.
        """
        content_type = environ.get("CONTENT_TYPE") or ""
        media_type, _ = mtom.media_type_of(content_type)
        if media_type not in {*_SOAP_MEDIA_TYPES, "multipart/related"}:
            raise HttpRefusalError(
                "415 Unsupported Media Type", "application/soap+xml or multipart/related"
            )
        most = self._most_bytes(media_type == "multipart/related", reception)
        body = _Body(environ, most)
        try:
            if media_type == "multipart/related":
                return self._package(body.read, content_type, reception)
            return self._plain(body.read, reception, {})
        except TooLargeError as error:
            raise HttpRefusalError("413 Content Too Large", str(error)) from error
        except BadMultipartError as error:
            raise SoapFaultError(FaultCode.SENDER, str(error), "MTOM 报文无法接受") from error

    def _most_bytes(self, is_package: bool, reception: Reception | None) -> int:  # noqa: FBT001
        soap, documents = self._limits.soap_bytes, self._limits.document_bytes
        if reception is None:
            return soap
        return soap + (documents + _MIME_OVERHEAD if is_package else documents * 3 // 2)

    def _plain(
        self, read: Read, reception: Reception | None, attachments: Mapping[str, ReceivedPart]
    ) -> ReceivedRequest:
        limits = XmlLimits(self._limits.soap_bytes)
        if reception is None:
            envelope = envelope_element(read, limits)
        else:
            inline = _InlineDocuments(reception)
            envelope = envelope_element(read, limits, TakeOut(_DOCUMENT, inline.begin))
            attachments = {**attachments, **inline.put_back(envelope)}
        refuse_foreign_includes(envelope, attachments)
        return ReceivedRequest(envelope_request(envelope, self._understood), attachments)

    def _package(
        self, read: Read, content_type: str, reception: Reception | None
    ) -> ReceivedRequest:
        package = Package()
        limits = MultipartLimits(root_bytes=self._limits.soap_bytes)
        keep: Keep[ReceivedPart | None] = reception.keep if reception else _pass_over
        attachments = read_package(read, content_type, package, keep, limits)
        known = {name: part for name, part in attachments.items() if part is not None}
        return self._plain(BytesIO(package.root).read, reception, known)


class _InlineDocuments:
    """Documents that came as base64 inside the message, each replaced by an Include of itself."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._spools: dict[int, Spool] = {}

    def begin(self, number: int) -> Spool:
        self._spools[number] = Spool(self._reception, _INLINE_MEDIA_TYPE)
        return self._spools[number]

    def put_back(self, envelope: etree._Element) -> dict[str, ReceivedPart]:
        parts = {}
        elements = list(envelope.iter(_DOCUMENT))
        for number, spool in self._spools.items():
            content_id = f"inline-{number}@eirhub"
            element = elements[number]
            element.text = None
            etree.SubElement(element, _INCLUDE).set("href", f"cid:{content_id}")
            parts[content_id] = spool.finish()
        return parts


class _Body:
    """The body of one HTTP request as a stream that ends where it has to."""

    def __init__(self, environ: Environ, most: int) -> None:
        self._most = most
        self._stream = environ["wsgi.input"]
        self._left = _declared_length(environ, most)
        self._read = 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, nothing at the end.

        Raises:
            TooLargeError, HttpRefusalError: the body is longer than it may be, or cut off.
        """
        wanted = size if self._left is None else min(size, self._left)
        data: bytes = self._stream.read(wanted) if wanted else b""
        self._read += len(data)
        if self._read > self._most:
            raise _too_large(self._most)
        if self._left is not None:
            self._left -= len(data)
            if self._left and not data:
                raise HttpRefusalError("400 Bad Request", "the body is shorter than its length")
        return data


def _declared_length(environ: Environ, most: int) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        if environ.get("wsgi.input_terminated"):
            return None
        raise HttpRefusalError("411 Length Required", "Content-Length is needed")
    if not _LENGTH.fullmatch(text):
        raise HttpRefusalError("400 Bad Request", "Content-Length is not a number")
    if int(text) > most:
        raise _too_large(most)
    return int(text)


def _too_large(most: int) -> HttpRefusalError:
    return HttpRefusalError("413 Content Too Large", f"at most {most} bytes / 最多 {most} 字节")


def _pass_over(_media_type: str, chunks: Iterable[bytes]) -> None:
    """Read a part that nobody asked for and keep nothing of it."""
    for _chunk in chunks:
        pass
