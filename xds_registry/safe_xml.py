"""Parse XML that anybody may have written, within fixed bounds of time and memory.

A first pass with expat refuses a document type declaration the moment it opens, and caps depth,
attributes and elements; only what passed is given to lxml. So no entity is ever expanded, nothing
is ever fetched, and the tree that lxml builds is bounded by the size of the message.

The same pass can take the base64 text of documents out of the message while it arrives: a document
inside XML then costs no more memory than one beside it.
"""

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol
from xml.parsers import expat

from lxml import etree

from xds_registry.errors import XdsRegistryError

Read = Callable[[int], bytes]
"""Returns at most so many bytes, nothing at the end."""

_CHUNK_BYTES = 16 * 1024
_ENCODINGS = frozenset({"utf-8", "utf8", "utf-16", "us-ascii", "ascii"})
_SEPARATOR = "}"


class HostileXmlError(XdsRegistryError):
    """The XML is not well-formed or breaks a bound; the message names the rule, not the content."""


@dataclass(frozen=True)
class XmlLimits:
    """Bounds of one document. A start tag longer than `tag_bytes` is refused before it ends.

    `total_bytes` does not count the text that is taken out.
    """

    total_bytes: int = 4 * 1024 * 1024
    depth: int = 64
    attributes: int = 64
    elements: int = 100_000
    tag_bytes: int = 64 * 1024


DEFAULT_LIMITS = XmlLimits()


class Writable(Protocol):
    """Takes the bytes of one document in order."""

    def write(self, data: bytes) -> None:
        """Append `data`."""
        ...


@dataclass(frozen=True)
class TakeOut:
    """Take the base64 text of every element `tag` (`{namespace}name`) out of the message.

    `begin` is called for each that has text, with its number among all of that tag, from 0.
    """

    tag: str
    begin: Callable[[int], Writable]


