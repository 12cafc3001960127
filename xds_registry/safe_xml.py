"""Parse XML that anybody may have written, within fixed bounds of time and memory.

A first pass with expat refuses a document type declaration the moment it opens, and caps depth,
attributes and elements; only what passed is given to lxml. So no entity is ever expanded, nothing
is ever fetched, and the tree that lxml builds is bounded by the size of the message.
"""

from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from lxml import etree

from xds_registry.errors import XdsRegistryError

_CHUNK_BYTES = 16 * 1024
_ENCODINGS = frozenset({"utf-8", "utf8", "utf-16", "us-ascii", "ascii"})


class HostileXmlError(XdsRegistryError):
    """The XML is not well-formed or breaks a bound; the message names the rule, not the content."""


@dataclass(frozen=True)
class XmlLimits:
    """Bounds of one document. A start tag longer than `tag_bytes` is refused before it ends."""

    total_bytes: int = 4 * 1024 * 1024
    depth: int = 64
    attributes: int = 64
    elements: int = 100_000
    tag_bytes: int = 64 * 1024


DEFAULT_LIMITS = XmlLimits()


def parse_xml(data: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> etree._Element:
    """Return the root element of `data`.

    Raises:
        HostileXmlError: not well-formed XML, a DTD, or more than `limits` allow.
    """
    if len(data) > limits.total_bytes:
        raise HostileXmlError(f"the XML is longer than {limits.total_bytes} bytes")
    _Inspection(limits).run(data)
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
    """One expat pass that counts and builds nothing."""

    def __init__(self, limits: XmlLimits) -> None:
        self._limits = limits
        self._depth = 0
        self._elements = 0
        self._parser = expat.ParserCreate()
        self._parser.ordered_attributes = True
        self._parser.buffer_text = True
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def run(self, data: bytes) -> None:
        """Read all of `data`; small steps, so that an endless tag is noticed while it is open."""
        try:
            for start in range(0, len(data), _CHUNK_BYTES):
                chunk = data[start : start + _CHUNK_BYTES]
                self._parser.Parse(chunk)
                pending = start + len(chunk) - max(self._parser.CurrentByteIndex, 0)
                if pending > self._limits.tag_bytes:
                    raise HostileXmlError(f"a tag is longer than {self._limits.tag_bytes} bytes")
            self._parser.Parse(b"", True)  # noqa: FBT003 (expat takes it by position alone)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise HostileXmlError("the XML is not well-formed") from error

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        """Two parsers must read the same characters, so only encodings both know by heart."""
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise HostileXmlError("the XML must be encoded in UTF-8 or UTF-16 (SOAP 1.2 part 2, 7)")

    def _doctype(self, *_declaration: Any) -> None:
        raise HostileXmlError("a document type declaration is not accepted (SOAP 1.2 part 1, 5)")

    def _start(self, _name: str, attributes: list[str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > self._limits.depth:
            raise HostileXmlError(f"elements are nested deeper than {self._limits.depth}")
        if self._elements > self._limits.elements:
            raise HostileXmlError(f"there are more than {self._limits.elements} elements")
        if len(attributes) // 2 > self._limits.attributes:
            raise HostileXmlError(f"an element has more than {self._limits.attributes} attributes")

    def _end(self, _name: str) -> None:
        self._depth -= 1
