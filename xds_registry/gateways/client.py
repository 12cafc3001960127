"""Ask one configured community over SOAP, within fixed bounds of time and size (ITI TF-2 V.3).

No redirect is followed, no proxy of the environment is used, nothing is asked twice, and documents
go to disk while they arrive.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import urllib3
from lxml import etree
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from hub_kernel.identifiers import new_urn_uuid
from xds_registry import vocabulary as v
from xds_registry.errors import XdsRegistryError
from xds_registry.gateways.communities import Community
from xds_registry.gateways.spool import Spool, SpooledPart
from xds_registry.mtom import SOAP_MEDIA_TYPE, BadMultipartError, media_type_of
from xds_registry.mtom_reading import MultipartLimits, Package, read_package
from xds_registry.safe_xml import HostileXmlError, Read, TakeOut, XmlLimits, parse_xml_stream
from xds_registry.soap import ADDRESSING, SOAP_12

_CHUNK_BYTES = 128 * 1024
_PARTS = MultipartLimits(parts=20_001, root_bytes=64 * 1024 * 1024)
_DOCUMENT = f"{{{v.XDS_B}}}Document"
_WHAT_CAN_FAIL = (HTTPError, OSError, BadMultipartError, HostileXmlError)
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (BadMultipartError, "the answer is no MTOM package"),
    (HostileXmlError, "the answer is no acceptable XML"),
    (NewConnectionError, "nobody listens"),
    (ConnectTimeoutError, "no connection in time"),
    (ReadTimeoutError, "no answer in time"),
    (SSLError, "TLS failed"),
)


class CommunityUnavailableError(XdsRegistryError):
    """A community did not answer, or not as SOAP; the message says how, in a few words of ours."""


@dataclass(frozen=True)
class ClientLimits:
    """Bounds of one question: seconds to connect, between two bytes, and in all; bytes in all."""

    connect_s: float = 5.0
    silence_s: float = 15.0
    query_s: float = 30.0
    retrieve_s: float = 600.0
    query_bytes: int = 64 * 1024 * 1024
    retrieve_bytes: int = 16 * 1024 * 1024 * 1024


@dataclass(frozen=True)
class Question:
    """What is asked of a community: where, the payload, and the action that names it."""

    community: Community
    url: str
    payload: etree._Element
    action: str


@dataclass(frozen=True)
class CommunityAnswer:
    """The payload a community answered with, and the documents that came along.

    `parts` are by content id; `inline` are those that stood in the XML, by their number among all
    Document elements.
    """

    payload: etree._Element
    parts: Mapping[str, SpooledPart] = field(default_factory=dict)
    inline: Mapping[int, SpooledPart] = field(default_factory=dict)


class CommunityClient:
    """Asks communities; safe from many threads. Documents are spooled in `folder`."""

    def __init__(self, folder: Path, limits: ClientLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or ClientLimits()
        self._pools: dict[str, urllib3.PoolManager] = {}

    def query(self, question: Question) -> CommunityAnswer:
        """Return the answer to a question that is answered without documents.

        Raises:
            CommunityUnavailableError: no answer within the bounds, or none that can be read.
        """
        return self._ask(question, self._limits.query_s, self._limits.query_bytes)

    def retrieve(self, question: Question) -> CommunityAnswer:
        """Return the answer to a question that is answered with documents; raises as `query`."""
        return self._ask(question, self._limits.retrieve_s, self._limits.retrieve_bytes)

    @property
    def query_s(self) -> float:
        """The longest time a query may take."""
        return self._limits.query_s

    @property
    def retrieve_s(self) -> float:
        """The longest time a retrieval may take."""
        return self._limits.retrieve_s

    def _ask(self, question: Question, seconds: float, most_bytes: int) -> CommunityAnswer:
        deadline = time.monotonic() + seconds
        try:
            response = self._post(question)
            try:
                return self._read(response, _Bounded(response, deadline, most_bytes))
            finally:
                response.close()  # an answer is not always read to its very end
        except _WHAT_CAN_FAIL as error:
            raise CommunityUnavailableError(_reason(error)) from error

    def _post(self, question: Question) -> BaseHTTPResponse:
        headers = {
            "Content-Type": f'{SOAP_MEDIA_TYPE}; charset=UTF-8; action="{question.action}"',
            "Accept": f"{SOAP_MEDIA_TYPE}, multipart/related",
            "Accept-Encoding": "identity",
            "User-Agent": "eirhub",
        }
        if question.community.token:
            headers["Authorization"] = f"Bearer {question.community.token}"
        return self._pool(question.community).request(
            "POST",
            question.url,
            body=_request_envelope(question),
            headers=headers,
            preload_content=False,
            decode_content=False,
            redirect=False,
            retries=False,
            timeout=Timeout(connect=self._limits.connect_s, read=self._limits.silence_s),
        )

    def _pool(self, community: Community) -> urllib3.PoolManager:
        home = community.home_community_id
        if home not in self._pools:
            self._pools[home] = urllib3.PoolManager(
                num_pools=4, maxsize=8, ssl_context=_tls(community)
            )
        return self._pools[home]

    def _read(self, response: BaseHTTPResponse, body: "_Bounded") -> CommunityAnswer:
        content_type = response.headers.get("Content-Type", "")
        media_type, _ = media_type_of(content_type)
        spool = Spool(self._folder)
        if media_type == "multipart/related":
            package = Package()
            parts = read_package(body.read, content_type, package, partial(_keep, spool), _PARTS)
            return self._answer(_Once(package.root).read, response.status, spool, parts)
        if media_type not in {SOAP_MEDIA_TYPE, "text/xml"}:
            raise CommunityUnavailableError(f"HTTP {response.status}")
        return self._answer(body.read, response.status, spool, {})

    def _answer(
        self, read: Read, status: int, spool: Spool, parts: Mapping[str, SpooledPart]
    ) -> CommunityAnswer:
        taken = _InlineDocuments(spool)
        limits = XmlLimits(total_bytes=self._limits.query_bytes, elements=2_000_000)
        envelope = parse_xml_stream(read, limits, TakeOut(_DOCUMENT, taken.begin))
        body = envelope.find(f"{{{SOAP_12}}}Body")
        if envelope.tag != f"{{{SOAP_12}}}Envelope" or body is None or len(body) != 1:
            raise CommunityUnavailableError(f"HTTP {status} without a SOAP 1.2 answer")
        if body[0].tag == f"{{{SOAP_12}}}Fault" or status != 200:
            raise CommunityUnavailableError(f"HTTP {status} with a SOAP fault")
        return CommunityAnswer(body[0], parts, taken.parts())


class _Bounded:
    """Reads a response piece by piece until its end, its deadline or its bound."""

    def __init__(self, response: BaseHTTPResponse, deadline: float, most_bytes: int) -> None:
        self._response = response
        self._deadline = deadline
        self._left = most_bytes

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, nothing at the end."""
        if time.monotonic() > self._deadline:
            raise CommunityUnavailableError("the answer took too long")
        data = bytes(self._response.read1(min(size, _CHUNK_BYTES)))
        self._left -= len(data)
        if self._left < 0:
            raise CommunityUnavailableError("the answer is too long")
        return data