def parse_xml(data: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> etree._Element:
    """Return the root element of `data`.

    Raises:
        HostileXmlError: not well-formed XML, a DTD, or more than `limits` allow.
    """
    return parse_xml_stream(BytesIO(data).read, limits)


def parse_xml_stream(
    read: Read, limits: XmlLimits = DEFAULT_LIMITS, take_out: TakeOut | None = None
) -> etree._Element:
    """Return the root element of what `read` gives; what is taken out is not in it.

    Raises:
        HostileXmlError: as `parse_xml`, or text to be taken out that is not base64.
    """
    data = _Inspection(limits, take_out).run(read)
    try:
        return etree.fromstring(data, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise HostileXmlError("the XML is not well-formed") from error


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        dtd_validation=False,
        remove_comments=True,
        remove_pis=True,
    )


class _Inspection:
    """One expat pass that counts, and copies all but what is to be taken out."""

    def __init__(self, limits: XmlLimits, take_out: TakeOut | None) -> None:
        self._limits = limits
        self._depth = self._elements = self._declarations = 0
        self._copy = _Copy(limits.total_bytes)
        self._documents = _Documents(take_out, self._copy) if take_out else None
        self._parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        self._parser.ordered_attributes = True
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartNamespaceDeclHandler = self._namespace
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def run(self, read: Read) -> bytes:
        """Read all; small steps, so that an endless tag is noticed while it is open."""
        fed = 0
        try:
            while chunk := read(_CHUNK_BYTES):
                fed += len(chunk)
                self._copy.feed(chunk)
                self._parser.Parse(chunk)
                at = max(self._parser.CurrentByteIndex, 0)
                if fed - at > self._limits.tag_bytes:
                    raise HostileXmlError(f"a tag is longer than {self._limits.tag_bytes} bytes")
                self._copy.pass_to(at)
            self._parser.Parse(b"", True)  # noqa: FBT003 (expat takes it by position alone)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise HostileXmlError("the XML is not well-formed") from error
        return self._copy.finish(fed)

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        """Two parsers must read the same characters, so only encodings both know by heart."""
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise HostileXmlError("the XML must be encoded in UTF-8 or UTF-16 (SOAP 1.2 part 2, 7)")

    def _doctype(self, *_declaration: Any) -> None:
        raise HostileXmlError("a document type declaration is not accepted (SOAP 1.2 part 1, 5)")

    def _namespace(self, _prefix: str | None, _uri: str | None) -> None:
        self._declarations += 1

    def _start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        self._elements += 1
        count, self._declarations = len(attributes) // 2 + self._declarations, 0
        if self._depth > self._limits.depth:
            raise HostileXmlError(f"elements are nested deeper than {self._limits.depth}")
        if self._elements > self._limits.elements:
            raise HostileXmlError(f"there are more than {self._limits.elements} elements")
        if count > self._limits.attributes:
            raise HostileXmlError(f"an element has more than {self._limits.attributes} attributes")
        if self._documents:
            self._documents.start(self._parser, name)

    def _end(self, _name: str) -> None:
        self._depth -= 1
        if self._documents:
            self._documents.end(self._parser)


class _Copy:
    """The message without what was taken out, bounded."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._raw = bytearray()
        self._base = 0
        self._out = bytearray()
        self.dropping = False

    def feed(self, chunk: bytes) -> None:
        self._raw += chunk

    def pass_to(self, position: int) -> None:
        """Copy, or drop, everything before the byte at `position`."""
        count = position - self._base
        if count <= 0:
            return
        if not self.dropping:
            self._out += self._raw[:count]
            if len(self._out) > self._most:
                raise HostileXmlError(f"the XML is longer than {self._most} bytes")
        del self._raw[:count]
        self._base = position

    def finish(self, position: int) -> bytes:
        self.pass_to(position)
        return bytes(self._out)


class _Documents:
    """Takes the text of the wanted elements out and decodes it on the way."""

    def __init__(self, wanted: TakeOut, copy: _Copy) -> None:
        self._name = wanted.tag.removeprefix("{")
        self._begin = wanted.begin
        self._copy = copy
        self._number = -1
        self._inside = False
        self._decoder: _Base64 | None = None

    def start(self, parser: expat.XMLParserType, name: str) -> None:
        if self._decoder is not None:
            raise HostileXmlError("a document holds both text and elements")
        self._inside = name == self._name
        if self._inside:
            self._number += 1
            parser.CharacterDataHandler = lambda text: self._text(parser, text)
        else:
            parser.CharacterDataHandler = None

    def end(self, parser: expat.XMLParserType) -> None:
        parser.CharacterDataHandler = None
        if self._decoder is not None:
            self._copy.pass_to(parser.CurrentByteIndex)
            self._copy.dropping = False
            self._decoder.finish()
            self._decoder = None

    def _text(self, parser: expat.XMLParserType, text: str) -> None:
        if self._decoder is None:
            if not text.strip():
                return
            self._copy.pass_to(parser.CurrentByteIndex)
            self._copy.dropping = True
            self._decoder = _Base64(self._begin(self._number))
        self._decoder.feed(text)


class _Base64:
    """Decodes base64 that comes in pieces (XML Schema base64Binary)."""

    def __init__(self, target: Writable) -> None:
        self._target = target
        self._pieces: list[str] = []
        self._length = 0
        self._ended = False

    def feed(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)
        if self._length >= _CHUNK_BYTES:
            self._flush()

    def finish(self) -> None:
        self._flush()
        if self._pieces:
            raise HostileXmlError("a document is not base64")

    def _flush(self) -> None:
        text = "".join("".join(self._pieces).split())
        whole = len(text) - len(text) % 4
        self._pieces = [text[whole:]] if text[whole:] else []
        self._length = len(text) - whole
        if not whole:
            return
        if self._ended:
            raise HostileXmlError("a document is not base64")
        self._ended = text[:whole].endswith("=")
        try:
            self._target.write(binascii.a2b_base64(text[:whole], strict_mode=True))
        except ValueError as error:
            raise HostileXmlError("a document is not base64") from error
