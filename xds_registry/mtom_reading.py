"""Read multipart/related packages as a stream (RFC 2046 5.1, RFC 2387; W3C XOP 1.0).

Never more than a chunk and one part's headers are held in memory: the root is collected within its
bound, every other part goes to whoever keeps it while it arrives.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import unquote

from lxml import etree

from xds_registry.mtom import BadMultipartError, media_type_of
from xds_registry.vocabulary import XOP

Read = Callable[[int], bytes]
"""Returns at most so many bytes, nothing at the end."""

_CRLF = b"\r\n"
_CHUNK_BYTES = 128 * 1024
_ENCODINGS = frozenset({"binary", "8bit", "7bit"})
_LONGEST_CONTENT_ID = 512

K_co = TypeVar("K_co", covariant=True)


class TooLargeError(BadMultipartError):
    """What arrived is longer than it may be; `most` is the bound in bytes."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__(f"{what}: at most {most} bytes")
        self.most = most


@dataclass(frozen=True)
class MultipartLimits:
    """Bounds of one package: its parts, the headers of each, what stands before, and the root."""

    parts: int = 100
    header_bytes: int = 8 * 1024
    preamble_bytes: int = 64 * 1024
    root_bytes: int = 8 * 1024 * 1024


DEFAULT_LIMITS = MultipartLimits()


class Keep(Protocol[K_co]):
    """Takes one part that is not the root, reading its chunks to the end."""

    def __call__(self, media_type: str, chunks: Iterator[bytes], /) -> K_co:
        """Return what stands for the part from now on."""
        ...


@dataclass
class Package:
    """What was read of a package so far; `root` is empty until it has come."""

    root: bytes = b""


def read_package(
    read: Read, content_type: str, package: Package, keep: Keep[K_co], limits: MultipartLimits
) -> dict[str, K_co]:
    """Take a package apart as it arrives, its root into `package`; return the rest by content id.

    Raises:
        BadMultipartError: no boundary, no end, no root, the same content id twice, or more than
            `limits` allow.
    """
    _, parameters = media_type_of(content_type)
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if not 1 <= len(boundary) <= 70:
        raise BadMultipartError("multipart/related needs a boundary of 1 to 70 characters")
    start = parameters.get("start", "").strip().strip("<>")
    seen: set[str] = set()
    kept: dict[str, K_co] = {}
    for number, part in enumerate(_Parts(read, boundary, limits)):
        if part.content_id in seen:
            raise BadMultipartError("two parts have the same Content-ID")
        seen |= {part.content_id} - {""}
        if part.content_id == start if start else number == 0:
            package.root = _collected(part.chunks, limits.root_bytes)
        else:
            kept[part.content_id] = keep(part.media_type, part.chunks)
    if not package.root:
        raise BadMultipartError("the package does not hold the root its start parameter names")
    return kept


def refuse_foreign_includes(root: etree._Element, attachments: Mapping[str, object]) -> None:
    """Let only `cid:` references to parts of the same package through (XOP 1.0, 2.1).

    Raises:
        BadMultipartError: an include points at a missing part, a file or another host.
    """
    for include in root.iter(f"{{{XOP}}}Include"):
        if included_content_id(include) not in attachments:
            raise BadMultipartError("an xop:Include must name a part of the same package by cid:")


def included_content_id(include: etree._Element) -> str:
    """Return the content id an xop:Include names; empty when it is no `cid:` reference."""
    scheme, _, target = (include.get("href") or "").partition(":")
    return unquote(target) if scheme == "cid" else ""


@dataclass(frozen=True)
class _Part:
    content_id: str
    media_type: str
    chunks: Iterator[bytes]


class _Parts:
    """The parts of one package in order; the chunks of each are read before the next is asked."""

    def __init__(self, read: Read, boundary: bytes, limits: MultipartLimits) -> None:
        self._read = read
        self._delimiter = _CRLF + b"--" + boundary
        self._limits = limits
        self._buffer = bytearray(_CRLF)  # so that a delimiter at the very start is one

    def __iter__(self) -> Iterator[_Part]:
        self._skip_preamble()
        for _ in range(self._limits.parts):
            if self._at_end():
                return
            content_id, media_type = self._headers()
            chunks = self._chunks()
            yield _Part(content_id, media_type, chunks)
            for _rest in chunks:
                pass
        if not self._at_end():
            raise BadMultipartError(f"the package has more than {self._limits.parts} parts")

    def _fill(self, missing: str) -> None:
        data = self._read(_CHUNK_BYTES)
        if not data:
            raise BadMultipartError(missing)
        self._buffer += data

    def _skip_preamble(self) -> None:
        while (found := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > self._limits.preamble_bytes:
                raise BadMultipartError("the boundary does not occur at the start of the package")
            self._fill("the boundary does not occur in the package")
        del self._buffer[: found + len(self._delimiter)]

    def _at_end(self) -> bool:
        """Read the rest of a boundary line and tell whether it was the last."""
        while len(self._buffer) < 2:
            self._fill("a boundary line is cut off")
        if self._buffer.startswith(b"--"):
            return True
        while (end := self._buffer.find(_CRLF)) < 0 and len(self._buffer) < 256:
            self._fill("a boundary line is cut off")
        if end < 0 or self._buffer[:end].strip(b" \t"):
            raise BadMultipartError("a boundary line is malformed")
        del self._buffer[:end]  # the CRLF stays: headers may be none
        return False

    def _headers(self) -> tuple[str, str]:
        """Return the content id and the media type of the part that begins."""
        most = self._limits.header_bytes
        while (end := self._buffer.find(_CRLF * 2)) < 0 and len(self._buffer) <= most:
            self._fill("a part has no end of headers")
        if end < 0 or end > most:
            raise BadMultipartError(f"a part has more than {most} bytes of headers")
        head = self._buffer[:end].decode("latin-1").replace("\r\n ", " ").replace("\r\n\t", " ")
        del self._buffer[: end + 2 * len(_CRLF)]
        self._buffer[:0] = _CRLF  # so that a delimiter right after the headers is one
        fields = {}
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        if fields.get("content-transfer-encoding", "binary").lower() not in _ENCODINGS:
            raise BadMultipartError("parts must be sent binary, not base64 or quoted-printable")
        content_id = fields.get("content-id", "").strip("<>")
        if len(content_id) > _LONGEST_CONTENT_ID:
            raise BadMultipartError("a Content-ID is too long")
        return content_id, media_type_of(fields.get("content-type", ""))[0]

    def _chunks(self) -> Iterator[bytes]:
        """Yield the body of the part that begins, and step behind the delimiter that ends it."""
        first, tail = len(_CRLF), len(self._delimiter) - 1
        while (found := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > tail + first:
                yield bytes(memoryview(self._buffer)[first:-tail])
                del self._buffer[:-tail]
                first = 0
            self._fill("the package has no closing boundary")
        if found > first:
            yield bytes(memoryview(self._buffer)[first:found])
        del self._buffer[: found + len(self._delimiter)]


def _collected(chunks: Iterator[bytes], most: int) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            raise TooLargeError("the SOAP part / SOAP 部分", most)
    return bytes(data)