class _Once:
    """Bytes at hand, read like a stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, nothing at the end."""
        start = self._position
        self._position = min(start + size, len(self._data))
        return self._data[start : self._position]


class _InlineDocuments:
    """Documents that stand in the XML itself, written one after the other."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._starts: list[tuple[int, int]] = []

    def begin(self, number: int) -> Spool:
        """Take note that document `number` begins here."""
        self._starts.append((number, self._spool.size))
        return self._spool

    def parts(self) -> dict[int, SpooledPart]:
        """Return the documents by their number."""
        ends = [*(start for _, start in self._starts[1:]), self._spool.size]
        return {
            number: SpooledPart(self._spool, "", start, end - start)
            for (number, start), end in zip(self._starts, ends, strict=bool(self._starts))
        }


def _keep(spool: Spool, media_type: str, chunks: Iterator[bytes]) -> SpooledPart:
    start = spool.size
    for chunk in chunks:
        spool.write(chunk)
    return SpooledPart(spool, media_type, start, spool.size - start)


def included_part(
    answer: CommunityAnswer, document: etree._Element, number: int
) -> SpooledPart | None:
    """Return the bytes of Document element `number`, wherever they came; None without any."""
    include = document.find(f"{{{v.XOP}}}Include")
    if include is None:
        return answer.inline.get(number)
    scheme, _, target = (include.get("href") or "").partition(":")
    return answer.parts.get(unquote(target)) if scheme == "cid" else None


def _request_envelope(question: Question) -> bytes:
    envelope = etree.Element(f"{{{SOAP_12}}}Envelope", nsmap={"s": SOAP_12, "a": ADDRESSING})
    header = etree.SubElement(envelope, f"{{{SOAP_12}}}Header")
    for name, text in (
        ("Action", question.action),
        ("MessageID", new_urn_uuid()),
        ("To", question.url),
    ):
        element = etree.SubElement(header, f"{{{ADDRESSING}}}{name}")
        element.text = text
        if name != "MessageID":
            element.set(f"{{{SOAP_12}}}mustUnderstand", "1")
    reply_to = etree.SubElement(header, f"{{{ADDRESSING}}}ReplyTo")
    etree.SubElement(reply_to, f"{{{ADDRESSING}}}Address").text = f"{ADDRESSING}/anonymous"
    etree.SubElement(envelope, f"{{{SOAP_12}}}Body").append(question.payload)
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _tls(community: Community) -> ssl.SSLContext:
    """Return whom to trust, and who this hub is: certificates are always checked."""
    trusted = str(community.ca_file) if community.ca_file else None
    context = ssl.create_default_context(cafile=trusted)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if community.certificate_file:
        context.load_cert_chain(community.certificate_file, community.key_file)
    return context


def _reason(error: Exception) -> str:
    """Return why there is no answer, without repeating what anybody sent."""
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return words
    return "the connection failed"
